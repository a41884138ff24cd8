"""Page requests made of noise, and a list of them that watches how it is emptied."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipeline.data import PageImage, PageRequest, RenderSpec, ShownImage, TrySettings

_numbers = itertools.count()


def make_request(
    *,
    like: PageRequest | None = None,
    pixels: npt.NDArray[np.uint8] | None = None,
    max_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    constrained: bool = True,
    plain_text: bool = False,
    exact_tokens: bool = False,
    others: int = 0,
) -> PageRequest:
    """Return a new request: for a page of its own, or for the page of `like`; with further pages, if wanted."""
    number = next(_numbers)
    spec = RenderSpec(max_pixels=280 * 196)
    if pixels is None:
        pixels = np.random.default_rng(number).integers(0, 255, (280, 196, 3), dtype=np.uint8)
    image = like.image if like else PageImage(1, pixels, spec, dpi=None, text_layer=None, render_s=0)
    return PageRequest(
        request_id=f"request-{number}",
        image_key=like.image_key if like else f"image-{number}",
        image=image,
        settings=TrySettings(1, max_tokens, temperature, constrained, spec, seed=seed, exact_tokens=exact_tokens),
        plain_text=plain_text,
        others=tuple(ShownImage(one.image_key, one.image) for one in (make_request() for _ in range(others))),
    )


class PageList:
    """Requests from a list, which notes how many pages the engine held at each take."""

    def __init__(self, pages: Iterable[PageRequest]) -> None:
        self._pages = deque(pages)
        self.num_taken = 0
        self.num_finished = 0
        """Counted by the test."""
        self.in_flight_at_take: list[int] = []

    @property
    def exhausted(self) -> bool:
        """Whether all were taken."""
        return not self._pages

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - nothing to wait for
        """Return the next page."""
        if not self._pages:
            return None
        self.in_flight_at_take.append(self.num_taken - self.num_finished)
        self.num_taken += 1
        return self._pages.popleft()
