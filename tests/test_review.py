"""The review server: who may ask, what is taken, and what two people do to the same record."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from html import escape, unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from made_records import Bill, commit, document, ok_page
from review_server import Client, serving

from pipeline.cli import main
from pipeline.results import Record, open_results
from pipeline.review.queue import Show
from pipeline.review.saying import Refused, Said, correction_of
from pipeline.review.server import MAX_BODY
from pipeline.review.sheet import seen_digest
from pipeline.storage import open_storage

BILL = {"seller": "ACME", "total": "12.5", "line_items": [{"description": "tea", "line_total": "4"}]}


def made(folder: Path) -> Path:
    """Return an output of one bill to be looked at and one that is sure."""
    path = folder / "out"
    sure = replace(ok_page(document("sure.pdf", sha256="b" * 64)), review_reasons=())
    doubtful = ok_page(document("a.pdf"), record=Bill.model_validate(BILL).model_dump())
    commit(open_storage(str(path)), "1", (doubtful,), (sure,))
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output of one test's own."""
    return made(tmp_path)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output that no test changes."""
    return made(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def guarded(untouched: Path) -> Iterator[Client]:
    """A browser of that output."""
    with serving(untouched) as found:
        yield found


@pytest.fixture
def client(output: Path) -> Iterator[Client]:
    """Ann's browser."""
    with serving(output) as found:
        yield found


def current(output: Path) -> Record:
    """Return the record of a.pdf as everybody reads it."""
    return open_results(str(output))["bill"].records_at("file:///in/a.pdf")[0]


def test_without_the_key_nothing_is_shown(guarded: Client) -> None:
    """Other people of this machine can reach the port."""
    paths = ("/", "/e/bill/", "/assets/review.js", "/e/bill/0-00000000/1.webp", "/?key=wrong")
    assert {guarded.ask("GET", path, Cookie="")[0] for path in paths} == {403}
    assert guarded.ask("GET", "/e/bill/", Cookie=f"pagemill_{guarded.server.port}=guess")[0] == 403


