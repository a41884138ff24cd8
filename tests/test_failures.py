"""The list of failures is where a morning begins: what failed, why, what helps, where to look."""

import io
import json
from pathlib import Path

import pytest
from made_records import commit, document, failed_page, identity, ok_page, unopened

from pipeline.errors import ErrorType
from pipeline.layout import quarantine_key
from pipeline.results import open_results
from pipeline.show import print_failures, print_failures_json
from pipeline.storage import open_storage


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Four pages cut off in two documents, one document that is encrypted, and another extraction without failures."""
    storage = open_storage(str(tmp_path / "out"))
    long = document("long.pdf", num_pages=4)
    commit(
        storage,
        "1",
        (*(failed_page(long, number) for number in range(1, 4)), ok_page(long, 4)),
        (failed_page(document("b%1B.pdf"), message="cut \x1b[31m off"),),
        (unopened("locked.pdf"),),
    )
    commit(storage, "2", (ok_page(document("long.pdf")),), run=identity(extraction="other"))
    return str(tmp_path / "out")


def shown(output: str, *reasons: ErrorType, limit: int | None = None) -> str:
    """Return what is printed for extraction "bill"."""
    stream = io.StringIO()
    print_failures(open_results(output), stream, extraction="bill", reasons=reasons, limit=limit)
    return stream.getvalue()


def test_failures_are_grouped_by_reason_most_frequent_first_with_what_helps(output: str) -> None:
    """One cause fails a thousand pages."""
    assert shown(output) == (
        "bill: 5 failed pages: 4 output_cut_off, 1 encrypted\n"
        "\n"
        "output_cut_off: 4 pages of 2 documents\n"
        "  what helps: raise `tries.max_tokens`\n"
        "  /in/b\\x1b.pdf page 1: cut \\x1b[31m off\n"
        "  /in/long.pdf page 1: The output was cut off.\n"
        "  /in/long.pdf page 2: The output was cut off.\n"
        "  … and 1 more; --reason output_cut_off shows more of them\n"
        "\n"
        "encrypted: 1 page of 1 document\n"
        "  what helps: add the password to `render.passwords`\n"
        "  /in/locked.pdf: The file is encrypted.\n"
        "\n"
    )


def test_a_reason_that_is_asked_for_is_shown_with_the_places_to_look(output: str, tmp_path: Path) -> None:
    """The picture tells more than the message."""
    key = quarantine_key("bill", "file:///in/long.pdf", 2)
    (tmp_path / "out" / key).parent.mkdir(parents=True)
    (tmp_path / "out" / key).write_text("{}")
    lines = shown(output, ErrorType.OUTPUT_CUT_OFF).splitlines()
    at = lines.index("  /in/long.pdf page 2: The output was cut off.")
    assert lines[at + 1] == f"    {output}/{key}"
    assert sum("quarantine" in line for line in lines) == 1  # the others have no entry
    assert "encrypted" not in "\n".join(lines)


def test_a_limit_holds_for_each_reason(output: str) -> None:
    """A million of one kind must not bury the one of another."""
    assert sum("page " in line for line in shown(output, limit=1).splitlines() if line.startswith("  /")) == 1


def test_a_reason_without_failures_names_those_that_have_some(output: str) -> None:
    """An empty list would look like success."""
    expected = "bill: no page failed that way, but 5 failed pages: 4 output_cut_off, 1 encrypted.\n\n"
    assert shown(output, ErrorType.ENGINE_CRASH) == expected


def test_nothing_failed_is_said(output: str) -> None:
    """An empty screen would leave one in doubt."""
    stream = io.StringIO()
    print_failures(open_results(output), stream, extraction="other")
    assert stream.getvalue() == "other: no page failed.\n\n"


def test_json_is_an_object_a_line_for_each_failure(output: str) -> None:
    """Machines group by themselves."""
    stream = io.StringIO()
    print_failures_json(open_results(output), stream)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(row["source_uri"], row["page_number"]) for row in rows] == [
        ("file:///in/b%1B.pdf", 1),
        ("file:///in/long.pdf", 1),
        ("file:///in/long.pdf", 2),
        ("file:///in/long.pdf", 3),
        ("file:///in/locked.pdf", None),
    ]
    assert rows[-1]["what_helps"] == "add the password to `render.passwords`"
    assert rows[-1]["quarantine"] is None
    assert stream.getvalue().isascii()
