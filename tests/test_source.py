"""What an input names, for good and for hostile file trees."""

import os
import random
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.errors import ConfigError
from pipeline.ready import Readiness
from pipeline.source import Fetcher, list_documents, list_input, path_of, path_uri


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a small input folder."""
    for name in ("b.pdf", "a.pdf", "sub/c.pdf", "sub/deep/d.png", "_skipped/x.pdf", ".hidden.pdf", "sub/_y.pdf"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "in"


def names(location: Path, root: Path) -> list[str]:
    """Return the listed paths below `root`."""
    return [str(path_of(ref.uri).relative_to(root)) for ref in list_documents(str(location))]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["a.pdf", "b.pdf", "sub/c.pdf", "sub/deep/d.png"]),
        ("b.pdf", ["b.pdf"]),
        (".hidden.pdf", [".hidden.pdf"]),
        ("*.pdf", ["a.pdf", "b.pdf"]),
        ("[a-b].p?f", ["a.pdf", "b.pdf"]),
        ("*/*.pdf", ["sub/c.pdf"]),
        ("**/*.pdf", ["a.pdf", "b.pdf", "sub/c.pdf"]),
        ("sub/**", ["sub/c.pdf", "sub/deep/d.png"]),
        ("**/deep/*", ["sub/deep/d.png"]),
    ],
)
def test_file_folder_and_glob_name_documents_in_order(tree: Path, pattern: str, found: list[str]) -> None:
    """The order is the same in every run, so that shards and samples are."""
    assert names(tree / pattern, tree) == found


def test_refs_carry_size_and_time(tree: Path) -> None:
    """An unchanged file is recognised by these two without being opened."""
    (ref,) = list_documents(str(tree / "a.pdf"))
    found = (tree / "a.pdf").stat()
    assert ref.size_bytes == found.st_size
    assert ref.modified_at is not None
    assert ref.modified_at.timestamp() == pytest.approx(found.st_mtime, abs=1e-5)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("in/b.pfd", r"did you mean '.*b\.pdf'"),
        ("inn", r"did you mean '.*in'"),
        ("nowhere/x/y", "does not exist"),
        ("nowhere/*.pdf", "where .* begins, does not exist"),
        ("in/*.jpg", r"fits '\*\.jpg'"),
        ("empty", "No document is in"),
        ("ftp://host/x", "no storage Pagemill knows"),
    ],
)
def test_wrong_input_is_told_with_what_to_do(
    tree: Path, monkeypatch: pytest.MonkeyPatch, location: str, message: str
) -> None:
    """Most first runs begin with a wrong path."""
    monkeypatch.chdir(tree.parent)
    (tree.parent / "empty").mkdir()
    with pytest.raises(ConfigError, match=message):
        list(list_documents(location))


@pytest.mark.parametrize(
    "name", ["new\nline.pdf", b"latin-\xe9.pdf", "per%20cent.pdf", "ünïcode 🧾.pdf", "#?&;.pdf", "-rf", "a[1].pdf"]
)
def test_any_name_survives_as_uri(tmp_path: Path, name: str | bytes) -> None:
    """A URI is the identity of a document over runs, whatever people and scanners call files."""
    path = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
    Path(os.fsdecode(path)).write_text("x")
    (ref,) = list_documents(str(tmp_path))
    assert ref.uri.isascii()
    assert "\n" not in ref.uri
    assert os.fsencode(path_of(ref.uri)) == path
    assert path_uri(path_of(ref.uri)) == ref.uri
    with Fetcher().fetch(ref) as found:
        assert found.read_text() == "x"
    assert [again.uri for again in list_documents(os.fsdecode(path))] == [ref.uri]
    assert [again.uri for again in list_documents(ref.uri)] == [ref.uri]


def test_links_in_circles_end(tree: Path) -> None:
    """A folder linked into itself is common on shared drives."""
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "sub" / "self").symlink_to(".")
    (tree / "loop").symlink_to("loop")
    other = tree.parent / "other"
    other.mkdir()
    (other / "o.pdf").write_text("x")
    (tree / "link1").symlink_to(other)
    (tree / "link2").symlink_to(other)
    assert names(tree, tree) == ["a.pdf", "b.pdf", "link1/o.pdf", "loop", "sub/c.pdf", "sub/deep/d.png"]


def test_the_output_is_no_input_by_way_of_a_link_either(tree: Path) -> None:
    """A link to the folder above, which holds both, would turn results into documents."""
    (tree.parent / "out" / "receipt").mkdir(parents=True)
    (tree.parent / "out" / "receipt" / "part.parquet").write_text("x")
    (tree / "sub" / "up").symlink_to(tree.parent)
    found = [Path(ref.name).name for ref in list_input(str(tree), str(tree.parent / "out"))]
    assert found == ["a.pdf", "b.pdf", "c.pdf", "d.png"]


def test_what_cannot_be_read_is_listed_all_the_same(tree: Path) -> None:
    """It ends in a failed record; left out, nobody would miss it."""
    os.mkfifo(tree / "fifo")
    (tree / "gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket"))
    assert {"fifo", "gone", "socket"} < set(names(tree, tree))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_locked_folder_is_listed_as_one_document(tree: Path) -> None:
    """One folder without permission must not end the run, and must not be forgotten."""
    (tree / "sub").chmod(0)
    try:
        assert names(tree, tree) == ["a.pdf", "b.pdf", "sub"]
    finally:
        (tree / "sub").chmod(0o755)


def test_deep_trees_are_walked(tmp_path: Path) -> None:
    """Trees deeper than Python's stack exist where scripts went wrong."""
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    (tmp_path / "a.pdf").write_text("x")
    found = names(tmp_path, tmp_path)
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # Python's rmtree, which pytest uses, recurses
    assert found[0] == "a.pdf"


