"""What a run has to do: every document once, none that is done, whatever is listed and committed."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import NOON, commit, identity, ok_page
from pydantic import ValidationError

from pipeline.catalog import BATCH_ROWS, Catalog, PlanCounts, Selection
from pipeline.config import RunConfig
from pipeline.data import Document, DocumentRef, Status
from pipeline.errors import ConfigError, ErrorType, StorageError
from pipeline.selection import Sample, parse_since
from pipeline.sink import CommittedDocument, committed_parts, read_committed
from pipeline.source import list_input
from pipeline.storage import open_storage

EVERYTHING = Selection()
SHA = "c" * 64
US = identity(limits_fingerprint="l" * 16)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog."""
    with closing(Catalog(tmp_path / "catalog.db", US)) as made:
        yield made


def listed(name: str, *, size: int = 10, modified: datetime | None = NOON) -> DocumentRef:
    """Return a file of the input."""
    return DocumentRef(f"file:///in/{name}", size, modified)


def committed(name: str, *, after_s: float = 0, error: ErrorType | None = None, **changes: object) -> CommittedDocument:
    """Return the row of that file as a run with our settings leaves it."""
    row = CommittedDocument(
        uri=f"file:///in/{name}",
        size_bytes=10,
        modified_at=NOON,
        sha256=SHA,
        fingerprint=US.fingerprint,
        finished_at=NOON + timedelta(seconds=after_s),
        status=Status.FAILED if error else Status.OK,
        error_type=error,
        limits_fingerprint=US.limits_fingerprint,
    )
    return row._replace(**changes)  # type: ignore[arg-type]


def names(catalog: Catalog) -> list[str]:
    """Return what is to be read."""
    return [ref.uri.removeprefix("file:///in/") for ref in catalog.pending()]


def is_read_again(catalog: Catalog, *rows: CommittedDocument) -> bool:
    """Tell whether the file `a` is read when these rows of it are committed."""
    for number, row in enumerate(rows):
        catalog.add_committed([row], f"part-{number}")
    return bool(catalog.plan([listed("a")], EVERYTHING).documents)


def test_new_and_changed_documents_alone_are_read(catalog: Catalog) -> None:
    """Size and time of change tell, without opening a file."""
    catalog.add_committed(map(committed, ("same", "longer", "newer", "gone")), "part")
    found = [listed("same"), listed("longer", size=11), listed("newer", modified=NOON + timedelta(microseconds=1))]
    counts = catalog.plan([*found, listed("unseen")], EVERYTHING)
    assert names(catalog) == ["longer", "newer", "unseen"]
    assert counts == PlanCounts(documents=3, documents_skipped=1, documents_skipped_failed=0, documents_again=0)


def test_a_document_without_a_time_is_compared_by_its_size(catalog: Catalog) -> None:
    """What cannot be looked at has no time; that it still has none is no change."""
    catalog.add_committed([committed("a", modified_at=None)], "part")
    catalog.plan([listed("a", modified=None)], EVERYTHING)
    assert names(catalog) == []


def test_what_is_listed_comes_back_as_it_was_and_in_order(catalog: Catalog) -> None:
    """Times to the microsecond, also before 1970; more documents than one batch."""
    odd = [DocumentRef("file:///in/%00%FF%0A.pdf", 2**40, datetime(1901, 2, 3, 4, 5, 6, 7, UTC))]
    refs = odd + [listed(f"{number * 7919 % 5000}") for number in range(2 * BATCH_ROWS + 1)]
    catalog.plan(refs, EVERYTHING)
    assert list(catalog.pending()) == refs


def test_a_document_listed_twice_is_read_once(catalog: Catalog) -> None:
    """Two readings of one source would be two rows for each of its pages."""
    counts = catalog.plan([listed("a"), listed("b"), listed("a", size=11)], EVERYTHING)
    assert (names(catalog), counts.documents) == (["a", "b"], 2)


def test_the_row_that_finished_last_decides(catalog: Catalog) -> None:
    """Whatever the order in which parts are entered."""
    newer = committed("a", after_s=1, fingerprint="other")
    assert is_read_again(catalog, newer, committed("a"))


@pytest.mark.parametrize("error", ErrorType)
def test_a_failure_that_lasts_is_not_repeated(catalog: Catalog, error: ErrorType) -> None:
    """A damaged file stays damaged; a password, a permission or a busy machine may have changed."""
    curable = error in {"encrypted", "unreadable", "render_timeout", "render_crash", "engine_timeout"}
    assert is_read_again(catalog, committed("a", error=error)) == curable


