"""What is written: types, rows, and the commit of a shard."""

import enum
import gc
import json
import multiprocessing
import resource
import tempfile
import typing
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_records import (
    NOON,
    Bill,
    Item,
    attempt,
    commit,
    document,
    document_of,
    failed_page,
    identity,
    ok_page,
    unopened,
)
from pydantic import BaseModel, Field, RootModel

from pipeline.data import PageRecord
from pipeline.errors import ConfigError, ErrorType, GenerationInvalid, StorageError
from pipeline.results import open_results
from pipeline.sink import (
    CommittedDocument,
    PartReader,
    ShardWriter,
    arrow_type,
    committed_parts,
    delete_orphans,
    document_schema,
    page_schema,
    read_committed,
)
from pipeline.storage import Storage, open_storage
from pipeline.storage.folder import FolderStorage


def written(tmp_path: Path, *pages: PageRecord, table: str = "pages") -> Any:
    """Commit one document of these pages and return the rows of a table as they stand in the file."""
    commit(open_storage(str(tmp_path)), "1", pages)
    return pq.read_table(tmp_path / "bill" / table / "part-1.parquet").to_pylist()


def test_every_documented_python_type_has_its_arrow_type() -> None:
    """A typed struct is the promise of the result column."""
    assert arrow_type(Bill) == pa.struct(
        [
            ("seller", pa.string()),
            ("date", pa.date32()),
            ("currency", pa.string()),
            ("total", pa.decimal128(24, 6)),
            ("line_items", pa.list_(pa.struct([("description", pa.string()), ("line_total", pa.decimal128(24, 6))]))),
            ("count", pa.int64()),
            ("score", pa.float64()),
            ("paid", pa.bool_()),
            ("printed_at", pa.timestamp("us")),
            ("sent_at", pa.timestamp("us", tz="UTC")),
            ("kind", pa.string()),
            ("colour", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("rates", pa.map_(pa.string(), pa.decimal128(24, 6))),
            ("extra", pa.string()),
        ]
    )


def one_field(annotation: Any) -> type[BaseModel]:
    """Return a model with one field, `value`."""
    return type("One", (BaseModel,), {"__annotations__": {"value": annotation}})


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Decimal, pa.decimal128(38, 9)),
        (Annotated[Decimal, Field(max_digits=10)], pa.decimal128(19, 9)),
        (Annotated[Decimal, Field(decimal_places=2)], pa.decimal128(38, 2)),
        (Annotated[Decimal, Field(max_digits=60, decimal_places=2)], pa.decimal128(38, 2)),
        (int | float, pa.float64()),
        (RootModel[list[int]], pa.list_(pa.int64())),
        (typing.NewType("Name", str), pa.string()),
        (enum.IntEnum("Level", "LOW HIGH"), pa.int64()),
        (frozenset[str], pa.list_(pa.string())),
        (Any, pa.string()),
    ],
)
def test_less_usual_annotations_have_arrow_types(annotation: Any, expected: pa.DataType) -> None:
    """Users write schemas of their own, in every way pydantic allows."""
    assert arrow_type(one_field(annotation)).field("value").type == expected


@pytest.mark.parametrize("annotation", [int | str, complex, dict[int, str], tuple[int, str], list])
def test_unsupported_types_are_refused_with_the_field_and_the_choices(annotation: Any) -> None:
    """The message must tell the author of a schema what to change."""
    with pytest.raises(ConfigError, match=r"One\.value.*Supported are str, int"):
        arrow_type(one_field(annotation))


class Node(BaseModel):
    """Contains itself."""

    children: list["Node"] = []


class Empty(BaseModel):
    """Has nothing to write."""


@pytest.mark.parametrize("model", [Node, Empty])
def test_models_without_a_finite_struct_are_refused(model: type[BaseModel]) -> None:
    """Parquet has neither endless nor empty structs."""
    with pytest.raises(ConfigError, match=model.__name__):
        page_schema(model)


