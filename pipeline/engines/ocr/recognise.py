"""Turns images of text lines into text with PP-OCR's recognition model.

Drives the model directly instead of through RapidOCR, which gives only the finished text.
Three things need more, all measured in DECISIONS.md: lines go one by one at their own width
(padded batches cost more on a CPU and read worse), spaces the model is unsure of are kept, and
the place of each character tells how wide the gaps inside a line are.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    Probabilities = npt.NDArray[np.float32]

LINE_HEIGHT_PX = 48
"""Input height of PP-OCR's recognition models."""

MIN_WIDTH_PX = 16
"""Two steps of the model; a narrower input has no room for a character beside a blank."""

BLANK = 0
"""Class that stands for no character (connectionist temporal classification, Graves 2006)."""

SPACE_PROBABILITY = 0.15
"""A gap the model calls a space with this probability is one. It prefers no space in doubt: half of
that reads or loses as many spaces as the double; none at all loses one error in ten on receipts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A word inside a line image; `start` and `end` are shares of the line's width."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What one line image says; `score` is the mean probability of its characters, 0 without any."""

    pieces: tuple[Piece, ...]
    score: float

    @property
    def text(self) -> str:
        """The words joined by spaces."""
        return " ".join(piece.text for piece in self.pieces)


def silence_telemetry() -> None:
    """Keep onnxruntime from reporting its use to its maker; to be called before it is imported, directly or not.

    Otherwise it leaves a device id and a database in the user's cache folder, and sends from there.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


class LineReader:
    """PP-OCR's recognition model on one thread."""

    def __init__(self, model: Path) -> None:
        silence_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps the memory of the widest line ever read
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ("", *characters, " ")

    @cached_property
    def _east_asian(self) -> npt.NDArray[np.bool_]:
        """Which classes are East Asian characters, full-width forms of Latin ones included."""
        import numpy as np

        return np.array([is_east_asian(character) for character in self._characters])

    def read(self, line: Pixels, *, western: bool = False) -> Reading:
        """Read one upright line; `line` is BGR, shape (height_px, width_px, 3).

        Args:
            western: take no East Asian character for what may as well be a dash, a stop or a stain.
        """
        probabilities = self._probabilities(line)
        if western:
            probabilities[:, self._east_asian] = 0
        return _spelled(probabilities, self._characters)

    def _probabilities(self, line: Pixels) -> Probabilities:
        """Return class probabilities, shape (steps, classes); a step is 8 px of the scaled line."""
        import cv2
        import numpy as np

        height_px, width_px = line.shape[:2]
        scaled_px = max(MIN_WIDTH_PX, round(width_px * LINE_HEIGHT_PX / height_px))
        scaled = cv2.resize(line, (scaled_px, LINE_HEIGHT_PX)).astype(np.float32) / 127.5 - 1
        probabilities: Probabilities = self._session.run(None, {self._input: scaled.transpose(2, 0, 1)[None]})[0][0]
        return probabilities


def is_east_asian(character: str) -> bool:
    """Tell whether a character takes a full square in East Asian type (Unicode Standard Annex 11)."""
    return len(character) == 1 and unicodedata.east_asian_width(character) in {"W", "F"}


def _spelled(probabilities: Probabilities, characters: tuple[str, ...]) -> Reading:
    """Take the likeliest class of each step, merge repeats, drop blanks, split at spaces."""
    import numpy as np

    best = probabilities.argmax(axis=1)
    is_new = best != BLANK
    is_new[1:] &= best[1:] != best[:-1]
    steps = [int(step) for step in np.flatnonzero(is_new) if characters[best[step]] != " "]
    if not steps:
        return Reading((), 0.0)
    is_space = probabilities[:, -1] >= SPACE_PROBABILITY
    score = float(probabilities[steps, best[steps]].mean())
    letters = [characters[best[step]] for step in steps]
    return Reading(tuple(_pieces(letters, steps, is_space)), score)


def _pieces(letters: list[str], steps: list[int], is_space: npt.NDArray[np.bool_]) -> Iterator[Piece]:
    """Split letters where a space stands between two steps."""
    total = len(is_space)
    half = median([b - a for a, b in pairwise(steps)] or [1]) / 2
    begin = 0
    for end in range(1, len(steps) + 1):
        if end < len(steps) and not is_space[steps[end - 1] + 1 : steps[end]].any():
            continue
        first, last = steps[begin] + 0.5 - half, steps[end - 1] + 0.5 + half
        yield Piece("".join(letters[begin:end]), max(0.0, first / total), min(1.0, last / total))
        begin = end
