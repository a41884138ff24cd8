"""The arguments of the `pagemill` command and what its help says. Imports nothing heavy: help must be instant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from pipeline import __version__
from pipeline.arguments.bench import BENCH_EXAMPLES, add_bench_arguments
from pipeline.arguments.eval import add_eval_arguments
from pipeline.arguments.export import add_export_arguments
from pipeline.arguments.flags import FLAGS, Flag, Parser, add_flags, add_settings
from pipeline.arguments.plan import PLAN_EXAMPLES, add_plan_arguments
from pipeline.arguments.report import add_report_arguments
from pipeline.arguments.review import add_review_arguments
from pipeline.errors import ErrorType

__all__ = ["FLAGS", "Command", "Flag", "build_parser", "parse"]

Command = Callable[[argparse.Namespace], int]

ABOUT = "Turn a folder of documents into validated records in Parquet files, offline."
EXAMPLES = """\
examples:
  pagemill run invoices/ out/ --extraction invoice     read a folder of invoices
  pagemill run scan.pdf out/ --extraction transcript   read the text of one document
  pagemill show out/                                   look at what was read
  pagemill failures out/                               what failed, and what helps
  pagemill extractions                                 what can be read from documents
  pagemill plan --matrix                               what fits on a GPU, how fast, for how much

Run the same command again to go on where a run stopped: what is done is not read again.
"""
CONFIG_EXAMPLES = """\
examples:
  pagemill config > pagemill.toml      a file to start from
  PAGEMILL_LIMIT=3 pagemill config     limit = 3, from PAGEMILL_LIMIT
"""
EXIT_CODES = """\
exit codes:
  0  all pages ok
  1  some pages failed; their rows say why
  2  wrong usage or configuration; nothing was read
  3  the run could not go on, or another run writes to the output; what was committed stays, and
     the next run goes on from there
  130, 143  stopped by Ctrl-C or by SIGTERM; finished documents are committed, and the same holds
"""
STOPPING = """\
The first Ctrl-C ends a run gracefully: it takes no more pages and finishes those in the engine,
for 20 seconds at most (after SIGTERM for 8). A second one ends it at once.
"""
RUN_EXAMPLES = """\
examples:
  pagemill run invoices/ out/ --extraction invoice
  pagemill run 'mail/**/*.pdf' out/ --extraction receipt --limit 10
  pagemill run scans/ out/ --extraction my-forms/delivery-note --engine ocr
  pagemill run scans/ out/ --extraction invoice --dry-run             what it would read, how long, how much
  pagemill run scans/ out/ --extraction invoice --deadline 06:00      what can be done until then
  pagemill run scans/ out/ --set render.passwords=secret --set cost.price_per_hour=0.62

INPUT is one path; put a glob in quotes, or the shell makes many of it. It may hold PDF, PNG,
JPEG, TIFF, WebP, GIF, BMP and JPEG 2000 files, told apart by content; other files become failed
rows. Names that start with "." or "_" are passed over. Any setting of `pagemill config` can stand in pagemill.toml,
in a PAGEMILL_* variable, or behind --set; the later of these wins.

"""
FAILURES_EXAMPLES = """\
examples:
  pagemill failures out/                               reasons, examples, what helps
  pagemill failures out/ --reason output_invalid       where to look at these pages
  pagemill failures out/ --json | jq .source_uri       for machines: an object a line
"""
RETRY_EXAMPLES = """\
examples:
  pagemill retry out/ --dry-run
  pagemill retry out/ --reason output_cut_off --set tries.max_tokens=4096
  pagemill retry out/ --reason encrypted --set render.passwords=secret

The settings are those of the latest run, but for secrets, which no output holds; pagemill.toml,
PAGEMILL_* variables and what stands here win over them.

"""
CHECK_ABOUT = """\
exit codes:
  0  every page of every document has exactly one row, and every file can be read to its end
  1  there are problems; each is one line
  3  the output cannot be read
