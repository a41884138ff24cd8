"""Watches an input and has `ocr/inbox` started when documents have come: `python -m flows.watch`.

Needs neither GPU nor engine. What is to be read is what `pagemill.toml`, PAGEMILL_* variables
and --set say, and what the deployment's own parameters say wins over these, as it does in the
run. Listing the input is the truth; notifications (--listen, --queue) make it look sooner, and
list less often. Several watchers do no harm.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from flows.notify import TOKEN_VARIABLE, Hints, QueueReader, notify_app, serving
from flows.surroundings import SETTLED, server_url
from flows.watch.inbox import Inbox
from flows.watch.watcher import Pace, Watcher
from pipeline.errors import ConfigError
from pipeline.settings import Effective, Setting, load_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.config import RunConfig

log = logging.getLogger("flows.watch")

_TOLD = frozenset({"input", "output", "extraction", "since", "until", "prompts"})
"""Parameters of the deployment that decide what waits."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the configuration comes from, but for the deployment's parameters."""

    config_file: Path | None = None
    flags: tuple[Setting, ...] = ()

    def config(self, parameters: dict[str, Any]) -> RunConfig:
        """Return what a run of the deployment reads.

        Raises:
            ConfigError: a setting is wrong.
        """
        given = {name: value for name, value in parameters.items() if name != "settings" and value is not None}
        given |= parameters.get("settings") or {}
        told = (
            Setting(key, value, "the deployment's parameters")
            for key, value in given.items()
            if key in _TOLD or key.startswith("input_files.")
        )
        return self._load(told).config

    def check(self) -> None:
        """Raise ConfigError when a setting is wrong whatever the deployment's parameters say."""
        self._load((), complete=False)

    def _load(self, told: Iterable[Setting], *, complete: bool = True) -> Effective:
        return load_config(
            [*told, *self.flags], base=[SETTLED], environ=os.environ, config_file=self.config_file, complete=complete
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Watch until SIGTERM or Ctrl-C; return the exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)  # at once: nothing that a watcher does is lost when it is cut short
    try:
        settings = Settings(arguments.config, tuple(_setting(text) for text in arguments.set))
        settings.check()
        _watch(arguments, settings)
    except ConfigError as error:
        log.error(error)  # noqa: TRY400 - a traceback would not say more
        return 2
    return 0


def _watch(arguments: argparse.Namespace, settings: Settings) -> None:
    server_url()
    hints = Hints()
    watcher = Watcher(
        Inbox(arguments.deployment),
        settings.config,
        hints,
        Pace(arguments.poll, arguments.wait, arguments.batch, arguments.listing),
        is_notified=bool(arguments.listen or arguments.queue),
    )
    with contextlib.ExitStack() as stack:
        if arguments.listen:
            app = notify_app(hints, token=os.environ.get(TOKEN_VARIABLE), health=watcher.health)
            port = stack.enter_context(serving(app, arguments.listen))
            log.info("taking notifications at port %d", port)
        if arguments.queue:
            stack.enter_context(contextlib.closing(QueueReader(arguments.queue, hints)))
        watcher.watch(Event())


def _end(*_: object) -> None:
    raise SystemExit(0)


def _setting(text: str) -> Setting:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: write KEY=VALUE.")
    return Setting(key.strip(), value, "--set")


def _parser() -> argparse.ArgumentParser:
    pace = Pace()
    parser = argparse.ArgumentParser(
        prog="python -m flows.watch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def add(name: str, metavar: str, about: str, **options: Any) -> None:
        parser.add_argument(name, metavar=metavar, help=f"{about} (default: %(default)s)", **options)

    add("--deployment", "NAME", "what is started", default="ocr/inbox")
    add("--poll", "SECONDS", "between looks", type=float, default=pace.poll_s)
    add("--wait", "SECONDS", "that the oldest document waits for others", type=float, default=pace.wait_s)
    add("--batch", "N", "documents that are worth a run at once", type=int, default=pace.batch)
    add("--listing", "SECONDS", "between listings, with notifications", type=float, default=pace.listing_s)
    add("--listen", "HOST:PORT", f"take notifications at /notify; ${TOKEN_VARIABLE} must come with them, if set")
    add("--queue", "URL", "take notifications from this SQS queue")
    add("--config", "FILE", "settings in TOML", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting; may be repeated")
    return parser
