"""What every test process needs before anything heavy is imported in it."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from handrail.rendering import rendering_env

# Two workers on one GPU would each reserve most of its memory, and the CPU gives the same numbers on every machine.
# `JAX_PLATFORMS=cuda make test` asks for the GPU all the same.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Most of these tests' time is compilation, which takes half of it without fusion emitters; what is compiled runs a
# quarter slower. Processes that the tests start inherit it; tests/sim/test_learning.py takes it back.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

# `make test` has set these already. Whoever starts pytest by hand gets them too, except that libraries unpacked into
# .gl/ are found only by processes that the tests start: the loader has read LD_LIBRARY_PATH by now.
os.environ.update(rendering_env())

# A shell's background job ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine stalls for seconds at times, which is no fault of the code under test: pytest-timeout stops a hang.
settings.register_profile("handrail", deadline=None)
settings.load_profile("handrail")

if sys.flags.optimize:
    raise SystemExit("python -O removes the asserts that the tests consist of")


def pytest_configure(config: pytest.Config) -> None:
    """Have all processes of these tests keep what they compile in one folder, so that it is compiled once."""
    if not hasattr(config, "workerinput"):
        cache = tempfile.TemporaryDirectory(prefix="handrail-tests-")
        os.environ["XDG_CACHE_HOME"] = cache.name
        config.add_cleanup(cache.cleanup)


@pytest.fixture(autouse=True)
def scheduled_as_before() -> Iterator[None]:
    """A thread left real-time starves what it starts and what it waits for, in whichever test comes later."""
    before = os.sched_getscheduler(0) if sys.platform == "linux" else None
    yield
    assert before is None or os.sched_getscheduler(0) == before, "this test has left its thread another scheduler"


@pytest.fixture(scope="module")
def quick_compiles() -> Iterator[None]:
    """For modules that compile many small programs and run each a few times: they take a third of the time."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For modules that make one agent again and again: programs are kept on disk, as the learner keeps them."""
    import jax
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", None)
    reset_cache()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that run whole rooms: they take longest, and short ones fill up the rest."""
    items.sort(
        key=lambda item: item.path.parent.name not in ("process", "ros") and not item.get_closest_marker("learn")
    )