def test_nested_records_come_back_exactly(tmp_path: Path) -> None:
    """What was validated is what is read: decimals to the last digit, dates as dates."""
    total = Decimal("123456789012345678.123456")
    bill = Bill.model_validate(
        {
            "seller": "Ümlaut & Söhne 🧾",
            "date": "2018-03-12",
            "currency": "EUR",
            "total": total,
            "line_items": [{"description": "a", "line_total": "0.000001"}, {}],
            "count": 3,
            "score": 0.1,
            "paid": True,
            "printed_at": "2018-03-12T14:05:00",
            "sent_at": "2018-03-12T14:05:00+02:00",
            "kind": "credit",
            "colour": "blue",
            "tags": ("x", "y"),
            "rates": {"A": "19"},
            "extra": {"free": [1, None]},
        }
    )
    [row] = written(tmp_path, ok_page(document(), record=bill.model_dump()))
    record = row["record"]
    assert (
        Bill.model_validate(
            record
            | {
                "rates": dict(record["rates"]),
                "extra": json.loads(record["extra"]),
            }
        )
        == bill
    )
    assert record["total"].as_tuple() == total.as_tuple()


def test_page_row_holds_the_page_and_all_its_tries(tmp_path: Path) -> None:
    """Tokens and seconds add up over tries; the last output stands in raw_text alone."""
    [row] = written(tmp_path, failed_page(document()))
    assert (row["status"], row["error_type"], row["partial"]) == ("failed", "output_cut_off", False)
    assert (row["num_tries"], row["prompt_tokens"], row["cached_tokens"]) == (2, 20, None)
    assert [t["raw_text"] for t in row["tries"]] == ["first", None]
    assert row["tries"][1]["temperature"] == pytest.approx(0.2)
    assert row["finish_reason"] == "length"


def test_the_output_of_the_try_that_counts_is_the_row_s_and_stands_once(tmp_path: Path) -> None:
    """Of two valid outputs the first may count; the other one stays where one can compare them."""
    doubt = GenerationInvalid(ErrorType.OUTPUT_DOUBTFUL, "Try 1 is in no more doubt, and counts.")
    tries = (attempt(1, raw_text="first"), attempt(2, raw_text="second", error=doubt))
    [row] = written(tmp_path, ok_page(document(), raw_text="first", attempts=tries))
    assert (row["raw_text"], row["finish_reason"]) == ("first", "stop")
    assert [(one["raw_text"], one["error_type"]) for one in row["tries"]] == [
        (None, None),
        ("second", "output_doubtful"),
    ]
    with closing(PartReader(open_storage(str(tmp_path)), "bill", Bill)) as reader:
        [page] = reader.pages("part-1.parquet", document().ref.uri)
    assert [one.raw_text for one in page.attempts] == ["first", "second"]


def test_lines_keep_boxes_and_confidence(tmp_path: Path) -> None:
    """Rows with and without lines share one column."""
    rows = written(tmp_path, ok_page(document()), ok_page(document(), 2, lines=()))
    assert rows[0]["page_text"] == "ACME\n12.50"
    assert rows[0]["lines"][0] == {"text": "ACME", "x0": 1, "y0": 2, "x1": 3, "y1": 4, "confidence": 0.5}
    assert rows[0]["lines"][1]["confidence"] is None
    assert (rows[1]["lines"], rows[1]["page_text"]) == ([], None)


def test_document_row_tells_of_its_first_record_and_holds_all_of_several(tmp_path: Path) -> None:
    """Who looks at one record a document need not unnest; who has files of several invoices loses none."""
    of = document(num_pages=3)
    unsure = ok_page(of, 2, evidence=(), breaches=(), review_reasons=())
    [row] = written(tmp_path, ok_page(of, 1), unsure, failed_page(of, 3), table="documents")
    first, second = row["records"]
    assert row["num_records"] == 2
    assert {name: row[name] for name in ("record", "evidence", "breaches", "conflicts", "review_reasons")} == {
        name: first[name] for name in ("record", "evidence", "breaches", "conflicts", "review_reasons")
    }
    assert first["evidence"][0]["verdict"] == "exact"
    assert first["conflicts"][0]["values"][1] == {"page_number": 2, "value": "ACNE"}
    assert (first["first_page"], second["first_page"], second["evidence"]) == (1, 2, [])
    assert (row["confidence"], row["needs_review"], second["confidence"]) == (0.125, True, None)


