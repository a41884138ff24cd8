"""The `pagemill` command: arguments -> RunConfig -> run -> exit code.

Everything heavy is imported inside the command that needs it, so that help is instant.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from pipeline.arguments import FLAGS, build_parser, parse
from pipeline.errors import ConfigError, EngineStartError, PipelineError

if TYPE_CHECKING:
    from pipeline.run import RunReport
    from pipeline.settings import Effective

OK, SOME_FAILED, USAGE, STOPPED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 3, 130, 141, 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C does, for those who have no keyboard (docker stop, systemd)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = parse(build_parser(_run, _show, _extractions, _models, _config), argv)
    _make_streams_safe()
    signal.signal(signal.SIGTERM, _terminate)
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
    except KeyboardInterrupt as stop:
        print("pagemill: interrupted; finished documents are committed, run again to go on", file=sys.stderr)
        return TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - Python's own exit code 1 would say that only some pages failed
        import traceback

        traceback.print_exc()
        print("pagemill: error: this is a fault in Pagemill; please report it with the lines above", file=sys.stderr)
        return STOPPED
    return code


def _terminate(*_: object) -> NoReturn:
    # Once: a second signal must not end the commit that the first one brings about.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


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
        if not names and results.is_extraction:
            above = results.location.rpartition("/")[0] or "."
            raise ConfigError(f"{arguments.output} is one extraction of an output; did you mean {above!r}?")
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
        print(_skipped_line(report))
    if report.documents:
        extraction, run_id = report.identity.extraction, report.identity.run_id
        print_results(open_results(report.output), sys.stdout, extraction=extraction, run_id=run_id)
    elif not report.documents_skipped:
        print("There was no document to read.")


def _skipped_line(report: RunReport) -> str:
    from pipeline.log import printable
    from pipeline.show.text import counted

    failed = report.documents_skipped_failed
    of_these = f" ({failed:,} of them failed)" if failed else ""
    were = "was" if report.documents_skipped == 1 else "were"
    count = f"{counted(report.documents_skipped, 'document')}{of_these}"
    show = f"pagemill show {shlex.quote(printable(report.output))}"
    return f"{count} {were} read before with the same settings; `{show}` has all."
