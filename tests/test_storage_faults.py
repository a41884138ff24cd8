"""What an S3 server can do wrong, over real HTTP: what passes is waited for, what lasts is told at once."""

import hashlib
import itertools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.s3.models import s3_backends
from s3_server import Fault, Faults, cut_short, refused, reset, silent

from pipeline.errors import AccessDeniedError, ConfigError, StorageError
from pipeline.storage import Storage, StoredFile, open_storage
from pipeline.storage.answers import Patience
from pipeline.storage.bucket_access import PATIENCE_VARIABLE, patience

TOKEN = "FwoGZXIvYXdzEBYaDH-a-session-token"
SLOW_DOWN = refused("503 Slow Down", "SlowDown", Retry_After="1")
PASSING = (
    refused("500 Internal Server Error", "InternalError"),
    reset,
    SLOW_DOWN,
    refused("429 Too Many Requests"),
)
Ask = Callable[[Storage, Path], object]


def _local_copy(storage: Storage, _: Path) -> object:
    with storage.local_copy("in/a") as path:
        return path.read_bytes()


def _read(storage: Storage, _: Path) -> object:
    with storage.open("in/a") as file:
        file.seek(5)
        return file.read(500)


ASKS: dict[str, Ask] = {
    "GET": _local_copy,
    "GET a range": _read,
    "HEAD": lambda storage, _: storage.stat("in/a").size_bytes,
    "GET a list": lambda storage, _: list(storage.keys()),
    "PUT": lambda storage, content: storage.put("in/b", content),
    "POST": lambda storage, _: storage.delete("in/never"),
    "PUT a copy": lambda storage, _: storage.move("in/a", storage, "done/a"),
}
PATTERNS = {name: name.partition(" ")[0] + " " for name in ASKS}


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Return a file that is not all the same."""
    path = tmp_path / "content"
    path.write_bytes(b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(200)))
    return path


@pytest.fixture
def storage(bucket: str, content: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Return a bucket with in/a."""
    opened = open_storage(bucket)
    opened.put("in/a", content)
    return opened


