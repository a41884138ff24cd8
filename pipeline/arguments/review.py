"""The arguments of `pagemill review`."""

from __future__ import annotations

import argparse

from pipeline.arguments.flags import Parser

REVIEW_EXAMPLES = """\
examples:
  pagemill review out/                                 opens a browser
  pagemill review out/ --extraction invoice --reviewer Ann
  pagemill review out/ --no-browser --port 8800        through a tunnel: ssh -L 8800:localhost:8800 host

The address that is printed holds a key; who has it may read the documents and review. What is said is kept in
OUTPUT/<extraction>/corrections/ and counts at once in `pagemill export` and in `pipeline.open_results`.
"""
_MAX_PORT = 65_535


def add_review_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.epilog = REVIEW_EXAMPLES
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--extraction", dest="only", metavar="NAME", help="only this one")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="to listen on (default: a free one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="to listen on (default: 127.0.0.1)")
    parser.add_argument("--reviewer", metavar="NAME", help="who says it (default: the account's name)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--prompts", action="append", metavar="DIR", help="a folder of your own extraction folders")


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; 0 to {_MAX_PORT}")
    return int(text)
