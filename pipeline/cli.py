"""The `pagemill` command: arguments -> RunConfig -> run -> exit code.

Everything heavy is imported inside the command that needs it, so that help is instant.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import __version__
from pipeline.errors import ConfigError, EngineStartError, PipelineError

if TYPE_CHECKING:
    from pipeline.run import RunReport
    from pipeline.settings import Effective

OK, SOME_FAILED, USAGE, STOPPED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141

ABOUT = "Turn a folder of documents into validated records in Parquet files, offline."
EXAMPLES = """\
examples:
  pagemill run invoices/ out/ --extraction invoice     read a folder of invoices
  pagemill run scan.pdf out/ --extraction transcript   read the text of one document
  pagemill show out/                                   look at what was read
  pagemill extractions                                 what can be read from documents

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
  3  the run could not go on; what was committed stays, and the next run goes on from there
"""
RUN_EXAMPLES = """\
examples:
  pagemill run invoices/ out/ --extraction invoice
  pagemill run 'mail/**/*.pdf' out/ --extraction receipt --limit 10
  pagemill run scans/ out/ --extraction my-forms/delivery-note --engine ocr
  pagemill run scans/ out/ --set render.passwords=secret --set cost.price_per_hour=0.62

INPUT may hold PDF, PNG, JPEG, TIFF and WebP files, told apart by content; names that start
with "." or "_" are passed over. Any setting of `pagemill config` can stand in pagemill.toml,
in a PAGEMILL_* variable, or behind --set; the later of these wins.

"""


_Parser = argparse.ArgumentParser


class Flag(NamedTuple):
    """A flag that fills in one setting."""

    name: str
    key: str
    metavar: str
    help: str


FLAGS = (
    Flag("--extraction", "extraction", "NAME", "what to read: a name from `pagemill extractions`, or your own folder"),
    Flag("--engine", "engine", "auto|vllm|ocr", "what reads: a vision-language model on a GPU, or OCR on CPU"),
    Flag("--model", "vllm.model", "MODEL", "for vllm: a profile from `pagemill models`, a hub id or a local folder"),
    Flag("--text-layer", "ocr.text_layer", "auto|never|only", "for ocr: when to use the text inside born-digital PDFs"),
    Flag("--max-pixels", "render.max_pixels", "N", "pixels a page image may have"),
    Flag("--workers", "ocr.workers", "N", "for ocr: processes that read pages (default: one a core)"),
    Flag("--limit", "limit", "N", "documents to read at most"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    _make_streams_safe()
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _run_command(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.command(arguments)
    except (ConfigError, EngineStartError) as error:
        return _complain(error, USAGE, verbose=arguments.verbose)
    except PipelineError as error:
        return _complain(error, STOPPED, verbose=arguments.verbose)
    except KeyboardInterrupt:
        print("pagemill: interrupted; what was committed stays, run again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - Python's own exit code 1 would say that only some pages failed
        import traceback

        traceback.print_exc()
        print("pagemill: error: this is a fault in Pagemill; please report it with the lines above", file=sys.stderr)
        return STOPPED
    return code


def _run(arguments: argparse.Namespace) -> int:
    from pipeline.log import configure_logging
    from pipeline.progress import show_progress

    effective = _effective(arguments)
    configure_logging(_log_level(arguments), as_json=arguments.json)
    from pipeline.run import run

    with show_progress(as_json=arguments.json, quiet=arguments.quiet) as on_progress:
        report = run(effective.config, on_progress=on_progress)
    if arguments.json:
        _print_json_report(report)
    elif not arguments.quiet:
        _print_report(report)
    return report.exit_code


def _show(arguments: argparse.Namespace) -> int:
    from pipeline.results import open_results
    from pipeline.show import print_json, print_results

    results = open_results(arguments.output)
    names = [found.name for found in results.extractions]
    if not names or arguments.extraction not in {None, *names}:
        of = f" of {arguments.extraction!r}, only of {', '.join(names)}" if arguments.extraction and names else ""
        raise ConfigError(f"{arguments.output} holds no results{of}.")
    show = print_json if arguments.json else print_results
    show(results, sys.stdout, extraction=arguments.extraction, limit=arguments.limit)
    return OK


def _extractions(arguments: argparse.Namespace) -> int:
    from pipeline.extraction import list_extractions

    for found in list_extractions(_effective(arguments, complete=False).config.prompts):
        fields = list(found.model.model_fields)
        if arguments.json:
            print(json.dumps({"name": found.name, "folder": str(found.folder), "fields": fields}))
        else:
            print(f"{found.name}\n  fields: {', '.join(fields)}\n  folder: {found.folder}")
    return OK


def _config(arguments: argparse.Namespace) -> int:
    from pipeline import settings

    if arguments.markdown:
        print(settings.reference_table(), end="")
        return OK
    effective = _effective(arguments, complete=False)
    print(settings.as_json(effective) if arguments.json else settings.as_toml(effective))
    return OK


def _models(arguments: argparse.Namespace) -> int:
    from pipeline.engines.vllm import PROFILES

    for name, profile in PROFILES.items():
        if arguments.json:
            print(json.dumps({"name": name, "hub_id": profile.hub_id, "purpose": profile.purpose}))
        else:
            print(f"{name:<20} {profile.hub_id}\n{'':<20} {profile.purpose}")
    if not arguments.json:
        print("\nAny other model built like Qwen2.5-VL: `--model` takes its hub id or a local folder too.")
    return OK


def _effective(arguments: argparse.Namespace, *, complete: bool = True) -> Effective:
    from pipeline.settings import Setting, load_config

    given = vars(arguments)
    flags = [Setting(key, given[key], key.upper()) for key in ("input", "output") if given.get(key)]
    flags += [Setting(flag.key, given[flag.key], flag.name) for flag in FLAGS if given.get(flag.key) is not None]
    if arguments.prompts:
        flags.append(Setting("prompts", arguments.prompts, "--prompts"))
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: write it as KEY=VALUE, for example --set tries.max_tries=2.")
        flags.append(Setting(key.strip(), value, "--set"))
    return load_config(flags, environ=os.environ, config_file=arguments.config, complete=complete)


def _log_level(arguments: argparse.Namespace) -> int:
    if arguments.quiet:
        return logging.ERROR
    return {0: logging.WARNING, 1: logging.INFO}.get(arguments.verbose, logging.DEBUG)


def _complain(error: PipelineError, code: int, *, verbose: int) -> int:
    from pipeline.log import printable

    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"pagemill: error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
    return code


def _make_streams_safe() -> None:
    """Let no character stop the output: a terminal's encoding may lack some, file names may be undecodable."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_json_report(report: RunReport) -> None:
    from dataclasses import asdict

    print(json.dumps({"event": "report", **asdict(report), "exit_code": report.exit_code}, default=str))


