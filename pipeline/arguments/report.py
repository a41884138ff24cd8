"""The arguments of `pagemill report`."""

from __future__ import annotations

from pipeline.arguments.flags import Parser


def add_report_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--extraction", metavar="NAME", help="only this one")
    parser.add_argument(
        "--to", metavar="FOLDER", help="where the report goes, a folder or bucket; default OUTPUT/_report"
    )
    parser.add_argument(
        "--images", metavar="N", type=_count, default=2_000, help="pictures of pages at most; 0: none (default 2000)"
    )
    parser.add_argument(
        "--image-mb", metavar="MB", type=_count, default=250, help="megabytes of pictures at most (default 250)"
    )
    parser.add_argument(
        "--workers", metavar="N", type=_positive, help="processes that draw pages; default half of the cores"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value
