"""A review server and what a browser does with it, for tests."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.results import Record, open_results
from pipeline.review.desk import ReviewDesk
from pipeline.review.guards import Secrets
from pipeline.review.images import PageImages
from pipeline.review.queue import Show
from pipeline.review.server import ReviewServer, serve
from pipeline.review.sheet import seen_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Client:
    """What a browser does, and what an attacker tries."""

    server: ReviewServer
    cookie: str = ""

    @property
    def desk(self) -> ReviewDesk:
        """The only one."""
        return self.server.desks["bill"]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Return status, text and headers of an answer; a header may be left out by an empty value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        known = {"Host": f"127.0.0.1:{self.server.port}", "Cookie": self.cookie}
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {name: value for name, value in known.items() if value})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.getheaders())
        finally:
            connection.close()

    def enter(self) -> None:
        """Open the address that was printed."""
        _, _, headers = self.ask("GET", f"/?key={self.server.own.key}")
        self.cookie = headers["Set-Cookie"].partition(";")[0]

    def say(self, path: str, action: str = "accept", **values: Any) -> tuple[int, str]:
        """Say something of a value as our page does, as it stands there now."""
        [place] = [one for one in self.desk.queue.page(Show.ALL, 0, 100) if one.name == "a.pdf"]
        known = self.spot(path)
        said = {"record": 0, "path": path, "action": action, **known, **values}
        status, text, _ = self.ask(
            "POST",
            f"/e/bill/{place.id}",
            json.dumps(said).encode(),
            Content_Type="application/json",
            X_Pagemill_Token=self.server.own.token,
        )
        return status, text

    def spot(self, path: str) -> dict[str, str]:
        """Return what the page knows of a value."""
        record = self.record()
        review = record.reviews.get(path)
        return {"seen": seen_digest(record, path), "since": review.correction_id if review else ""}

    def record(self) -> Record:
        """Return the record of a.pdf as this server knows it."""
        return self.desk.extraction.records_at("file:///in/a.pdf")[0]


@contextmanager
def serving(output: Path, reviewer: str = "Ann") -> Iterator[Client]:
    """Serve an output as the command does."""
    images, own, stop = PageImages(output.parent), Secrets(), threading.Event()
    desks = {one.name: ReviewDesk(one, reviewer, images, own.token) for one in open_results(str(output)).extractions}
    server = ReviewServer(("127.0.0.1", 0), desks, own)
    thread = threading.Thread(target=serve, args=(server, stop))
    thread.start()
    try:
        client = Client(server)
        client.enter()
        yield client
    finally:
        stop.set()
        thread.join()
        images.close()
