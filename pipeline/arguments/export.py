"""The arguments of `pagemill export`."""

from __future__ import annotations

from pipeline.arguments.flags import Parser


def add_export_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
