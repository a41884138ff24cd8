"""One writer: real processes contend for a folder and for a bucket, stand still and are killed."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
from lease_peer import ANOTHER_MACHINE, KEY, QUICK, Peer, open_quick
from obstore.store import from_url
from s3_server import Faults

from pipeline.errors import LeaseLostError, OutputBusyError
from pipeline.storage import Lease, open_storage
from pipeline.storage.holder import Holder, from_json


@pytest.fixture(params=["folder", "bucket"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty output of each kind."""
    if request.param == "folder":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue('bucket')}/out"


def _content(location: str) -> bytes:
    return obstore.get(from_url(location), KEY).bytes().to_bytes()


def _holder(location: str) -> Holder:
    holder = from_json(_content(location))
    assert holder
    return holder


def test_a_second_run_is_refused_and_told_who_writes(location: str) -> None:
    """Two runs over one output would each count the other's pages as missing."""
    with Peer(location) as peer:
        assert peer.ask("hold 0") == "done"
        started = time.monotonic()
        with pytest.raises(OutputBusyError) as caught, open_storage(location).hold(KEY):
            pytest.fail("held twice")
        assert time.monotonic() - started < 2
        message = str(caught.value)
        for said in (f"process {peer.pid}", socket.gethostname(), "since 20", "output_files.wait_s", f"{location}/in"):
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
        with open_storage(location).hold(KEY) as lease:
            lease.check()


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


# Folders: a lock of the kernel.


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


# Buckets: an object that is renewed. QUICK lets it expire in 1.5 s.


def _another_machine(location: str) -> Peer:
    if subprocess.run([*ANOTHER_MACHINE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody make a process table of his own (unshare --user --pid)")
    return Peer(location, quick=True, behind=ANOTHER_MACHINE)


@pytest.mark.slow
def test_a_run_killed_on_another_machine_is_followed_when_its_lease_expired(bucket: str) -> None:
    """Its death cannot be seen, only that it says nothing more; also by a run that was not told to wait."""
    with _another_machine(bucket) as peer:
        assert peer.ask("hold 0") == "done"
        peer.kill()
        started = time.monotonic()
        with open_quick(bucket).hold(KEY) as lease:
            lease.check()
        assert QUICK.ttl_s <= time.monotonic() - started < QUICK.ttl_s + 3


@pytest.mark.slow
def test_a_run_living_on_another_machine_is_not_followed(bucket: str) -> None:
    """One sign of life is enough to refuse, however long was waited."""
    with _another_machine(bucket) as peer:
        assert peer.ask("hold 0") == "done"
        with pytest.raises(OutputBusyError, match=socket.gethostname()), open_quick(bucket).hold(KEY):
            pytest.fail("held twice")
        with pytest.raises(OutputBusyError), open_quick(bucket).hold(KEY, wait_s=2 * QUICK.ttl_s):
            pytest.fail("held twice")
        assert peer.ask("check") == "done"


@pytest.mark.slow
def test_a_run_that_stood_still_for_too_long_notices_that_it_was_followed(bucket: str) -> None:
    """A laptop that slept, a machine that was frozen: two writers, were it not for the check before each commit."""
    with Peer(bucket, quick=True) as peer:
        assert peer.ask("hold 0") == "done"
        peer.send(signal.SIGSTOP)
        with open_quick(bucket).hold(KEY, wait_s=30) as lease:
            peer.send(signal.SIGCONT)
            answer = peer.ask("check")
            assert answer.startswith("LeaseLostError: This run stood still")
            assert f"process {os.getpid()}" in answer
            assert peer.ask("check") == answer
            assert peer.ask("release") == "done"
            lease.check()
            assert _holder(bucket).pid == os.getpid()


@pytest.mark.slow
def test_a_run_that_stood_still_goes_on_when_nobody_followed(bucket: str) -> None:
    """An hour's sleep must not cost the night when nobody else wanted to write."""
    with Peer(bucket, quick=True) as peer:
        assert peer.ask("hold 0") == "done"
        peer.send(signal.SIGSTOP)
        time.sleep(QUICK.ttl_s + 0.5)
        peer.send(signal.SIGCONT)
        assert peer.ask("check") == "done"


def test_a_deleted_bucket_lease_is_lost(bucket: str) -> None:
    """The same as in a folder."""
    storage = open_quick(bucket)
    with storage.hold(KEY) as lease:
        storage.delete(KEY)
        with pytest.raises(LeaseLostError, match="deleted"):
            _check_until(lambda: False, lease)


def _check_until(over: Callable[[], bool], lease: Lease) -> None:
    """Check often, as a run that commits often."""
    end = time.monotonic() + 10
    while not over():
        assert time.monotonic() < end
        lease.check()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["writes_failing", "answers_lost"])
def test_a_bucket_that_falters_costs_no_lease(bucket: str, s3_faults: Faults, fault: str) -> None:
    """Servers answer 500 now and then, before or after they did what they were asked."""
    setattr(s3_faults, fault, 1)
    with open_quick(bucket).hold(KEY) as lease:
        setattr(s3_faults, fault, 3)
        _check_until(lambda: not getattr(s3_faults, fault), lease)
        renewals = _holder(bucket).renewals
        _check_until(lambda: _holder(bucket).renewals > renewals, lease)
        with pytest.raises(OutputBusyError), open_quick(bucket).hold(KEY):
            pytest.fail("held twice")
        setattr(s3_faults, fault, 1)
    assert from_json(_content(bucket)) is None


def test_a_server_that_ignores_conditions_is_named(
    bucket: str, s3_faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be excluded there; a promise that does not hold must not be made silently."""
    with caplog.at_level(logging.WARNING, "pipeline"), open_quick(bucket).hold(KEY):
        assert caplog.messages == []
    s3_faults.conditions_ignored = True
    with caplog.at_level(logging.WARNING, "pipeline"), open_quick(bucket).hold(KEY):
        assert "ignores If-None-Match" in caplog.messages[0]


@pytest.mark.parametrize(
    "content",
    [
        b"not JSON",
        b"[]",
        b'{"pid": -1}',
        b'{"token": "x", "machine": 7}',
        b'{"pid": 7, "host": "\x1b[2Jevil", "ttl_s": 1e999}',
    ],
)
def test_content_that_is_not_understood_is_taken_for_an_unknown_run(content: bytes) -> None:
    """Anybody who can write to a bucket can write this; it must neither stop a run for good nor steer a terminal."""
    assert str(from_json(content)) == "a run that does not say who it is"


@pytest.mark.slow
def test_an_unknown_run_is_followed_when_it_shows_no_life(bucket: str) -> None:
    """A damaged lease must not lock everybody out for good."""
    obstore.put(from_url(bucket), KEY, b"not JSON")
    with open_quick(bucket).hold(KEY) as lease:
        lease.check()


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
