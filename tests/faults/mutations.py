"""Bytes and texts that are nearly right: the mutations of the fuzz target."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

LONGEST = 4 << 20
"""Splices beyond it are cut: what is large is another test's business."""
NUMBERS = (b"0", b"-1", b"1", b"65535", b"65536", b"2147483647", b"2147483648", b"-2147483648", b"9" * 20, b"1e400")
BYTES = (
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff" * 8,
    b"endobj\n",
    b"<<",
    b">>",
    b"\x00" * 64,
)


def mutated(dice: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return a file of the corpus with one to four mutations."""
    data = dice.choice(corpus)
    for _ in range(dice.choice((1, 1, 2, 4))):
        data = dice.choice(_MUTATIONS)(dice, data, corpus)
    return data[:LONGEST]


def _flip(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 4, 32))):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _truncate(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _cut_out(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start = dice.randrange(len(data) + 1)
    return data[:start] + data[start + dice.randrange(1 + len(data) // 4) :]


def _repeat(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start = dice.randrange(len(data) + 1)
    piece = data[start : start + dice.choice((1, 16, 256, 4096))]
    return data[:start] + piece * dice.choice((2, 8, 64)) + data[start:]


def _insert(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    start = dice.randrange(len(data) + 1)
    return data[:start] + dice.choice(BYTES) + data[start:]


def _splice(dice: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = dice.choice(corpus)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


def _renumber(dice: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    """Change a number as text formats write it: a length, a count, a reference."""
    numbers = list(re.finditer(rb"\d+", data[: 1 << 16]))
    if not numbers:
        return data
    start, end = dice.choice(numbers).span()
    return data[:start] + dice.choice((*NUMBERS, dice.choice(numbers)[0])) + data[end:]


_MUTATIONS: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _truncate, _cut_out, _repeat, _insert, _splice),
    *(_renumber, _renumber),  # most damage to a PDF that still opens is of this kind
)