def test_the_only_record_of_a_document_stands_in_its_row_once(tmp_path: Path) -> None:
    """The record of a transcript may be megabytes; its document's own columns say all there is to say."""
    [row] = written(tmp_path, ok_page(document()), table="documents")
    assert (row["num_records"], row["records"]) == (1, [])
    assert row["record"] is not None
    assert row["evidence"]


def test_a_document_needs_review_when_any_of_its_records_does(tmp_path: Path) -> None:
    """Otherwise the second invoice of a file would be passed over by whoever filters documents."""
    of = document(num_pages=2)
    sure = ok_page(of, 1, review_reasons=())
    [row] = written(tmp_path, sure, ok_page(of, 2), table="documents")
    assert row["needs_review"]


def test_tokens_keep_their_log_probabilities(tmp_path: Path) -> None:
    """Whoever weighs a value by the model's doubt needs them; most engines give none."""
    tokens = (('{"', -0.25), ("\ud800", -8.0))
    rows = written(tmp_path, ok_page(document(), token_logprobs=tokens), ok_page(document(), 2))
    assert rows[0]["token_logprobs"] == [{"token": '{"', "logprob": -0.25}, {"token": "\ufffd", "logprob": -8.0}]
    assert rows[1]["token_logprobs"] == []


def test_unreadable_document_has_a_row_without_page_number(tmp_path: Path) -> None:
    """Every input ends in a row, also one nobody could open."""
    [row] = written(tmp_path, unopened("locked.pdf"))
    assert (row["page_number"], row["error_type"], row["sha256"]) == (None, "encrypted", None)
    assert row["tries"] == []


def test_lone_surrogates_cost_a_character_not_the_row(tmp_path: Path) -> None:
    """Models and broken fonts produce them; Arrow holds valid Unicode only."""
    bill = Bill(seller="a\ud800b", line_items=[Item(description="\udfff")], rates={"\ud83d\ude00": Decimal(1)})
    [row] = written(tmp_path, ok_page(document(), record=bill.model_dump(), raw_text="\ud800raw"))
    assert row["record"]["seller"] == "a\ufffdb"
    assert row["record"]["line_items"][0]["description"] == "\ufffd"
    assert row["record"]["rates"] == [("😀", Decimal(1))]
    assert row["raw_text"] == "\ufffdraw"


def test_numbers_too_large_for_their_column_become_null(tmp_path: Path) -> None:
    """A bar code in an integer field must not stop a shard of good rows."""
    rows = written(tmp_path, ok_page(document(), record={"count": 10**30, "total": Decimal("nan"), "seller": "x"}))
    assert rows[0]["record"]["seller"] == "x"
    assert (rows[0]["record"]["count"], rows[0]["record"]["total"]) == (None, None)