@pytest.fixture
def impatient(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Return the same, waited for half a second, that has answered before."""
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.5")
    opened = open_storage("s3://documents")
    assert opened.exists("in/a")
    return opened


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Return an event that comes when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(("ask", "faults"), list(zip(ASKS, itertools.permutations(PASSING, 2), strict=False)))
def test_what_passes_costs_nothing(
    storage: Storage, content: Path, s3_faults: Faults, ask: str, faults: tuple[Fault, Fault]
) -> None:
    """Two failures in a row, for each kind of request; the result is as if nothing had been."""
    s3_faults.plan(PATTERNS[ask], *faults)
    result = ASKS[ask](storage, content)
    assert len(s3_faults.met) == 2
    data = content.read_bytes()
    assert result in (None, data, data[5:505], len(data), ["in/a"], "done/a")
    assert all(_sha256(storage, key) == hashlib.sha256(data).hexdigest() for key in list(storage.keys()))


def _sha256(storage: Storage, key: str) -> str:
    with storage.open(key) as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.mark.parametrize(("ask", "honest"), [("GET", False), ("GET a range", False), ("GET a range", True)])
def test_a_truncated_body_is_fetched_again(
    storage: Storage, content: Path, s3_faults: Faults, ask: str, *, honest: bool
) -> None:
    """A short document would be a damaged one. A proxy may call the short length right: seen in a range."""
    s3_faults.plan("GET ", cut_short(100, honest=honest), cut_short(0, honest=honest))
    data = content.read_bytes()
    assert ASKS[ask](storage, content) == (data if ask == "GET" else data[5:505])
    assert len(s3_faults.met) == 2


def test_a_download_goes_on_where_it_broke_off(storage: Storage, content: Path, s3_faults: Faults) -> None:
    """A large file over a bad line would else never come; one that was replaced in between is fetched anew."""
    content.write_bytes(content.read_bytes() * 1000)
    storage.put("in/a", content)
    s3_faults.plan("GET ", cut_short(4 << 20), cut_short(2 << 20))
    started = len(s3_faults.requests)
    assert _local_copy(storage, content) == content.read_bytes()
    assert len(s3_faults.met) == 2
    assert len(s3_faults.requests) - started == 3

    newer = content.with_name("newer")
    newer.write_bytes(content.read_bytes()[::-1])

    def replaced(app: object) -> object:
        storage.put("in/a", newer)
        return refused("500 Internal Server Error")(app)  # type: ignore[arg-type]

    s3_faults.plan("GET ", cut_short(4 << 20), replaced)  # type: ignore[arg-type]
    assert _local_copy(storage, content) == newer.read_bytes()


@pytest.mark.parametrize("ask", ["GET", "GET a list"])
def test_a_server_that_says_nothing_is_asked_again(
    impatient: Storage, content: Path, s3_faults: Faults, never: threading.Event, ask: str
) -> None:
    """An overloaded balancer takes connections and forgets them."""
    s3_faults.plan(PATTERNS[ask], silent(never))
    with pytest.raises(StorageError, match=r"s3://documents/.*no answer in time.*when it answers again"):
        ASKS[ask](impatient, content)
    assert ASKS[ask](impatient, content)


def test_a_body_that_stops_to_come_is_fetched_again(
    impatient: Storage, content: Path, s3_faults: Faults, never: threading.Event
) -> None:
    """And one that comes slowly is not: the limit is for silence, not for the whole."""
    s3_faults.plan("GET ", cut_short(100, then=never))
    with pytest.raises(StorageError, match=r"in/a: .*tried 1 time"):
        _local_copy(impatient, content)

    def dripping(app: object) -> object:
        def answer(environ: object, start_response: object) -> Iterator[bytes]:
            body = b"".join(app(environ, start_response))  # type: ignore[operator]
            for start in range(0, len(body), 1000):
                time.sleep(0.1)
                yield body[start : start + 1000]

        return answer

    s3_faults.plan("GET ", dripping)  # type: ignore[arg-type]
    started = time.monotonic()
    assert _local_copy(impatient, content) == content.read_bytes()
    assert time.monotonic() - started > 0.5


def test_a_listing_that_breaks_in_the_middle_goes_on(storage: Storage, s3_faults: Faults) -> None:
    """Every file once, also when the second page fails in three ways."""
    wanted = [f"many/{number:04}" for number in range(1100)]
    for key in wanted:
        s3_backends["123456789012"]["aws"].put_object("documents", key, b"")
    s3_faults.plan("GET .*continuation-token=.*list-type=2", SLOW_DOWN)
    s3_faults.plan("GET .*list-type=2.*start-after=", cut_short(1000), reset)
    assert list(storage.keys("many/")) == wanted
    assert len(s3_faults.met) == 3


def test_folders_that_a_console_made_are_no_documents(storage: Storage, content: Path) -> None:
    """They are empty objects "folder/"; and an empty file is one, which fails in words."""
    for key in ("in/", "in/a sub/", "in/empty", "in/sub/", "in/sub/b", "in/z/"):
        s3_backends["123456789012"]["aws"].put_object("documents", key, b"x" * (key == "in/sub/b"))
    assert list(storage.keys()) == ["in/a", "in/empty", "in/sub/b"]
    assert list(open_storage("s3://documents/in").keys()) == ["a", "empty", "sub/b"]
    assert list(open_storage("s3://documents/in/z").keys()) == []


def test_an_object_that_cannot_be_named_is_named(storage: Storage) -> None:
    """The library lists none beside it, so somebody must rename it; waiting helps nobody."""
    objects = s3_backends["123456789012"]["aws"]
    objects.put_object("documents", "in/x//y.pdf", b"x")
    with pytest.raises(StorageError, match=r"because of 'in/x//y.pdf'.*Rename"):
        list(storage.keys())
    objects.delete_object("documents", "in/x//y.pdf")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            refused("403 Forbidden", "InvalidAccessKeyId"),
            "access is denied .*InvalidAccessKeyId.*check the credentials",
        ),
        (refused("403 Forbidden", "SignatureDoesNotMatch"), "check the credentials"),
        (refused("401 Unauthorized"), "check the credentials"),
        (refused("403 Forbidden", "RequestTimeTooSkewed"), "set this machine's clock"),
        (refused("400 Bad Request", "ExpiredToken", f"<Token-0>{TOKEN}</Token-0>"), "expired.*Renew them"),
        (refused("403 Forbidden", "ExpiredToken", f"<Token-0>{TOKEN}</Token-0>"), "expired.*Renew them"),
        (refused("400 Bad Request", "InvalidRequest", "<Message>Say why</Message>"), "400 InvalidRequest: Say why"),
        (refused("301 Moved", "PermanentRedirect"), "another region; set AWS_REGION"),
    ],
)
def test_what_lasts_is_told_at_once_and_says_what_to_do(
    storage: Storage, content: Path, s3_faults: Faults, fault: Fault, words: str
) -> None:
    """Waiting would not help; and such a refusal is not that of one object, which would be one failed document."""
    asks = [ASKS["GET"], ASKS["GET a list"], ASKS["PUT"]]
    s3_faults.plan("", *([fault] * len(asks)))
    for ask in asks:
        with pytest.raises(StorageError, match=f"s3://documents/.*{words}") as caught:
            ask(storage, content)
        assert not isinstance(caught.value, AccessDeniedError)
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert len(s3_faults.met) == len(asks)


def test_one_refused_object_is_told_from_wrong_credentials(storage: Storage, content: Path, s3_faults: Faults) -> None:
    """It becomes one failed document, and the night goes on."""
    s3_faults.plan("GET ", refused("403 Forbidden", "AccessDenied"))
    with pytest.raises(AccessDeniedError, match="in/a: access is denied"):
        _local_copy(storage, content)


def test_it_is_time_that_counts_and_not_how_often_it_was_asked(
    storage: Storage, impatient: Storage, content: Path, s3_faults: Faults
) -> None:
    """A bucket may be away for some minutes."""
    s3_faults.plan("GET ", *([SLOW_DOWN] * 4))
    assert _local_copy(storage, content) == content.read_bytes()
    s3_faults.plan("GET ", *([SLOW_DOWN] * 100))
    with pytest.raises(StorageError, match=r"503 SlowDown .tried \d times in [01] s.*when it answers again"):
        _local_copy(impatient, content)


def test_patience_is_minutes_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long enough for a restart or a failover; what was never reached is more likely a typing error."""
    monkeypatch.delenv(PATIENCE_VARIABLE, raising=False)
    assert patience() == Patience()
    assert patience().away_s == 300
    assert patience().never_met_s <= 60
    monkeypatch.setenv(PATIENCE_VARIABLE, "5 minutes")
    with pytest.raises(ConfigError, match="give seconds"):
        patience()


def test_a_large_file_goes_up_in_parts_and_a_failed_part_again(
    storage: Storage, content: Path, s3_faults: Faults
) -> None:
    """What was there stays until the new content is whole."""
    content.write_bytes(content.read_bytes() * 1500)
    s3_faults.plan("PUT .*partNumber=2", SLOW_DOWN, reset)
    storage.put("in/a", content)
    assert len(s3_faults.met) == 2
    assert len([request for request in s3_faults.requests if "partNumber=" in request]) == 4, "the other went up once"
    assert _local_copy(storage, content) == content.read_bytes()


def test_an_upload_that_fails_for_good_leaves_what_was_there(
    impatient: Storage, content: Path, s3_faults: Faults
) -> None:
    """Nothing half written is ever seen."""
    before = impatient.stat("in/a")
    content.write_bytes(content.read_bytes() * 1500)
    s3_faults.plan("PUT .*partNumber=2", *([SLOW_DOWN] * 100))
    for key in ("in/a", "in/new"):
        with pytest.raises(StorageError, match=rf"{key}: 503 SlowDown .tried .*when it answers again"):
            impatient.put(key, content)
    assert list(impatient.files()) == [before]


def test_a_copy_that_fails_moves_nothing(impatient: Storage, content: Path, s3_faults: Faults) -> None:
    """The original is deleted last."""
    before = impatient.stat("in/a")
    s3_faults.plan("PUT ", *([SLOW_DOWN] * 100))
    with pytest.raises(StorageError):
        impatient.move("in/a", impatient, "done/a")
    assert list(impatient.files()) == [before]


def test_an_original_that_was_replaced_while_it_was_copied_stays(
    storage: Storage, content: Path, s3_faults: Faults
) -> None:
    """Nobody has read the new content yet."""
    seen = storage.stat("in/a")
    newer = content.with_name("newer")
    newer.write_bytes(b"newer")

    def replaced(app: object) -> object:
        def answer(environ: object, start_response: object) -> object:
            time.sleep(1)  # times in a bucket are whole seconds
            storage.put("in/a", newer)
            return app(environ, start_response)  # type: ignore[operator]

        return answer

    s3_faults.plan("PUT /documents/done/", replaced)  # type: ignore[arg-type]
    assert storage.move("in/a", storage, "done/a", seen=seen) is None
    assert list(storage.keys()) == ["in/a"]
    with storage.open("in/a") as file:
        assert file.read() == b"newer"


def test_a_tag_is_set_although_the_server_falters(storage: Storage, s3_faults: Faults) -> None:
    """By another library, but with the same patience."""
    s3_faults.plan(".*tagging", SLOW_DOWN, reset)
    s3_faults.plan("PUT .*tagging", refused("500 Internal Server Error", "InternalError"))
    assert storage.tag("in/a", {"pagemill": "read"}, seen=StoredFile(*storage.stat("in/a")))
    assert len(s3_faults.met) == 3
    s3_faults.plan(".*tagging", refused("400 Bad Request", "ExpiredToken", f"<Token-0>{TOKEN}</Token-0>"))
    with pytest.raises(StorageError, match="ExpiredToken") as caught:
        storage.tag("in/a", {"pagemill": "read"})
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
