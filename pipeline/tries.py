"""What a page is asked at its first try, and what changes at the next one.

Repeating the same question wastes a try: each fault has a change that may cure it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from pipeline.config import MAX_PIXEL_GROWTH, MAX_TOKENS, TriesConfig
from pipeline.data import Attempt, ImageFacts, RenderSpec, TrySettings
from pipeline.errors import ErrorType

TOKEN_GROWTH = 2
MAX_TOKEN_GROWTH = 8
"""A page that fills eight times the expected output is a loop, not a long page."""
PIXEL_GROWTH = 1.5
"""Twice, at the third try and later: small print is the likeliest cause that is left."""
FULL_SHARE = 0.8
"""Of the pixels allowed, from which on an image is as large as that: its sides are multiples of 28."""
TEMPERATURES = (0.0, 0.2, 0.5, 0.8)
"""Rising over tries, as olmOCR does: a sampler that failed greedily fails the same way again."""


TOO_MUCH = {ErrorType.INPUT_REJECTED, ErrorType.ENGINE_CRASH, ErrorType.ENGINE_TIMEOUT}
"""Faults that a smaller image may avoid."""


@dataclass(frozen=True)
class Ladder:
    """The tries a page may have.

    With a `deterministic` engine only a change of the pixels can change the outcome, so
    rungs that alter sampling or limits are left out.
    """

    config: TriesConfig
    max_pixels: int
    deterministic: bool
    legible_px: float | None = None
    """Em height down to which pages are made smaller at the first try; None: they have full size."""
    max_tokens: int = MAX_TOKENS
    """Output limit of the first try, where the configuration has none."""

    def first(self) -> TrySettings:
        """Return the settings of the first try."""
        return TrySettings(
            number=1,
            max_tokens=self.config.max_tokens or self.max_tokens,
            temperature=TEMPERATURES[0],
            constrained=True,
            render=RenderSpec(self.max_pixels, legible_px=self.legible_px),
        )

    def next(self, last: Attempt) -> TrySettings | None:
        """Return the settings of the try after `last`, or None when the page has had its tries."""
        if last.settings.number >= self.config.max_tries:
            return None
        if last.settings.window_pages > 1 and last.error_type in TOO_MUCH:
            return None  # fewer pages are less, and each of them keeps its size
        changed = self._changed(last)
        hopeless = changed.render == last.settings.render or last.error_type is ErrorType.INPUT_REJECTED
        if self.deterministic and hopeless:
            return None
        return replace(changed, number=last.settings.number + 1, seed=last.settings.number)

    def after_doubt(self, last: Attempt, shown: ImageFacts, *, size_matters: bool = True) -> TrySettings | None:
        """Return the settings of another try of a page whose record is valid and in doubt, None where it is in vain.

        The page is shown larger: what is in doubt is read wrong more often than placed wrong.

        Args:
            size_matters: whether it matters to the engine how large the page is shown.
        """
        settings = last.settings
        render = self._larger(settings.render, shown) if size_matters else settings.render
        if settings.number >= self.config.max_tries or (render == settings.render and self.deterministic):
            return None
        changed = replace(settings if render != settings.render else _warmer(settings), render=render)
        find_upright = not self.deterministic and settings.number == 1
        return replace(changed, find_upright=find_upright, number=settings.number + 1, seed=settings.number)

    def _larger(self, render: RenderSpec, shown: ImageFacts) -> RenderSpec:
        """Return how a page is shown larger; as it was, where it has no more pixels or may not have more."""
        if render.legible_px is not None:  # it was made smaller
            return replace(render, legible_px=None)
        is_limited = (shown.width_px or 0) * (shown.height_px or 0) > FULL_SHARE * render.max_pixels
        limit = int(self.max_pixels * MAX_PIXEL_GROWTH) if is_limited else 0
        return replace(render, max_pixels=max(render.max_pixels, min(int(render.max_pixels * PIXEL_GROWTH), limit)))

    def _first_tokens(self, settings: TrySettings) -> int:
        return self.first().max_tokens * settings.window_pages

    def _changed(self, last: Attempt) -> TrySettings:
        settings, fault = last.settings, last.error_type
        if fault is ErrorType.OUTPUT_CUT_OFF and settings.max_tokens < MAX_TOKEN_GROWTH * self._first_tokens(settings):
            return replace(_longer(settings), render=replace(settings.render, legible_px=None))
        if fault in TOO_MUCH:
            return _resized(settings, 1 / PIXEL_GROWTH, settings.render.max_pixels)
        # A page on its side is a common cause; the OCR engine, which is deterministic, turns pages itself.
        changed = replace(_warmer(settings), find_upright=not self.deterministic and settings.number == 1)
        if settings.render.legible_px is not None:  # it was made smaller: perhaps too small
            return replace(changed, render=replace(changed.render, legible_px=None))
        if settings.number >= 2 or self.deterministic:
            limit = int(self.max_pixels * MAX_PIXEL_GROWTH)
            changed = replace(_resized(changed, PIXEL_GROWTH, limit), constrained=False)
        return changed


def _longer(settings: TrySettings) -> TrySettings:
    return replace(settings, max_tokens=settings.max_tokens * TOKEN_GROWTH, find_upright=False)


def _warmer(settings: TrySettings) -> TrySettings:
    return replace(settings, temperature=TEMPERATURES[min(settings.number, len(TEMPERATURES) - 1)])


def _resized(settings: TrySettings, factor: float, limit: int) -> TrySettings:
    render = settings.render
    legible_px = render.legible_px and render.legible_px * sqrt(factor)
    render = replace(render, max_pixels=min(int(render.max_pixels * factor), limit), legible_px=legible_px)
    return replace(settings, render=render, find_upright=False)