"""


def build_parser(commands: Mapping[str, Command]) -> Parser:
    """Return the parser; the namespaces it makes hold the chosen one of `commands` as `command`."""
    parser = argparse.ArgumentParser(
        prog="pagemill",
        description=ABOUT,
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pagemill {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, about: str, *, epilog: str = "") -> Parser:
        made = subparsers.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        made.set_defaults(command=commands[name])
        made.add_argument("--json", action="store_true", help="print JSON, for machines")
        made.add_argument("--verbose", "-v", action="count", default=0, help="say more; twice: say everything")
        return made

    run_epilog = f"{RUN_EXAMPLES}{STOPPING}\n{EXIT_CODES}"
    _add_run_arguments(add("run", "read documents and write their records", epilog=run_epilog))
    _add_show_arguments(add("show", "print records, failures and statistics of finished runs"))
    _add_failures_arguments(add("failures", "print what failed, why, and what helps", epilog=FAILURES_EXAMPLES))
    retry_epilog = f"{RETRY_EXAMPLES}{STOPPING}\n{EXIT_CODES}"
    _add_retry_arguments(add("retry", "read failed pages again, at other settings if need be", epilog=retry_epilog))
    check = add("check", "verify that every page has exactly one row and every file is whole", epilog=CHECK_ABOUT)
    check.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    add_settings(add("extractions", "list what can be read from documents"))
    add("models", "list the vision-language models with known settings")
    add_plan_arguments(add("plan", "tell what fits on a card, how fast it is and what it costs", epilog=PLAN_EXAMPLES))
    add_bench_arguments(add("bench", "measure how fast this machine reads", epilog=BENCH_EXAMPLES))
    add_report_arguments(add("report", "write a page for people: what was read, what failed, what is doubtful"))
    add_review_arguments(add("review", "look at doubtful values beside their pages and correct them, in a browser"))
    add_export_arguments(add("export", "write records as CSV, JSON lines, Excel, or labelled documents"))
    add_eval_arguments(add("eval", "measure how well labelled documents are read"))
    made_config = add("config", "print all settings and where each value comes from", epilog=CONFIG_EXAMPLES)
    _add_run_settings(made_config)
    made_config.add_argument("--markdown", action="store_true", help="print the reference of all settings instead")
    return parser


def parse(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; exit with 2 and a line that helps when they are wrong."""
    arguments, extra = parser.parse_known_args(argv)
    if extra:
        is_path = "input" in arguments and not extra[0].startswith("-")
        hint = "; INPUT is one path: put a glob in quotes, such as 'scans/*.pdf'" if is_path else ""
        parser.error(f"unrecognized arguments: {' '.join(extra)}{hint}")
    return arguments


def _add_run_arguments(parser: Parser) -> None:
    _add_run_settings(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be read, how long and for how much")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors")


def _add_run_settings(parser: Parser) -> None:
    parser.add_argument("input", nargs="?", metavar="INPUT", help="a document, a folder (with all below it) or a glob")
    parser.add_argument("output", nargs="?", metavar="OUTPUT", help="a folder for the Parquet files; made if missing")
    add_flags(parser, FLAGS)
    add_settings(parser)


def _add_show_arguments(parser: Parser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--extraction", metavar="NAME", help="only this one")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="records to print (default: 20)")


def _add_failures_arguments(parser: Parser) -> None:
    _add_failed(parser)
    parser.add_argument("--limit", type=_count, metavar="N", help="failures to print of each reason (default: a few)")


def _add_retry_arguments(parser: Parser) -> None:
    _add_failed(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be read again")
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors")
    add_flags(parser, (flag for flag in FLAGS if not flag.chooses))
    add_settings(parser)


def _add_failed(parser: Parser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--extraction", dest="only", metavar="NAME", help="only this one")
    parser.add_argument(
        "--reason",
        dest="reasons",
        action="append",
        default=[],
        type=_reason,
        metavar="TYPE",
        help="only pages with this error_type; may be repeated",
    )


def _reason(text: str) -> ErrorType:
    if text not in set(ErrorType):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(ErrorType)}")
    return ErrorType(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of failures")
    return int(text)
