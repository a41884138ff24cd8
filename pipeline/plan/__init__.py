"""`pagemill plan`: memory, speed and money of a model on a card, before anything is rented or downloaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from pipeline.capacity import price_book_text
from pipeline.errors import ConfigError, EngineStartError
from pipeline.plan.answer import Answer
from pipeline.plan.as_json import answer_values, as_number, common_values
from pipeline.plan.forecast import InputForecast, forecast_input
from pipeline.plan.matrix import matrix_lines
from pipeline.plan.models import find_shape
from pipeline.plan.pages import Pages, count_pages
from pipeline.plan.question import Question, ask, whole_number
from pipeline.plan.told import (
    assumption_lines,
    input_lines,
    memory_lines,
    money_lines,
    speed_lines,
    summary_lines,
    title,
    wrapped,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pipeline.capacity import ModelShape
    from pipeline.config import RunConfig

__all__ = ["plan"]

SAMPLE = 100
"""Documents of an input that are opened, unless --open says otherwise."""


def plan(arguments: argparse.Namespace, config: RunConfig, file: TextIO) -> None:
    """Answer what the arguments of `pagemill plan` ask.

    Raises:
        ConfigError: an argument is wrong.
        EngineStartError: there is no such model, or it cannot run on the card; its memory is printed before.
        StorageError: the input cannot be listed.
    """
    if arguments.print_prices:
        print(price_book_text(), end="", file=file)
        return
    question = ask(arguments, config)
    _check_combination(arguments, config)
    if not arguments.matrix and len(question.models) * len(question.gpus) > 1:
        raise ConfigError("Several models or cards are named: add --matrix to hold them against each other.")
    shapes = _checked_shapes(question, config)
    sample = whole_number(arguments.open_documents, "--open", at_most=1_000_000) or SAMPLE
    pages = count_pages(config, sample=sample) if config.input else None
    if pages and pages.page_pixels and not (arguments.page_pixels or arguments.page_size):
        question = question.with_pages(pages.page_pixels, "the mean of the pages looked at")
    rows = [[Answer(question, name, shape, gpu) for name, shape in shapes.items()] for gpu in question.gpus]
    if arguments.matrix:
        _print_matrix(rows, file, as_json=arguments.json)
    else:
        _print_one(rows[0][0], pages, file, as_json=arguments.json)


def _check_combination(arguments: argparse.Namespace, config: RunConfig) -> None:
    """Refuse flags that would be ignored."""
    if config.input and arguments.matrix:
        raise ConfigError("--matrix plans for a typical page, not for an input: leave one of the two out.")
    if config.input and arguments.pages:
        raise ConfigError("--pages says how many pages there are, INPUT has them counted: leave one of the two out.")
    if arguments.open_documents and not config.input:
        raise ConfigError("--open says how many documents of INPUT are opened: name an INPUT, or leave it out.")
    if arguments.matrix:
        flags = {"--load": arguments.load, "--volume": arguments.volume}
        if not arguments.pages:
            flags["--window"] = arguments.window
        if unused := [flag for flag, value in flags.items() if value is not None]:
            raise ConfigError(f"--matrix does not use {', '.join(unused)}; with --pages N it tells hours and money.")


def _checked_shapes(question: Question, config: RunConfig) -> dict[str, ModelShape]:
    """Return the models' dimensions; what is wrong with a price or a model is told before an input is read."""
    for gpu in question.gpus:
        question.price_of(gpu)
    return {
        name: find_shape(name, revision=config.vllm.revision, quantisation=question.quantisation)
        for name in question.models
    }


def _print_matrix(rows: list[list[Answer]], file: TextIO, *, as_json: bool) -> None:
    every = [answer for row in rows for answer in row]
    if as_json:
        answers = [answer_values(answer, brief=True) for answer in every]
        values = {"event": "matrix", "answers": answers, **common_values(every[0])}
        print(json.dumps(values, default=as_number), file=file)
    else:
        print(*matrix_lines(rows), sep="\n", file=file)
    if all(isinstance(answer.outcome, EngineStartError) for answer in every):
        file.flush()  # before an error is told on the other stream
        _ = every[0].settings


def _print_one(answer: Answer, pages: Pages | None, file: TextIO, *, as_json: bool) -> None:
    found = forecast_input(answer, pages) if pages and answer.speed_known else None
    if as_json:
        values = {"event": "plan", **answer_values(answer), "input": _input_values(pages, found)}
        print(json.dumps(values, default=as_number), file=file)
    else:
        for line in _lines(answer, pages, found):
            print(line, file=file)
    file.flush()  # before an error is told on the other stream
    _ = answer.settings


def _input_values(pages: Pages | None, found: InputForecast | None) -> dict[str, object] | None:
    return None if pages is None else asdict(pages) | {"forecast": asdict(found) if found else None}


def _lines(answer: Answer, pages: Pages | None, found: InputForecast | None) -> Iterator[str]:
    yield from wrapped(title(answer), "")
    yield from summary_lines(answer)
    if pages:
        yield ""
        yield from input_lines(pages, found, answer.question.book.currency)
    yield ""
    yield from memory_lines(answer)
    if answer.speed_known:
        for part in (speed_lines, money_lines, assumption_lines):
            yield ""
            yield from part(answer)
    elif not answer.shape.weights.speed_known:
        yield ""
        yield from wrapped(f"{answer.shape.weights.remark}.", "")
