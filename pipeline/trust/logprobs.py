"""Log-probabilities of an output's tokens -> of the values that the output holds.

Only what is inside a value counts: quotes, names and braces are what the grammar asks for, and a model that would
have written them otherwise gives them log-probabilities that say nothing of the value.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

Token = tuple[str, float]
"""Text that a token adds, and its log-probability."""

Span = tuple[int, int]

MOST_NESTED = 64
"""Objects and lists within one another; no schema has as many, and a model gone wild may write thousands."""

_SPACE = re.compile(r"\s*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
_SCALAR = re.compile(r"[^\s,:\[\]{}\"]+")


def field_logprobs(
    token_logprobs: Sequence[Token], text: str, *, plain_text_field: str | None = None
) -> dict[str, float]:
    """Return the least log-probability among the tokens that spell each value, by path: `line_items[0].quantity`.

    A token that holds the end of one value and the start of another counts for both. Values without a character, and
    nulls, have none. Of a plain text it is the mean: in a page of a thousand tokens the least says nothing.

    Args:
        token_logprobs: in output order; together the texts are `text`. A character of several tokens is added by its
            last one; the others, which add nothing, count for it, too.
        text: the output, with or without text around its JSON, whole or cut off.
        plain_text_field: the field that takes the whole output, where there is no JSON.

    Returns:
        Nothing when no tokens were kept or they are of another text.
    """
    if not token_logprobs or "".join(piece for piece, _ in token_logprobs) != text:
        return {}
    if plain_text_field is not None:
        return {plain_text_field: sum(logprob for _, logprob in token_logprobs) / len(token_logprobs)}
    starts, ends = _places(token_logprobs)
    found = {}
    for path, (start, end) in _value_spans(text):
        first, behind = bisect_right(ends, start), bisect_left(starts, end)
        found[path] = min(logprob for _, logprob in token_logprobs[first:behind])
    return found


def _places(tokens: Sequence[Token]) -> tuple[list[int], list[int]]:
    """Where tokens start and end; those that add nothing lie on the character that follows."""
    edges = list(accumulate((len(piece) for piece, _ in tokens), initial=0))
    places = [(start, end if end > start else start + 1) for start, end in pairwise(edges)]
    return [start for start, _ in places], [end for _, end in places]


def _value_spans(text: str) -> Iterator[tuple[str, Span]]:
    """Yield path and place of each value of the JSON in `text`, until it ends or is none any more."""
    start = text.find("{")
    if start >= 0:
        yield from _Scanner(text).values(start)


class _Scanner:
    """Reads JSON from left to right; takes what there is of one that is cut off."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def values(self, start: int) -> Iterator[tuple[str, Span]]:
        """Yield the values from `start` on."""
        self._at = start
        yield from self._value("", 0)

    def _value(self, path: str, depth: int) -> Iterator[tuple[str, Span]]:
        opening = self._next()
        if opening == "{" and depth < MOST_NESTED:
            yield from self._members(path, depth)
        elif opening == "[" and depth < MOST_NESTED:
            yield from self._items(path, depth)
        else:
            span = self._string() if opening == '"' else self._scalar()
            if span is None:
                self._at = len(self._text)  # no JSON from here on
            elif span[0] < span[1] and (opening == '"' or self._text[slice(*span)] != "null"):
                yield path, span

    def _members(self, path: str, depth: int) -> Iterator[tuple[str, Span]]:
        self._at += 1
        while self._next() == '"' and (name := self._string()) and self._next() == ":":
            self._at += 1
            key = _unescaped(self._text[slice(*name)])
            yield from self._value(f"{path}.{key}" if path else key, depth + 1)
            self._step_over(",")
        self._step_over("}")

    def _items(self, path: str, depth: int) -> Iterator[tuple[str, Span]]:
        self._at += 1
        index = 0
        while self._next() not in {"]", ""}:
            yield from self._value(f"{path}[{index}]", depth + 1)
            self._step_over(",")
            index += 1
        self._step_over("]")

    def _next(self) -> str:
        """Pass over white space; return the character behind it, empty at the end."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _step_over(self, mark: str) -> None:
        if self._next() == mark:
            self._at += 1

    def _string(self) -> Span | None:
        """Return the place of what is between the quotes; up to the end of the text where one is missing."""
        match = _STRING.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.span(1)

    def _scalar(self) -> Span | None:
        match = _SCALAR.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match.span()


def _unescaped(name: str) -> str:
    try:
        return str(json.loads(f'"{name}"', strict=False)) if "\\" in name else name
    except ValueError:
        return name