def test_other_limits_give_failures_another_chance_and_leave_the_rest(catalog: Catalog) -> None:
    """More tries can only turn a failure into a success."""
    for limits in (None, "", "other"):
        failed = committed("a", error=ErrorType.OUTPUT_CUT_OFF, limits_fingerprint=limits)
        catalog.add_committed([failed, committed("b", limits_fingerprint=limits)], "part")
    counts = catalog.plan([listed("a"), listed("b")], EVERYTHING)
    assert (names(catalog), counts.documents_skipped) == (["a"], 1)


def test_skipped_failures_are_counted(catalog: Catalog) -> None:
    """They still decide the exit code."""
    catalog.add_committed([committed("a", error=ErrorType.DAMAGED), committed("b")], "part")
    assert catalog.plan([listed("a"), listed("b")], EVERYTHING) == PlanCounts(0, 2, 1, 0)


def test_force_reads_everything_again(catalog: Catalog) -> None:
    """Nor is a reading of an earlier run taken over for it."""
    catalog.add_committed([committed("a")], "part")
    assert catalog.plan([listed("a")], Selection(force=True)) == PlanCounts(1, 0, 0, 0)
    assert catalog.find_content(SHA) is None
    catalog.add_committed([committed("b")], "part of this run")
    assert catalog.find_content(SHA) == ("part of this run", "file:///in/b")


def test_a_limit_counts_what_is_to_be_read(catalog: Catalog) -> None:
    """Ten documents at a time get through a folder."""
    catalog.add_committed([committed("a"), committed("c")], "part")
    counts = catalog.plan(map(listed, "abcde"), Selection(limit=2))
    assert (names(catalog), counts) == (["b", "d"], PlanCounts(2, 2, 0, 0))


@pytest.mark.parametrize(("order", "first"), [("smallest", "bdac"), ("largest", "acdb")])
def test_documents_come_by_size_and_equal_ones_as_listed(catalog: Catalog, order: str, first: str) -> None:
    """A document that takes long to fetch and to open should not be the last one."""
    sizes = {"a": 30, "b": 10, "c": 30, "d": 20}
    catalog.plan([listed(name, size=size) for name, size in sizes.items()], Selection(order=order))
    assert names(catalog) == list(first)


def test_since_leaves_out_what_is_older(catalog: Catalog) -> None:
    """The very moment counts as since then, and what has no time may be new."""
    refs = [listed("old", modified=NOON - timedelta(microseconds=1)), listed("then"), listed("?", modified=None)]
    counts = catalog.plan(refs, Selection(since=NOON))
    assert (names(catalog), counts.documents) == (["then", "?"], 2)


def test_a_sample_is_the_same_at_every_run_and_done_after_one(tmp_path: Path) -> None:
    """Also when the folder grows: most of it stays, and a larger sample holds the smaller one."""
    refs = [listed(f"{number}.pdf") for number in range(500)]

    def sampled(text: str, of: list[DocumentRef], done: list[CommittedDocument]) -> list[str]:
        with closing(Catalog(tmp_path / "catalog.db", US)) as catalog:
            catalog.add_committed(done, "part")
            catalog.plan(of, Selection(sample=Sample.parse(text)))
            return names(catalog)

    chosen = sampled("50", refs, [])
    assert len(chosen) == 50
    assert sampled("50", refs, [committed(name) for name in chosen]) == []
    assert sampled("50", refs, [committed(name) for name in chosen[:20]]) == chosen[20:]
    assert set(chosen) < set(sampled("100", refs, []))
    share = sampled("20%", refs, [])
    assert 60 < len(share) < 140
    assert set(share) & {ref.uri[11:] for ref in refs[:250]} == set(sampled("20%", refs[:250], []))
    assert len(sampled("100%", refs, [])) == len(sampled("501", refs, [])) == 500


def test_documents_that_are_read_again_keep_what_need_not_be_read(catalog: Catalog) -> None:
    """A retry of some pages takes the others over."""
    catalog.add_committed([committed("a", error=ErrorType.DAMAGED)], "part")
    assert catalog.plan([listed("a")], Selection(again=True)) == PlanCounts(1, 0, 0, 0)
    assert catalog.find_content(SHA) == ("part", "file:///in/a")


