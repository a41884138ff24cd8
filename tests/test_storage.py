"""One interface over a folder and over a bucket on a real S3 server."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, StorageError
from pipeline.storage import Storage, open_storage
from pipeline.storage.bucket_access import PATIENCE_VARIABLE
from pipeline.storage.retrying import without_secrets

Put = Callable[..., None]


@pytest.fixture(params=["folder", "bucket", "gcs"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return an empty storage of each kind."""
    if request.param == "folder":
        return open_storage(str(tmp_path / "root"))
    bucket = request.getfixturevalue("bucket")
    return open_storage(f"{bucket.replace('s3', 'gs') if request.param == 'gcs' else bucket}/some/prefix")


@pytest.fixture
def put(storage: Storage, tmp_path: Path) -> Put:
    """Return a function that puts text under a key."""

    def put(key: str, text: str = "x") -> None:
        finished = tmp_path / "finished"
        finished.write_text(text)
        storage.put(key, finished)

    return put


def test_what_was_put_is_listed_read_and_deleted(storage: Storage, put: Put) -> None:
    """The whole interface, the same for both kinds."""
    put("a/b.txt", "old")
    put("a/b.txt", "hello")
    (file,) = storage.files()
    assert (file.key, file.size_bytes) == ("a/b.txt", 5)
    assert file.modified_at is not None
    assert abs((datetime.now(UTC) - file.modified_at).total_seconds()) < 600
    assert storage.exists("a/b.txt")
    with storage.local_copy("a/b.txt") as path:
        assert path.read_text() == "hello"
    with storage.open("a/b.txt") as reader:
        reader.seek(-2, os.SEEK_END)
        assert reader.read() == b"lo"
    storage.delete("a/b.txt")
    storage.delete("a/b.txt")
    assert not storage.exists("a/b.txt")
    assert list(storage.files()) == []


def test_listing_is_sorted_and_leaves_out_hidden_names(storage: Storage, put: Put) -> None:
    """Half-written files and other tools' markers are not data."""
    for key in ("b/2", "b/1", "a", "_temporary/x", ".hidden", "b/_SUCCESS"):
        put(key)
    assert list(storage.keys()) == ["a", "b/1", "b/2"]
    assert [file.key for file in storage.files(depth=1)] == ["a"]


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("pages/", ["pages/1", "pages/2"]), ("pages/1", ["pages/1"]), ("page", ["pages/1", "pages/2"]), ("none/", [])],
)
def test_prefix_selects_keys_by_their_beginning(storage: Storage, put: Put, prefix: str, keys: list[str]) -> None:
    """Tables share one root."""
    for key in ("pages/1", "pages/2", "documents/1"):
        put(key)
    assert list(storage.keys(prefix)) == keys


@pytest.mark.parametrize("read", [lambda s: s.open("no"), lambda s: s.local_copy("no").__enter__().read_bytes()])
def test_missing_file_is_told_from_a_failing_storage(storage: Storage, read: Callable[[Storage], object]) -> None:
    """A document that vanished is one failed record; a storage that is gone ends the run."""
    with pytest.raises(FileNotFoundError):
        read(storage)


def test_parquet_reads_only_its_footer_and_columns(storage: Storage, tmp_path: Path) -> None:
    """`show` over a bucket must not download every part."""
    table = pa.table({"n": range(1000)})
    pq.write_table(table, tmp_path / "t.parquet")
    storage.put("t.parquet", tmp_path / "t.parquet")
    with storage.open("t.parquet") as file:
        assert pq.ParquetFile(file).read() == table


def test_failed_put_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A reader never sees a short part."""
    storage = open_storage(str(tmp_path / "root"))
    old = tmp_path / "old"
    old.write_text("old")
    storage.put("a/b", old)
    with pytest.raises(FileNotFoundError):
        storage.put("a/b", tmp_path / "none")
    assert [path.name for path in (tmp_path / "root" / "a").iterdir()] == ["b"]
    assert (tmp_path / "root" / "a" / "b").read_text() == "old"


def test_half_written_files_of_killed_writers_are_swept(tmp_path: Path) -> None:
    """Nobody else would ever delete them, and a disk fills up; what merely looks alike stays."""
    swept = [".a.tmp", "pages/.part-1.parquet.tmp", "quarantine/x/.1.png.tmp"]
    kept = ["_lease", "pages/part-1.parquet", "pages/a.tmp", ".hidden", "q/r/s/.deeper.tmp", "pages/.folder.tmp/a"]
    for name in [f"invoice/{key}" for key in swept + kept] + ["other/.a.tmp", "elsewhere/.a.tmp"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "invoice" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "invoice" / ".linked.tmp").symlink_to(tmp_path / "other" / ".a.tmp")
    storage = open_storage(str(tmp_path))
    assert storage.sweep("invoice/") == len(swept)
    assert [key for key in swept if (tmp_path / "invoice" / key).exists()] == []
    assert [key for key in kept if not (tmp_path / "invoice" / key).exists()] == []
    assert (tmp_path / "other" / ".a.tmp").exists()
    assert (tmp_path / "elsewhere" / ".a.tmp").exists()
    assert storage.sweep("invoice/") == 0


def test_sweeping_what_does_not_exist_is_no_error(storage: Storage) -> None:
    """A first run sweeps too."""
    assert storage.sweep("invoice/") == 0


def test_copies_are_made_where_asked_and_leave_nothing(bucket: str, tmp_path: Path) -> None:
    """A killed run's copies are found there and deleted."""
    (tmp_path / "finished").write_text("x")
    storage = open_storage(bucket)
    storage.put("a", tmp_path / "finished")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with storage.local_copy("a", scratch) as path:
        assert path.is_relative_to(scratch)
    assert list(scratch.iterdir()) == []


