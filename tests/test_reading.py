"""Committed pages read back as records: what a document with the same bytes gets instead of being read again."""

import datetime as dt
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import (
    BREACH,
    REASONS,
    Bill,
    Colour,
    commit,
    document,
    document_of,
    evidence,
    failed_page,
    identity,
    ok_page,
    unopened,
)
from pydantic import BaseModel, RootModel

from pipeline.data import (
    AnsweredBy,
    Attempt,
    Box,
    Breach,
    Document,
    DocumentRef,
    FieldEvidence,
    FinishReason,
    PageRecord,
    RenderSpec,
    Status,
    TextLine,
    Verdict,
)
from pipeline.data import TrySettings as Settings
from pipeline.errors import ErrorType, PageError, StorageError
from pipeline.sink import PartReader, ShardWriter, page_schema
from pipeline.sink.restoring import record_restorer
from pipeline.sink.tables import IDENTITY, RowTable
from pipeline.storage import open_storage

PART = "bill/documents/part-1.parquet"


def read_back(folder: Path, uri: str, part: str = PART, model: type[BaseModel] = Bill) -> list[PageRecord]:
    """Return the pages of a document of a part."""
    with closing(PartReader(open_storage(str(folder)), "bill", model)) as reader:
        return list(reader.pages(part, uri))


def test_a_record_comes_back_as_it_was_validated(tmp_path: Path) -> None:
    """It is merged and written once more, so a date must be a date and JSON text must be what it says."""
    bill = Bill.model_validate(
        {
            "date": "2018-03-12",
            "total": "12.5",
            "line_items": [{"description": "a", "line_total": "0.000001"}, {}],
            "sent_at": "2018-03-12T14:05:00+02:00",
            "colour": "blue",
            "tags": ("x", "y"),
            "rates": {"A": "19"},
            "extra": {"free": [1, None], "text": "5"},
        }
    )
    commit(open_storage(str(tmp_path)), "1", (ok_page(document(), record=bill.model_dump()),))
    [page] = read_back(tmp_path, document().ref.uri)
    assert page.record is not None
    assert Bill.model_validate(page.record) == bill


def test_everything_else_that_a_row_holds_comes_back(tmp_path: Path) -> None:
    """Tries, lines, evidence, sizes, times and the file itself; only words and an error's class do not."""
    checked: dict[str, Any] = {"evidence": evidence(), "breaches": (BREACH,), "review_reasons": REASONS}
    written = replace(failed_page(document()), **checked, token_logprobs=(("a", -0.5),), raw_text="{}")
    commit(open_storage(str(tmp_path)), "1", (written,))
    [page] = read_back(tmp_path, document().ref.uri)
    assert page.error is not None
    assert (page.error.error_type, str(page.error)) == (ErrorType.OUTPUT_CUT_OFF, "The output was cut off.")
    assert [one.error_type for one in page.attempts] == [ErrorType.OUTPUT_CUT_OFF] * 2
    expected = replace(
        written,
        error=page.error,
        lines=tuple(replace(line, words=()) for line in written.lines),
        attempts=tuple(replace(old, error=new.error) for old, new in zip(written.attempts, page.attempts, strict=True)),
        reused_from=document().ref.uri,
        read_by=identity(),
    )
    assert page == expected


def test_who_read_a_page_comes_back(tmp_path: Path) -> None:
    """A file that was renamed must not turn its blank pages into pages that a model read."""
    place: dict[str, Any] = {"answered_by": AnsweredBy.DUPLICATE, "duplicate_of": "file:///in/b.pdf#page=7"}
    commit(open_storage(str(tmp_path)), "1", (ok_page(document(), **place),))
    [page] = read_back(tmp_path, document().ref.uri)
    assert {name: getattr(page, name) for name in place} == place


def test_a_document_that_could_not_be_opened_comes_back(tmp_path: Path) -> None:
    """The empty hash and the missing page number stay what they are."""
    written = unopened("locked.pdf")
    commit(open_storage(str(tmp_path)), "1", (written,))
    [page] = read_back(tmp_path, written.document.ref.uri)
    assert (page.document, page.page_number, page.attempts, page.raw_text) == (written.document, None, (), None)


