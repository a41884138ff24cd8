"""How high a page's small print is, and how small the page can be so that it stays legible.

Pixels are what a page costs on a GPU: an A4 page of 12 pt print needs less than half of those
that one of 8 pt needs. The measure is the em, the nominal size of a font: capitals are about
0.7 and small letters 0.5 of it high. It comes from the text layer where that says what is on
the page, else from the page's pixels at full size. Where neither can be trusted nothing is
known, and the page keeps its full size: too many pixels cost a little time, too few cost data.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from pipeline.data import Box
from pipeline.render.drawing import move_layer
from pipeline.render.grid import Grid, fit, legible_budget

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from pipeline.data import TextLayer
    from pipeline.render.drawing import Drawing
    from pipeline.render.text import Span

    Pixels = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.float64]

SMALL_PRINT_SHARE = 0.02
"""Share of a page's characters that may be smaller than what counts as its small print. Raised signs (®),
footnote marks and the odd hidden character stay below; a footer of one line on a full page does not."""
MIN_LAYER_CHARS = 200
"""Pages that carry less text may show more of it as curves or pictures, whose size the layer does not tell."""
MAX_HIDDEN_SHARE = 0.1
"""Invisible text lies over a scan, its sizes guessed by some OCR."""
MAX_PICTURE_SHARE = 0.1
"""A letterhead's logo covers 0.02; larger pictures may hold print of their own."""
ADVANCES_PER_EM = 3
"""A character of usual text is 0.4 to 0.6 em wide. Fonts with a matrix of their own (Type 3) state any size;
none is taken for larger than this many of its mean advances. Of 132 pages that tell the truth this makes one larger,
whose dot leaders are drawn dot by dot."""
DENSE_SCRIPT = 1.5
"""How much larger than Latin print that of other scripts is to be: screens gave Latin letters 8 x 8 pixels, Chinese
and Arabic ones 16."""

INK_CONTRAST = 10
"""Grey levels below the mean of its surroundings from which a pixel is ink; paper and JPEG noise stay above."""
SURROUNDINGS_PX = 31
"""About two lines of usual print at full size."""
MIN_GLYPH_PX = 4
"""A glyph of this height has an em of 6 px, which is below any legible size."""
MAX_GLYPH_SHARE = 8
"""Glyphs are at most this fraction of the page's height."""
WORD_GAP = 1.2
"""Between words of a line, in heights of the page's typical glyph."""
TOP_SHARE = 0.9
CAPITAL_EM = 0.72
"""Nine in ten glyphs of a line are no higher than this share of its em: the height of capitals in usual fonts."""
MIN_LINE_CHARS = 4
CHAR_WIDTH = 0.75
"""Width of a character in heights of its glyph, for glyphs that touch."""
MIN_PIXEL_CHARS = 40
MIN_PIECES, MAX_PIECES = 10, 10_000
"""Forty characters that touch are ten pieces of ink at least; a megapixel has room for 10,000 that can be read."""
MEASURED_SMALL_PRINT_SHARE = 0.05
"""As SMALL_PRINT_SHARE, where stains and broken glyphs are among what is measured."""
MIN_LINE_SHARE = 0.6
"""Less of what looks like glyphs than this stands in lines: stains, drawings, handwriting."""
MAX_SPECKS = 1.5
"""Specks a character: noise that may hide faint print."""
DARK, MAX_DARK_SHARE = 96, 0.2
"""Print blackens a tenth of a page. More is a photograph, its background, or white print on dark, not measured."""
MEASURED_MARGIN = 1.5
"""Heights are measured within 30 %, and scans and photographs are less sharp than print of the same height. At this
margin OCR reads as many words of them as at full size, at less it loses some of worn typescript
(docs/performance.md)."""
MIN_SAVING = 0.1
"""A finished image is resampled, which blurs a little, only where it saves this share of its pixels."""


class Sizing(NamedTuple):
    """What a page image is to keep."""

    legible_px: float | None
    """Em height of its small print; None: full size."""
    min_pixels: int


