"""What a person can do wrong with files: two writers on one run, a network file system, a file that lost its tail."""

from pathlib import Path

import pytest
from experience import STREAM, make_spec, make_step
from rooms import cell, until

from actor.outbox import Outbox
from wire import database
from wire.database import StoreError
from wire.store import StepStore

SPEC = make_spec(size=64)
MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
//nas/lab /mnt/my\\040lab cifs rw 0 0
user@box: /home/me/remote fuse.sshfs rw 0 0
/dev/vdb /home/me/scratch xfs rw 0 0
"""


@pytest.mark.process
def test_a_second_learner_on_a_run_ends_and_names_the_first(tmp_path: Path):
    with cell(tmp_path, SPEC) as rooms:
        rooms.start("learner")
        rooms.start("actor0")
        until(lambda: rooms.acked("actor0") > 3)
        first = rooms.processes.pop("learner")
        rooms.address = "tcp://127.0.0.1:*"
        rooms.start("learner")
        rooms.processes["learner"].join(60)
        assert rooms.processes["learner"].exitcode == 2
        assert rooms.said("learner").endswith(
            f"steps.sqlite is being written by process {first.pid}; stop that one, or choose another run=<dir>\n"
        )
        assert "Traceback" not in rooms.said("learner")
        rooms.processes["learner"] = first
        rooms.drain()
        assert rooms.check()[1:] == (0, 0)


@pytest.mark.process
def test_a_second_actor_on_an_outbox_ends_and_names_the_first(tmp_path: Path):
    with cell(tmp_path, SPEC) as rooms:
        rooms.start("actor0")
        until(lambda: rooms.accepted("actor0"))
        first = rooms.processes.pop("actor0")
        rooms.start("actor0")
        rooms.processes["actor0"].join(60)
        assert rooms.processes["actor0"].exitcode == 2
        assert f"outbox.sqlite is being written by process {first.pid}; stop that one" in rooms.said("actor0")
        first.kill()
        first.join()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/runs", "nfs4 at /home"),
        ("/mnt/my lab/runs", "cifs at /mnt/my lab"),
        ("/home/me/remote", "fuse.sshfs at /home/me/remote"),
        ("/home/me/scratch/runs", None),
        ("/home2/runs", None),
        ("/tmp/runs", None),
    ],
)
def test_a_network_file_system_is_refused_by_name_and_the_nearest_mount_counts(
    folder: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(database, "_MOUNTS", mounts)
    path = Path(folder) / "steps.sqlite"
    if kind is None:
        database._refuse_network_file_system(path)
        return
    with pytest.raises(StoreError) as caught:
        database._refuse_network_file_system(path)
    assert str(caught.value) == f"{path} lies on a network file system ({kind}); choose a folder on a local disk"


def fill(path: Path, kind: str) -> None:
    if kind == "archive":
        with StepStore.open(path, SPEC) as store:
            for number in range(60):
                store.insert(STREAM, number + 1, make_step(SPEC, number))
            store.commit()
        return
    outbox = Outbox(path, SPEC)
    for number in range(60):
        outbox.insert(make_step(SPEC, number))
    outbox.commit()
    outbox.close()


def open_again(path: Path, kind: str, *, new: bool) -> None:
    """Use all of a file, as a resumed run would."""
    if kind == "archive":
        with StepStore.read(path) as store:
            rows = list(store.rows())
            assert new or len(rows) + store.damaged == 60
        with StepStore.open(path, SPEC) as store:
            store.insert(STREAM, 61, make_step(SPEC, 60))
            store.commit()
        return
    outbox = Outbox(path, SPEC)
    list(outbox.unsent(0, 1000, 10**9))
    outbox.close()


@pytest.mark.parametrize("kind", ["archive", "outbox"])
def test_a_file_that_lost_its_tail_is_used_or_refused_in_words_and_never_a_traceback(kind: str, tmp_path: Path):
    path = tmp_path / f"{kind}.sqlite"
    fill(path, kind)
    data = path.read_bytes()
    refusals = []
    cuts = [kept + more for kept in range(0, len(data), database.PAGE_BYTES) for more in (0, 1234)]
    for cut in cuts:
        path.write_bytes(data[:cut])
        try:
            open_again(path, kind, new=cut == 0)
        except StoreError as error:
            refusals.append(str(error))
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    print(f"D3: {kind} cut at {len(cuts)} places: {len(refusals)} times refused in words, 0 tracebacks")
    assert refusals
    for text in refusals:
        assert str(path) in text
        assert any(words in text for words in ("restore it from a copy", "move it away", "is not a Handrail")), text
