"""`pagemill review`."""

from __future__ import annotations

import argparse
import getpass
import sys
import tempfile
import threading
import webbrowser
from html import escape
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.log import printable
from pipeline.results import Results, open_results
from pipeline.review.desk import ReviewDesk
from pipeline.review.guards import Secrets
from pipeline.review.images import PageImages
from pipeline.review.server import ReviewServer, serve

OK = 0
_LONGEST_NAME = 80


def review(arguments: argparse.Namespace, results: Results) -> int:
    """Serve the review page until Ctrl-C is pressed; return the exit code.

    Raises:
        ConfigError: nobody can listen there, or there is no such extraction.
        StorageError: the output cannot be read.
    """
    if arguments.prompts:
        results = open_results(arguments.output, arguments.prompts)
    chosen = [results[arguments.only]] if arguments.only else list(results.extractions)
    own, reviewer = Secrets(), reviewer_name(arguments.reviewer)
    with tempfile.TemporaryDirectory(prefix="pagemill-review-") as folder:
        images = PageImages(Path(folder))
        try:
            desks = {one.name: ReviewDesk(one, reviewer, images, own.token) for one in chosen}
            server = _listen(arguments.host, arguments.port, desks, own)
            _tell(server, desks)
            if not arguments.no_browser:
                _open_browser(server.url, Path(folder))
            serve(server, threading.Event())
        except KeyboardInterrupt:
            sys.stderr.write("\nstopped; what was said is saved\n")
        finally:
            images.close()
    return OK


def reviewer_name(given: str | None) -> str:
    """Return who reviews: the name that was given, or that of the account.

    Raises:
        ConfigError: there is none.
    """
    try:
        name = (given if given is not None else getpass.getuser()).strip()
    except (KeyError, OSError):  # the account has no name
        name = ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigError("Say who reviews: --reviewer NAME (one line).")
    return name


def _listen(host: str, port: int, desks: dict[str, ReviewDesk], own: Secrets) -> ReviewServer:
    try:
        return ReviewServer((host, port), desks, own)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"Nobody can listen on {host}, port {port}: {error}. Choose another --port.") from error


def _open_browser(url: str, folder: Path) -> None:
    """Open a browser by a file that only this account can read: everybody can see what a program is started with."""
    page = opening_page(url, folder)
    threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()


def opening_page(url: str, folder: Path) -> Path:
    """Write a page that leads a browser to an address."""
    page = folder / "open.html"
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">', "utf-8")
    return page


def _tell(server: ReviewServer, desks: dict[str, ReviewDesk]) -> None:
    for name, desk in desks.items():
        done, due = desk.progress
        told = f"{done:,} of {due:,} reviewed" if due else f"nothing to review among {len(desk.queue):,} documents"
        sys.stdout.write(f"{printable(name)}: {told}\n")
    if server.host not in {"127.0.0.1", "localhost", "::1"}:
        sys.stdout.write("anybody who can reach this machine and knows the address below may read and review\n")
    sys.stdout.write(f"review at {server.url}\nCtrl-C ends it\n")
    sys.stdout.flush()
