"""The arguments of `pagemill export`."""

from __future__ import annotations

from pipeline.arguments.flags import Parser

EXPORT_EXAMPLES = """\
examples:
  pagemill export out/ --format csv > invoices.csv                   a line for each record
  pagemill export out/ --format csv --to invoices.csv                and invoices-line_items.csv
  pagemill export out/ --format csv --items line_items | head        a line for each item
  pagemill export out/ --format xlsx --view needs_review --to look.xlsx
  pagemill export out/ --extraction invoice --format jsonl --to s3://bucket/invoices.jsonl
  pagemill export out/ --format labelled --to labelled/              what people have reviewed, for `pagemill eval`

In CSV an apostrophe stands before text that begins like a formula (= + - @), as spreadsheet programs would run it;
--raw leaves it out.
"""


def add_export_arguments(parser: Parser) -> None:
    """Let the command take what it needs."""
    parser.epilog = EXPORT_EXAMPLES
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--format", choices=("csv", "jsonl", "xlsx", "labelled"), required=True, help="what to write")
    parser.add_argument("--extraction", dest="only", metavar="NAME", help="which extraction (default: the only one)")
    parser.add_argument(
        "--view",
        choices=("current", "doubtful", "needs_review", "fields"),
        default="current",
        help="which records, or all single values (default: current)",
    )
    parser.add_argument("--to", metavar="FILE", help="a file, also in a bucket (default: the standard output)")
    parser.add_argument("--items", metavar="FIELD", help="for csv: a line for each item of this list")
    parser.add_argument("--raw", action="store_true", help="for csv: text as it is, formulas too")
    parser.add_argument("--prompts", action="append", metavar="DIR", help="a folder of your own extraction folders")
