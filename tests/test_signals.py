"""How a program ends that is told to: by itself if it can in time, at once if not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = """
import signal, sys, time
from pipeline.signals import GracefulStop, Terminated
grace = {signal.SIGINT: float(sys.argv[2]), signal.SIGTERM: float(sys.argv[2])}
try:
    with GracefulStop(grace) as stop:
        if sys.argv[1] != "before":
            stop.begin()
        if sys.argv[1] == "commits":
            stop.finish()
        print("ready", flush=True)
        while not (stop.event.is_set() and sys.argv[1] in {"finishes", "commits"}):
            time.sleep(0.01)
        time.sleep(0.5 if sys.argv[1] == "commits" else 0)
        stop.end()
        time.sleep(0.3)
        print("finished", stop.exit_code)
except Terminated:
    print("terminated")
except KeyboardInterrupt:
    print("interrupted")
"""


def told(way: str, *signals: signal.Signals, grace_s: float = 30) -> tuple[str, str]:
    """Return the last line and stderr of a program that gets these signals."""
    command = [sys.executable, "-c", SCRIPT, way, str(grace_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        said, complaint = process.communicate(timeout=20)
    return said.strip(), complaint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_the_program_finish(number: signal.Signals, code: int) -> None:
    """What is in the engine has cost its time already."""
    assert told("finishes", number) == (
        f"finished {code}",
        "pagemill: stopping: finishing pages in the engine, up to 30 s; again to stop at once\n",
    )


@pytest.mark.parametrize(
    ("second", "end"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")], ids=["SIGINT", "SIGTERM"]
)
def test_the_second_signal_ends_it_at_once(second: signal.Signals, end: str) -> None:
    """Whoever asks twice means it."""
    assert told("goes on", signal.SIGINT, second)[0] == end


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")], ids=["SIGINT", "SIGTERM"]
)
def test_a_program_that_does_not_finish_in_time_is_ended(number: signal.Signals, end: str) -> None:
    """`docker stop` kills after ten seconds, and then nothing is committed."""
    assert told("goes on", number, grace_s=0.2)[0] == end


def test_a_commit_that_has_begun_is_given_its_time() -> None:
    """Files are put then, and no page is waited for."""
    assert told("commits", signal.SIGTERM, grace_s=0.2) == ("finished 143", "")


def test_a_grace_period_that_ends_after_the_work_does_changes_nothing() -> None:
    """Committed is committed."""
    assert told("finishes", signal.SIGINT, grace_s=0.2)[0] == "finished 130"


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")], ids=["SIGINT", "SIGTERM"]
)
def test_before_there_is_anything_to_finish_a_signal_ends_it_at_once(number: signal.Signals, end: str) -> None:
    """Nobody waits for a listing or for a model that loads."""
    assert told("before", number) == (end, "")