def test_content_read_before_is_found_by_its_bytes(catalog: Catalog) -> None:
    """A renamed or touched file need not be read, and one that failed in part only there; other settings read anew."""
    catalog.add_committed(
        [
            committed("a", sha256="a" * 64),
            committed("b", sha256="b" * 64, fingerprint="other"),
            committed("c", sha256="c" * 64, error=ErrorType.RENDER_TIMEOUT),
            committed("d", sha256="d" * 64, error=ErrorType.OUTPUT_INVALID, limits_fingerprint=None),
            committed("e", sha256=None, error=ErrorType.EMPTY_FILE),
        ],
        "part",
    )
    catalog.plan([], EVERYTHING)
    found = {letter: catalog.find_content(letter * 64) for letter in "abcd"}
    expected = {letter: ("part", f"file:///in/{letter}") for letter in "acd"}
    assert found == expected | {"b": None}


def test_of_several_readings_of_one_content_the_latest_good_one_is_taken(catalog: Catalog) -> None:
    """Also one whose document has other bytes by now."""
    catalog.add_committed([committed("0", error=ErrorType.OUTPUT_INVALID)], "0")
    assert catalog.find_content(SHA) == ("0", "file:///in/0")
    catalog.add_committed([committed("a"), committed("b", after_s=1)], "1")
    catalog.add_committed([committed("c", after_s=2, error=ErrorType.OUTPUT_INVALID)], "2")
    catalog.add_committed([committed("b", after_s=3, sha256="d" * 64)], "3")
    assert catalog.find_content(SHA) == ("1", "file:///in/b")


def test_what_a_run_commits_is_found_while_it_takes_documents(catalog: Catalog) -> None:
    """The same bytes under two names are read once, also in one run."""
    catalog.plan(map(listed, map(str, range(3 * BATCH_ROWS))), EVERYTHING)
    taken = 0
    for taken, ref in enumerate(catalog.pending(), 1):
        name = ref.uri.removeprefix("file:///in/")
        if taken % 100 == 0:
            catalog.add_committed([committed(name, sha256=f"{taken:064}")], f"part-{taken}")
            assert catalog.find_content(f"{taken:064}") == (f"part-{taken}", ref.uri)
    assert taken == 3 * BATCH_ROWS


