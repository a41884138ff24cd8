"""The size of page images."""

import itertools

import pytest

from pipeline.config import PIXEL_UNIT
from pipeline.render.grid import MAX_ELONGATION, fit, image_enlargement

MEGAPIXEL = 1_003_520
SIZES = [1, 3, 27, 28, 57, 300, 595, 842, 1234, 5000, 50_000]
BUDGETS = [PIXEL_UNIT**2, 2000, 100_000, MEGAPIXEL, 4_000_000]


def test_every_page_fits_its_budget_in_whole_units() -> None:
    """A vision model takes patches of 28 px and runs out of memory beyond its budget."""
    for width, height, max_pixels in itertools.product(SIZES, SIZES, BUDGETS):
        grid = fit(width, height, max_pixels=max_pixels, max_scale=4)
        assert grid.width_px % PIXEL_UNIT == grid.height_px % PIXEL_UNIT == 0
        assert PIXEL_UNIT**2 <= grid.width_px * grid.height_px <= max_pixels
        assert 1 <= grid.content_width_px <= grid.width_px
        assert 1 <= grid.content_height_px <= grid.height_px


@pytest.mark.parametrize(("width", "height"), [(595, 842), (842, 595), (300, 1200), (1000, 999), (2000, 150)])
def test_aspect_is_kept_and_little_is_padded(width: int, height: int) -> None:
    """Stretched digits read worse, and padding is paid for like text."""
    grid = fit(width, height, max_pixels=MEGAPIXEL, max_scale=100)
    assert grid.content_width_px / grid.content_height_px == pytest.approx(width / height, rel=0.01)
    assert grid.width_px - grid.content_width_px < PIXEL_UNIT
    assert grid.height_px - grid.content_height_px < PIXEL_UNIT
    assert grid.width_px * grid.height_px > 0.85 * MEGAPIXEL


def test_paper_formats_share_grids() -> None:
    """Scans of one format differ by some pixels; the engine should not see that."""
    grids = {
        fit(2480 + dx, 3508 + dy, max_pixels=MEGAPIXEL, max_scale=1)[:2]
        for dx, dy in itertools.product(range(-12, 13, 4), range(-12, 13, 4))
    }
    assert grids == {(840, 1176)}


def test_images_that_fit_are_not_resampled() -> None:
    """Resampling a crisp image blurs it and adds nothing."""
    grid = fit(623, 1255, max_pixels=MEGAPIXEL, max_scale=image_enlargement(623, 1255))
    assert (grid.content_width_px, grid.content_height_px, grid.scale) == (623, 1255, 1)


def test_enlargement_of_small_images_is_bounded() -> None:
    """Small print gains from larger strokes; an icon must not become a page."""
    assert image_enlargement(100, 50) == 2
    assert image_enlargement(400, 300) == 1.4
    assert image_enlargement(2000, 10) == 1


def test_strips_are_padded_to_a_shape_models_accept() -> None:
    """Qwen2-VL's processor raises on pages more elongated than 200:1."""
    grid = fit(10, 30_000, max_pixels=MEGAPIXEL, max_scale=1)
    assert grid.height_px <= MAX_ELONGATION * grid.width_px