FULL_DISK = """
import sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.storage import open_storage

disk, big, filler = (Path(name) for name in sys.argv[1:])
storage = open_storage(str(disk / "out"))
storage.put("a/part", filler)
Path(disk / "filler").write_bytes(b"x" * 600_000)
try:
    storage.put("a/part", big)
except StorageError as error:
    print(error)
print(sorted(path.name for path in (disk / "out" / "a").iterdir()), (disk / "out" / "a" / "part").read_text())
Path(disk / "filler").unlink()
storage.put("a/part", big)
print((disk / "out" / "a" / "part").stat().st_size)
"""


def test_a_full_disk_is_named_and_costs_nothing_that_was_written(tmp_path: Path) -> None:
    """On a real small disk: the old part stays whole, nothing short is left, and it goes on when there is space."""
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    disk, big, small = tmp_path / "disk", tmp_path / "big", tmp_path / "small"
    disk.mkdir()
    big.write_bytes(b"x" * 700_000)
    small.write_text("old")
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    if subprocess.run([*inside, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody mount a disk of his own (unshare --user --mount)")
    code = [sys.executable, "-c", FULL_DISK, str(disk), str(big), str(small)]
    done = subprocess.run(
        [*inside, "sh", "-c", f'{mount} && exec "$@"', "sh", *code], capture_output=True, text=True, check=False
    )
    message, left, size = done.stdout.splitlines()
    assert message == f"No space is left for '{disk}/out/a/part'; free some and run the same command again."
    assert left == "['part'] old"
    assert size == "700000"


@pytest.mark.parametrize("root", ["/proc/pagemill/out", "{tmp}/file", "{tmp}/file/out"])
def test_a_root_that_cannot_be_made_says_what_to_do(tmp_path: Path, root: str) -> None:
    """It is a wrong path, not a fault in Pagemill."""
    finished = tmp_path / "file"
    finished.write_text("x")
    with pytest.raises(StorageError, match="choose another folder"):
        open_storage(root.format(tmp=tmp_path)).put("a/b", finished)


@pytest.mark.parametrize("key", ["../x", "/etc/x", "a/../../x", ""])
def test_keys_stay_below_the_root(tmp_path: Path, key: str) -> None:
    """Whatever a key is made of, it never leaves the output."""
    with pytest.raises(ValueError, match="no key"):
        open_storage(str(tmp_path)).exists(key)


def test_unknown_scheme_is_refused_with_what_is_known() -> None:
    """A typo in a URL must not create a folder of that name."""
    with pytest.raises(ConfigError, match="file://, gs://, s3://"):
        open_storage("s4://bucket/x")


def test_wrong_bucket_says_so(bucket: str) -> None:
    """An empty answer would look like an empty input."""
    with pytest.raises(StorageError, match="does not exist"):
        list(open_storage("s3://no-such-bucket").keys())


def test_unreachable_bucket_is_tried_again_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that restarts must not end the night; one that is gone must, and say where it was."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
        calls: list[bytes] = []

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    calls.append(connection.recv(100))
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        monkeypatch.setenv(PATIENCE_VARIABLE, "1.5")
        with pytest.raises(
            StorageError, match=r"s3://documents/a.*tried \d+ times in 2 s.*Check its address"
        ) as caught:
            open_storage("s3://documents").exists("a")
    assert len(calls) >= 3
    assert "s3cret" not in str(caught.value)


def test_credentials_never_reach_a_message() -> None:
    """Messages are written to Parquet and logs."""
    text = "failed https://user:pass@host/a?sig=abc&x=1 (retry)"
    assert without_secrets(text) == "failed https://host/a (retry)"


def test_a_folder_that_a_deletion_leaves_empty_is_gone_too(tmp_path: Path) -> None:
    """As in a bucket: people take an empty folder of the quarantine for a failure."""
    storage = open_storage(str(tmp_path / "out"))
    finished = tmp_path / "finished"
    finished.write_text("x", encoding="ascii")
    for key in ("a/b/c.txt", "a/b/d.txt", "a/e.txt"):
        storage.put(key, finished)
    storage.delete("a/b/c.txt")
    assert (tmp_path / "out/a/b").is_dir()
    storage.delete("a/b/d.txt")
    assert sorted(path.name for path in (tmp_path / "out/a").iterdir()) == ["e.txt"]
    storage.delete("a/e.txt")
    storage.delete("a/b/never.txt")
    assert list((tmp_path / "out").iterdir()) == []
