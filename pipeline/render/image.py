"""Pages of image files, by Pillow: colour, orientation and size made alike."""

from __future__ import annotations

import contextlib
import io
import math
import os
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render.blank import shows_nothing
from pipeline.render.drawing import Drawing
from pipeline.render.grid import fit, image_enlargement
from pipeline.render.tiff import FrameReader, find_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

    import numpy.typing as npt

    from pipeline.config import RenderConfig
    from pipeline.data import PageFacts, RenderSpec

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation tag -> what makes the image upright (EXIF 2.3, table 3)."""

PLACEHOLDER_DPI = 72
"""What cameras and image editors write when they know no physical size; nobody scans at less."""
MAX_PLAUSIBLE_DPI = 4800
MAX_PIXEL_ASPECT = 3.0
"""Faxes have 204 x 98 dpi; beyond this ratio the tag is wrong, not the pixels oblong."""

PREVIEW_QUALITY, PREVIEW_METHOD = 55, 2
"""Of WebP: 8 pt print stays readable at about 60 kB a page; slower methods save a tenth and take twice as long."""
REDUCING_GAP = 3.0
"""Pillow's documented value for a result close to that of full resampling, at a fraction of its time."""


def limit_pixels(megapixels: float) -> None:
    """Make Pillow itself refuse larger images: frames may grow while they are decoded."""
    # Pillow raises at twice this limit and warns, to nobody here, before.
    Image.MAX_IMAGE_PIXELS = max(1, int(megapixels * 1e6 / 2))


def write_png(pixels: npt.NDArray[np.uint8], target: Path) -> None:
    """Write RGB pixels to a PNG file, quickly rather than small.

    Raises:
        OSError: the file cannot be written.
    """
    Image.fromarray(pixels).save(target, "PNG", compress_level=1)


