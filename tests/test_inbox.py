"""What becomes of documents that are read: moved or tagged, never lost, never too early."""

import json
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from made_records import NOON, identity
from test_run import RECEIPT, run_scripted, write_pdf

from pipeline.config import RunConfig
from pipeline.data import DocumentRef, PageRequest
from pipeline.errors import ConfigError
from pipeline.inbox import check_inbox, clear_input
from pipeline.source import list_documents
from pipeline.storage import open_storage

WHEN = NOON


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an input of four documents."""
    for name in ("a.pdf", "b c%20ü.pdf", "sub/a.pdf", "sub/a (2).pdf"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def config_of(place: Path, **input_files: object) -> RunConfig:
    """Return a configuration of that input."""
    return RunConfig.model_validate(
        {"input": str(place / "in"), "output": str(place / "out"), "input_files": input_files}
    )


def moving(place: Path, **changes: object) -> RunConfig:
    """Return one that moves what is read."""
    return config_of(place, after="move", moved_to=str(place / "done"), **changes)


def clear(config: RunConfig, refs: list[DocumentRef], **changes: Any) -> int:
    """Clear documents that were finished at noon."""
    wanted: dict[str, Any] = {"stop": threading.Event(), **changes}
    return clear_input(config, [(ref, WHEN) for ref in refs], identity().run_id, **wanted)


def files_below(folder: Path) -> dict[str, str]:
    """Return the content of each file by its path."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_documents_are_moved_with_their_path_below_the_input(place: Path) -> None:
    """Two suppliers may both send an invoice.pdf."""
    before = files_below(place / "in")
    assert clear(moving(place), list(list_documents(str(place / "in")))) == 4
    assert files_below(place / "done") == before
    assert files_below(place / "in") == {}


@pytest.mark.parametrize(("wanted", "moved"), [("*.pdf", "a.pdf"), ("[2026]", "b.pdf"), ("[2026]/*.pdf", "b.pdf")])
def test_paths_count_from_where_the_input_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, moved: str
) -> None:
    """A glob without a folder is one of the current folder, and a folder may be called like a glob."""
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "a.pdf", tmp_path / "[2026]" / "b.pdf", tmp_path / "2" / "b.pdf"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    config = RunConfig.model_validate(
        {"input": wanted, "output": "out", "input_files": {"after": "move", "moved_to": f"{tmp_path}-done"}}
    )
    check_inbox(config)
    clear(config, list(list_documents(wanted)))
    assert [path.name for path in Path(f"{tmp_path}-done").rglob("*.pdf")] == [moved]


def test_a_second_document_of_a_name_overwrites_none(place: Path) -> None:
    """A scanner begins at scan-0001.pdf every morning."""
    for text in ("first", "second", "third"):
        (place / "in" / "scan.pdf").write_text(text)
        clear(moving(place), list(list_documents(str(place / "in" / "scan.pdf"))))
    assert sorted(files_below(place / "done").values()) == ["first", "second", "third"]


def test_what_goes_to_the_same_name_at_the_same_time_overwrites_none(place: Path) -> None:
    """`a.pdf` makes way to `a (2).pdf`, which another document may be about to take."""
    (place / "done" / "sub").mkdir(parents=True)
    (place / "done" / "sub" / "a.pdf").write_text("of yesterday")
    clear(moving(place), list(list_documents(str(place / "in" / "sub"))))
    assert clear(moving(place), list(list_documents(str(place / "in")))) == 2
    assert sorted(files_below(place / "done").values()) == [
        "a.pdf",
        "b c%20ü.pdf",
        "of yesterday",
        "sub/a (2).pdf",
        "sub/a.pdf",
    ]


def test_a_document_that_changed_since_it_was_read_stays(place: Path) -> None:
    """Its new content has not been read."""
    refs = list(list_documents(str(place / "in")))
    (place / "in" / "a.pdf").write_text("a longer letter")
    (place / "in" / "sub" / "a.pdf").unlink()
    assert clear(moving(place), refs) == 2
    assert files_below(place / "in") == {"a.pdf": "a longer letter"}


def test_a_marker_goes_with_its_document(place: Path) -> None:
    """Left behind, it would say that the next upload of that name is whole while it is not."""
    (place / "in" / "a.pdf.done").touch()
    refs = [ref for ref in list_documents(str(place / "in")) if ref.uri.endswith("/in/a.pdf")]
    assert clear(moving(place, ready="*.done"), refs) == 1
    assert "a.pdf.done" in files_below(place / "done")
    assert "a.pdf.done" not in files_below(place / "in")


