"""The review server: HTTP on localhost, for the one who started it.

Who may ask: a browser that was opened with the address that was printed, which holds a secret. The secret becomes a
cookie that no other site's page can send (SameSite) and no script can read (HttpOnly). What changes something must come
as JSON, with a token that only our own pages hold, from our own origin. A Host header with a name that is not ours is
refused: a stranger's page could else ask us under a name of its own that leads here (DNS rebinding). No address is ever
a path of a file.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import sys
import threading
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.errors import PipelineError
from pipeline.review.desk import ReviewDesk, Unknown
from pipeline.review.guards import HEADERS, Secrets, is_own_name
from pipeline.review.queue import Show
from pipeline.review.saying import Refused, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MAX_BODY = 100_000
"""Bytes of a request."""
IDLE_S = 60
"""A connection that says nothing is closed."""
_CONTENT = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "webp": "image/webp"}
HTML, JSON = "text/html; charset=utf-8", "application/json"
_ONWARD = (
    b'<!doctype html><title>Pagemill</title><link rel="icon" href="data:,">'  # else browsers ask for one
    b'<meta http-equiv="refresh" content="0; url=/"><a href="/">Review</a>'
)
_ROUTE = re.compile(r"/e/(?P<extraction>[^/]+)/(?:(?P<document>\d{1,12}-[0-9a-f]{8})(?:/(?P<page>\d{1,7})\.webp)?)?")
_ASSET = re.compile(r"/assets/([a-z0-9.-]+)")


class ReviewServer(ThreadingHTTPServer):
    """Serves the desks of an output's extractions."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], desks: Mapping[str, ReviewDesk], own: Secrets) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: nobody can listen there.
        """
        if ":" in address[0]:
            import socket

            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.desks = desks
        self.own = own
        self.assets = {name: content for desk in desks.values() for name, content in desk.assets.items()}
        self.host, self.port = address[0], int(self.server_address[1])
        self.cookie = f"pagemill_{self.port}"
        """Cookies know no port: another server of ours has another one."""

    @property
    def url(self) -> str:
        """The address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?key={self.own.key}"

    def is_ours(self, host: str) -> bool:
        """Tell whether a Host header is one of this server: an address, localhost, or the name that it was given."""
        return is_own_name(host, self.host, self.port)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a connection died of; a browser that goes away is nothing to tell."""
        log.debug("the connection of %s ended: %s, %s", client_address, request, sys.exc_info()[1])


class _Answer(Exception):
    """An answer other than what was asked for."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server_version = "pagemill"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page, a picture, a script."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Save what somebody says."""
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server names it so
        """Log requests without their query, which may hold the key."""
        log.debug("%s %s", self.address_string(), re.sub(r"\?\S*", "", format % args))

    def _answer(self, work: Any) -> None:
        try:
            self._check_name()
            work()
        except _Answer as answer:
            self._refuse(answer.status, str(answer))
        except Refused as refused:
            self._refuse(HTTPStatus(refused.status), str(refused))
        except Unknown as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except PipelineError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # one request must not end the server
            log.exception("a request failed: %s", self.path.partition("?")[0])
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "This is a fault in Pagemill; the log says more.")

    def _get(self) -> None:
        address = urlsplit(self.path)
        if address.netloc:
            raise _Answer(HTTPStatus.NOT_FOUND, "This server leads nowhere else.")
        query = parse_qs(address.query)
        if address.path == "/" and "key" in query:
            self._welcome(query["key"][0])
            return
        self._check_cookie()
        if found := _ASSET.fullmatch(address.path):
            content = self.server.assets.get(found[1])
            if content is None:
                raise _Answer(HTTPStatus.NOT_FOUND, "There is no such file.")
            self._send(content, _CONTENT[found[1].rpartition(".")[2]], cached=True)
            return
        if address.path == "/":
            self._home()
            return
        desk, document, page = self._desk(address.path)
        if page is not None:
            self._send(desk.picture(document or "", page), _CONTENT["webp"], cached=True)
        elif document is not None:
            self._send(desk.document_page(document), HTML)
        else:
            self._send(desk.list_page(_show(query), _number(query)), HTML)

    def _post(self) -> None:
        body = self._body()
        self._check_cookie()
        self._check_same_site()
        desk, document, page = self._desk(urlsplit(self.path).path)
        if document is None or page is not None:
            raise _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "Nothing can be said of this.")
        self._send(desk.say(document, Said.of(body)), HTML)

    def _welcome(self, key: str) -> None:
        """Give a browser that knows the key a cookie, and lead it on to an address without the key.

        By a page of ours: a redirect would be of the page that led here, a file or another site's, and a browser sends
        no such cookie (SameSite=Strict) where another site leads.
        """
        if not hmac.compare_digest(key.encode(), self.server.own.key.encode()):
            raise _Answer(HTTPStatus.FORBIDDEN, "This address is of an earlier server; open the one that was printed.")
        cookie = f"{self.server.cookie}={self.server.own.key}; Path=/; HttpOnly; SameSite=Strict"
        self._send(_ONWARD, HTML, more={"Set-Cookie": cookie})

    def _home(self) -> None:
        """Show the only extraction at once, or let people choose."""
        desks = list(self.server.desks.values())
        if len(desks) == 1:
            self._send(b"", HTML, status=HTTPStatus.SEE_OTHER, more={"Location": desks[0].address})
        else:
            self._send(desks[0].home_page(desks), HTML)

    def _desk(self, path: str) -> tuple[ReviewDesk, str | None, int | None]:
        found = _ROUTE.fullmatch(path)
        desk = self.server.desks.get(unquote(found["extraction"])) if found else None
        if found is None or desk is None:
            raise _Answer(HTTPStatus.NOT_FOUND, "There is no such page.")
        return desk, found["document"], int(found["page"]) if found["page"] else None

    def _check_name(self) -> None:
        if not self.server.is_ours(self.headers.get("Host", "")):
            self.close_connection = True
            raise _Answer(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")

    def _check_cookie(self) -> None:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            cookie = None
        if cookie is None or not hmac.compare_digest(cookie.value.encode(), self.server.own.key.encode()):
            raise _Answer(HTTPStatus.FORBIDDEN, "Open the address that `pagemill review` printed; it holds the key.")

    def _check_same_site(self) -> None:
        """Refuse what another site's page may have sent."""
        origin = self.headers.get("Origin")
        token = self.headers.get("X-Pagemill-Token", "")
        if origin is not None and origin.removeprefix("http://") != self.headers.get("Host"):
            raise _Answer(HTTPStatus.FORBIDDEN, "This came from another site.")
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _Answer(HTTPStatus.FORBIDDEN, "This came from another site.")
        if not hmac.compare_digest(token.encode(errors="replace"), self.server.own.token.encode()):
            raise _Answer(HTTPStatus.FORBIDDEN, "This page is of an earlier server; load it again.")

    def _body(self) -> Any:
        """Read all of a request, so that the connection can be used again, and return its JSON."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request has {MAX_BODY:,} bytes at most.")
        content = self.rfile.read(int(length))
        if self.headers.get_content_type() != JSON:
            raise _Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "What is said must be JSON.")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise _Answer(HTTPStatus.BAD_REQUEST, "What is said must be JSON.") from None

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        if self.command == "POST":
            self._send(json.dumps({"error": text}).encode(), JSON, status=status)
        else:
            desk = next(iter(self.server.desks.values()))
            self._send(desk.message_page(status.phrase, text), HTML, status=status)

    def _send(
        self,
        content: bytes,
        kind: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        cached: bool = False,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        kept = "private, max-age=3600" if cached else "no-store"
        size = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": kept}
        for name, value in (HEADERS | size | dict(more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def serve(server: ReviewServer, stop: threading.Event) -> None:
    """Answer until `stop` is set, or Ctrl-C is pressed."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="review", daemon=True)
    thread.start()
    try:
        while not stop.wait(3600):
            pass
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _show(query: Mapping[str, list[str]]) -> Show:
    asked = query.get("show", [""])[0]
    return Show(asked) if asked in set(Show) else Show.OPEN


def _number(query: Mapping[str, list[str]]) -> int:
    asked = query.get("page", [""])[0]
    return int(asked) if asked.isdecimal() and len(asked) < 9 else 1
