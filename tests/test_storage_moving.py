"""Files are moved and tagged in place, never lost, never overwritten; in folders, in a bucket, and across."""

import itertools
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, StorageError
from pipeline.storage import Storage, StoredFile, canonical, local_path, open_storage

Open = Callable[[str], Storage]
PLACES = ["folder", "bucket"]
ALL_PLACES = [*PLACES, "gcs"]


@pytest.fixture
def open_place(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return a function that opens "folder/x" or "bucket/x"."""

    def opened(name: str) -> Storage:
        kind, _, below = name.partition("/")
        if kind == "folder":
            return open_storage(f"{tmp_path}/root/{below}")
        bucket = request.getfixturevalue("bucket")
        return open_storage(f"{bucket.replace('s3', 'gs') if kind == 'gcs' else bucket}/{below}")

    return opened


def _put(storage: Storage, key: str, text: str, tmp_path: Path) -> StoredFile:
    (tmp_path / "finished").write_text(text, encoding="utf-8")
    storage.put(key, tmp_path / "finished")
    return storage.stat(key)


def _content(storage: Storage, key: str) -> str:
    with storage.open(key) as file:
        return file.read().decode()


@pytest.mark.parametrize(("source", "target"), [*itertools.product(PLACES, PLACES), ("gcs", "gcs"), ("gcs", "folder")])
def test_a_moved_file_is_there_and_no_longer_here(open_place: Open, tmp_path: Path, source: str, target: str) -> None:
    """Within and between; the folder it lay in stays, as an inbox is somebody's."""
    inbox, done = open_place(f"{source}/in box"), open_place(f"{target}/done")
    seen = _put(inbox, "sub/a ü%20.pdf", "x" * 10_000, tmp_path)
    assert inbox.move("sub/a ü%20.pdf", done, "2026/a ü%20.pdf", seen=seen) == "2026/a ü%20.pdf"
    assert list(inbox.keys()) == []
    assert list(done.keys()) == ["2026/a ü%20.pdf"]
    assert _content(done, "2026/a ü%20.pdf") == "x" * 10_000
    if source == "folder":
        assert (tmp_path / "root/in box/sub").is_dir()


@pytest.mark.parametrize("source", PLACES)
@pytest.mark.parametrize("target", PLACES)
def test_nothing_is_overwritten_by_a_move(open_place: Open, tmp_path: Path, source: str, target: str) -> None:
    """Scanners count from 1 every day. The same content is a move that was killed before its last step."""
    inbox, done = open_place(f"{source}/in"), open_place(f"{target}/done")
    for text, name in [("one", "a.pdf"), ("two", "a (2).pdf"), ("two", "a (2).pdf"), ("six", "a (3).pdf")]:
        _put(inbox, "a.pdf", text, tmp_path)
        assert inbox.move("a.pdf", done, "a.pdf") == name
        assert not inbox.exists("a.pdf")
    assert [_content(done, key) for key in sorted(done.keys())] == ["two", "six", "one"]


@pytest.mark.parametrize("place", ALL_PLACES)
def test_what_was_written_again_since_it_was_seen_stays(open_place: Open, tmp_path: Path, place: str) -> None:
    """The new content was not read yet."""
    inbox, done = open_place(f"{place}/in"), open_place(f"{place}/done")
    seen = _put(inbox, "a.pdf", "old", tmp_path)
    _put(inbox, "a.pdf", "newer", tmp_path)
    assert inbox.move("a.pdf", done, "a.pdf", seen=seen) is None
    assert (_content(inbox, "a.pdf"), list(done.keys())) == ("newer", [])
    with pytest.raises(FileNotFoundError):
        inbox.move("b.pdf", done, "b.pdf")


def test_two_that_move_to_one_name_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two runs may clear two inputs into one folder, and both have a scan.pdf."""
    done, names = open_storage(str(tmp_path / "done")), [str(number) for number in range(50)]
    inboxes = [open_storage(str(tmp_path / which)) for which in "ab"]
    for which, inbox in zip("ab", inboxes, strict=True):
        for name in names:
            _put(inbox, name, f"{which} {name}", tmp_path)
    with ThreadPoolExecutor(2) as pool:
        for name in names:
            list(pool.map(lambda inbox, name=name: inbox.move(name, done, name), inboxes))
    assert len({_content(done, file.key) for file in done.files()}) == 100


@pytest.mark.parametrize("place", ALL_PLACES)
def test_a_file_is_as_it_was_listed(open_place: Open, tmp_path: Path, place: str) -> None:
    """Listings of MinIO and GCS say milliseconds, and their answers about one object do not; else nothing was moved."""
    inbox, done = open_place(f"{place}/inbox"), open_place(f"{place}/done")
    _put(inbox, "a.pdf", "text", tmp_path)
    (listed,) = inbox.files()
    assert inbox.stat("a.pdf").is_as(listed)
    assert inbox.move("a.pdf", done, "a.pdf", seen=listed) == "a.pdf"


def test_what_no_object_can_be_called_is_told(open_place: Open, tmp_path: Path) -> None:
    """Files may have such names; a move of one must not end a run with a fault of the library."""
    inbox, done = open_place("folder/inbox"), open_place("bucket/done")
    for name in ("new\nline.pdf", "\udcff.pdf"):
        _put(inbox, name, "text", tmp_path)
        with pytest.raises(StorageError, match="no name"):
            inbox.move(name, done, name)


def test_a_link_is_moved_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    """A relative link would lead nowhere from another folder; the file itself is not ours to touch."""
    (tmp_path / "elsewhere").write_text("x", encoding="ascii")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.pdf").symlink_to("../elsewhere")
    done = open_storage(str(tmp_path / "done"))
    assert open_storage(str(tmp_path / "in")).move("a.pdf", done, "deep/a.pdf") == "deep/a.pdf"
    assert not (tmp_path / "in/a.pdf").is_symlink()
    assert (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "done/deep/a.pdf").is_symlink()
    assert _content(done, "deep/a.pdf") == "x"


def test_tags_of_an_object_are_added_to_its_own(open_place: Open, tmp_path: Path, bucket: str, s3_server: str) -> None:
    """Lifecycle rules of the bucket look at them."""
    import boto3  # type: ignore[import-untyped]

    storage = open_place("bucket/in")
    seen = _put(storage, "a b.pdf", "x", tmp_path)
    storage.check_taggable()
    assert storage.tag("a b.pdf", {"pagemill": "read", "team": "ours"}, seen=seen)
    assert storage.tag("a b.pdf", {"pagemill": "failed"}, seen=seen), "tagging does not change when it was modified"
    s3 = boto3.client("s3", endpoint_url=s3_server)
    found = s3.get_object_tagging(Bucket="documents", Key="in/a b.pdf")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == {"pagemill": "failed", "team": "ours"}
    s3.close()
    _put(storage, "a b.pdf", "longer", tmp_path)
    assert not storage.tag("a b.pdf", {"pagemill": "read"}, seen=seen)
    with pytest.raises(FileNotFoundError):
        storage.tag("none", {"pagemill": "read"})


def test_tags_of_a_file_are_added_to_its_own(open_place: Open, tmp_path: Path) -> None:
    """`getfattr` shows them."""
    storage = open_place("folder/in")
    seen = _put(storage, "a.pdf", "x", tmp_path)
    path = tmp_path / "root/in/a.pdf"
    try:
        storage.check_taggable()
    except ConfigError as error:
        pytest.skip(str(error))
    assert storage.tag("a.pdf", {"pagemill": "read", "team": "ours"}, seen=seen)
    assert storage.tag("a.pdf", {"pagemill": "failed"}, seen=seen)
    assert json.loads(os.getxattr(path, "user.pagemill")) == {"pagemill": "failed", "team": "ours"}
    os.setxattr(path, "user.pagemill", b"not JSON")
    assert storage.tag("a.pdf", {"pagemill": "read"})
    assert json.loads(os.getxattr(path, "user.pagemill")) == {"pagemill": "read"}
    with pytest.raises(FileNotFoundError):
        storage.tag("none", {"pagemill": "read"})


def test_where_no_file_can_be_tagged_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And not after the first night's documents were read."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    with pytest.raises(ConfigError, match=r"az://.*be moved"):
        open_storage("az://container/in").check_taggable()
    open_storage(str(tmp_path / "not yet there")).check_taggable()
    if os.path.ismount("/proc"):
        with pytest.raises(ConfigError, match="'/proc' takes no tags"):
            open_storage("/proc").check_taggable()


def test_a_file_with_an_old_time_has_changed_just_now(tmp_path: Path) -> None:
    """`cp -p` and rsync give a file that they are still writing, or have just written, the time of its original."""
    path = tmp_path / "a.pdf"
    path.write_text("x", encoding="ascii")
    os.utime(path, (10**9, 10**9))
    (file,) = open_storage(str(tmp_path)).files()
    assert file.modified_at == datetime.fromtimestamp(10**9, UTC)
    assert file.changed_at is not None
    assert abs(file.changed_at.timestamp() - time.time()) < 60
    assert open_storage(str(tmp_path)).stat("a.pdf") == file


def test_an_object_changed_when_it_appeared(open_place: Open, tmp_path: Path) -> None:
    """Objects appear whole."""
    storage = open_place("bucket/in")
    seen = _put(storage, "a.pdf", "x", tmp_path)
    assert seen.changed_at == seen.modified_at
    assert [file.key for file in storage.files() if file.is_as(seen)] == ["a.pdf"]


@pytest.mark.parametrize(
    "spelling",
    ["{tmp}/a b", "{tmp}/a b/", "{tmp}/./x/../a b", "file://{tmp}/a%20b", "FILE://localhost{tmp}/a b/", "a b", "~/a b"],
)
def test_one_place_has_one_name(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease, and what a killed run left, are found by every spelling of an output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    location = spelling.format(tmp=tmp_path)
    assert canonical(location) == f"{tmp_path}/a b"
    _put(open_storage(location), "k", "x", tmp_path)
    assert (tmp_path / "a b/k").read_text(encoding="ascii") == "x"


@pytest.mark.parametrize("spelling", ["s3://b/x%20y/z", "s3://b/x y/z/", "S3://b/x%20y/z//"])
def test_one_folder_of_a_bucket_has_one_name(spelling: str) -> None:
    """The same for buckets; URLs are percent-decoded."""
    assert canonical(spelling) == "s3://b/x%20y/z"
    assert local_path(spelling) is None


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file://host/share", "three slashes"),
        ("ftp://host/x", "no storage Pagemill knows"),
        ("~nobody-of-that-name/x", "whole path"),
        ("s3:///x", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://bucket/a//b", "no names of folders"),
        ("s3://bucket/a/%2e%2e/b", "no names of folders"),
        ("s3://KEY:s3cret@bucket/x", "may not hold credentials"),
        ("az://container/x?sv=1&sig=s3cret", "may not hold credentials"),
        ("s3://bucket/x?X-Amz-Signature=s3cret", "may not hold credentials"),
        ("s3://bucket/x?y", "may not hold a query"),
    ],
)
def test_what_names_no_place_is_refused_with_what_to_write(location: str, why: str) -> None:
    """Before anything is read; and a secret in it is not repeated."""
    with pytest.raises(ConfigError, match=why) as caught:
        open_storage(location)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a#b", "100%", "a%zz", "ü ö", "a+b", "[x]"])
def test_any_name_of_a_folder_survives_in_a_url(name: str, bucket: str, tmp_path: Path) -> None:
    """A "#" once cut the rest of the URL off, and the output was somewhere else."""
    _put(open_storage(f"{bucket}/{name}"), "k", "x", tmp_path)
    assert list(open_storage(bucket).keys()) == [f"{name}/k"]
    assert list(open_storage(canonical(f"{bucket}/{name}")).keys()) == ["k"]