def _print_report(report: RunReport) -> None:
    from pipeline.results import open_results
    from pipeline.show import print_results

    if report.documents_skipped:
        print(
            f"{report.documents_skipped} documents were read before with the same settings; `pagemill show` has them."
        )
    if report.documents:
        extraction, run_id = report.identity.extraction, report.identity.run_id
        print_results(open_results(report.output), sys.stdout, extraction=extraction, run_id=run_id)
    elif not report.documents_skipped:
        print("There was no document to read.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pagemill",
        description=ABOUT,
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pagemill {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], about: str, *, epilog: str = "") -> _Parser:
        made = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        made.set_defaults(command=command)
        made.add_argument("--json", action="store_true", help="print JSON, for machines")
        made.add_argument("--verbose", "-v", action="count", default=0, help="say more; twice: say everything")
        return made

    _add_run_arguments(add("run", _run, "read documents and write their records", epilog=RUN_EXAMPLES + EXIT_CODES))
    _add_show_arguments(add("show", _show, "print records, failures and statistics of finished runs"))
    _add_settings(add("extractions", _extractions, "list what can be read from documents"))
    add("models", _models, "list the vision-language models with known settings")
    config = add("config", _config, "print all settings and where each value comes from", epilog=CONFIG_EXAMPLES)
    _add_run_settings(config)
    config.add_argument("--markdown", action="store_true", help="print the reference of all settings instead")
    return parser


def _add_run_arguments(parser: _Parser) -> None:
    _add_run_settings(parser)
    parser.add_argument("--quiet", "-q", action="store_true", help="print nothing but errors")


def _add_run_settings(parser: _Parser) -> None:
    parser.add_argument("input", nargs="?", metavar="INPUT", help="a document, a folder (with all below it) or a glob")
    parser.add_argument("output", nargs="?", metavar="OUTPUT", help="a folder for the Parquet files; made if missing")
    for flag in FLAGS:
        parser.add_argument(flag.name, dest=flag.key, metavar=flag.metavar, help=flag.help)
    _add_settings(parser)


def _add_settings(parser: _Parser) -> None:
    parser.add_argument("--prompts", action="append", metavar="DIR", help="a folder of your own extraction folders")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML (default: ./pagemill.toml, if any)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting; may be repeated")


def _add_show_arguments(parser: _Parser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="where a run wrote to")
    parser.add_argument("--extraction", metavar="NAME", help="only this one")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="records to print (default: 20)")
