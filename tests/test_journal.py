"""The journal: what was read survives the process that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.data import Document, DocumentRef, PageRecord, RunIdentity, Status
from pipeline.errors import StorageError
from pipeline.journal import Journal

IDENTITY = RunIdentity(
    *("run", "receipt", "p", "s", "fingerprint", "scripted", "m", "1", "1", None, None, "0"),
    limits_fingerprint="limits",
)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def page(number: int, sha256: str = "aa") -> PageRecord:
    """Return a page that was read."""
    document = Document(DocumentRef("file:///a.pdf", 1, NOW), sha256, "application/pdf", 9)
    return PageRecord(document, number, Status.OK, NOW, NOW, record={"seller": f"page {number}"})


Opens = Callable[..., Journal]


@pytest.fixture
def reopened(tmp_path: Path) -> Iterator[Opens]:
    """Return what opens the journal as the next run finds it; nobody closes the last one's files."""
    with ExitStack() as opened:

        def reopen(identity: RunIdentity = IDENTITY, *, anew: bool = False) -> Journal:
            return opened.enter_context(closing(Journal(tmp_path, identity, anew=anew)))

        yield reopen


def test_pages_are_found_again_by_content_after_the_process_is_gone(tmp_path: Path, reopened: Opens) -> None:
    """SIGKILL gives nobody the time to close a file; nothing here does either."""
    journal = reopened()
    name = journal.open_file()
    for number in (2, 1):
        journal.add(name, page(number))
    journal.add(name, page(1, sha256="bb"))
    assert list(reopened().pages("aa")) == [page(1), page(2)]
    assert list(journal.pages("bb")) == [page(1, "bb")]


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_half_a_page_at_the_end_is_passed_over(tmp_path: Path, reopened: Opens, cut: int) -> None:
    """A kill may fall into the middle of a write."""
    journal = reopened()
    name = journal.open_file()
    for number in (1, 2):
        journal.add(name, page(number))
    (path,) = tmp_path.glob("*/*.journal")
    path.write_bytes(path.read_bytes()[:-cut])
    assert [found.page_number for found in reopened().pages("aa")] == [1]


def test_a_damaged_page_ends_what_is_believed(tmp_path: Path, reopened: Opens) -> None:
    """A record that changed on disk must not become a row."""
    journal = reopened()
    name = journal.open_file()
    for number in (1, 2):
        journal.add(name, page(number))
    (path,) = tmp_path.glob("*/*.journal")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert list(reopened().pages("aa")) == []


def test_a_committed_file_is_gone_and_others_stay(tmp_path: Path, reopened: Opens) -> None:
    """Pages are in the output or in the journal, and the next run's file never overwrites one that is left."""
    journal = reopened()
    committed, open_one = journal.open_file(), journal.open_file()
    journal.add(committed, page(1))
    journal.add(open_one, page(2))
    journal.drop(committed)
    later = reopened()
    later.add(later.open_file(), page(3))
    assert sorted(found.page_number or 0 for found in reopened().pages("aa")) == [2, 3]


@pytest.mark.parametrize(
    "other", [{"fingerprint": "x"}, {"limits_fingerprint": "x"}, {"model": "x"}, {"pagemill_version": "x"}]
)
def test_pages_read_at_other_settings_are_left_for_these(reopened: Opens, other: dict[str, str]) -> None:
    """They are no readings under these; and where a run falls back, its settings are the second ones to look."""
    journal = reopened(replace(IDENTITY, **other))
    journal.add(journal.open_file(), page(1))
    assert list(reopened().pages("aa")) == []
    assert list(reopened(replace(IDENTITY, run_id="next", **other)).pages("aa")) == [page(1)]


def test_pages_of_other_code_are_not_unpickled(tmp_path: Path) -> None:
    """A version has many states before its release: with a field more in a record, resuming ended in an error."""
    with closing(Journal(tmp_path, IDENTITY, anew=False, code="before")) as journal:
        journal.add(journal.open_file(), page(1))
    for code, known in (("after", []), ("before", [page(1)])):
        with closing(Journal(tmp_path, IDENTITY, anew=False, code=code)) as journal:
            assert list(journal.pages("aa")) == known


def test_anew_means_that_nothing_is_believed(tmp_path: Path, reopened: Opens) -> None:
    """--force reads everything again."""
    journal = reopened()
    journal.add(journal.open_file(), page(1))
    assert list(reopened(anew=True).pages("aa")) == []


def test_a_full_disk_is_told_in_words(tmp_path: Path, reopened: Opens) -> None:
    """The journal is the first to notice; the operator must learn where to free space."""
    journal = reopened()
    name = journal.open_file()
    journal._files[name].stream.close()
    journal._files[name].stream = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - the journal closes it
    with pytest.raises(StorageError, match=r"No space left.*free some"):
        journal.add(name, page(1))