_ROWS = st.builds(
    committed,
    st.sampled_from("abcd"),
    after_s=st.integers(0, 3),
    error=st.sampled_from([None, ErrorType.DAMAGED, ErrorType.ENCRYPTED]),
    size_bytes=st.sampled_from([10, 11]),
    fingerprint=st.sampled_from([US.fingerprint, "other"]),
    limits_fingerprint=st.sampled_from([US.limits_fingerprint, None]),
    sha256=st.sampled_from(["1", "2"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ROWS, max_size=8), st.lists(st.sampled_from("abcde"), unique=True), st.none() | st.integers(1, 3))
def test_a_plan_reads_exactly_what_has_no_lasting_current_row(
    rows: list[CommittedDocument], files: list[str], limit: int | None
) -> None:
    """The rule as it is said, against the rule as SQL."""
    current = {row.uri: row for row in sorted(rows, key=lambda row: row.finished_at)}

    def lasts(row: CommittedDocument) -> bool:
        ok = row.status == "ok"
        return row.fingerprint == US.fingerprint and (
            ok or (row.error_type == "damaged" and row.limits_fingerprint is not None)
        )

    done = {uri: row for uri, row in current.items() if lasts(row) and row.size_bytes == 10}
    refs = [listed(name) for name in files]
    read_before = {uri for uri, row in current.items() if row.size_bytes == 10}
    wanted = [ref for ref in refs if ref.uri not in done]
    expected = sorted(wanted, key=lambda ref: ref.uri in read_before)[:limit]
    again = sum(ref.uri in read_before for ref in expected)
    skipped = [done[ref.uri] for ref in refs if ref.uri in done]
    with TemporaryDirectory() as folder, closing(Catalog(Path(folder, "catalog.db"), US)) as catalog:
        for number, row in enumerate(rows):
            catalog.add_committed([row], str(number))
        counts = catalog.plan(refs, Selection(limit=limit))
        assert list(catalog.pending()) == expected
        found = catalog.find_content("1")
    assert counts == PlanCounts(len(expected), len(skipped), sum(row.status == "failed" for row in skipped), again)
    assert (found is None) == all(row.sha256 != "1" or row.fingerprint == "other" for row in rows)


def test_names_of_any_bytes_are_planned_from_a_real_folder_and_real_parts(tmp_path: Path) -> None:
    """The way from Parquet through SQL and back changes no byte of a name."""
    folder = tmp_path / "in"
    folder.mkdir()
    hostile = [b"a'b\"c.pdf", b"new\nline", b"\xff\xfe", "\u6f22\u5b57".encode(), b"%00", b"; DROP TABLE part"]
    for name in hostile:
        (folder / os.fsdecode(name)).write_bytes(name)
    refs = list(list_input(str(folder), str(tmp_path / "out")))
    storage = open_storage(str(tmp_path / "out"))
    rows = (ok_page(Document(ref, SHA, "application/pdf", 1)) for ref in refs[:4])
    commit(storage, "1", *((row,) for row in rows), run=US)
    [part] = committed_parts(storage, "bill")
    with closing(Catalog(tmp_path / "catalog.db", identity(limits_fingerprint="another"))) as catalog:
        catalog.add_committed(read_committed(storage, part), part)
        assert catalog.plan(refs, EVERYTHING).documents == 2
        assert list(catalog.pending()) == refs[4:]


def test_a_catalog_that_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    """It is made anew; and nothing is left of it at the end."""
    path = tmp_path / "catalog.db"
    path.write_bytes(b"half a catalog")
    with closing(Catalog(path, US)) as catalog:
        catalog.plan([listed("a")], EVERYTHING)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_which(tmp_path: Path) -> None:
    """A run that cannot plan must not start reading."""
    path = tmp_path / "catalog.db"
    with closing(Catalog(path, US)) as catalog:
        catalog._database.execute("PRAGMA max_page_count = 20")  # SQLite's own full disk
        with pytest.raises(StorageError, match=r"cannot be kept in .*TMPDIR.*full"):
            catalog.plan((listed(f"{number}") for number in range(50_000)), EVERYTHING)
    with pytest.raises(StorageError, match="cannot be kept in"):
        Catalog(tmp_path / "missing" / "catalog.db", US)


def test_an_error_of_the_listing_stays_what_it_is(catalog: Catalog) -> None:
    """A folder that does not exist is no fault of the catalog."""
    with pytest.raises(ConfigError, match="does not exist"):
        catalog.plan(list_input("/does/not/exist", "/out"), EVERYTHING)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T08:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T08:00+02:00", datetime(2026, 3, 1, 6, tzinfo=UTC)),
        ("2026-03-01 08:00:30", datetime(2026, 3, 1, 13, 0, 30, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, 5, tzinfo=UTC)),
        (" 30m", NOON - timedelta(minutes=30)),
        ("36h", NOON - timedelta(hours=36)),
        ("7d", NOON - timedelta(days=7)),
    ],
)
def test_since_is_a_date_a_time_or_an_age(monkeypatch: pytest.MonkeyPatch, text: str, expected: datetime) -> None:
    """Without an offset it is the time of the person who writes it."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        assert parse_since(text, NOON) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["yesterday", "7", "7w", "-7d", "1.5h", "2026-02-30", "999999999d", "٣d"])
def test_another_since_is_refused_with_the_forms_there_are(text: str) -> None:
    """Before a run begins."""
    with pytest.raises(ValidationError, match=r"give a date .* a time .* or an age"):
        RunConfig(input="in", output="out", since=text)


@pytest.mark.parametrize("text", ["0", "-1", "0%", "0.0%", "101%", "5 %", "half", "1e3", "٣", "%", "1.5"])
def test_another_sample_is_refused_with_the_forms_there_are(text: str) -> None:
    """A sample of nothing would look like a run without documents."""
    with pytest.raises(ValidationError, match=r"give a number of documents .* or a share"):
        RunConfig(input="in", output="out", sample=text)


def test_a_selection_is_what_the_configuration_says() -> None:
    """Nothing said selects everything."""
    config = RunConfig(input="in", output="out")
    assert Selection.of(config) == EVERYTHING
    config = RunConfig(input="in", output="out", since="1h", sample="0.5%", limit=3, force=True)
    since, sample = NOON - timedelta(hours=1), Sample(share=Fraction(1, 200))
    expected = Selection(force=True, since=since, sample=sample, limit=3)
    assert Selection.of(config, NOON) == expected
