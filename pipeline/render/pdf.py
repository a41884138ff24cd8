"""Pages of PDFs, by MuPDF: rasterised straight to their final size.

PyMuPDF is used from one thread per process only. Its JavaScript engine is never started,
and nothing here asks for links, attachments or anything outside the file.
"""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render.blank import shows_nothing
from pipeline.render.drawing import Drawing, new_canvas
from pipeline.render.grid import fit
from pipeline.render.images import EVERYWHERE, UNCHANGED, PlacedImage, declared_sizes, find_images, image_share
from pipeline.render.legibility import Sizing, em_of_layer, legible_grid
from pipeline.render.mupdf import pymupdf
from pipeline.render.page_tree import correct_count, find_pages
from pipeline.render.text import PageText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader

    import numpy as np
    import numpy.typing as npt

    from pipeline.config import RenderConfig
    from pipeline.data import PageFacts, RenderSpec
    from pipeline.render.grid import Grid

POINTS_PER_INCH = 72
"""PDF user space (ISO 32000-1, 8.3.2.3)."""

MAX_DPI = 300
"""Small pages (tickets, labels) gain nothing beyond what people scan at."""

LOST = ("library error", "read error", "padding truncated image", "premature end")
"""What MuPDF says when it draws an image or a stream only in part, or not at all."""

UNTELLING = ("... repeated", "repairing PDF document", "dropping unclosed", "read error; treating as")
"""What MuPDF says besides what went wrong."""


def silence() -> None:
    """Keep MuPDF's messages off the terminal; the last one goes into error messages."""
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)


class PdfSource:
    """An open PDF."""

    media_type = "application/pdf"

    def __init__(self, file: BufferedReader, config: RenderConfig, *, truncated: bool) -> None:
        self._limit_megapixels = config.max_source_megapixels
        self._min_pixels = config.min_pixels
        self._document = _open(file)
        self._pdf = pymupdf.mupdf.pdf_specifics(self._document.this)
        try:
            decrypted = self._unlock([password.get_secret_value() for password in config.passwords])
            self.num_pages, agrees = self._count_pages(config.max_pages)
            flags = {
                "repaired": self._document.is_repaired,
                "truncated": truncated and self._document.is_repaired,
                "page_tree_mismatch": not agrees,
                "decrypted": decrypted,
                "dynamic_form": self._catalog_entry("NeedsRendering") == "true",
                "portfolio": self._catalog_entry("Collection") not in {"null", ""},
            }
        except BaseException:
            self.close()
            raise
        self.flags = tuple(flag for flag, is_set in flags.items() if is_set)

    def draw(self, page_index: int, spec: RenderSpec, facts: PageFacts) -> Drawing:
        """Rasterise one page with its annotations and form fields.

        The page is interpreted once, into a display list from which images are measured,
        text is read if it is wanted, and pixels are drawn straight onto the canvas.
        """
        pymupdf.TOOLS.reset_mupdf_warnings()
        with _translated():
            self._refuse_large(self._declared_sizes(page_index))
            shown = self._interpreted(page_index)
            page = shown.rect
            if not (0 < page.width < math.inf and 0 < page.height < math.inf):
                raise RenderError(ErrorType.DAMAGED, "The page has no area.")
            images = find_images(shown)
            self._refuse_large((image.width_px, image.height_px) for image in images)
            pictures = image_share(images, page) if facts.text_layer or spec.legible_px else 0.0
            text = PageText(shown, pictures) if facts.text_layer or spec.legible_px else None
            full = fit(page.width, page.height, max_pixels=spec.max_pixels, max_scale=MAX_DPI / POINTS_PER_INCH)
            em = em_of_layer(text.spans, pictures) if text and spec.legible_px else None
            grid = legible_grid(full, (page.width, page.height), em, Sizing(spec.legible_px, self._min_pixels))
            origin = page.x0, page.y0
            canvas, content = _rasterised(shown, grid, origin)
            text_layer = text.layer(grid.scale, origin) if text and facts.text_layer else None
            is_blank = facts.is_blank and _is_blank(content, images, lambda: text or PageText(shown, pictures))
        _refuse_lost(content)
        return Drawing(
            content,
            grid,
            grid.scale * POINTS_PER_INCH,
            text_layer,
            glyph_px=em and em * grid.scale,
            full_pixels=full.num_pixels,
            is_blank=is_blank,
            canvas=canvas,
        )

    def close(self) -> None:
        """Close the document."""
        self._pdf = None
        self._document.close()

    def _interpreted(self, page_index: int) -> Any:
        """Return a page's pymupdf.DisplayList, without the pymupdf.Page and its books about annotations."""
        mupdf = pymupdf.mupdf
        page = mupdf.fz_load_page(self._document.this, page_index)
        return pymupdf.DisplayList(mupdf.fz_new_display_list_from_page(page))

    def _unlock(self, passwords: list[str]) -> bool:
        """Return whether the document is encrypted; it is readable afterwards."""
        if not self._document.needs_pass:
            return bool((self._document.metadata or {}).get("encryption"))
        if any(self._document.authenticate(password) for password in ("", *passwords)):
            return True
        tried = f", and none of the {len(passwords)} passwords tried opens it" if passwords else ""
        raise DocumentError(ErrorType.ENCRYPTED, f"The PDF is encrypted{tried}; add its password to render.passwords.")

    def _count_pages(self, max_pages: int) -> tuple[int, bool]:
        """Return the number of pages and whether the document's own count agrees with its page tree.

        When the tree holds more, those are read too. When it holds fewer, the missing ones fail
        one by one, as they are missing. MuPDF refuses counts beyond the number of objects.
        """
        try:
            declared, refusal = int(self._document.page_count), None
        except RuntimeError as error:
            declared, refusal = 0, error
        found = find_pages(self._document, at_most=max_pages)
        if max(declared, found) > max_pages:
            raise DocumentError(
                ErrorType.TOO_LARGE,
                f"The PDF has more than {max_pages:,} pages; raise render.max_pages if the file is honest.",
            )
        if found > declared:
            correct_count(self._document, found)
            return int(self._document.page_count), False
        if refusal:
            raise refusal
        if declared == 0 and self._document.is_repaired:
            raise DocumentError(
                ErrorType.DAMAGED, "The PDF is damaged or cut off, no page can be recovered; fetch it again."
            )
        if declared == 0:
            raise DocumentError(ErrorType.NO_PAGES, "The PDF has no pages.")
        return declared, found == declared

    def _catalog_entry(self, key: str) -> str:
        try:
            return str(self._document.xref_get_key(self._document.pdf_catalog(), key)[1])
        except Exception:  # noqa: BLE001 - a broken catalog says nothing; the pages may be fine
            return ""

    def _refuse_large(self, sizes: Iterable[tuple[int, int]]) -> None:
        for width, height in sizes:
            if width * height > self._limit_megapixels * 1e6:
                raise RenderError(
                    ErrorType.TOO_LARGE,
                    f"The page holds an image of {width} x {height} pixels; "
                    f"render.max_source_megapixels allows {self._limit_megapixels:g} million.",
                )

    def _declared_sizes(self, page_index: int) -> list[tuple[int, int]]:
        """Return the sizes of a page's image resources: MuPDF silently leaves out those it finds too large."""
        try:
            return declared_sizes(self._pdf, page_index)
        except Exception:  # noqa: BLE001 - broken resources are MuPDF's to repair or to draw around
            return []