def em_of_layer(spans: Iterable[Span], picture_share: float) -> float | None:
    """Return the em of a page's small print in points; None where its text layer does not tell it.

    Args:
        picture_share: share of the page's area under images, 0..1.
    """
    spans = [span for span in spans if span.text]
    seen = [span for span in spans if span.is_visible]
    chars = np.array([len(span.text) for span in seen], float)
    num_chars = sum(len(span.text) for span in spans)
    if chars.sum() < max(MIN_LAYER_CHARS, (1 - MAX_HIDDEN_SHARE) * num_chars) or picture_share > MAX_PICTURE_SHARE:
        return None
    return _low(np.array([_em(span) for span in seen]), chars, SMALL_PRINT_SHARE)


def _em(span: Span) -> float:
    """Return the em of Latin print that is as legible."""
    em = min(span.em_points, ADVANCES_PER_EM * span.length_points / len(span.text))
    return em / DENSE_SCRIPT if any(map(_is_dense, span.text)) else em


def _is_dense(char: str) -> bool:
    """Tell Latin, Greek, Cyrillic and signs from all other scripts, and from what no script has."""
    return "\u0590" <= char < "\u1e00" or char >= "\u2e80"


def em_of_pixels(pixels: Pixels) -> float | None:
    """Return the em of the small print on an RGB page, in pixels; None where it is not clear. About 25 ms a megapixel.

    Dark print on a lighter ground is measured: glyphs are connected ink, lines are glyphs side by
    side. A page may be skewed a little, and may lie on its side: it is measured both ways, of which
    mostly one is clear, and else the smaller em counts. Closely set capitals do not tell their way.
    """
    cv2 = _opencv()

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if min(grey.shape) < SURROUNDINGS_PX or float((grey < DARK).mean()) > MAX_DARK_SHARE:
        return None
    ink = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, SURROUNDINGS_PX, INK_CONTRAST
    )
    found = (_find_glyphs(way) for way in (ink, np.ascontiguousarray(ink.T)))
    ems = (_em_of_lines(glyphs) for glyphs in found if glyphs is not None)
    return min((em for em in ems if em is not None), default=None)


class _Glyphs(NamedTuple):
    """Pieces of ink that may be letters."""

    boxes: npt.NDArray[Any]
    """Rows of (x, y, width, height)."""
    ink: Pixels
    """They alone, as 0 and 1."""
    num_specks: int

    @property
    def typical(self) -> float:
        """Height of most."""
        return float(np.median(self.boxes[:, 3]))


def _find_glyphs(ink: npt.NDArray[Any]) -> _Glyphs | None:
    cv2 = _opencv()

    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_32S)
    _, _, width, height, area = stats.T[:5]
    is_rule = (area > 0.8 * width * height) & (width > 2 * height)
    is_glyph = (height >= MIN_GLYPH_PX) & (height <= ink.shape[0] / MAX_GLYPH_SHARE) & ~is_rule
    is_glyph &= (width <= 12 * height) & (height <= 8 * width)
    is_glyph[0] = False  # the paper
    if not MIN_PIECES <= is_glyph.sum() <= MAX_PIECES:
        return None
    num_specks = int(((width <= 2) & (height <= 2)).sum())
    return _Glyphs(stats[is_glyph, :4], is_glyph.astype(np.uint8)[labels], num_specks)