def write_preview(pixels: npt.NDArray[np.uint8], target: Path, *, longest_px: int, turn_deg: int) -> None:
    """Write RGB pixels to a WebP file that a person can read and a browser loads quickly.

    Args:
        longest_px: of the longer side; larger images are made smaller, padding included.
        turn_deg: clockwise turn of the whole image, a multiple of 90.

    Raises:
        OSError: the file cannot be written.
    """
    image = Image.fromarray(np.rot90(pixels, -turn_deg // 90) if turn_deg else pixels)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    image.save(target, "WEBP", quality=PREVIEW_QUALITY, method=PREVIEW_METHOD)


class ImageSource:
    """An open image file; each TIFF frame is a page, of animations the first frame is the only one."""

    def __init__(
        self, file: BufferedReader, formats: tuple[str, ...], config: RenderConfig, *, truncated: bool
    ) -> None:
        self._fd = os.dup(file.fileno())
        self._formats = formats
        self._limit_megapixels = config.max_source_megapixels
        self._truncated = truncated
        try:
            self._frames = find_frames(self._fd, at_most=config.max_pages) if formats == ("TIFF",) else None
            self.num_pages = 1 if self._frames is None else len(self._frames.offsets)
            if self._frames is not None and self._frames.too_many:
                _refuse_many(config.max_pages)
            with self._frame(0) as first:
                self.media_type = Image.MIME.get(first.format or "", "image/*")
                flags = {
                    "truncated": truncated or (self._frames is not None and self._frames.broken),
                    "animated": _is_animated(first),
                }
        except BaseException:
            self.close()
            raise
        self.flags = tuple(flag for flag, is_set in flags.items() if is_set)

    def draw(self, page_index: int, spec: RenderSpec, facts: PageFacts) -> Drawing:
        """Decode one frame to upright RGB of its final size."""
        with self._frame(page_index) as frame:
            self._refuse_large(frame)
            ImageFile.LOAD_TRUNCATED_IMAGES = self._truncated  # what is there is read; the flag tells
            resolution = _resolution(frame)
            xdpi, ydpi = resolution or (1.0, 1.0)
            # Oblong pixels (faxes) become square ones of the finer resolution.
            dpi = max(xdpi, ydpi)
            width, height = frame.width * dpi / xdpi, frame.height * dpi / ydpi
            grid = fit(width, height, max_pixels=spec.max_pixels, max_scale=image_enlargement(width, height))
            with _bombs_as(RenderError):
                frame.draft(frame.mode, (2 * grid.content_width_px, 2 * grid.content_height_px))
                frame.load()
            small = _resized(frame, (grid.content_width_px, grid.content_height_px))
            upright = _rgb(small, frame.info.get("icc_profile"))
            orientation = _orientation(frame)
        if orientation in UPRIGHT:
            upright = upright.transpose(UPRIGHT[orientation])
            grid = grid.turned() if orientation >= 5 else grid
        content = np.asarray(upright)
        is_blank = facts.is_blank and not self._truncated and shows_nothing(content)
        return Drawing(content, grid, dpi * grid.scale if resolution else None, None, is_blank=is_blank)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _frame(self, page_index: int) -> Iterator[Image.Image]:
        """Give one frame, not decoded yet; opened anew each time, as decoding changes an image for good."""
        if self._frames is not None and not self._frames.offsets:
            raise DocumentError(ErrorType.DAMAGED, "The TIFF image has a damaged header, and no frame.")
        offset = None if self._frames is None else self._frames.offsets[page_index]
        # Text and colour chunks of a PNG are decoration: broken or huge, they must not cost the page.
        ImageFile.LOAD_TRUNCATED_IMAGES = self._truncated or self._formats == ("PNG",)
        with FrameReader(self._fd, offset) as reader:
            try:
                with _bombs_as(DocumentError):
                    frame = Image.open(reader, formats=self._formats)
            except (UnidentifiedImageError, UnicodeError):
                raise DocumentError(
                    ErrorType.DAMAGED,
                    f"The {self._formats[0]} image has a damaged header, or is of a kind that cannot be read.",
                ) from None
            yield frame

    def _refuse_large(self, frame: Image.Image) -> None:
        if frame.width * frame.height > self._limit_megapixels * 1e6:
            raise RenderError(
                ErrorType.TOO_LARGE,
                f"The image has {frame.width} x {frame.height} pixels; "
                f"render.max_source_megapixels allows {self._limit_megapixels:g} million.",
            )


def _refuse_many(max_pages: int) -> NoReturn:
    raise DocumentError(
        ErrorType.TOO_LARGE,
        f"The TIFF image has more than {max_pages:,} pages; raise render.max_pages if the file is honest.",
    )


@contextlib.contextmanager
def _bombs_as(error_class: type[DocumentError | RenderError]) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise error_class(
            ErrorType.TOO_LARGE, "The image has more pixels than render.max_source_megapixels allows."
        ) from error


def _is_animated(image: Image.Image) -> bool:
    return image.format in {"GIF", "PNG", "WEBP"} and bool(getattr(image, "is_animated", False))


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Return horizontal and vertical dpi when the file states them believably."""
    try:
        xdpi, ydpi = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    finer, coarser = max(xdpi, ydpi), min(xdpi, ydpi)
    believable = math.isfinite(finer) and PLACEHOLDER_DPI < finer <= MAX_PLAUSIBLE_DPI
    return (xdpi, ydpi) if believable and coarser * MAX_PIXEL_ASPECT >= finer else None


def _orientation(image: Image.Image) -> int:
    """Return the orientation tag; Pillow obeys it itself in TIFF and then removes it."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - EXIF is decoration: broken, it must not cost the page
        return 1


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return `image` at `size`, in a mode with 8-bit channels that can be averaged."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode[0] in "IF":
        image = _eight_bit(image)
    elif image.mode in {"P", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return 16-bit, 32-bit or floating grey as 8-bit grey.

    Scanners store 10 or 12 bits in 16, so the range is that of the highest bit in use;
    floats up to 1 are taken as a share of white. Pillow's own conversion clips at 255.
    """
    values = np.nan_to_num(np.asarray(image))
    highest = float(values.max(initial=0))
    share_of_white = image.mode == "F" and highest <= 1
    full = 1.0 if share_of_white else max(255.0, (1 << int(highest).bit_length()) - 1.0)
    return Image.fromarray(np.clip(values * (255.0 / full), 0, 255).astype(np.uint8))


def _rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return `image` as sRGB; what is transparent becomes white, as on paper."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if profile and image.mode in {"CMYK", "LAB", "RGB"}:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode != "RGB" or "sRGB" not in ImageCms.getProfileDescription(source):
                return ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB") or image
    return image if image.mode == "RGB" else image.convert("RGB")  # converting to the same mode copies


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