def test_bucket_documents_are_listed_and_fetched(bucket: str, tmp_path: Path) -> None:
    """The same rules over HTTP: folder, glob and single object."""
    from pipeline.storage import open_storage

    made = tmp_path / "made"
    made.write_text("content")
    for key in ("in/a b.pdf", "in/deep/c.pdf", "in/_x.pdf", "other/d.pdf"):
        open_storage(bucket).put(key, made)
    every = [f"{bucket}/in/a%20b.pdf", f"{bucket}/in/deep/c.pdf"]
    assert [ref.uri for ref in list_documents(f"{bucket}/in")] == every
    assert [ref.uri for ref in list_documents(f"{bucket}/in/**/*.pdf")] == every
    assert [ref.uri for ref in list_documents(f"{bucket}/in/*.pdf")] == every[:1]
    (ref,) = list_documents(f"{bucket}/in/a b.pdf")
    assert (ref.uri, ref.size_bytes) == (every[0], 7)
    with Fetcher().fetch(ref) as path:
        assert path.read_text() == "content"
    assert not path.exists()


@pytest.mark.parametrize("seconds", [1e12, -1e12])
def test_a_time_that_no_calendar_has_stops_no_listing(seconds: float) -> None:
    """Some file systems keep any 64-bit number of seconds; a broken clock or a prankster sets it."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "a.pdf")
        path.touch()
        os.utime(path, (seconds, seconds))
        if abs(path.stat().st_mtime) < 1e11:
            pytest.skip("this file system keeps no such time")
        (found,) = list_documents(folder)
        assert found.modified_at is not None
        assert found.modified_at.year in {1, 9999}


LATER = timedelta(hours=1)


def listed_at(folder: Path, readiness: Readiness) -> list[str]:
    """Return the names of the documents that are whole."""
    return [str(path_of(ref.uri).relative_to(folder)) for ref in list_documents(str(folder), readiness)]


def test_a_file_that_changed_lately_waits(tree: Path) -> None:
    """A scanner or an SFTP client may still be writing it."""
    now = datetime.now(UTC)
    old = (now - LATER).timestamp()
    assert listed_at(tree, waits := Readiness(10, now=now)) == []
    assert waits.arriving == 4
    assert len(listed_at(tree, settled := Readiness(10, now=now + timedelta(seconds=30)))) == 4
    assert settled.arriving == 0
    os.utime(tree / "a.pdf", (old, old))
    assert listed_at(tree, Readiness(10, now=now)) == [], "cp -p and rsync -t give a new file an old time"


def test_a_file_from_the_far_future_does_not_wait_until_then(tree: Path) -> None:
    """A camera with a dead battery dates its pictures 2098."""
    os.utime(tree / "a.pdf", (4e9, 4e9))
    assert listed_at(tree, Readiness(10)) == ["a.pdf"]


def test_names_that_uploads_give_to_halves_wait_however_old(tree: Path) -> None:
    """An upload that broke off leaves its half for ever; it is no failed document."""
    for name in ("x.pdf.part", "y.pdf.filepart", "z.crdownload"):
        (tree / name).touch()
    readiness = Readiness(10, now=datetime.now(UTC) + LATER)
    assert len(listed_at(tree, readiness)) == 4
    assert readiness.arriving == 3
    assert len(names(tree, tree)) == 7, "as long as nobody asks, every file is a document"


def test_a_marker_in_its_folder_says_that_documents_are_whole(tree: Path) -> None:
    """As Spark and Hadoop leave it; of any name."""
    (tree / "sub" / "_SUCCESS").touch()
    readiness = Readiness(ready="_SUCCESS")
    assert listed_at(tree, readiness) == ["sub/c.pdf"]
    assert readiness.arriving == 3
    (tree / "COMPLETE").touch()
    assert listed_at(tree, Readiness(ready="COMPLETE")) == ["a.pdf", "b.pdf"]


def test_a_marker_beside_a_document_says_that_it_is_whole(tree: Path) -> None:
    """In whatever order other names fall between the two, and never as a document."""
    for name in ("a.pdf-1", "a.pdf.dir/x.pdf", "a.pdf.done", "sub/c.pdf.done", "gone.pdf.done"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    readiness = Readiness(ready="*.done")
    assert listed_at(tree, readiness) == ["a.pdf", "sub/c.pdf"]
    assert readiness.arriving == 4
    found = [Path(ref.name).name for ref in list_documents(f"{tree}/*.pdf", Readiness(ready="*.done"))]
    assert found == ["a.pdf"], "the glob is for documents and not for their markers"


def test_markers_are_found_in_any_set_of_names(tmp_path: Path) -> None:
    """Names that sort between a document and its marker are common: a.pdf, a.pdf-2.pdf, a.pdf.done."""
    draw = random.Random(7)
    pool = [
        "a",
        "a.pdf",
        "a.pdf-",
        "a.pdf.d",
        "a.pdf.dz",
        "a.pdf ",
        "a.pdf.done2",
        "b",
        "a-",
        "a/a",
        "a./a",
        "a.pdf.d/x",
    ]
    for number in range(30):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        marked = set()
        for name in draw.sample(pool, 6):
            if any(path.is_file() for path in (folder / name).parents):
                continue
            (folder / name).parent.mkdir(exist_ok=True)
            if (folder / name).exists():
                continue
            (folder / name).touch()
            if draw.random() < 0.5:
                (folder / f"{name}.done").touch()
                marked.add(name)
        if any(folder.rglob("*")):
            assert set(listed_at(folder, Readiness(ready="*.done"))) == marked


def test_the_marker_of_an_earlier_document_is_not_believed(tree: Path) -> None:
    """Where nobody clears them away, markers outlive the documents they were made for."""
    (tree / "a.pdf.done").touch()
    past = time.time() - 3600
    os.utime(tree / "a.pdf", (past, past))
    assert listed_at(tree, Readiness(ready="*.done")) == ["a.pdf"]
    future = time.time() + 60
    os.utime(tree / "a.pdf", (future, future))
    assert listed_at(tree, Readiness(ready="*.done")) == []


@pytest.mark.parametrize("ready", ["*", "a/b", "**.done", "*.d?ne", ""])
def test_a_marker_that_cannot_be_is_refused(ready: str) -> None:
    """It would make every document wait for ever."""
    with pytest.raises(ConfigError, match="_SUCCESS"):
        Readiness(ready=ready)


def test_an_input_of_which_nothing_is_whole_is_no_mistake(tree: Path, tmp_path: Path) -> None:
    """Nor is an empty one, where documents come and go."""
    assert listed_at(tree, Readiness(60)) == []
    (tmp_path / "empty").mkdir()
    assert list(list_input(str(tmp_path / "empty"), str(tmp_path / "out"), may_be_empty=True)) == []


def test_a_document_named_outright_is_read_as_it_is(tree: Path) -> None:
    """Whoever names it knows that it is there."""
    assert len(list(list_documents(str(tree / "a.pdf"), Readiness(60, "*.done")))) == 1


def test_objects_settle_and_have_markers_too(bucket: str, tmp_path: Path) -> None:
    """One question a folder, and none where markers lie beside the documents: these are in the listing."""
    from pipeline.storage import open_storage

    (tmp_path / "made").write_text("content")
    for key in ("in/x/a.pdf", "in/x/a.pdf.done", "in/x/b.pdf", "in/y/c.pdf", "in/y/_SUCCESS"):
        open_storage(bucket).put(key, tmp_path / "made")
    whole = {
        "settled": Readiness(10, now=datetime.now(UTC) + LATER),
        "fresh": Readiness(10, now=datetime.now(UTC)),
        "folder": Readiness(ready="_SUCCESS"),
        "beside": Readiness(ready="*.done"),
    }
    found = {
        name: [ref.uri.removeprefix(f"{bucket}/in/") for ref in list_documents(f"{bucket}/in", readiness)]
        for name, readiness in whole.items()
    }
    assert found == {
        "settled": ["x/a.pdf", "x/a.pdf.done", "x/b.pdf", "y/c.pdf"],
        "fresh": [],
        "folder": ["y/c.pdf"],
        "beside": ["x/a.pdf"],
    }


@pytest.mark.parametrize("spelling", ["my scans/50%25", "my%20scans/50%25"])
def test_a_bucket_url_may_be_escaped_or_not(bucket: str, tmp_path: Path, spelling: str) -> None:
    """Consoles show keys as they are, tools print URLs; a document has one URI."""
    from pipeline.storage import open_storage

    (tmp_path / "made").write_text("content")
    for key in ("my scans/50%/a b.pdf", "my scans/50%/x/c.pdf", "my scans/50%/out put/part.parquet"):
        open_storage(bucket).put(key, tmp_path / "made")
    place = f"{bucket}/my%20scans/50%25"
    found = list(list_input(f"{bucket}/{spelling}/", f"{bucket}/{spelling}/out put"))
    assert [ref.uri for ref in found] == [f"{place}/a%20b.pdf", f"{place}/x/c.pdf"]
    assert [ref.uri for ref in list_documents(f"{bucket}/{spelling}/a*.pdf")] == [f"{place}/a%20b.pdf"]
    assert [ref.uri for ref in list_documents(found[0].uri)] == [found[0].uri]
    with Fetcher().fetch(found[0]) as path:
        assert path.read_text() == "content"
    with pytest.raises(ConfigError, match="lies in the output"):
        list_input(f"{bucket}/{spelling}/out%20put/*.pdf", f"{bucket}/{spelling}/out put")


def test_a_file_url_may_name_this_machine(tmp_path: Path) -> None:
    """RFC 8089 allows it."""
    (tmp_path / "a b").write_text("x", encoding="ascii")
    (ref,) = list_documents(f"file://localhost{tmp_path}/a%20b")
    assert ref.uri == path_uri(tmp_path / "a b")


def test_an_input_whose_url_is_signed_is_refused_without_its_signature() -> None:
    """It would be written to logs and Parquet; a "?" is else a wildcard."""
    with pytest.raises(ConfigError, match="may not hold credentials") as caught:
        list(list_documents("az://container/in?sv=1&sig=s3cret"))
    assert "s3cret" not in str(caught.value)