@pytest.mark.parametrize(
    ("moved_to", "is_refused"),
    [("in", True), ("in/done", True), ("out/done", True), ("in/_done", False), ("indeed", False), (".", False)],
)
def test_moved_documents_are_not_listed_again(place: Path, moved_to: str, is_refused: bool) -> None:
    """They would be read, and moved, every night."""
    config = config_of(place, after="move", moved_to=str(place / moved_to))
    if is_refused:
        with pytest.raises(ConfigError, match="lies in the"):
            check_inbox(config)
    else:
        check_inbox(config)


def test_documents_keep_their_place_when_nothing_is_asked_for(place: Path) -> None:
    """The default touches nothing that is not ours."""
    before = files_below(place)
    assert clear(config_of(place), list(list_documents(str(place / "in")))) == 0
    assert files_below(place) == before


def test_a_place_that_refuses_documents_costs_nobody_the_night(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The records are committed; moving is tried again by the next run."""
    (place / "done").write_text("a file where a folder is needed")
    assert clear(moving(place), list(list_documents(str(place / "in")))) == 0
    assert "stays as it is" in caplog.text
    assert len(files_below(place / "in")) == 4


def test_a_run_that_is_stopped_leaves_the_rest_where_it_is(place: Path) -> None:
    """`systemctl stop` waits a minute and a half, and moving a hundred thousand objects takes longer."""
    stop = threading.Event()
    stop.set()
    assert clear(moving(place), list(list_documents(str(place / "in"))), stop=stop) == 0
    assert len(files_below(place / "in")) == 4


def can_be_tagged(folder: Path) -> bool:
    """Tell whether the file system of the tests has extended attributes."""
    try:
        os.setxattr(folder, "user.pagemill-test", b"1")
    except OSError:
        return False
    return True


def test_tags_are_written_once(place: Path) -> None:
    """A million documents that stay in the input are not tagged anew every night."""
    if not can_be_tagged(place):
        pytest.skip("no extended attributes here")
    config = config_of(place, after="tag")
    check_inbox(config)
    refs = list(list_documents(str(place / "in")))
    assert clear(config, refs) == 4
    tags = json.loads(os.getxattr(place / "in" / "a.pdf", "user.pagemill"))
    assert tags == {"pagemill": "done", "pagemill-run": identity().run_id}
    assert clear(config, refs, tagged_until=WHEN) == 4
    assert clear(config, refs, tagged_until=WHEN + timedelta(seconds=1)) == 0
    assert [ref.uri for ref in list_documents(str(place / "in"))] == [ref.uri for ref in refs]


def put_all(bucket: str, folder: Path, names: list[str]) -> None:
    """Put files that hold their own name."""
    for name in names:
        (folder / "made").write_text(name)
        open_storage(bucket).put(name, folder / "made")


@pytest.mark.parametrize("elsewhere", ["same bucket", "folder"])
def test_objects_are_moved_to_a_bucket_or_a_folder(bucket: str, tmp_path: Path, elsewhere: str) -> None:
    """With names that a URL has to escape."""
    names = ["in/a b.pdf", "in/sub/ü%.pdf"]
    put_all(bucket, tmp_path, names)
    moved_to = f"{bucket}/done" if elsewhere == "same bucket" else str(tmp_path / "done")
    config = RunConfig.model_validate(
        {"input": f"{bucket}/in", "output": f"{bucket}/out", "input_files": {"after": "move", "moved_to": moved_to}}
    )
    check_inbox(config)
    assert clear(config, list(list_documents(f"{bucket}/in"))) == 2
    assert [file.key for file in open_storage(bucket).files("in/")] == []
    assert [file.key for file in open_storage(moved_to).files()] == ["a b.pdf", "sub/ü%.pdf"]
    with open_storage(moved_to).open("sub/ü%.pdf") as file:
        assert file.read().decode() == "in/sub/ü%.pdf"


def test_a_single_object_is_moved_by_its_name(bucket: str, tmp_path: Path) -> None:
    """An input may be one document."""
    put_all(bucket, tmp_path, ["in/x/a.pdf"])
    config = RunConfig.model_validate(
        {
            "input": f"{bucket}/in/x/a.pdf",
            "output": f"{bucket}/out",
            "input_files": {"after": "move", "moved_to": f"{bucket}/done"},
        }
    )
    assert clear(config, list(list_documents(config.input))) == 1
    assert list(open_storage(bucket).keys()) == ["done/a.pdf"]


def test_objects_are_tagged(bucket: str, tmp_path: Path) -> None:
    """Lifecycle rules of a bucket can go by tags: expire what is done after 90 days."""
    import boto3  # type: ignore[import-untyped]

    put_all(bucket, tmp_path, ["in/a b.pdf"])
    config = RunConfig.model_validate(
        {"input": f"{bucket}/in", "output": f"{bucket}/out", "input_files": {"after": "tag"}}
    )
    refs = list(list_documents(config.input))
    assert clear(config, refs) == 1
    s3 = boto3.client("s3")
    tags = s3.get_object_tagging(Bucket="documents", Key="in/a b.pdf")["TagSet"]
    s3.close()
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"pagemill": "done", "pagemill-run": identity().run_id}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with an input of three documents, the last of them damaged."""
    (tmp_path / "in").mkdir()
    write_pdf(tmp_path / "in" / "a.pdf", "one")
    write_pdf(tmp_path / "in" / "b.pdf", "two", "three")
    (tmp_path / "in" / "c.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
    return tmp_path


def left(inbox: Path) -> list[str]:
    """Return what is in the input."""
    return sorted(path.name for path in (inbox / "in").iterdir())


def test_a_run_moves_what_it_has_read_and_leaves_what_failed(inbox: Path) -> None:
    """`pagemill retry` finds it where its rows say; an empty inbox is no mistake."""
    asked_for = {"after": "move", "moved_to": str(inbox / "done")}
    report = run_scripted(inbox, lambda _: RECEIPT, input_files=asked_for)
    assert (report.documents, report.pages_failed) == (3, 1)
    assert left(inbox) == ["c.pdf"]
    (inbox / "in" / "c.pdf").unlink()
    assert run_scripted(inbox, lambda _: RECEIPT, input_files=asked_for).documents == 0
    assert sorted(files_of(inbox / "done")) == ["a.pdf", "b.pdf"]


def files_of(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return [path.name for path in folder.iterdir()]


def test_the_next_run_moves_what_a_killed_one_left(inbox: Path) -> None:
    """Between the commit and the move anything may happen; nothing is read again for it."""
    run_scripted(inbox, lambda _: RECEIPT)
    assert left(inbox) == ["a.pdf", "b.pdf", "c.pdf"]
    write_pdf(inbox / "in" / "b.pdf", "two", "three", "and another page")
    moved = {"after": "move", "moved_to": str(inbox / "done")}
    report = run_scripted(inbox, lambda _: "no JSON", input_files=moved)
    assert report.documents == 1
    assert left(inbox) == ["b.pdf", "c.pdf"], "what changed was read again, and failed"


def test_a_run_leaves_what_is_still_arriving_to_the_next_one(inbox: Path) -> None:
    """Without a row: it has not failed."""
    report = run_scripted(inbox, lambda _: RECEIPT, input_files={"settle_s": 3600})
    assert (report.documents, report.documents_arriving, report.exit_code) == (0, 3, 0)
    (inbox / "in" / "b.pdf.done").touch()
    report = run_scripted(inbox, lambda _: RECEIPT, input_files={"ready": "*.done"})
    assert (report.documents, report.documents_arriving, report.pages_ok) == (1, 2, 2)
    (inbox / "in" / "b.pdf.done").unlink()
    assert run_scripted(inbox, lambda _: RECEIPT).documents == 2


@pytest.mark.slow
def test_a_document_that_grows_while_the_run_runs_is_left_to_the_next_one(tmp_path: Path) -> None:
    """Damaged as it looks, it may be half an upload: no failed row is written for it."""
    (tmp_path / "in").mkdir()
    for number in range(40):
        write_pdf(tmp_path / "in" / f"{number:02}.pdf", f"{number}")
    last = tmp_path / "in" / "zz.pdf"
    whole = write_pdf(last, "the last one").read_bytes()
    last.write_bytes(whole[:300])

    def answer(_: PageRequest) -> str:
        last.write_bytes(whole[: last.stat().st_size + 10])
        return RECEIPT

    report = run_scripted(tmp_path, answer)
    assert (report.documents, report.documents_carried_over, report.pages_failed) == (40, 1, 0)
    last.write_bytes(whole)
    report = run_scripted(tmp_path, lambda _: RECEIPT)
    assert (report.documents, report.pages_ok) == (1, 1)


def test_a_run_tags_what_was_read_since_the_last_run_that_ended(inbox: Path) -> None:
    """Each document once, by the run that read it, although all of them stay in the input."""
    if not can_be_tagged(inbox):
        pytest.skip("no extended attributes here")

    def tagged_by(name: str) -> str:
        return str(json.loads(os.getxattr(inbox / "in" / name, "user.pagemill"))["pagemill-run"])

    first = run_scripted(inbox, lambda _: RECEIPT, input_files={"after": "tag"})
    write_pdf(inbox / "in" / "d.pdf", "later")
    second = run_scripted(inbox, lambda _: RECEIPT, input_files={"after": "tag"})
    run_scripted(inbox, lambda _: RECEIPT, input_files={"after": "tag"})
    assert tagged_by("a.pdf") == tagged_by("b.pdf") == first.identity.run_id
    assert tagged_by("d.pdf") == second.identity.run_id
    assert "user.pagemill" not in os.listxattr(inbox / "in" / "c.pdf")
