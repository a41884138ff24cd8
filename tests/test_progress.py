"""Progress must be readable for people, parseable for machines, and never flood a log."""

import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.progress import every, json_line, plain_line, show_progress
from pipeline.tally import Progress

READING = Progress(
    phase="reading",
    documents_total=8,
    documents_done=2,
    documents_skipped=1,
    pages_found=12,
    pages_ok=5,
    pages_failed=1,
    pages_retried=2,
    elapsed_s=65.2,
    pages_per_s=1.234,
    eta_s=3725.0,
    last_failure="file:///in/a%1b.pdf page 2: \x1b[31mbad",
)


def test_a_plain_line_tells_pages_speed_time_left_and_failures() -> None:
    """Whoever watches a night's run wants these four."""
    line = plain_line(replace(READING, last_failure=None))
    expected = "2/8 documents (and 1 done before), pages: 5 ok, 1 failed, 2 tried again, 1.23 pages/s"
    assert line == f"1:05 reading, 1:02:05 left: {expected}"


def test_a_resumed_run_counts_only_what_is_left_to_do() -> None:
    """Documents done before are not part of the total: 26/7 would be nonsense."""
    resumed = replace(READING, documents_total=1, documents_done=1, documents_skipped=25)
    assert "1/1 document (and 25 done before), " in plain_line(resumed)


def test_control_characters_of_a_failure_are_escaped() -> None:
    """A file name must not be able to steer the terminal."""
    assert plain_line(READING).endswith(r"page 2: \x1b[31mbad")


def test_time_left_is_told_only_while_reading_and_when_known() -> None:
    """A guess before the first page would be wrong, and after the last one pointless."""
    assert "left" not in plain_line(replace(READING, eta_s=None))
    assert "left" not in plain_line(replace(READING, phase="done"))


def test_counts_wait_for_the_first_page() -> None:
    """A row of zeros while a model loads says nothing."""
    loading = replace(READING, phase="loading the engine", pages_found=0)
    assert plain_line(loading) == "1:05 loading the engine"


def test_lines_come_at_the_first_word_of_a_phase_and_then_once_per_interval() -> None:
    """Four reports a second would fill a log file in a night."""
    stream = io.StringIO()
    report = every(10.0, lambda progress: f"{progress.phase} {progress.elapsed_s:.0f}", stream)
    for phase, elapsed_s in [
        ("listing", 0),
        ("listing", 1),
        ("reading", 2),
        ("reading", 11),
        ("reading", 12),
        ("done", 13),
    ]:
        report(replace(READING, phase=phase, elapsed_s=float(elapsed_s)))
    assert stream.getvalue().splitlines() == ["listing 0", "reading 2", "reading 12", "done 13"]


def test_a_json_line_holds_every_field() -> None:
    """Machines get what people get, under the names of the code."""
    parsed = json.loads(json_line(READING))
    assert parsed.pop("event") == "progress"
    assert Progress(**parsed) == READING


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet is for cron."""
    with show_progress(as_json=False, quiet=True) as report:
        report(READING)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_one_live_line_and_failures_and_log_lines_above_it() -> None:
    """A bar that log lines tear apart cannot be read."""
    code = (
        "import logging; from test_progress import READING; from pipeline.progress import show_progress\n"
        "from pipeline.log import configure_logging; configure_logging(logging.WARNING)\n"
        "with show_progress(as_json=False, quiet=False) as report:\n"
        "    report(READING); logging.getLogger('pipeline.x').warning('look', extra={'page': 3})"
    )
    screen = _on_terminal([sys.executable, "-c", code])
    assert "2/8 documents" in screen
    assert "WARNING pipeline.x look page=3" in screen
    assert r"\x1b[31mbad" in screen.replace("\r\n", "")


@pytest.mark.parametrize("documents_skipped", [0, 500])
def test_a_narrow_terminal_keeps_the_bar_and_the_time_left(documents_skipped: int) -> None:
    """At 80 columns the counts at the end give way, not the bar; a resumed run has one too."""
    code = (
        "from dataclasses import replace; from test_progress import READING\n"
        "from pipeline.progress import show_progress\n"
        "with show_progress(as_json=False, quiet=False) as report:\n"
        f"    report(replace(READING, documents_done=8, documents_skipped={documents_skipped}))"
    )
    last = _on_terminal([sys.executable, "-c", code], columns=80).split("\x1b[2K")
    assert max(line.count("━") for line in last) >= 10
    assert any("1:02:05 left: 8/8 documents" in line for line in last)


def _on_terminal(command: list[str], columns: int = 200) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    ) as process:
        os.close(theirs)
        chunks = []
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # Linux says EIO when the last writer has gone
            pass
        process.wait()
    os.close(ours)
    return b"".join(chunks).decode()
