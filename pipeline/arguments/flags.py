"""Flags that fill in settings, and how they are added to a command."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

Parser = argparse.ArgumentParser


class Flag(NamedTuple):
    """A flag that fills in one setting."""

    name: str
    key: str
    metavar: str
    help: str
    value: str | None = None
    """What the flag means, when it takes no value."""
    chooses: bool = False
    """Whether it says which documents are read rather than how; such flags mean nothing to `retry`."""


FLAGS = (
    Flag(
        "--extraction",
        "extraction",
        "NAME",
        "what to read: a name from `pagemill extractions`, or your own folder (default: transcript)",
        chooses=True,
    ),
    Flag(
        "--engine",
        "engine",
        "auto|vllm|ocr",
        "what reads: a vision-language model on a GPU, or OCR on CPU (default: auto, the GPU where there is one)",
    ),
    Flag("--model", "vllm.model", "MODEL", "for vllm: a profile from `pagemill models`, a hub id or a local folder"),
    Flag("--text-layer", "ocr.text_layer", "auto|never|only", "for ocr: when to use the text inside born-digital PDFs"),
    Flag("--max-pixels", "render.max_pixels", "N", "pixels a page image may have"),
    Flag("--workers", "ocr.workers", "N", "for ocr: processes that read pages (default: one a core)"),
    Flag("--limit", "limit", "N", "documents to read at most", chooses=True),
    Flag("--since", "since", "TIME", "only documents changed since a date, a time, or an age (36h, 7d)", chooses=True),
    Flag("--until", "until", "TIME", "only documents changed before then, written as --since is", chooses=True),
    Flag("--sample", "sample", "N|N%", "only some documents, always the same: a number or a share", chooses=True),
    Flag("--force", "force", "", "read documents again that are done", value="true", chooses=True),
    Flag("--only-new", "only_new", "", "only documents that no run has read as they are", value="true", chooses=True),
    Flag("--order", "order", "name|oldest|newest|smallest", "which documents come first (default: name)", chooses=True),
    Flag(
        "--deadline", "deadline", "TIME", "when to be done: 06:00, a time, or a length (8h); the rest is carried over"
    ),
    Flag("--page-budget", "page_budget", "N", "pages to read at most; the rest is carried over"),
    Flag("--wait", "output_files.wait_s", "SECONDS", "how long to wait for another run that writes to OUTPUT"),
    Flag("--min-confidence", "trust.min_confidence", "P", "records with a field below it are to be reviewed (0 to 1)"),
    Flag("--no-canary", "canary.mode", "", "do not have the engine read known pages first", value="off"),
)


def add_flags(parser: Parser, flags: Iterable[Flag]) -> None:
    """Let a command take these flags; each value lies under the flag's key."""
    for flag in flags:
        if flag.value is None:
            parser.add_argument(flag.name, dest=flag.key, metavar=flag.metavar, help=flag.help)
        else:
            parser.add_argument(flag.name, dest=flag.key, action="store_const", const=flag.value, help=flag.help)


def add_settings(parser: Parser) -> None:
    """Let a command take any setting, from a file or one by one."""
    parser.add_argument("--prompts", action="append", metavar="DIR", help="a folder of your own extraction folders")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML (default: ./pagemill.toml, if any)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting; may be repeated")