def test_parts_say_what_wrote_them(tmp_path: Path) -> None:
    """A reader needs no Python schema and knows which settings made the rows."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document()),))
    for table, schema in (("pages", page_schema(Bill)), ("documents", document_schema(Bill))):
        file = pq.ParquetFile(tmp_path / f"bill/{table}/part-1.parquet")
        told = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
        assert file.schema_arrow.equals(schema)
        assert told["pagemill.table"] == table
        assert told["pagemill.fingerprint"] == identity().fingerprint
        assert json.loads(told["pagemill.json_schema"]) == Bill.model_json_schema()
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def committed_documents(storage: Storage) -> list[CommittedDocument]:
    """Return the documents of every committed shard."""
    return [row for part in committed_parts(storage, "bill") for row in read_committed(storage, part)]


class DiesBeforeDocuments(FolderStorage):
    """A folder on a machine that loses power between the two parts."""

    has_power = False

    def put(self, key: str, finished: Path) -> None:
        """Put pages parts; others only with power."""
        if "/documents/" in key and not self.has_power:
            raise StorageError("no power")
        super().put(key, finished)


def test_crash_between_the_two_parts_leaves_no_visible_rows(tmp_path: Path) -> None:
    """The documents part is the commit marker; a pages part alone does not count."""
    storage = DiesBeforeDocuments(tmp_path)
    with pytest.raises(StorageError):
        commit(storage, "1", (ok_page(document()),))
    assert (tmp_path / "bill/pages/part-1.parquet").exists()
    assert committed_documents(storage) == []
    assert all(found.pages().num_rows == 0 for found in open_results(str(tmp_path)).extractions)


def test_commit_can_be_repeated_after_storage_failed(tmp_path: Path) -> None:
    """The rows of hours of work stay at hand until they are in the output."""
    storage = DiesBeforeDocuments(tmp_path)
    writer = ShardWriter(storage, Bill, identity())
    writer.add_page(ok_page(document()))
    writer.add_document(document_of(ok_page(document())))
    with pytest.raises(StorageError):
        writer.commit("1")
    storage.has_power = True
    writer.commit("1")
    assert [row.uri for row in committed_documents(storage)] == ["file:///in/a.pdf"]


def test_discarded_shard_leaves_nothing(tmp_path: Path) -> None:
    """An interrupted run hands its open shard back."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    for number in range(200):
        writer.add_page(ok_page(document(num_pages=200), number + 1))
    writer.discard()
    writer.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_shard_is_committed_to_a_bucket_and_read_back(bucket: str) -> None:
    """A bucket has no rename: an object appears whole when its upload ends."""
    storage = open_storage(f"{bucket}/out")
    commit(storage, "1", (ok_page(document()),), (failed_page(document("b.pdf")),))
    assert [row.uri for row in committed_documents(storage)] == ["file:///in/a.pdf", "file:///in/b.pdf"]
    [found] = open_results(f"{bucket}/out").extractions
    assert found.totals().pages_ok == 1
    assert found.failures()["error_type"].to_pylist() == ["output_cut_off"]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_pages_of_unfinished_documents_are_left_out_of_a_commit(tmp_path: Path, order: str) -> None:
    """After an orderly stop, finished documents are kept though others in their shard are not done."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    done, cut = document("a.pdf", num_pages=5000), document("b.pdf", num_pages=5000)
    for number in range(1, 4001):
        for name in order:
            writer.add_page(ok_page(done if name == "a" else cut, number))
    writer.add_document(document_of(ok_page(done)))
    writer.commit("1", {cut.ref.uri, "file:///in/never-opened.pdf"})
    part = pq.ParquetFile(tmp_path / "bill/pages/part-1.parquet")
    assert part.schema_arrow.equals(page_schema(Bill))
    assert part.metadata.metadata[b"pagemill.table"] == b"pages"
    assert set(part.read()["source_uri"].to_pylist()) == {done.ref.uri}
    assert part.read()["page_number"].to_pylist() == list(range(1, 4001))
    assert open_results(str(tmp_path)).extractions[0].pages().num_rows == 4000


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, as TMPDIR sets it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_without_a_temporary_folder_there_is_a_storage_error(tmp_path: Path, temporary: Path) -> None:
    """The message names the folder and TMPDIR."""
    temporary.rmdir()
    with pytest.raises(StorageError, match=r"temporary.*TMPDIR"):
        ShardWriter(open_storage(str(tmp_path)), Bill, identity())


def test_a_writer_let_go_leaves_no_temporary_files(tmp_path: Path, temporary: Path) -> None:
    """An error anywhere may end the run before the writer is discarded."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    writer.add_page(ok_page(document()))
    assert len(list(temporary.iterdir())) == 1
    del writer
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_full_temporary_folder_is_a_storage_error(tmp_path: Path, temporary: Path) -> None:
    """The run ends with a message about the disk, not with a traceback, and can be resumed."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    writer.add_page(ok_page(document()))
    # A limit on the size of files stands in for the end of the disk; both are errors of write(2) in Python.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(StorageError, match="TMPDIR"):
            writer.commit("1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(StorageError, match="TMPDIR"):  # with room again, half a file must not pass for a whole one
        writer.commit("1")
    writer.discard()
    assert list(temporary.iterdir()) == []
    assert committed_documents(open_storage(str(tmp_path))) == []


def test_a_commit_tells_what_stands_in_the_files(tmp_path: Path) -> None:
    """The ledger's check compares it with what it counted itself; pages left out do not count."""
    writer = ShardWriter(open_storage(str(tmp_path)), Bill, identity())
    for number in range(1, 101):
        writer.add_page(ok_page(document("a.pdf"), number))
        writer.add_page(ok_page(document("b.pdf"), number))
    writer.add_document(document_of(ok_page(document("a.pdf"))))
    assert writer.commit("1", {"file:///in/b.pdf"}) == ("bill/documents/part-1.parquet", 100, 1)
    assert pq.read_metadata(tmp_path / "bill/pages/part-1.parquet").num_rows == 100