def _numbered(glyphs: _Glyphs) -> npt.NDArray[np.int32]:
    """Return the number of the line in which each glyph stands; 0: none."""
    cv2 = _opencv()

    gap = max(3, round(WORD_GAP * glyphs.typical)) | 1
    joined = cv2.dilate(glyphs.ink, np.ones((1, gap), np.uint8))
    lines = cv2.connectedComponents(joined, connectivity=4, ltype=cv2.CV_32S)[1]
    x, y, width, height = glyphs.boxes.T
    return cast("npt.NDArray[np.int32]", lines[y + height // 2, x + width // 2])


def _em_of_lines(glyphs: _Glyphs) -> float | None:
    """Return the em of the small print among glyphs; None where they are no clear print."""
    lines, widths, heights = _numbered(glyphs), *glyphs.boxes.T[2:].astype(float)
    order = np.lexsort((heights, lines))
    lines, widths, heights = lines[order], widths[order], heights[order]
    chars = np.maximum(1, widths / (CHAR_WIDTH * heights))
    starts = np.flatnonzero(np.diff(lines, prepend=0))
    ems, weights, num_ornaments = [], [], 0.0
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        num_chars, top = float(chars[start:end].sum()), heights[start + int(TOP_SHARE * (end - start - 1))]
        if num_chars < MIN_LINE_CHARS:
            continue
        if _is_ornament(widths[start:end], heights[start:end], glyphs.typical):
            num_ornaments += num_chars
        elif heights[(start + end) // 2] >= 0.45 * top:
            ems.append(float(top) / CAPITAL_EM)
            weights.append(num_chars)
    measured, found = sum(weights), float(chars.sum()) - num_ornaments
    if measured < max(MIN_PIXEL_CHARS, MIN_LINE_SHARE * found) or glyphs.num_specks > MAX_SPECKS * measured:
        return None
    return _low(np.array(ems), np.array(weights), MEASURED_SMALL_PRINT_SHARE)


def legible_grid(full: Grid, size: tuple[float, float], em: float | None, sizing: Sizing) -> Grid:
    """Return the smallest grid at which small print of `em` is legible; `full` where none is smaller, or for None.

    Args:
        full: the grid of the page's full size.
        size: of the page in source units, as is `em`.
    """
    if sizing.legible_px is None or em is None:
        return full
    budget = legible_budget(*size, scale=sizing.legible_px / em, min_pixels=sizing.min_pixels)
    smaller = fit(*size, max_pixels=budget, max_scale=full.scale)
    return smaller if smaller.num_pixels < full.num_pixels else full


def made_legible(drawing: Drawing, sizing: Sizing) -> Drawing:
    """Return a page drawn at full size at the smallest size at which its print, as measured, is legible."""
    if sizing.legible_px is None or drawing.glyph_px is not None:
        return drawing
    em, full = em_of_pixels(drawing.content), drawing.grid
    size = (full.content_width_px, full.content_height_px)
    grid = legible_grid(full._replace(scale=1.0), size, em and em / MEASURED_MARGIN, sizing)
    if grid.num_pixels > (1 - MIN_SAVING) * full.num_pixels:
        return replace(drawing, glyph_px=em)
    return replace(
        drawing,
        content=_resized(drawing.content, grid),
        grid=grid._replace(scale=full.scale * grid.scale),
        dpi=drawing.dpi and drawing.dpi * grid.scale,
        text_layer=drawing.text_layer and _scaled(drawing.text_layer, grid.scale),
        glyph_px=em and em * grid.scale,
        full_pixels=full.num_pixels,
        canvas=None,
    )


def _scaled(layer: TextLayer, scale: float) -> TextLayer:
    return move_layer(layer, lambda box: Box(*(value * scale for value in box)))


@cache
def _opencv() -> Any:
    import cv2

    cv2.setNumThreads(1)  # as many processes as cores render, and memory limits leave no room for stacks
    return cv2


def _resized(content: Pixels, grid: Grid) -> Pixels:
    cv2 = _opencv()

    size = (grid.content_width_px, grid.content_height_px)
    return cast("Pixels", cv2.resize(content, size, interpolation=cv2.INTER_AREA))


def _is_ornament(widths: Numbers, heights: Numbers, typical: float) -> bool:
    """Tell a row of dashes, stars or dots from text: all alike, or flat among higher glyphs."""
    are_level = bool(np.ptp(heights) <= 0.2 * heights[-1] + 1)
    are_alike = are_level and bool(widths.std() < 0.15 * widths.mean())
    return (are_alike and len(heights) >= 6) or (are_level and heights[-1] < 0.45 * typical)


def _low(values: Numbers, weights: Numbers, share: float) -> float:
    """Return the value that `share` of the weight does not reach."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1], side="right")])
