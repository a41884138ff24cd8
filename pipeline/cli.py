"""The `pagemill` command: arguments -> RunConfig -> run -> exit code.

Everything heavy is imported inside the command that needs it, so that help is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pipeline.arguments import FLAGS, Command, build_parser, parse
from pipeline.errors import ConfigError, EngineStartError, PipelineError
from pipeline.signals import INTERRUPTED_MESSAGE, Terminated, raise_terminated

if TYPE_CHECKING:
    from pipeline.check import Problem
    from pipeline.config import RunConfig
    from pipeline.results import Results
    from pipeline.run import Retry
    from pipeline.settings import Effective, Setting

OK, SOME_FAILED, USAGE, STOPPED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 3, 130, 141, 143


def _commands() -> dict[str, Command]:
    return {
        "run": _run,
        "show": _show,
        "failures": _failures,
        "retry": _retry,
        "check": _check,
        "extractions": _extractions,
        "models": _models,
        "plan": _plan,
        "bench": _bench,
        "report": _report,
        "review": _review,
        "export": _export,
        "eval": _eval,
        "config": _config,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = parse(build_parser(_commands()), argv)
    _make_streams_safe()
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def run_program() -> NoReturn:
    """Run the command line and end this process with its exit code.

    Not by the interpreter's own way: threads of Arrow and of ONNX Runtime may still stand in static objects, whose
    destructors then abort a program that has done all its work ("terminate called without an active exception").
    """
    code = main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _run_command(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.command(arguments)
    except (ConfigError, EngineStartError) as error:
        return _complain(error, USAGE, verbose=arguments.verbose)
    except PipelineError as error:
        return _complain(error, STOPPED, verbose=arguments.verbose)
    except KeyboardInterrupt as stop:
        print(INTERRUPTED_MESSAGE, file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001 - Python's own exit code 1 would say that only some pages failed
        import traceback

        traceback.print_exc()
        print("pagemill: error: this is a fault in Pagemill; please report it with the lines above", file=sys.stderr)
        return STOPPED
    return code


def _run(arguments: argparse.Namespace) -> int:
    config = _effective(arguments).config
    return _forecast(config, as_json=arguments.json) if arguments.dry_run else _run_config(arguments, config)


def _forecast(config: RunConfig, *, as_json: bool) -> int:
    from pipeline.forecast import forecast, print_forecast, print_forecast_json

    found = forecast(config)
    (print_forecast_json if as_json else print_forecast)(found, sys.stdout)
    return OK


def _run_config(arguments: argparse.Namespace, config: RunConfig, retry: Retry | None = None) -> int:
    from pipeline.log import configure_logging

    configure_logging(_log_level(arguments), as_json=arguments.json)
    from pipeline.running import run_and_report

    return run_and_report(config, as_json=arguments.json, quiet=arguments.quiet, retry=retry)


def _retry(arguments: argparse.Namespace) -> int:
    from pipeline.retry import choose_failed
    from pipeline.show.text import counted, printable

    failed = choose_failed(arguments.output, arguments.only, arguments.reasons)
    if arguments.json and (arguments.dry_run or not failed.counts):
        print(json.dumps({"extraction": failed.extraction, "reasons": failed.counts, "settings_of": failed.run_id}))
    elif not failed.counts:
        print(f"No page of {printable(failed.extraction)} failed: there is nothing to read again.")
    if not failed.counts:
        return OK
    effective = _effective(arguments, base=failed.settings)
    if not arguments.dry_run:
        from pipeline.run import Retry

        return _run_config(arguments, effective.config, Retry(frozenset(arguments.reasons)))
    if not arguments.json:
        pages = counted(sum(failed.counts.values()), "page")
        reasons = ", ".join(f"{count:,} {printable(reason)}" for reason, count in failed.counts.items())
        print(f"{pages} of {printable(failed.extraction)} would be read again: {reasons}")
        _print_changed(effective, failed.run_id)
    return OK


def _print_changed(effective: Effective, run_id: str | None) -> None:
    from pipeline.log import printable

    if run_id:
        print(f"with the settings of run {run_id}")
    for key, origin in effective.origins.items():
        if origin not in {"default", f"run {run_id}", "OUTPUT", "the output"}:
            print(f"  but {key} as in {printable(origin)}")


def _show(arguments: argparse.Namespace) -> int:
    from pipeline.show import print_json, print_results

    results = _results(arguments.output, arguments.extraction)
    show = print_json if arguments.json else print_results
    show(results, sys.stdout, extraction=arguments.extraction, limit=arguments.limit)
    return OK


def _failures(arguments: argparse.Namespace) -> int:
    from pipeline.show import print_failures, print_failures_json

    results = _results(arguments.output, arguments.only)
    show = print_failures_json if arguments.json else print_failures
    show(results, sys.stdout, extraction=arguments.only, reasons=arguments.reasons, limit=arguments.limit)
    return OK


def _results(output: str, extraction: str | None) -> Results:
    """Return what is in an output; ConfigError when that is nothing, or nothing of this extraction."""
    from pipeline.results import open_results

    results = open_results(output)
    names = [found.name for found in results.extractions]
    if not names or extraction not in {None, *names}:
        if not names and results.is_extraction:
            above = results.location.rpartition("/")[0] or "."
            raise ConfigError(f"{output} is one extraction of an output; did you mean {above!r}?")
        of = f" of {extraction!r}, only of {', '.join(names)}" if extraction and names else ""
        raise ConfigError(f"{output} holds no results{of}.")
    return results


def _check(arguments: argparse.Namespace) -> int:
    from pipeline.check import Audit
    from pipeline.show.text import counted

    _results(arguments.output, None)
    audit = Audit(arguments.output)
    harmless = harmful = 0
    for problem in audit.problems():
        harmless += problem.harmless
        harmful += not problem.harmless
        _print_problem(problem, as_json=arguments.json)
    found = {"parts": audit.parts, "documents": audit.documents, "pages": audit.pages}
    if arguments.json:
        print(json.dumps({"event": "checked", **found, "problems": harmful, "harmless": harmless}))
    else:
        checked = ", ".join(counted(count, noun[:-1]) for noun, count in found.items())
        left = f" ({counted(harmless, 'harmless left-over')} of a dead run)" if harmless else ""
        print(f"checked {checked}: {counted(harmful, 'problem') if harmful else 'no problem'}{left}")
    return SOME_FAILED if harmful else OK


def _print_problem(problem: Problem, *, as_json: bool) -> None:
    from dataclasses import asdict

    from pipeline.log import printable

    if as_json:
        print(json.dumps({"event": "problem", **asdict(problem)}))
    else:
        print(printable(f"{'harmless: ' if problem.harmless else ''}{problem.key}: {problem.message}"))


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


def _plan(arguments: argparse.Namespace) -> int:
    from pipeline.plan import plan

    plan(arguments, _effective(arguments, complete=False).config, sys.stdout)
    return OK


def _bench(arguments: argparse.Namespace) -> int:
    from pipeline.bench.command import bench
    from pipeline.log import configure_logging

    configure_logging(_log_level(arguments), as_json=arguments.json)
    return bench(arguments, partial(_effective_with, arguments))


def _report(arguments: argparse.Namespace) -> int:
    from pipeline.report.command import report

    return report(arguments, _results(arguments.output, None))


def _review(arguments: argparse.Namespace) -> int:
    from pipeline.review.command import review

    return review(arguments, _results(arguments.output, None))


def _export(arguments: argparse.Namespace) -> int:
    from pipeline.export.command import export

    return export(arguments, _results(arguments.output, None))


def _eval(arguments: argparse.Namespace) -> int:
    from pipeline.eval.command import evaluate
    from pipeline.log import configure_logging

    configure_logging(_log_level(arguments), as_json=arguments.json)
    return evaluate(arguments, partial(_effective_with, arguments))


def _effective_with(arguments: argparse.Namespace, changes: Sequence[str]) -> RunConfig:
    """Return the settings with further KEY=VALUE ones, which win."""
    given = argparse.Namespace(**{**vars(arguments), "set": [*arguments.set, *changes]})
    return _effective(given, complete=False).config


def _effective(arguments: argparse.Namespace, *, base: Iterable[Setting] = (), complete: bool = True) -> Effective:
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
    return load_config(flags, base=base, environ=os.environ, config_file=arguments.config, complete=complete)


def _log_level(arguments: argparse.Namespace) -> int:
    if vars(arguments).get("quiet"):
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
