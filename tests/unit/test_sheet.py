"""The contact sheet: which frames a person sees, and what becomes of their marks; over HTTP too."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rewarding import Bright, episode, look, record, spec, write

from rewards.page import LabelServer
from rewards.score import ModelError
from rewards.sheet import Sheet
from wire.labels import effective, labels_since
from wire.store import StepStore


def test_the_ends_of_episodes_come_first(tmp_path: Path):
    path = record(tmp_path / "steps.sqlite", 4)
    sheet = Sheet(str(path), frames=4)
    assert [cell.caption for cell in sheet.cells] == [f"episode {n} t 5" for n in range(4)]
    assert all(cell.picture.startswith(b"\x89PNG") for cell in sheet.cells)


def test_with_a_model_its_doubts_come_first(tmp_path: Path):
    rng = np.random.default_rng(0)
    steps = episode(rng, 0, success=True)
    grey = {
        **look(rng, False),
        "front": np.full((16, 16, 3), 150, np.uint8),
        "wrist": np.full((16, 16, 3), 150, np.uint8),
    }
    steps[3] = msgspec.structs.replace(steps[3], observation=grey)
    path = write(tmp_path / "steps.sqlite", [steps])
    assert Sheet(str(path), frames=3, model=Bright()).cells[0].caption == "episode 0 t 2 p=0.50"


def test_marks_are_a_persons_labels_and_the_newest_counts(tmp_path: Path):
    path = record(tmp_path / "steps.sqlite", 2)
    sheet = Sheet(str(path), frames=4, who="ann")
    assert sheet.mark({0: True, 1: False}) == 2
    assert sheet.marks() == {0: 1, 1: 0}
    sheet.mark({0: False})
    assert sheet.marks() == {0: 0, 1: 0}
    labels = labels_since(path)[0]
    assert len(labels) == 3  # Nothing is ever changed.
    assert {(label.source, label.who, label.version) for label in labels} == {("person", "ann", "")}
    assert all(label.value == 0.0 for label in effective(labels).values())
    with pytest.raises(ModelError, match="no frame 99"):
        sheet.mark({99: True})


def test_a_run_without_frames_is_named(tmp_path: Path):
    blind = spec()
    blind = msgspec.structs.replace(blind, observation={"state": blind.observation["state"]})
    with StepStore.open(tmp_path / "steps.sqlite", blind):
        pass
    with pytest.raises(ModelError, match="obs=pixels"):
        Sheet(str(tmp_path), frames=4)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LabelServer]:
    served = LabelServer(Sheet(str(record(tmp_path / "steps.sqlite", 2)), frames=4, who="ann"), 0)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def ask(server: LabelServer, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, bytes]:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    ) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_page_shows_every_frame_and_keeps_every_mark(server: LabelServer):
    at = f"?token={server.token}"
    assert b"Is it done?" in ask(server, "GET", f"/{at}")[1]
    told = json.loads(ask(server, "GET", f"/frames{at}")[1])
    assert len(told["captions"]) == 4
    assert ask(server, "GET", f"/frame/3{at}")[1].startswith(b"\x89PNG")
    assert ask(server, "GET", f"/frame/4{at}")[0] == 404
    assert ask(server, "POST", f"/marks{at}", json.dumps({"2": True}))[0] == 200
    assert json.loads(ask(server, "GET", f"/frames{at}")[1])["marks"] == {"2": 1}


def test_nobody_without_the_token_sees_or_marks_anything(server: LabelServer):
    for path in ("/", "/frames", "/frame/0", "/?token=", "/?token=guess"):
        assert ask(server, "GET", path)[0] == 403
    assert ask(server, "POST", "/marks?token=x", json.dumps({"0": True}))[0] == 403
    # Nor a page elsewhere that has pointed a name of its own at this machine.
    assert ask(server, "GET", f"/?token={server.token}", Host="evil.example:80")[0] == 403
    assert server.sheet.marks() == {}


@pytest.mark.parametrize("body", ["", "{", "[]", '{"0": 1}', '{"x": true}', '{"99": true}', "null"])
def test_what_is_no_mark_is_refused_and_nothing_is_kept(server: LabelServer, body: str):
    assert ask(server, "POST", f"/marks?token={server.token}", body)[0] == 400
    assert server.sheet.marks() == {}