def test_a_reused_row_says_who_read_it_and_which_run_wrote_it(tmp_path: Path) -> None:
    """Engine and model are those that saw the page; run and fingerprints those of the row."""
    storage = open_storage(str(tmp_path))
    first = identity(run_id="run-1", engine_version="1.0", fingerprint="old", limits_fingerprint="old")
    second = identity(run_id="run-2", engine_version="2.0", fingerprint="new", limits_fingerprint="new")
    third = identity(run_id="run-3", engine_version="3.0")
    commit(storage, "1", (ok_page(document()),), run=first)
    [page] = read_back(tmp_path, document().ref.uri)
    copy = replace(page, document=document("b.pdf"))
    commit(storage, "2", (copy, ok_page(document("b.pdf"), 2)), run=second)
    rows = pq.read_table(tmp_path / "bill/pages/part-2.parquet").to_pylist()
    assert [row["engine_version"] for row in rows] == ["1.0", "2.0"]
    assert [row["reused_from"] for row in rows] == [document().ref.uri, None]
    for name in ("run_id", "fingerprint", "limits_fingerprint"):
        assert [row[name] for row in rows] == [getattr(second, name)] * 2
    [again, _] = read_back(tmp_path, copy.document.ref.uri, "bill/documents/part-2.parquet")
    assert again.reused_from == document().ref.uri
    commit(storage, "3", (replace(again, document=document("c.pdf")),), run=third)
    [row] = pq.read_table(tmp_path / "bill/pages/part-3.parquet").to_pylist()
    assert (row["engine_version"], row["reused_from"]) == ("1.0", document().ref.uri)


texts = st.text(max_size=20) | st.sampled_from(["5", "1e5", '"x"', "{}", "null", "\ud800", "[1, 2]", '{"a": 1}', "NaN"])
counts = st.none() | st.integers(0, 2**40)
seconds = st.none() | st.floats(0, 1e6)
moments = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
amounts = st.none() | st.decimals(-(10**16), 10**16, places=6)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
free = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
errors = st.none() | st.builds(PageError, st.sampled_from(ErrorType), texts)
pixels = st.none() | st.integers(0, 2**20)
readable = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)

records = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "seller": st.none() | texts,
        "date": st.none() | st.dates(),
        "total": amounts,
        "line_items": st.lists(st.fixed_dictionaries({"description": texts, "line_total": amounts}), max_size=2),
        "count": st.none() | st.integers(),
        "score": st.none() | st.floats(),
        "paid": st.none() | st.booleans(),
        "printed_at": st.none() | st.datetimes(),
        "sent_at": st.none() | moments,
        "colour": st.none() | st.sampled_from(Colour),
        "tags": st.lists(texts, max_size=2).map(tuple),
        "rates": st.dictionaries(readable, amounts, max_size=2),
        "extra": st.none() | st.dictionaries(texts, free, max_size=3),
    },
)
tries = st.builds(
    Attempt,
    settings=st.builds(
        Settings,
        number=st.integers(1, 8),
        max_tokens=st.integers(1, 2**20),
        temperature=st.floats(0, 2),
        constrained=st.booleans(),
        render=st.builds(RenderSpec, st.integers(1, 2**40), st.sampled_from([0, 90, 180, 270])),
        seed=st.integers(0, 2**62),
    ),
    finish_reason=st.sampled_from(FinishReason),
    raw_text=texts,
    error=errors,
    prompt_tokens=counts,
    output_tokens=counts,
    cached_tokens=counts,
    queue_s=seconds,
    prefill_s=seconds,
    decode_s=seconds,
)
side = st.floats(-1e4, 1e4, width=32)
boxes = st.builds(Box, side, side, side, side)
share = st.none() | st.floats(0, 1, width=32)
evidences = st.builds(
    FieldEvidence,
    path=texts,
    page_number=st.integers(1, 10_000),
    verdict=st.none() | st.sampled_from(Verdict),
    text=st.none() | texts,
    box=st.none() | boxes,
    similarity=share,
    score=share,
    logprob=st.none() | side,
    confidence=share,
)
pages = st.builds(
    PageRecord,
    document=st.builds(
        Document,
        ref=st.builds(DocumentRef, st.just("file:///in/a.pdf"), st.integers(0, 2**62), st.none() | moments),
        sha256=st.sampled_from(["", "a" * 64]),
        media_type=st.sampled_from(["", "application/pdf"]),
        num_pages=st.integers(0, 10_000),
        flags=st.lists(st.sampled_from(["repaired", "truncated"]), max_size=2).map(tuple),
    ),
    page_number=st.none() | st.integers(1, 10_000),
    status=st.sampled_from(Status),
    started_at=moments,
    finished_at=moments,
    record=records,
    partial=st.booleans(),
    raw_text=st.none() | texts,
    lines=st.lists(st.builds(TextLine, texts, boxes, st.none() | side), max_size=3).map(tuple),
    token_logprobs=st.lists(st.tuples(texts, side), max_size=3).map(tuple),
    attempts=st.lists(tries, max_size=3).map(tuple),
    error=errors,
    width_px=pixels,
    height_px=pixels,
    dpi=seconds,
    rotation_deg=pixels,
    render_s=seconds,
    evidence=st.lists(evidences, max_size=2).map(tuple),
    breaches=st.lists(st.builds(Breach, texts, texts, st.lists(texts, max_size=2).map(tuple)), max_size=2).map(tuple),
    review_reasons=st.lists(texts, max_size=2).map(tuple),
)