def test_temporary_files_stand_where_they_are_wanted(tmp_path: Path) -> None:
    """A run has a folder for what a kill leaves, which the next one clears."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    writer = ShardWriter(open_storage(str(tmp_path / "out")), Bill, identity(), folder=scratch)
    assert len(list(scratch.iterdir())) == 1
    writer.discard()
    assert list(scratch.iterdir()) == []


def test_orphaned_pages_parts_are_deleted_and_counted(tmp_path: Path) -> None:
    """A run died between the two parts of a shard; readers pass over the first, which only takes room."""
    storage = open_storage(str(tmp_path))
    for shard in ("1", "2"):
        commit(storage, shard, (ok_page(document(f"{shard}.pdf")),))
    (tmp_path / "bill/documents/part-2.parquet").unlink()
    assert delete_orphans(storage, "bill") == 1
    assert [path.name for path in (tmp_path / "bill/pages").iterdir()] == ["part-1.parquet"]
    assert delete_orphans(storage, "bill") == 0
    assert delete_orphans(storage, "never-run") == 0


def test_recommitted_shard_replaces_its_rows(tmp_path: Path) -> None:
    """Names come from what a shard holds, so a rerun overwrites and never duplicates."""
    storage = open_storage(str(tmp_path))
    for _ in range(2):
        commit(storage, "1", (ok_page(document()),))
    assert len(list(committed_parts(storage, "bill"))) == 1


def test_committed_documents_tell_what_a_resumed_run_needs(tmp_path: Path) -> None:
    """Unchanged means: same name, size, time of change and settings."""
    storage = open_storage(str(tmp_path))
    commit(storage, "1", (ok_page(document()),), (unopened("locked.pdf"),))
    first, second = committed_documents(storage)
    assert first[:8] == (
        "file:///in/a.pdf",
        1234,
        NOON - timedelta(days=1),
        "a" * 64,
        identity().fingerprint,
        NOON + timedelta(seconds=4),
        "ok",
        None,
    )
    assert (second.sha256, second.status, second.error_type) == (None, "failed", "encrypted")


def test_long_document_becomes_several_row_groups_in_order(tmp_path: Path) -> None:
    """Rows leave memory as they come."""
    of = document(num_pages=9000)
    commit(open_storage(str(tmp_path)), "1", tuple(ok_page(of, number) for number in range(1, 9001)))
    file = pq.ParquetFile(tmp_path / "bill/pages/part-1.parquet")
    assert file.num_row_groups > 1
    assert file.read(columns=["page_number"])["page_number"].to_pylist() == list(range(1, 9001))


def growth_over_shard(folder: str, num_pages: int) -> float:
    """Write a shard and return the peak of resident memory at its end, as a multiple of that at its 5,000th page."""
    writer = ShardWriter(open_storage(folder), Bill, identity())
    of = document(num_pages=num_pages)
    early = 0
    for number in range(1, num_pages + 1):
        writer.add_page(ok_page(of, number, raw_text=f"{number} " * 500))
        if number == 5000:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    writer.discard()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / early


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_document(tmp_path: Path) -> None:
    """A 20,000-page document in one shard takes what a 5,000-page one takes."""
    # A process of its own: the peak of this one is that of all tests before.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(growth_over_shard, str(tmp_path), 20_000).result() < 1.1