def test_the_key_becomes_a_cookie_that_no_script_and_no_other_site_has(guarded: Client) -> None:
    """And the address that stays in the browser's history is without it."""
    status, page, headers = guarded.ask("GET", f"/?key={guarded.server.own.key}", Cookie="")
    assert (status, 'content="0; url=/"' in page) == (200, True)
    assert all(word in headers["Set-Cookie"] for word in ("HttpOnly", "SameSite=Strict", "Path=/"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1", ""])
def test_a_host_name_that_is_not_ours_is_refused(guarded: Client, host: str) -> None:
    """A stranger's page could ask under its own name, which leads here (DNS rebinding)."""
    assert guarded.ask("GET", "/e/bill/", Host=host.format(port=guarded.server.port) or "x")[0] == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_our_own_names_are_known(guarded: Client, host: str) -> None:
    """People come through tunnels."""
    assert guarded.ask("GET", "/e/bill/", Host=f"{host}:{guarded.server.port}")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Pagemill_Token": ""},
        {"X_Pagemill_Token": "guess"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Cookie": ""},
    ],
)
def test_what_another_site_may_have_sent_is_refused(guarded: Client, untouched: Path, headers: dict[str, str]) -> None:
    """A form or script elsewhere must not accept values in somebody's name."""
    body = json.dumps({"record": 0, "path": "seller", "action": "accept", **guarded.spot("seller")}).encode()
    place = guarded.desk.queue.page(Show.OPEN, 0, 1)[0].id
    own = {"Content_Type": "application/json", "X_Pagemill_Token": guarded.server.own.token, **headers}
    assert guarded.ask("POST", f"/e/bill/{place}", body, **own)[0] == 403
    assert current(untouched).reviews == {}


def test_a_form_cannot_say_anything(guarded: Client) -> None:
    """Browsers send forms to other sites without asking."""
    place = guarded.desk.queue.page(Show.OPEN, 0, 1)[0].id
    kind = {"Content_Type": "text/plain", "X_Pagemill_Token": guarded.server.own.token}
    assert guarded.ask("POST", f"/e/bill/{place}", b"{}", **kind)[0] == 415


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/assets/../../../etc/passwd",
        "/assets/%2e%2e%2fpages.py",
        "/assets/report.html",
        "/e/..%2f..%2f/",
        "/e/bill/0-00000000",
        "/e/bill/999999999999-00000000",
        "/e/bill/0-zzzzzzzz",
        "/e/other/",
        "//evil.example/",
        "/e/bill/x/../../",
        "/\x00",
        "http://evil.example/",
    ],
)
def test_no_address_leads_anywhere_else(guarded: Client, path: str) -> None:
    """Addresses are never paths of files."""
    raw = http.client.HTTPConnection("127.0.0.1", guarded.server.port, timeout=20)
    raw.putrequest("GET", path.replace("\x00", "%00"), skip_host=True)
    raw.putheader("Host", f"127.0.0.1:{guarded.server.port}")
    raw.putheader("Cookie", guarded.cookie)
    raw.endheaders()
    status = raw.getresponse().status
    raw.close()
    assert status == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[" * 50_000, {}, 400),
        (b"[]", {}, 422),
        (b"{}", {}, 422),
        (b'{"record": 0, "path": "a..b", "action": "accept"}', {}, 422),
        (b'{"record": 0, "path": "seller\\ud800", "action": "accept"}', {}, 422),
        (b'{"record": 7, "path": "seller", "action": "accept"}', {}, 409),
        (b'{"record": 0, "path": "nothing", "action": "accept"}', {}, 422),
        (b'{"record": 0, "path": "seller", "action": "accept", "seen": "other"}', {}, 409),
        (b"x" * (MAX_BODY + 1), {}, 413),
        (b"{}", {"Content_Length": "-1"}, 413),
        (b"{}", {"Transfer_Encoding": "chunked"}, 413),
    ],
)
def test_what_our_page_does_not_send_changes_nothing(
    guarded: Client, untouched: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    """And the server goes on."""
    place = guarded.desk.queue.page(Show.OPEN, 0, 1)[0].id
    own = {"Content_Type": "application/json", "X_Pagemill_Token": guarded.server.own.token, **headers}
    assert guarded.ask("POST", f"/e/bill/{place}", body, **own)[0] == status
    assert guarded.ask("GET", "/e/bill/")[0] == 200
    assert not (untouched / "bill" / "corrections").exists()


def test_every_answer_says_what_a_browser_may_do(guarded: Client) -> None:
    """Not even a hole in our own pages would let a script from elsewhere run."""
    for path in ("/e/bill/", "/nothing", "/assets/review.js"):
        headers = guarded.ask("GET", path)[2]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
    assert guarded.ask("GET", "/e/bill/")[2]["Cache-Control"] == "no-store"


def test_what_is_to_be_looked_at_comes_first(guarded: Client) -> None:
    """The list of a night may have thousands."""
    assert [one.name for one in guarded.desk.queue.page(Show.ALL, 0, 10)] == ["a.pdf", "sure.pdf"]
    text = guarded.ask("GET", "/e/bill/")[1]
    assert ("0 of 1 reviewed" in text, "a.pdf" in text, "sure.pdf" in text) == (True, True, False)
    assert "sure.pdf" in guarded.ask("GET", "/e/bill/?show=all")[1]
    assert guarded.ask("GET", "/e/bill/?show=<script>&page=-1")[0] == 200


def test_accepting_and_correcting_settles_a_record(client: Client, output: Path) -> None:
    """Once everything in doubt was looked at, nobody need look again."""
    assert client.say("total", "correct", value="11,00")[0] == 200
    assert client.say("line_items[0].line_total")[0] == 200
    assert client.desk.progress == (0, 1)
    status, text = client.say("seller")
    assert (status, client.desk.progress) == (200, (1, 1))
    assert "1 of 1 reviewed" in text
    assert "corrected by Ann, read: 12.5" in unescape(text)
    found = current(output)
    assert ((found.record or {})["total"], found.corrected, found.needs_review) == (Decimal(11), ("total",), False)


def test_typing_what_was_read_is_accepting_it(client: Client, output: Path) -> None:
    """It is no correction."""
    client.say("total", "correct", value="12.50")
    assert current(output).reviews["total"].action == "accepted"


def test_rows_can_be_taken_out_and_added(client: Client, output: Path) -> None:
    """Line items are missed and made up."""
    assert client.say("line_items[1].description", "correct", value="milk")[0] == 200
    assert client.say("line_items[0]", "remove")[0] == 200
    assert (current(output).record or {})["line_items"] == [{"description": "milk", "line_total": None}]
    assert client.say("line_items[0]", "undo")[0] == 200
    assert len((current(output).record or {})["line_items"]) == 2
    status, text = client.say("line_items[500].description", "correct", value="far away")
    assert (status, "there is no place for it" in text) == (422, True)


def test_what_is_typed_into_a_row_that_was_taken_out_is_refused(client: Client, output: Path) -> None:
    """It would be saved, and never seen again."""
    client.say("line_items[0]", "remove")
    status, text = client.say("line_items[0].description", "correct", value="coffee")
    assert (status, "take that back first" in text) == (422, True)
    assert (current(output).record or {})["line_items"] == []


def test_a_value_of_a_list_can_be_taken_out_put_back_and_added(tmp_path: Path) -> None:
    """Tags and the like: what is taken out keeps its place, or nobody could take that back."""
    record = Bill(tags=("a", "b")).model_dump()
    commit(open_storage(str(tmp_path)), "1", (ok_page(document("a.pdf"), record=record),))
    with serving(tmp_path) as client:
        client.say("tags[0]", "remove")
        client.say("tags[2]", "correct", value="c")
        assert (current(tmp_path).record or {})["tags"] == ["b", "c"]
        [entry] = client.desk.queue.page(Show.ALL, 0, 1)
        page = client.ask("GET", f"/e/bill/{entry.id}")[1]
        assert re.findall(r'data-path="(tags[^"]*)"', page) == ["tags[0]", "tags[1]", "tags[2]", "tags[3]"]
        client.say("tags[0]", "undo")
        client.say("tags[4]", "correct", value="d")  # as our page never would
    assert (current(tmp_path).record or {})["tags"] == ["a", "b", "c", None, "d"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("total", "a lot", "a number with at most 6 decimal places"),
        ("total", "1.234", "1234 or 1.2340"),
        ("date", "tomorrow", "a date such as 2026-03-01"),
        ("count", "1e9", "a whole number"),
        ("seller", "x" * 20_001, "longer than 20,000"),
    ],
)
def test_a_value_that_does_not_fit_is_told_why(
    guarded: Client, untouched: Path, path: str, value: str, told: str
) -> None:
    """Somebody is there to type it again."""
    status, text = guarded.say(path, "correct", value=value)
    assert (status, told in json.loads(text)["error"]) == (422, True)
    assert current(untouched).reviews == {}