def _open(file: BufferedReader) -> Any:
    """Return the pymupdf.Document of `file`.

    By descriptor and not by name: MuPDF wants names in UTF-8, and the name may belong to
    another file by now.
    """
    pymupdf.TOOLS.reset_mupdf_warnings()
    try:
        with _translated():
            document = pymupdf.open(f"/dev/fd/{file.fileno()}", filetype="pdf")
    except RenderError as error:
        raise DocumentError(error.error_type, str(error)) from error
    if not document.is_pdf:
        document.close()
        raise DocumentError(ErrorType.DAMAGED, "The file begins like a PDF but is none.")
    return document


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn MuPDF's errors into ours, in MuPDF's words."""
    try:
        yield
    except pymupdf.mupdf.FzErrorSystem as error:  # MuPDF's malloc failed
        raise MemoryError from error
    except (pymupdf.FileDataError, pymupdf.mupdf.FzErrorBase) as error:
        raise RenderError(ErrorType.DAMAGED, f"The PDF is damaged{_last_message() or f': {error}'}.") from error


def _refuse_lost(content: npt.NDArray[np.uint8]) -> None:
    """A page that stayed blank since its content could not be decoded must not pass for a blank page."""
    warnings = pymupdf.TOOLS.mupdf_warnings(reset=0)
    if any(loss in warnings for loss in LOST) and content.min() == content.max():
        raise RenderError(ErrorType.DAMAGED, f"Nothing on the page can be decoded{_last_message()}.")


def _is_blank(content: npt.NDArray[np.uint8], images: list[PlacedImage], text: Callable[[], PageText]) -> bool:
    """Return whether nothing is drawn on a page, or nothing on its scan; nothing was lost, and it has no text."""
    is_empty = shows_nothing(content) if images else bool(content.min() == content.max())
    return is_empty and not pymupdf.TOOLS.mupdf_warnings(reset=0) and not any(span.text for span in text().spans)


def _last_message() -> str:
    """Return MuPDF's last complaint that says anything, led by a colon; empty when there is none."""
    lines = str(pymupdf.TOOLS.mupdf_warnings()).splitlines()
    telling = [line.rstrip(".") for line in lines if not line.startswith(UNTELLING)]
    return f": {telling[-1]}" if telling else ""


def _rasterised(
    shown: Any, grid: Grid, origin: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return a canvas with a pymupdf.DisplayList drawn on it, and the part of it that the page takes.

    MuPDF draws into the canvas itself: a pixmap of its own would have to be copied.
    """
    mupdf = pymupdf.mupdf
    scale = grid.scale
    matrix = mupdf.FzMatrix(scale, 0, 0, scale, -origin[0] * scale, -origin[1] * scale)
    extent = mupdf.fz_round_rect(mupdf.fz_transform_rect(mupdf.fz_bound_display_list(shown.this), matrix))
    width, height = min(extent.x1, grid.width_px), min(extent.y1, grid.height_px)
    canvas = new_canvas(grid)
    samples = mupdf.python_mutable_buffer_data(canvas)
    no_separations, alpha, stride = mupdf.FzSeparations(), 0, canvas.strides[0]
    pixmap = mupdf.fz_new_pixmap_with_data(pymupdf.csRGB.this, width, height, no_separations, alpha, stride, samples)
    device = mupdf.fz_new_draw_device(matrix, pixmap)
    mupdf.fz_run_display_list(shown.this, device, UNCHANGED, EVERYWHERE, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return canvas, canvas[:height, :width]
