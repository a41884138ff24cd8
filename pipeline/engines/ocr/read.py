"""Reads a page image on one CPU thread: finds text, turns the page upright, reads its lines.

RapidOCR finds the text. Its classifier of upside-down lines is not used: it turned long upright
lines (see DECISIONS.md). Here a page or a line is turned only where that reads better.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.data import Box, Word
from pipeline.engines.ocr.recognise import LineReader, Reading, is_east_asian, silence_telemetry
from pipeline.engines.ocr.rows import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    Quad = npt.NDArray[np.float32]
    """Corners of a text run, clockwise from its top left, shape (4, 2)."""

DETECTOR_PIXELS = 0.8e6
"""Text is found on a copy of the page of about this size and read from the full image."""

MIN_SCORE = 0.65
"""Readings below are stains, stamps and handwriting more often than text."""

SURE_SCORE = 0.9
"""Lines that read this well are upright; others are tried upside down as well."""

TURN_GAIN = 0.1
"""Turned lines must score this much better: print gains 0.3 and more, handwriting neither way."""

TRIAL_LINES = 5
"""How many of the longest lines decide whether a page is upside down."""

EAST_ASIAN_SHARE = 0.2
"""Share of East Asian letters from which a page is taken to be in such a script."""

MIN_EAST_ASIAN_NAME = 3
"""East Asian characters that stand together on other pages; fewer are dashes, stops and stains."""

TALL = 1.5
"""Height by width from which a run is a single character or a line that stands on its side."""


_UNLIMITED_PX = 100_000

_DETECTOR_SETTINGS = {
    "Global.log_level": "critical",
    "Global.max_side_len": _UNLIMITED_PX,
    "Det.thresh": 0.2,
    "Det.box_thresh": 0.4,
    "Det.limit_type": "max",
    "Det.limit_side_len": _UNLIMITED_PX,
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


@dataclass(frozen=True, slots=True)
class PageReading:
    """The runs of a page in pixels of the upright page, and how the page was turned to get it."""

    runs: tuple[Run, ...]
    width_px: int
    height_px: int
    rotation_deg: int


class PageReader:
    """RapidOCR's detector and PP-OCR's recogniser; loading takes about a second, nothing is downloaded."""

    def __init__(self) -> None:
        silence_telemetry()
        import rapidocr

        self._detector = rapidocr.RapidOCR(params=_DETECTOR_SETTINGS)
        self._lines = LineReader(Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx")

    def read_page(self, pixels: Pixels) -> PageReading:
        """Read an RGB page; `runs` are in no particular order."""
        import numpy as np

        image = np.ascontiguousarray(pixels[:, :, ::-1])
        image, quads, rotation_deg = self._upright(image)
        return PageReading(self._read_runs(image, quads), image.shape[1], image.shape[0], rotation_deg)

    def read_beside(self, pixels: Pixels, known: Sequence[Box]) -> tuple[Run, ...]:
        """Read only what stands outside the boxes `known`, on a page that is upright."""
        import numpy as np

        image = np.ascontiguousarray(pixels[:, :, ::-1])
        return self._read_runs(image, [quad for quad in self._find(image) if not _is_covered(quad, known)])

    def find_rotation(self, pixels: Pixels) -> int:
        """Return the clockwise turn in degrees that makes an RGB page upright, without reading it all."""
        import numpy as np

        return self._upright(np.ascontiguousarray(pixels[:, :, ::-1]))[2]

    def _upright(self, image: Pixels) -> tuple[Pixels, list[Quad], int]:
        """Return the page turned upright, its text runs, and the clockwise turn in degrees."""
        rotation_deg = 0
        quads = self._find(image)
        if _lies_on_its_side(quads):
            image, rotation_deg = _turned(image), 90
            quads = self._find(image)
        if self._is_upside_down(image, quads):
            image, rotation_deg = _turned(_turned(image)), rotation_deg + 180
            quads = self._find(image)
        return image, quads, rotation_deg

    def _find(self, image: Pixels) -> list[Quad]:
        """Return the text runs of a BGR image."""
        import cv2
        import numpy as np

        height_px, width_px = image.shape[:2]
        scale = min(1.0, (DETECTOR_PIXELS / (height_px * width_px)) ** 0.5)
        size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        found: Any = self._detector(small, use_det=True, use_cls=False, use_rec=False)
        factor = np.array([width_px / size[0], height_px / size[1]], np.float32)
        return [] if found.boxes is None else [quad.astype(np.float32) * factor for quad in found.boxes]

    def _is_upside_down(self, image: Pixels, quads: Sequence[Quad]) -> bool:
        """Compare how the longest lines read both ways; pages that read well are not tried turned."""
        longest = sorted(quads, key=_width, reverse=True)[:TRIAL_LINES]
        crops = [_crop(image, quad) for quad in longest if not _is_tall(quad)]
        if not crops:
            return False
        upright = [self._lines.read(crop).score for crop in crops]
        if sum(upright) >= SURE_SCORE * len(crops):
            return False
        turned = [self._lines.read(_turned(_turned(crop))).score for crop in crops]
        return sum(turned) > sum(upright) + TURN_GAIN * len(crops)

    def _read_runs(self, image: Pixels, quads: Sequence[Quad]) -> tuple[Run, ...]:
        """Read runs; on a page in another script, what looks East Asian is read again as that script."""
        runs = [self._read_run(image, quad) for quad in quads]
        if not _is_east_asian_page([run.text for run in runs if run]):
            for number, (quad, run) in enumerate(zip(quads, runs, strict=True)):
                if run and _has_stray(run.text):
                    runs[number] = self._read_run(image, quad, western=True)
        return tuple(run for run in runs if run)

    def _read_run(self, image: Pixels, quad: Quad, *, western: bool = False) -> Run | None:
        """Read one run the way it reads best, or None when it is no text."""
        crop = _crop(image, quad)
        reading = self._lines.read(crop, western=western)
        if _is_tall(quad):
            sideways = [self._lines.read(_turned(crop)), self._lines.read(_turned(_turned(_turned(crop))))]
            best = max([reading, *sideways], key=lambda one: one.score)
            return _run(quad, best, whole=best is not reading)
        if reading.score < MIN_SCORE:
            turned = self._lines.read(_turned(_turned(crop)))
            return _run(quad, turned, whole=True)
        return _run(quad, reading)


def _is_east_asian_page(texts: Sequence[str]) -> bool:
    """Tell whether a page has more East Asian letters than misreadings and a letterhead explain."""
    letters = [char for text in texts for char in text if char.isalpha()]
    return sum(map(is_east_asian, letters)) > EAST_ASIAN_SHARE * len(letters)


def _has_stray(text: str) -> bool:
    """Tell whether a run has East Asian characters but too few for a name."""
    return 0 < sum(map(is_east_asian, text)) < max(MIN_EAST_ASIAN_NAME, len(text) / 2)


def _width(quad: Quad) -> float:
    return float(max(abs(quad[1] - quad[0]).max(), abs(quad[2] - quad[3]).max()))


def _height(quad: Quad) -> float:
    return float(max(abs(quad[3] - quad[0]).max(), abs(quad[2] - quad[1]).max()))


def _is_tall(quad: Quad) -> bool:
    return _height(quad) >= TALL * _width(quad)


def _lies_on_its_side(quads: Sequence[Quad]) -> bool:
    """Tell whether most of the text, by length, runs up or down."""
    tall = sum(_height(quad) for quad in quads if _is_tall(quad))
    return tall > sum(_width(quad) for quad in quads if not _is_tall(quad))


def _is_covered(quad: Quad, known: Sequence[Box]) -> bool:
    """Tell whether a run's middle line touches one of the boxes."""
    x0, y0, x1, y1 = _bounds(quad, 0.0, 1.0)
    middle = (y0 + y1) / 2
    return any(box.y0 <= middle <= box.y1 and box.x0 < x1 and x0 < box.x1 for box in known)


