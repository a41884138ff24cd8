"""The arguments of `pagemill eval`."""

from __future__ import annotations

from pipeline.arguments.flags import Parser


def add_eval_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.add_argument("dataset", metavar="DATASET", help="a folder of labelled documents with a manifest.jsonl")
