"""What waits in an input: found again and again, at little cost, without an engine."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_records import commit, failed_page, identity, ok_page

from pipeline.arrivals import Arrivals, Waiting
from pipeline.config import RunConfig
from pipeline.data import Document, DocumentRef
from pipeline.errors import ConfigError, StorageError
from pipeline.source import list_documents
from pipeline.storage import open_storage


def config_of(folder: str | Path, **changes: object) -> RunConfig:
    """Return a configuration that reads folder/in into folder/out."""
    return RunConfig.model_validate(
        {"input": f"{folder}/in", "output": f"{folder}/out", "extraction": "transcript", **changes}
    )


def read(config: RunConfig, part: str, *refs: DocumentRef, failed: bool = False) -> None:
    """Commit documents as a run does."""
    page = failed_page if failed else ok_page
    pages = [(page(Document(ref, "a" * 64, "application/pdf", 1)),) for ref in refs]
    commit(open_storage(config.output), part, *pages, run=identity(extraction="transcript"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an input of three documents of two bytes."""
    for name in ("a.pdf", "b.pdf", "sub/c.pdf"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("xx")
    return tmp_path


def refs_of(config: RunConfig) -> dict[str, DocumentRef]:
    """Return the documents of an input by the last letter of their name."""
    return {ref.uri.removesuffix(".pdf")[-1]: ref for ref in list_documents(config.input)}


def test_what_no_run_has_read_waits(place: Path) -> None:
    """Failed documents do not: `pagemill retry` is for these, and a watcher would start it for ever."""
    config = config_of(place)
    arrivals, refs = Arrivals(config), refs_of(config)
    assert arrivals.look()[:2] == (3, 6)
    read(config, "1", refs["a"])
    assert arrivals.look().documents == 2
    read(config, "2", refs["b"], failed=True)
    assert arrivals.look().documents == 1
    read(config, "3", refs["c"])
    assert arrivals.look() == Waiting(0, 0, None, 0)
    (place / "in" / "a.pdf").write_text("another letter")
    assert arrivals.look()[:2] == (1, 14)
    assert Arrivals(config).look().documents == 1


def test_time_of_waiting_counts_from_when_a_document_came(place: Path) -> None:
    """Its own time may be older: it was copied with it. So a look does, that did not see it."""
    arrivals = Arrivals(config_of(place))
    began = datetime.now(UTC)
    os.utime(place / "in" / "a.pdf", (1e9, 1e9))
    assert arrivals.look().oldest_at == datetime.fromtimestamp(1e9, UTC), "nothing is known of the time before"
    for name in ("a.pdf", "b.pdf", "sub/c.pdf"):
        (place / "in" / name).unlink()
    assert arrivals.look().oldest_at is None
    (place / "in" / "d.pdf").touch()
    os.utime(place / "in" / "d.pdf", (1e9, 1e9))
    oldest_at = arrivals.look().oldest_at
    assert oldest_at is not None
    assert began < oldest_at < datetime.now(UTC)
    assert arrivals.look().oldest_at == oldest_at


def test_only_new_parts_are_read(place: Path) -> None:
    """A year's output is read once and not every ten seconds."""
    config = config_of(place)
    arrivals, refs = Arrivals(config), refs_of(config)
    read(config, "1", refs["a"])
    assert arrivals.look().documents == 2
    part = place / "out" / "transcript" / "documents" / "part-1.parquet"
    seen = part.stat()
    part.write_bytes(b"x" * seen.st_size)
    os.utime(part, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    read(config, "2", refs["b"])
    assert arrivals.look().documents == 1
    with pytest.raises(StorageError, match="part-1"):
        Arrivals(config).look()


def test_documents_of_a_part_that_was_deleted_wait_again(place: Path) -> None:
    """That is how people have documents read anew."""
    config = config_of(place)
    arrivals, refs = Arrivals(config), refs_of(config)
    read(config, "1", refs["a"])
    read(config, "2", refs["b"])
    assert arrivals.look().documents == 1
    (place / "out" / "transcript" / "documents" / "part-1.parquet").unlink()
    assert arrivals.look().documents == 2


def test_what_is_still_arriving_is_told_apart(place: Path) -> None:
    """A run that would pass it over need not be started."""
    config = config_of(place, input_files={"settle_s": 60})
    waiting = Arrivals(config).look()
    assert (waiting.documents, waiting.arriving) == (0, 3)


def test_an_empty_input_is_no_mistake_but_a_missing_one_is(place: Path) -> None:
    """An inbox is empty most of the time."""
    for path in list_documents(str(place / "in")):
        Path(path.name).unlink()
    assert Arrivals(config_of(place)).look().documents == 0
    with pytest.raises(ConfigError, match="does not exist"):
        Arrivals(config_of(place / "nowhere")).look()


def test_dates_leave_documents_out(place: Path) -> None:
    """As they do in the run that would be started."""
    os.utime(place / "in" / "a.pdf", (1e9, 1e9))
    assert Arrivals(config_of(place, since="7d")).look().documents == 2
    assert Arrivals(config_of(place, until="7d")).look().documents == 1


def put(bucket: str, folder: Path, *keys: str) -> None:
    """Put objects of two bytes."""
    (folder / "made").write_text("xx")
    for key in keys:
        open_storage(bucket).put(key, folder / "made")


def test_hinted_objects_alone_are_looked_at(bucket: str, tmp_path: Path) -> None:
    """A notification names one of a million objects; the others are not listed for it."""
    config = config_of(bucket)
    put(bucket, tmp_path, "in/a.pdf", "in/b c.pdf", "in/x/c[1].pdf", "in/_d.pdf", "out/e.pdf", "inn/f.pdf")
    arrivals = Arrivals(config)
    assert arrivals.look(hints=()).documents == 0
    hints = [f"{bucket}/{key}" for key in ("in/b c.pdf", "in/gone.pdf", "in/_d.pdf", "out/e.pdf", "inn/f.pdf")]
    assert arrivals.look(hints)[:2] == (1, 2)
    assert arrivals.look(hints)[:2] == (1, 2), "a notification may come twice"
    assert arrivals.look([f"{bucket}/in/x/c[1].pdf", "file:///in/a.pdf", "no such thing"]).documents == 2
    assert arrivals.look().documents == 3
    read(config, "1", *list_documents(config.input))
    assert arrivals.look(hints=()).documents == 0
    assert arrivals.look(hints).documents == 0


def test_a_hinted_object_waits_until_it_is_settled(bucket: str, tmp_path: Path) -> None:
    """Nobody sends a second notification."""
    arrivals = Arrivals(config_of(bucket, input_files={"settle_s": 1.5}))
    put(bucket, tmp_path, "in/a.pdf")
    waiting = arrivals.look([f"{bucket}/in/a.pdf"])
    assert (waiting.documents, waiting.arriving) == (0, 1)
    time.sleep(2.5)  # the times of objects are whole seconds
    waiting = arrivals.look(hints=())
    assert (waiting.documents, waiting.arriving) == (1, 0)


def test_hints_of_what_a_glob_leaves_out_are_passed_over(bucket: str, tmp_path: Path) -> None:
    """A notification comes for every object."""
    put(bucket, tmp_path, "in/a.pdf", "in/b.png", "in/x/c.pdf")
    arrivals = Arrivals(config_of(bucket, input=f"{bucket}/in/*.pdf"))
    assert arrivals.look([f"{bucket}/in/{name}" for name in ("a.pdf", "b.png", "x/c.pdf")]).documents == 1


def test_where_markers_tell_what_is_whole_a_hint_is_answered_by_a_listing(bucket: str, tmp_path: Path) -> None:
    """The notification of the marker is the one that counts."""
    put(bucket, tmp_path, "in/a.pdf", "in/b.pdf", "in/a.pdf.done")
    arrivals = Arrivals(config_of(bucket, input_files={"ready": "*.done"}))
    waiting = arrivals.look([f"{bucket}/in/a.pdf.done"])
    assert (waiting.documents, waiting.arriving) == (1, 1)


def test_more_documents_than_are_told_apart_are_counted(place: Path) -> None:
    """Somebody drops a whole archive; memory stays bounded."""
    waiting = Arrivals(config_of(place), most_followed=1).look()
    assert waiting[:2] == (3, 6)
    assert waiting.oldest_at is not None
    assert datetime.now(UTC) - waiting.oldest_at < timedelta(minutes=5)


def test_an_input_with_a_place_per_day_is_watched_day_by_day(bucket: str, tmp_path: Path) -> None:
    """Whenever its files were changed; a notification is answered by a listing of these days."""
    today = datetime.now().astimezone().date()
    config = config_of(bucket, input=f"{bucket}/in/{{date:%Y/%m/%d}}", since="1d")
    put(bucket, tmp_path, f"in/{today:%Y/%m/%d}/a.pdf", "in/2020/01/01/b.pdf")
    arrivals = Arrivals(config)
    assert arrivals.look().documents == 1
    put(bucket, tmp_path, f"in/{today:%Y/%m/%d}/c.pdf")
    assert arrivals.look([f"{bucket}/in/{today:%Y/%m/%d}/c.pdf"]).documents == 2