def test_a_value_is_what_the_schema_makes_of_it(output: Path) -> None:
    """The schema knows more than the column does: symbols of currencies, check digits."""
    (output / "bill").rename(output / "invoice")
    extraction = open_results(str(output))["invoice"]
    record = extraction.records_at("file:///in/a.pdf")[0]
    said = Said(0, "currency", "correct", "€", seen_digest(record, "currency"), "")
    assert correction_of(said, record, extraction, "Ann").value == '"EUR"'
    with pytest.raises(Refused, match="Not saved"):
        correction_of(replace(said, value="12 x"), record, extraction, "Ann")


def test_any_text_can_be_a_value_and_is_only_shown(client: Client, output: Path) -> None:
    """Markup in it is text, too."""
    evil = "</bdi><script>alert(1)</script>\u202e 東京 \ud800"
    assert client.say("seller", "correct", value=evil)[0] == 200
    assert (current(output).record or {})["seller"] == evil.replace("\ud800", "?")
    text = client.say("total")[1]
    assert "<script>alert" not in text


def test_two_reviewers_are_told_of_each_other(client: Client, output: Path) -> None:
    """Neither overrules the other without knowing it; who insists, does, and both stay in the history."""
    with serving(output, "Bob") as other:
        before = other.spot("total")
        assert client.say("total", "correct", value="11")[0] == 200
        status, text = other.say("total", "correct", value="12", **before)
        assert (status, 'Ann corrected it to "11"' in json.loads(text)["error"]) == (409, True)
        assert other.say("seller")[0] == 200
        assert other.say("total", "correct", value="12", force=True, **before)[0] == 200
    found = current(output)
    assert ((found.record or {})["total"], found.reviews["total"].reviewer) == (Decimal(12), "Bob")
    history = open_results(str(output))["bill"].corrections.history("a" * 64, 1)
    assert [one.reviewer for one in history if one.path == "total"] == ["Ann", "Bob"]