def rows_of(of: Sequence[PageRecord]) -> Any:
    """Return the rows of pages, but for what says where they are from."""
    rows = pa.Table.from_batches([RowTable.of_pages(Bill, identity()).batch(of)])
    return rows.drop_columns([*IDENTITY, "reused_from"]).to_pylist()


@settings(max_examples=25, deadline=None)
@given(st.lists(pages, min_size=1, max_size=6))
def test_pages_read_back_and_written_again_have_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, of: list[PageRecord]
) -> None:
    """The same bytes under another name: nothing may be lost on the way, however odd the page."""
    folder = tmp_path_factory.mktemp("out")
    commit(open_storage(str(folder)), "1", tuple(of))
    again = read_back(folder, of[0].document.ref.uri)
    # Printed, since NaN is NaN there.
    assert str(rows_of(again)) == str(rows_of(of))


class Free(BaseModel):
    """Fields whose values a row holds as JSON text, at every depth."""

    anything: Any = None
    either: str | dict[str, Any] | None = None
    several: list[dict[str, Any]] = []
    named: dict[str, Any] = {}
    rooted: RootModel[list[Any]] | None = None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("anything", 5),
        ("anything", [1, {"a": None}]),
        ("anything", "no JSON {"),
        ("anything", '"quoted"'),
        ("either", "5"),
        ("either", {"a": 5}),
        ("several", [{"a": 1}, {}]),
        ("named", {"a": [Decimal("1.5")]}),
        ("rooted", [1, "x", None]),
    ],
)
def test_json_text_becomes_the_value_it_was(tmp_path: Path, field: str, value: Any) -> None:
    """As far as its field can hold such a value; decimals in free fields are text, as in the JSON."""
    restored = [{"a": ["1.5"]}] if field == "named" else [value]
    commit(open_storage(str(tmp_path)), "1", (ok_page(document(), record={field: value}),), model=Free)
    [page] = read_back(tmp_path, document().ref.uri, model=Free)
    assert page.record is not None
    assert [page.record[field]] == restored


def test_schemas_without_free_fields_need_no_restoring() -> None:
    """The usual case costs nothing."""

    class Plain(BaseModel):
        name: str | None = None
        parts: list[Colour] = []

    assert record_restorer(Plain) is None


