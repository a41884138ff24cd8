"""The arguments of `pagemill review`."""

from __future__ import annotations

from pipeline.arguments.flags import Parser


def add_review_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