def test_a_document_without_a_picture_can_be_reviewed(guarded: Client) -> None:
    """Its source is gone; the record and what was found are there."""
    place = guarded.desk.queue.page(Show.OPEN, 0, 1)[0].id
    status, text, _ = guarded.ask("GET", f"/e/bill/{place}")
    assert (status, "a.pdf" in text, 'data-say="accept"' in text) == (200, True, True)
    status, text, _ = guarded.ask("GET", f"/e/bill/{place}/1.webp")
    assert (status, "no longer where it was read" in text) == (500, True)
    assert guarded.ask("GET", f"/e/bill/{place}/9.webp")[0] == 404


def test_an_output_of_an_older_version_can_be_reviewed(tmp_path: Path, output: Path) -> None:
    """Nothing is due, and everything can be looked at."""
    import pyarrow.parquet as pq

    for path in output.glob("bill/documents/*.parquet"):
        table = pq.read_table(path)
        new = ("evidence", "breaches", "conflicts", "review_reasons", "confidence", "needs_review")
        pq.write_table(table.drop_columns([*new, "num_records", "records"]), path)
    with serving(output) as client:
        assert client.desk.progress == (0, 0)
        assert client.say("total", "correct", value="11")[0] == 200
    assert (current(output).record or {})["total"] == Decimal(11)


def _interruptible(command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a process that SIGINT ends, also where these tests were started in the background of a shell."""
    command = ["env", "--default-signal=INT", *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(output: Path) -> None:
    """And says where."""
    command = [sys.executable, "-m", "pipeline", "review", str(output), "--no-browser", "--reviewer", "Ann"]
    with _interruptible(command) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline() for _ in range(3)]
        url = urlsplit(lines[1].rpartition(" ")[2].strip())
        connection = http.client.HTTPConnection(url.netloc, timeout=20)
        connection.request("GET", f"{url.path}?{url.query}")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert lines[0] == "bill: 0 of 1 reviewed\n"
        assert "what was said is saved" in process.stderr.read()


@pytest.mark.slow
def test_the_browser_is_started_without_the_key(output: Path, tmp_path: Path) -> None:
    """Other people of the machine see the arguments of every process."""
    browser, started = tmp_path / "browser", tmp_path / "started"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {started}.half; cat "${{1#file://}}" >> {started}.half\nmv {started}.half {started}\n'
    )
    browser.chmod(0o755)
    command = [sys.executable, "-m", "pipeline", "review", str(output), "--reviewer", "Ann"]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    with _interruptible(command, environment) as process:
        assert process.stdout
        url = [process.stdout.readline() for _ in range(3)][1].rpartition(" ")[2].strip()
        give_up_at = time.monotonic() + 20
        while not started.exists() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    argument, _, page = started.read_text().partition("\n")
    assert ("key" in argument, escape(url) in page) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "70000"), "is no port"),
        (("--reviewer", "a\nb"), "--reviewer NAME"),
        (("--reviewer", " "), "--reviewer NAME"),
        (("--extraction", "nothing"), "it holds: bill"),
        (("--host", "198.51.100.1"), "Nobody can listen on"),
    ],
)
def test_what_cannot_be_served_says_why(
    capsys: pytest.CaptureFixture[str], output: Path, arguments: tuple[str, str], told: str
) -> None:
    """Before anything is opened."""
    try:
        code = main(["review", str(output), "--no-browser", *arguments])
    except SystemExit as error:
        code = int(str(error.code))
    assert (code, told in capsys.readouterr().err) == (2, True)