def test_a_part_of_an_older_version_is_read(tmp_path: Path) -> None:
    """It lacks the columns that came later."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document()),))
    path = tmp_path / "bill/pages/part-1.parquet"
    newer = ["reused_from", "limits_fingerprint", "answered_by", "duplicate_of"]
    newer += ["evidence", "breaches", "review_reasons", "confidence", "needs_review"]
    pq.write_table(pq.read_table(path).drop_columns(newer), path)
    [page] = read_back(tmp_path, document().ref.uri)
    assert (page.answered_by, page.duplicate_of) == (AnsweredBy.ENGINE, None)
    assert page.reused_from == document().ref.uri
    assert page.read_by == identity(limits_fingerprint="")
    assert (page.evidence, page.breaches, page.review_reasons) == ((), (), ())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A part of several row groups in which three documents' pages are mixed."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    for number in range(1, 5001):
        for name in "ab":
            writer.add_page(ok_page(document(f"{name}.pdf", num_pages=5000), number, lines=()))
    writer.add_page(ok_page(document("z.pdf")))
    for name in "abz":
        writer.add_document(document_of(ok_page(document(f"{name}.pdf"))))
    writer.commit("1")
    assert pq.read_metadata(tmp_path / "bill/pages/part-1.parquet").num_row_groups == 3
    return tmp_path


def test_pages_of_one_document_are_found_among_others(mixed: Path) -> None:
    """All of them, in their order, over row groups; documents at once and one after another."""
    with closing(PartReader(open_storage(str(mixed)), "bill", Bill)) as reader:
        a, b = (reader.pages(PART, f"file:///in/{name}.pdf") for name in "ab")
        both = [(one.page_number, two.page_number) for one, two in zip(a, b, strict=True)]
        assert both == [(number, number) for number in range(1, 5001)]
        assert [page.page_number for page in reader.pages(PART, "file:///in/z.pdf")] == [1]
        assert list(reader.pages(PART, "file:///in/missing.pdf")) == []


@pytest.mark.slow
def test_pages_are_read_back_from_a_bucket(bucket: str) -> None:
    """Several parts, one after the other, by ranges."""
    storage = open_storage(f"{bucket}/out")
    for shard in "12":
        commit(storage, shard, (ok_page(document("a.pdf")),), (ok_page(document("b.pdf"), raw_text=shard),))
    with closing(PartReader(storage, "bill", Bill)) as reader:
        for shard in "121":
            [page] = reader.pages(f"bill/documents/part-{shard}.parquet", "file:///in/b.pdf")
            assert page.raw_text == shard


def test_row_groups_that_cannot_hold_a_document_are_not_read(mixed: Path) -> None:
    """Their statistics tell; a part of long documents has many."""
    with closing(PartReader(open_storage(str(mixed)), "bill", Bill)) as reader:
        list(reader.pages(PART, "file:///in/z.pdf"))
        assert reader._part is not None
        assert list(reader._part._uris) == [2]


def peak_of_reading(folder: str, num_pages: int) -> int:
    """Read a document of so many pages back and return the peak of resident memory, in KB."""
    with closing(PartReader(open_storage(folder), "bill", Bill)) as reader:
        assert sum(1 for _ in reader.pages(f"part-{num_pages}.parquet", document().ref.uri)) == num_pages
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_document(tmp_path: Path) -> None:
    """A 20,000-page document is read back page by page, as it was written."""
    peaks = []
    for num_pages in (5000, 20_000):
        of = document(num_pages=num_pages)
        long = tuple(ok_page(of, number, raw_text=f"{number} " * 500) for number in range(1, num_pages + 1))
        commit(open_storage(str(tmp_path)), str(num_pages), long)
        # A process of its own: the peak of this one is that of all tests before.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            peaks.append(pool.submit(peak_of_reading, str(tmp_path), num_pages).result())
    assert peaks[1] < 1.1 * peaks[0]


def test_a_damaged_part_is_a_storage_error(tmp_path: Path) -> None:
    """The caller can still read the document itself."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document()),))
    path = tmp_path / "bill/pages/part-1.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"part-1\.parquet"):
        read_back(tmp_path, document().ref.uri)
    path.unlink()
    with pytest.raises(StorageError, match=r"part-1\.parquet"):
        read_back(tmp_path, document().ref.uri)


def test_a_row_with_an_error_of_a_later_version_is_a_storage_error(tmp_path: Path) -> None:
    """What is not understood is not passed on."""
    commit(open_storage(str(tmp_path)), "1", (failed_page(document()),))
    path = tmp_path / "bill/pages/part-1.parquet"
    table = pq.read_table(path)
    unknown = pa.array(["struck_by_lightning"])
    pq.write_table(table.set_column(table.schema.get_field_index("error_type"), "error_type", unknown), path)
    with pytest.raises(StorageError, match="struck_by_lightning"):
        read_back(tmp_path, document().ref.uri)


def test_both_tables_say_which_limits_a_row_was_made_under(tmp_path: Path) -> None:
    """What failed is read again when they change."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document()),))
    for table in ("pages", "documents"):
        [row] = pq.read_table(tmp_path / f"bill/{table}/part-1.parquet").to_pylist()
        assert row["limits_fingerprint"] == identity().limits_fingerprint
    assert page_schema(Bill).field("reused_from").type == pa.string()
