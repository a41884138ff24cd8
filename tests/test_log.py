"""Log lines are read by people at night and by machines all day."""

import json
import logging
from typing import Any

import pytest

from pipeline.log import configure_logging, printable

log = logging.getLogger("pipeline.render")


@pytest.fixture(autouse=True)
def _put_back() -> None:
    """Logging is global; other tests must not inherit what these set."""
    logging.getLogger("pipeline").handlers = []


def test_a_line_names_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    """One must be able to search a night's log for a document."""
    configure_logging(logging.WARNING)
    log.warning("page not rendered", extra={"document": "file:///a b.pdf", "page": 3, "unknown": None})
    line = capsys.readouterr().err
    assert line.endswith(' WARNING pipeline.render page not rendered document="file:///a b.pdf" page=3\n')


def test_what_a_library_adds_to_every_line_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """As vLLM does with the name of its process, in ours too."""
    made = logging.getLogRecordFactory()

    def more(*given: Any, **named: Any) -> logging.LogRecord:
        record = made(*given, **named)
        record.process_role = "core"
        return record

    configure_logging(logging.WARNING)
    logging.setLogRecordFactory(more)
    try:
        log.warning("page not rendered", extra={"page": 3})
    finally:
        logging.setLogRecordFactory(made)
    assert capsys.readouterr().err.endswith("page not rendered page=3\n")


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Quiet by default."""
    configure_logging(logging.WARNING)
    log.info("opened")
    assert capsys.readouterr().err == ""


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Else every line would come twice."""
    configure_logging(logging.WARNING)
    configure_logging(logging.WARNING)
    log.warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_json_lines_hold_the_same_and_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """--json is for machines on both streams."""
    configure_logging(logging.INFO, as_json=True)
    try:
        raise ValueError("broken")  # noqa: TRY301 - the traceback is what is tested
    except ValueError:
        log.exception("page failed", extra={"page": 3})
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["logger"], entry["message"], entry["page"]) == (
        "ERROR",
        "pipeline.render",
        "page failed",
        3,
    )
    assert entry["traceback"].endswith("ValueError: broken")


def test_a_traceback_keeps_its_lines_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library says in an error may be what a page said."""
    configure_logging(logging.INFO)
    try:
        raise ValueError("\x1b[2J\u2028gone")  # noqa: TRY301 - the traceback is what is tested
    except ValueError:
        log.exception("page failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: \x1b[2J\u2028gone"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 12 €", "Größe 12 €"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, expected: str) -> None:
    """File names and page text are not ours."""
    assert printable(text) == expected
