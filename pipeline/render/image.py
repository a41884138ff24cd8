"""Pages of image files, by Pillow: colour, orientation and size made alike."""

from __future__ import annotations

import contextlib
import io
import math
import os
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render.drawing import Drawing
from pipeline.render.grid import fit, image_enlargement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from pipeline.config import RenderConfig

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

SUBFILE_TYPE_TAG = 254
THUMBNAIL_OR_MASK = 0b101
"""NewSubfileType bits 0 and 2 (TIFF 6.0, page 36): a smaller copy or a mask of another frame, not a page."""

PLACEHOLDER_DPI = 72
"""What cameras and image editors write when they know no physical size; nobody scans at less."""
MAX_PLAUSIBLE_DPI = 4800
MAX_PIXEL_ASPECT = 3.0
"""Faxes have 204 x 98 dpi; beyond this ratio the tag is wrong, not the pixels oblong."""

REDUCING_GAP = 3.0
"""Pillow's documented value for a result close to that of full resampling, at a fraction of its time."""


def limit_pixels(megapixels: float) -> None:
    """Make Pillow itself refuse larger images: frames may grow while they are decoded."""
    # Pillow raises at twice this limit and warns, to nobody here, before.
    Image.MAX_IMAGE_PIXELS = max(1, int(megapixels * 1e6 / 2))


class ImageSource:
    """An open image file; each TIFF frame is a page, of animations the first frame is the only one."""

    def __init__(
        self, file: BufferedReader, formats: tuple[str, ...], config: RenderConfig, *, truncated: bool
    ) -> None:
        self._file = os.fdopen(os.dup(file.fileno()), "rb")
        self._formats = formats
        self._limit_megapixels = config.max_source_megapixels
        self._truncated = truncated
        try:
            self._first = self._open()
            self._frames, cut_off = _page_frames(self._first)
            flags = {"truncated": truncated or cut_off, "animated": _is_animated(self._first)}
        except BaseException:
            self._file.close()
            raise
        self.media_type = Image.MIME.get(self._first.format or "", "image/*")
        self.num_pages = len(self._frames)
        self.flags = tuple(flag for flag, is_set in flags.items() if is_set)

    def draw(self, page_index: int, max_pixels: int) -> Drawing:
        """Decode one frame to upright RGB of its final size."""
        ImageFile.LOAD_TRUNCATED_IMAGES = self._truncated  # what is there is read; the flag tells
        frame = self._frame(self._frames[page_index])
        self._refuse_large(frame)
        resolution = _resolution(frame)
        dpi = max(resolution) if resolution else 1.0
        xdpi, ydpi = resolution or (1.0, 1.0)
        # Oblong pixels (faxes) become square ones of the finer resolution.
        width, height = frame.width * dpi / xdpi, frame.height * dpi / ydpi
        grid = fit(width, height, max_pixels=max_pixels, max_scale=image_enlargement(width, height))
        with _bombs_as(RenderError):
            frame.draft(frame.mode, (2 * grid.content_width_px, 2 * grid.content_height_px))
            frame.load()
        orientation = _orientation(frame)
        profile = frame.info.get("icc_profile")
        small = _resized(frame, (grid.content_width_px, grid.content_height_px))
        upright = _rgb(small, profile)
        if orientation in UPRIGHT:
            upright = upright.transpose(UPRIGHT[orientation])
            grid = grid.turned() if orientation >= 5 else grid
        return Drawing(np.asarray(upright), grid, dpi * grid.scale if resolution else None, None)

    def close(self) -> None:
        """Close the file."""
        self._first.close()
        self._file.close()

    def _open(self) -> Image.Image:
        self._file.seek(0)
        try:
            with _bombs_as(DocumentError):
                return Image.open(self._file, formats=self._formats)
        except UnidentifiedImageError:
            raise DocumentError(
                ErrorType.DAMAGED,
                f"The {self._formats[0]} image has a damaged header, or is of a kind that cannot be read.",
            ) from None

    def _frame(self, index: int) -> Image.Image:
        """Return one frame, not decoded yet.

        TIFF frames are found by walking a chain, which the open image remembers. All others
        are opened anew, as `draft` changes an image for good.
        """
        if self._first.format != "TIFF":
            return self._open()
        self._first.seek(index)
        return self._first

    def _refuse_large(self, frame: Image.Image) -> None:
        if frame.width * frame.height > self._limit_megapixels * 1e6:
            raise RenderError(
                ErrorType.TOO_LARGE,
                f"The image has {frame.width} x {frame.height} pixels; "
                f"render.max_source_megapixels allows {self._limit_megapixels:g} million.",
            )


@contextlib.contextmanager
def _bombs_as(error_class: type[DocumentError | RenderError]) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise error_class(
            ErrorType.TOO_LARGE, "The image has more pixels than render.max_source_megapixels allows."
        ) from error


def _page_frames(image: Image.Image) -> tuple[list[int], bool]:
    """Return the indexes of the frames that are pages, and whether the chain of frames is broken."""
    if image.format != "TIFF":
        return [0], False
    frames: list[int] = []
    index = 0
    while True:
        try:
            image.seek(index)
        except EOFError:
            return frames or [0], False
        except Exception:
            if not frames:
                raise
            return frames, True
        subfile_type = image.tag_v2.get(SUBFILE_TYPE_TAG, 0)  # type: ignore[attr-defined]
        if not (isinstance(subfile_type, int) and subfile_type & THUMBNAIL_OR_MASK):
            frames.append(index)
        index += 1


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
    return image.convert("RGB")


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