def _turned(image: Pixels) -> Pixels:
    """Return the image turned by 90 degrees clockwise."""
    import cv2

    turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    return cast("Pixels", turned)


def _crop(image: Pixels, quad: Quad) -> Pixels:
    """Cut a run out of the page and straighten it."""
    import cv2
    import numpy as np

    width_px = max(1, round(float(max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3])))))
    height_px = max(1, round(float(max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1])))))
    corners = np.array([[0, 0], [width_px, 0], [width_px, height_px], [0, height_px]], np.float32)
    transform = cv2.getPerspectiveTransform(quad, corners)
    crop = cv2.warpPerspective(
        image, transform, (width_px, height_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return cast("Pixels", crop)


def _run(quad: Quad, reading: Reading, *, whole: bool = False) -> Run | None:
    """Place a reading on the page; `whole` keeps it one word, for text that was turned."""
    if reading.score < MIN_SCORE:
        return None
    box = _bounds(quad, 0.0, 1.0)
    words = tuple(Word(piece.text, _bounds(quad, piece.start, piece.end)) for piece in reading.pieces)
    across = float(quad[1, 0] - quad[0, 0])
    slope = float(quad[1, 1] - quad[0, 1]) / across if across > 0 and not whole else 0.0
    return Run(reading.text, box, reading.score, slope, (Word(reading.text, box),) if whole else words)


def _bounds(quad: Quad, start: float, end: float) -> Box:
    """Return the upright rectangle around the part of a run from `start` to `end`, shares of its width."""
    top_left, top_right, bottom_right, bottom_left = quad
    top, bottom = top_right - top_left, bottom_right - bottom_left
    corners = (top_left + start * top, top_left + end * top, bottom_left + start * bottom, bottom_left + end * bottom)
    xs, ys = [float(corner[0]) for corner in corners], [float(corner[1]) for corner in corners]
    return Box(min(xs), min(ys), max(xs), max(ys))
