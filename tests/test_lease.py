"""One writer: real processes contend for a folder and for a bucket, stand still and are killed."""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from lease_peer import KEY, QUICK, Peer, open_quick

from pipeline.errors import LeaseLostError, OutputBusyError, StorageError
from pipeline.storage import open_storage

KILLS = 20


@pytest.fixture(params=["folder", "bucket"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty output of each kind."""
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue('bucket')}/out"


def test_a_second_run_is_refused_and_told_who_writes(location: str) -> None:
    """Two runs over one output would each count the other's pages as missing."""
    with Peer(location) as peer:
        assert peer.ask("hold 0") == "done"
        started = time.monotonic()
        with pytest.raises(OutputBusyError) as caught, open_storage(location).hold(KEY):
            pytest.fail("held twice")
        assert time.monotonic() - started < 2
        message = str(caught.value)
        for said in (f"process {peer.pid}", socket.gethostname(), "since 20", "--wait 3600", f"{location}/in"):
            assert said in message
        assert peer.ask("check") == "done"


def test_a_run_that_waits_gets_it_when_the_other_is_done(location: str) -> None:
    """A nightly run that is late is followed by the next, not beaten by it."""
    with Peer(location) as peer:
        assert peer.ask("hold 0") == "done"
        told: list[str] = []

        def release(message: str) -> None:
            told.append(message)
            peer.tell("release")

        with open_storage(location).hold(KEY, wait_s=30, on_wait=release) as lease:
            lease.check()
        assert len(told) == 1
        assert f"process {peer.pid}" in told[0]


def test_waiting_ends_after_the_time_that_was_given(location: str) -> None:
    """A run that waits for ever looks like one that hangs."""
    with open_quick(location).hold(KEY):
        started = time.monotonic()
        with pytest.raises(OutputBusyError, match=r"waited for 0\.3 s"), open_quick(location).hold(KEY, wait_s=0.3):
            pytest.fail("held twice")
        assert 0.3 <= time.monotonic() - started < 3


def test_the_lease_of_a_killed_run_is_free_at_once(location: str) -> None:
    """The same command again must not wait for a run that nobody can end any more."""
    with Peer(location) as peer:
        assert peer.ask("hold 0") == "done"
        peer.kill()
        started = time.monotonic()
        with open_storage(location).hold(KEY) as lease:
            lease.check()
        assert time.monotonic() - started < 10


def test_it_is_free_again_after_an_error(location: str) -> None:
    """A run that fails must not lock out the next."""
    storage = open_storage(location)
    with contextlib.suppress(ZeroDivisionError), storage.hold(KEY):
        raise ZeroDivisionError
    with storage.hold(KEY) as lease:
        lease.check()


def test_a_lease_is_no_data(location: str) -> None:
    """Readers and planners must not meet it."""
    with open_storage(location).hold(KEY):
        assert list(open_storage(location).keys()) == []


@pytest.mark.slow
def test_of_many_that_contend_one_at_a_time_holds_it(location: str, tmp_path: Path) -> None:
    """The point of it: a read and a write under the lease are never interleaved."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(location, quick=True)) for _ in range(4)]
        for peer in peers:
            peer.tell(f"count {counter} 5")
        assert [peer.answer() for peer in peers] == ["done"] * 4
    assert counter.read_text() == "20"


@pytest.mark.slow
def test_holders_killed_at_random_never_let_two_in(location: str, tmp_path: Path) -> None:
    """Killed while asking, writing, renewing or giving back: the next gets it, and one at a time."""
    proof = tmp_path / "proof"
    proof.touch()
    with contextlib.ExitStack() as stack:
        peers = [_working(stack.enter_context(Peer(location, quick=True)), proof) for _ in range(3)]
        for _ in range(KILLS):
            _wait_for_more(proof)
            time.sleep(random.random() / 10)
            peers[0].kill()
            assert peers.pop(0).answer() == ""
            peers.append(_working(stack.enter_context(Peer(location, quick=True)), proof))
        for peer in peers:
            peer.kill()
            assert peer.answer() == ""
    with open_quick(location).hold(KEY):
        pass


def _working(peer: Peer, proof: Path) -> Peer:
    peer.tell(f"work {proof}")
    return peer


def _wait_for_more(proof: Path) -> None:
    before, end = proof.stat().st_size, time.monotonic() + 20
    while proof.stat().st_size <= before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_threads_of_one_process_exclude_each_other(location: str) -> None:
    """The lease is the caller's, not the process's: a service may start two runs."""
    holding = threading.Barrier(2)

    def hold() -> None:
        with open_storage(location).hold(KEY):
            holding.wait()
            holding.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    with pytest.raises(OutputBusyError, match=f"process {os.getpid()}"), open_storage(location).hold(KEY):
        pytest.fail("held twice")
    holding.wait()
    thread.join()


@pytest.mark.slow
def test_a_run_that_stands_still_keeps_its_folder(tmp_path: Path) -> None:
    """The kernel's lock does not expire, so whoever wakes up is still the only one."""
    with Peer(str(tmp_path), quick=True) as peer:
        assert peer.ask("hold 0") == "done"
        peer.send(signal.SIGSTOP)
        with pytest.raises(OutputBusyError), open_quick(str(tmp_path)).hold(KEY, wait_s=QUICK.ttl_s):
            pytest.fail("held twice")
        peer.send(signal.SIGCONT)
        assert peer.ask("check") == "done"


@pytest.mark.parametrize("deed", ["deleted", "replaced", "folder deleted"])
def test_a_deleted_folder_lease_is_lost(tmp_path: Path, deed: str) -> None:
    """`rm -r out` and a new run: the old one must not write into the new one's folder."""
    storage, path = open_storage(str(tmp_path)), tmp_path / KEY
    with storage.hold(KEY) as lease:
        lease.check()
        path.unlink()
        if deed == "folder deleted":
            path.parent.rmdir()
        elif deed == "replaced":
            path.write_text("")
        with pytest.raises(LeaseLostError, match="deleted or replaced"):
            lease.check()
        with storage.hold(KEY) as new:
            new.check()


def test_a_forked_child_does_not_keep_the_folder_of_a_killed_run(tmp_path: Path) -> None:
    """Open files are inherited, and with them a lock; an engine's orphan must not lock the next run out."""
    with Peer(str(tmp_path)) as peer:
        assert peer.ask("hold 0") == "done"
        assert peer.ask("fork") == "done"
        peer.kill()
        with open_storage(str(tmp_path)).hold(KEY) as lease:
            lease.check()


@pytest.mark.slow
def test_a_child_that_keeps_the_lock_of_a_killed_run_is_hinted_at(tmp_path: Path) -> None:
    """The process that the lease names cannot be found any more; without a hint nobody would know whom to end."""
    with Peer(str(tmp_path)) as peer:
        assert peer.ask("hold 0") == "done"
        assert peer.ask("lend") == "done"
        peer.kill()
        with pytest.raises(OutputBusyError, match=f"fuser {tmp_path / KEY}"), open_storage(str(tmp_path)).hold(KEY):
            pytest.fail("held twice")


@pytest.mark.parametrize("root", ["/proc/pagemill", "{tmp}/file", "s3://no-such-bucket"])
def test_an_output_that_cannot_be_held_says_why(bucket: str, tmp_path: Path, root: str) -> None:
    """It is the first thing a run writes, so it meets wrong paths and rights first."""
    (tmp_path / "file").write_text("x")
    storage = open_storage(root.format(tmp=tmp_path))
    with pytest.raises(StorageError, match=r"choose another folder|bucket of s3://no-such-bucket.* does not exist"):
        storage.hold(KEY).__enter__()
