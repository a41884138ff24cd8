"""The lease of a bucket: an object that is renewed. QUICK lets it expire in 1.5 s."""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import obstore
import pytest
from lease_peer import ANOTHER_MACHINE, KEY, QUICK, Peer, open_quick
from obstore.store import from_url
from s3_server import Faults, Wsgi, refused

from pipeline.errors import LeaseLostError, OutputBusyError
from pipeline.storage import Lease, open_storage
from pipeline.storage.holder import Holder, from_json


def _content(location: str) -> bytes:
    return obstore.get(from_url(location), KEY).bytes().to_bytes()


def _holder(location: str) -> Holder:
    holder = from_json(_content(location))
    assert holder
    return holder


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


def test_a_gcs_bucket_has_one_holder_too(bucket: str) -> None:
    """Its conditions are on generations of an object, not on its tag."""
    location = bucket.replace("s3", "gs")
    with open_quick(location).hold(KEY) as lease:
        renewals = _holder(location).renewals
        _check_until(lambda: _holder(location).renewals > renewals, lease)
        with pytest.raises(OutputBusyError), open_quick(location).hold(KEY):
            pytest.fail("held twice")
    with open_quick(location).hold(KEY) as lease:
        open_storage(location).delete(KEY)
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


@pytest.mark.slow
def test_a_bucket_that_was_away_for_all_costs_its_holder_no_lease(bucket: str, s3_faults: Faults) -> None:
    """Who waits cannot tell a dead holder from one that could not renew; so it counts anew when the bucket is back."""
    away_until = time.monotonic() + 1.2 * QUICK.ttl_s

    def away(app: Wsgi) -> Wsgi:
        return refused("503 Slow Down", "SlowDown")(app) if time.monotonic() < away_until else app

    with open_quick(bucket).hold(KEY) as lease:
        s3_faults.plan(f".*{KEY}", *([away] * 10_000))
        with pytest.raises(OutputBusyError), open_quick(bucket).hold(KEY, wait_s=1.5 * QUICK.ttl_s):
            pytest.fail("taken over")
        lease.check()


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
