"""The arguments of `pagemill eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.arguments.flags import FLAGS, Parser, add_flags, add_settings

EVAL_EXAMPLES = """\
examples:
  pagemill eval labelled/ --engine ocr                   read labelled documents and say how well that went
  pagemill eval labelled/ --output out/                  score an output that is there already
  pagemill eval labelled/ --keep new/ --against old/     hold two readings against each other
  pagemill eval labelled/ --baselines tesseract,pymupdf  beside what others read on CPU
  pagemill eval labelled/ --html worst.html              look at what was read worst

DATASET has a manifest.jsonl, a line for each document: its id, kind (receipt, invoice, fulltext, or the name of an
extraction), file, ground_truth (JSON with fields, or text) and language; docs/quality.md has all of it, and the rules
by which a value counts as right. `pagemill export --format labelled` writes such a folder from reviewed records.

exit codes: 0 measured; 2 wrong usage, or nothing to measure; 3 the run could not go on; 130, 143 stopped
"""
SETTINGS = frozenset(
    {
        *("engine", "vllm.model", "ocr.text_layer", "render.max_pixels", "ocr.workers", "trust.min_confidence"),
        "canary.mode",
    }
)


def add_eval_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.epilog = EVAL_EXAMPLES
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="a folder of labelled documents")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--output", dest="scored", metavar="OUTPUT", help="score this output instead of reading")
    source.add_argument(
        "--keep", metavar="OUTPUT", help="read into this output and keep it; what it has is not read again"
    )
    parser.add_argument(
        "--against", metavar="OUTPUT", help="compare with this output, or with a file that --parquet wrote"
    )
    parser.add_argument(
        "--kind", action="append", dest="kinds", default=[], metavar="KIND", help="only these documents"
    )
    parser.add_argument("--limit", dest="of_each_kind", type=_positive, metavar="N", help="documents of each kind")
    parser.add_argument("--strict", action="store_true", help="count only values that are known to stand on the page")
    parser.add_argument(
        "--baselines",
        default="",
        metavar="NAMES",
        help="read the documents with these, too: tesseract, pymupdf, or both with a comma between",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="show the worst documents, with pictures")
    parser.add_argument(
        "--worst", type=_positive, default=20, metavar="N", help="documents to show there (default: 20)"
    )
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="write the scores, a row a document")
    parser.add_argument(
        "--fit-confidence",
        type=Path,
        metavar="FILE",
        help="fit how sure values are to this dataset; for the setting trust.calibration",
    )
    parser.add_argument(
        "--reliability", type=Path, metavar="FILE", help="with it: draw how sure values were, and how right (PNG, SVG)"
    )
    add_flags(parser, (flag for flag in FLAGS if flag.key in SETTINGS))
    add_settings(parser)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)
