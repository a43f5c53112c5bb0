"""How a room ends."""

import os
import signal
from collections.abc import Iterator

import pytest

from wire.errors import UserError, run_main


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def raising(error: BaseException) -> None:
    raise error


def test_done_is_0_and_a_code_is_passed_on():
    assert run_main(lambda: None) == 0
    assert run_main(lambda: 3) == 3


def test_a_users_error_is_one_block_on_stderr_and_2(capsys: pytest.CaptureFixture[str]):
    assert run_main(lambda: raising(UserError("steps is -1, wanted more"))) == 2
    assert capsys.readouterr() == ("", "error: steps is -1, wanted more\n")


def test_our_own_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0)


def test_the_traceback_of_a_users_error_is_shown_on_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HANDRAIL_TRACEBACK", "1")
    with pytest.raises(UserError):
        run_main(lambda: raising(UserError("no")))


def test_a_sigterm_ends_like_ctrl_c_with_130_and_cleans_up_on_the_way():
    cleaned = []

    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    assert run_main(main) == 130
    assert cleaned
