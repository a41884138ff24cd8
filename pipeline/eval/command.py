"""`pagemill eval`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arguments.eval import SETTINGS
from pipeline.errors import ConfigError
from pipeline.eval import load_dataset, score_output
from pipeline.eval.baselines import BASELINES, read_baselines
from pipeline.eval.comparing import compare
from pipeline.eval.figures import figures_of, groups
from pipeline.eval.pictures import write_worst
from pipeline.eval.printing import baselines_text, comparison_text, figures_text, put, say
from pipeline.eval.reading import Speed, read_dataset
from pipeline.eval.reliability import check_picture, draw_reliability, reliability_text
from pipeline.eval.table import read_scores, write_scores
from pipeline.show.text import counted

if TYPE_CHECKING:
    import argparse

    from pipeline.config import RunConfig
    from pipeline.eval import Dataset, DocumentScore
    from pipeline.eval.baselines import BaselineFigures
    from pipeline.eval.comparing import Comparison
    from pipeline.eval.figures import Figures

SCORES_SUFFIX = ".parquet"
_OF_USE = {"trust.min_confidence", "ocr.workers"}
"""Settings that mean something where nothing is read: at what confidence to cut, how many processes baselines have."""


def evaluate(arguments: argparse.Namespace, settings: Callable[[Sequence[str]], RunConfig]) -> int:
    """Read labelled documents, or take an output that is there; print how well they were read; return the exit code.

    Raises:
        ConfigError: there is nothing to measure, or a setting is wrong.
    """
    _check_targets(arguments)
    config = settings([])
    names = _baselines(arguments.baselines)
    dataset = load_dataset(
        arguments.dataset, kinds=arguments.kinds, limit=arguments.of_each_kind, prompts=config.prompts
    )
    for reason, count in dataset.left_out.items():
        say(f"left out: {count} {reason}")
    earlier = _earlier(arguments, dataset, config) if arguments.against else None
    with _output(arguments) as output:
        speeds = [] if arguments.scored else read_dataset(dataset, settings, output)
        scores = score_output(dataset, output, prompts=config.prompts, strict=arguments.strict)
        figures = [figures_of(group, min_confidence=config.trust.min_confidence) for group in groups(scores)]
        comparison = compare(earlier, scores) if earlier is not None else None
        baselines = read_baselines(names, dataset, config, output=output, speeds=speeds)
        if arguments.html:
            write_worst(arguments.html, dataset, scores, output=output, config=config, most=arguments.worst)
            say(f"the worst documents, with pictures: {arguments.html}")
        if arguments.fit_confidence:
            _fit(arguments, scores, output, config)
    if arguments.parquet:
        write_scores(arguments.parquet, scores, strict=arguments.strict)
    (_print_json if arguments.json else _print_text)(figures, comparison, baselines, speeds)
    return 0


def _check_targets(arguments: argparse.Namespace) -> None:
    """Refuse, before anything is read, what could not be written in the end."""
    if arguments.reliability:
        check_picture(arguments.reliability)
        if not arguments.fit_confidence:
            raise ConfigError("--reliability draws what --fit-confidence found: give that, too.")
    for file in (arguments.html, arguments.parquet, arguments.fit_confidence, arguments.reliability):
        if file and not file.absolute().parent.is_dir():
            raise ConfigError(f"{file} cannot be written: there is no folder {file.parent}.")
        if file and file.is_dir():
            raise ConfigError(f"{file} cannot be written: it is a folder; name a file in it.")


def _fit(arguments: argparse.Namespace, scores: Sequence[DocumentScore], output: str, config: RunConfig) -> None:
    from pipeline.eval.fitting import fit_confidence, save_calibrations

    fitted = fit_confidence(scores, output, source=arguments.dataset.name, prompts=config.prompts)
    save_calibrations(arguments.fit_confidence, fitted)
    for one in fitted:
        for line in reliability_text(one).splitlines():
            say(line)
        if arguments.reliability:
            draw_reliability(one, arguments.reliability)
    say(f"{arguments.fit_confidence}: for the setting trust.calibration")


def _baselines(text: str) -> list[str]:
    names = [name for name in text.replace(" ", "").split(",") if name]
    if unknown := [name for name in names if name not in BASELINES]:
        raise ConfigError(f"--baselines {unknown[0]}: there are only {' and '.join(BASELINES)}.")
    return names


def _earlier(arguments: argparse.Namespace, dataset: Dataset, config: RunConfig) -> list[DocumentScore]:
    """Return the scores to compare with."""
    if arguments.against.endswith(SCORES_SUFFIX):
        return read_scores(Path(arguments.against), strict=arguments.strict)
    return score_output(dataset, arguments.against, prompts=config.prompts, strict=arguments.strict)


@contextmanager
def _output(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the output that is scored; it is deleted in the end where nobody asked for it."""
    if arguments.scored or arguments.keep:
        given = vars(arguments)
        if useless := [key for key in SETTINGS - _OF_USE if arguments.scored and given.get(key)]:
            raise ConfigError(f"--output scores what was read before; {useless[0]} would change nothing.")
        yield arguments.scored or arguments.keep
    else:
        with tempfile.TemporaryDirectory(prefix="pagemill-eval-") as folder:
            yield folder


def _print_text(
    figures: Sequence[Figures],
    comparison: Comparison | None,
    baselines: Sequence[BaselineFigures],
    speeds: Sequence[Speed],
) -> None:
    put(figures_text(figures))
    if baselines:
        put(baselines_text(baselines))
    for speed in speeds:
        put(f"read {counted(speed.pages, 'page')} of {speed.kind} in {speed.seconds:.1f} s")
    if comparison:
        put(comparison_text(comparison))


def _print_json(
    figures: Sequence[Figures],
    comparison: Comparison | None,
    baselines: Sequence[BaselineFigures],
    speeds: Sequence[Speed],
) -> None:
    found = {
        "figures": [asdict(one) for one in figures],
        "comparison": asdict(comparison) if comparison else None,
        "baselines": [asdict(one) for one in baselines],
        "speeds": [asdict(one) for one in speeds],
    }
    put(json.dumps(found, ensure_ascii=False, default=str))
