"""The arguments of `pagemill bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.arguments.flags import FLAGS, Parser, add_flags, add_settings

BENCH_EXAMPLES = """\
examples:
  pagemill bench                                         how fast the default model reads on this machine
  pagemill bench scans/ --weights real --extraction invoice --price-per-hour 0.62
  pagemill bench --feeds all --page-pixels 1003520       against generate, fixed batches and vllm serve
  pagemill bench --model qwen2.5-vl-7b-awq --model qwen2.5-vl-3b-awq --vary vllm.max_num_seqs=128,256
  pagemill bench --output figures.parquet --plot figures.png
  pagemill bench --stage render --stage write --processes 4
  pagemill bench --sweep --budget 60                     the fastest settings for this card, for `pagemill run`
  pagemill bench --page-sizes labelled/ --limit 20       what smaller pages save, and what they cost in accuracy

Without INPUT the pages are generated, without --weights real the weights are random and each output has a length
drawn from --tokens: speed is that of the real model, and nothing is downloaded. Pages are rendered and the model is
loaded before a measurement begins. On vLLM's CPU build a tiny model stands for the one that is asked for.

exit codes: 0 measured; 1 some cases could not be measured; 2 wrong usage; 3 the engine died; 130, 143 stopped: what
was measured until then is printed and kept
"""
BENCH_SETTINGS = frozenset({"extraction"})


def add_bench_arguments(parser: Parser) -> None:
    """Let the command take its arguments."""
    parser.add_argument("input", nargs="?", metavar="INPUT", help="documents to read (default: generated ones)")
    parser.add_argument(
        "--model", action="append", dest="models", metavar="MODEL", help="a profile, hub id or folder; may be repeated"
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="measure each value of a setting; repeated: each combination",
    )
    parser.add_argument(
        "--feeds",
        default="stream,pipeline",
        metavar="NAMES",
        help="of stream, pipeline, list, batches, serve; or all (default: stream,pipeline)",
    )
    _add_workload(parser)
    parser.add_argument("--price-per-hour", metavar="PRICE", help="of this machine, for cost.price_per_hour")
    parser.add_argument("--output", dest="table", type=Path, metavar="FILE", help="write the rows to this Parquet file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them: .png, .svg or .pdf; needs matplotlib")
    add_flags(parser, (flag for flag in FLAGS if flag.key in BENCH_SETTINGS))
    add_settings(parser)
    _add_other_measurements(parser)


def _add_workload(parser: Parser) -> None:
    parser.add_argument("--pages", type=_positive, metavar="N", help="pages to read (default: 1024; on CPU 256)")
    parser.add_argument("--page-pixels", type=_positive, metavar="N", help="size of all pages (default: as `run` does)")
    parser.add_argument(
        "--weights", choices=("random", "real"), default="random", help="of the model (default: random)"
    )
    parser.add_argument(
        "--tokens",
        type=_positive,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="output lengths (default: 300 500, on CPU 40 80; with real weights as long as the model writes)",
    )
    parser.add_argument("--seconds", type=_positive, default=50, metavar="S", help="for each feed (default: 50)")
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="measure all so often, in turns (default: feeds once, stages 5)"
    )
    parser.add_argument("--batch", type=_positive, default=32, metavar="N", help="pages of a fixed batch (default: 32)")
    parser.add_argument(
        "--concurrency", type=_positive, metavar="N", help="requests at the server at once (default: 1.5 x the model's)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the generated documents (default: 0)")


def _add_other_measurements(parser: Parser) -> None:
    group = parser.add_argument_group("instead of the whole")
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--stage",
        action="append",
        dest="stages",
        choices=("render", "prepare", "write", "ocr"),
        help="one stage by itself, against the bare library on as many processes; may be repeated",
    )
    one.add_argument(
        "--sweep", action="store_true", help="find the fastest settings for this card and model, for `run` to take up"
    )
    one.add_argument(
        "--page-sizes",
        type=Path,
        metavar="LABELS",
        help="what smaller pages save and how well they are read: a folder of documents with a manifest.jsonl",
    )
    group.add_argument("--processes", type=_positive, metavar="N", help="of a stage, or that read for --page-sizes")
    group.add_argument(
        "--budget", type=_positive, default=45, metavar="MINUTES", help="that a sweep takes at most (default: 45)"
    )
    group.add_argument("--profile", type=Path, metavar="FILE", help="where a sweep writes (default: where `run` looks)")
    group.add_argument(
        "--sizes",
        default="1003520,adaptive",
        metavar="LIST",
        help="for --page-sizes: pixels, adaptive, or adaptive@9 for an em of 9 px (default: 1003520,adaptive)",
    )
    group.add_argument("--limit", type=_positive, metavar="N", help="for --page-sizes: documents of each kind")
    group.add_argument(
        "--gpu", default="rtx-6000-ada", metavar="NAME", help="for --page-sizes: whose time is predicted"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)
