"""Image files of every kind come out right as RGB pages."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from rendering import SPEC, open_file, render

from pipeline.data import PageImage, RenderSpec
from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render import Renderer

SIDE = 600
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
COLOURS = (RED, GREEN, BLUE, WHITE)
GREYS = (BLACK, (85, 85, 85), (170, 170, 170), WHITE)


def quadrants(colours: tuple[tuple[int, int, int], ...]) -> Image.Image:
    """Return an image of four colours: top left, top right, bottom left, bottom right."""
    small = np.array(colours, np.uint8).reshape(2, 2, 3)
    return Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def seen(page: PageImage, width: int = SIDE, height: int = SIDE) -> list[list[int]]:
    """Return the colours in the middles of the four quarters of a page's content."""
    near, far = 0.25, 0.75
    places = ((near, near), (near, far), (far, near), (far, far))
    return [page.pixels[int(y * height), int(x * width)].tolist() for y, x in places]


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image file of one kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sixteen_bit_grey(top: int, dtype: str = "<u2") -> Image.Image:
    """Return the greys as numbers from 0 to `top`."""
    values = np.asarray(quadrants(GREYS).convert("L")).astype(float) / 255 * top
    return Image.fromarray(values.astype(dtype))


def sixteen_bit_rgb_png() -> bytes:
    """Pillow cannot write one."""
    rows = np.asarray(quadrants(COLOURS)).astype(">u2") * 257
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def with_hole() -> Image.Image:
    """Return the colours with the last quarter transparent, and black under it."""
    image = quadrants((RED, GREEN, BLUE, BLACK)).convert("RGBA")
    image.paste((0, 0, 0, 0), (SIDE // 2, SIDE // 2, SIDE, SIDE))
    return image


def grey_with_hole() -> Image.Image:
    """Return the greys with the last quarter transparent, and black under it."""
    image = quadrants((BLACK, GREYS[1], GREYS[2], BLACK)).convert("LA")
    image.paste((0, 0), (SIDE // 2, SIDE // 2, SIDE, SIDE))
    return image


def lab() -> Image.Image:
    """Return the greys in the colour space of scanners."""
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    changed = ImageCms.applyTransform(quadrants(GREYS), to_lab)
    assert changed is not None
    return changed


COLOURED: dict[str, Callable[[], bytes]] = {
    "PNG RGB": lambda: save(quadrants(COLOURS), "PNG"),
    "PNG 16-bit RGB": sixteen_bit_rgb_png,
    "PNG palette": lambda: save(quadrants(COLOURS).quantize(4), "PNG"),
    "PNG alpha": lambda: save(with_hole(), "PNG"),
    "PNG palette alpha": lambda: save(with_hole().quantize(5), "PNG"),
    "PNG colour key": lambda: save(quadrants((RED, GREEN, BLUE, BLACK)), "PNG", transparency=BLACK),
    "JPEG YCbCr": lambda: save(quadrants(COLOURS), "JPEG", quality=95),
    "JPEG CMYK": lambda: save(quadrants(COLOURS).convert("CMYK"), "JPEG", quality=95),
    "TIFF CMYK": lambda: save(quadrants(COLOURS).convert("CMYK"), "TIFF"),
    "TIFF YCbCr": lambda: save(quadrants(COLOURS).convert("YCbCr"), "TIFF"),
    "WebP": lambda: save(quadrants(COLOURS), "WEBP", lossless=True),
    "WebP alpha": lambda: save(with_hole(), "WEBP", lossless=True),
    "GIF": lambda: save(quadrants(COLOURS), "GIF"),
    "BMP": lambda: save(quadrants(COLOURS), "BMP"),
    "JPEG 2000": lambda: save(quadrants(COLOURS), "JPEG2000"),
}
GREY: dict[str, Callable[[], bytes]] = {
    "PNG grey": lambda: save(quadrants(GREYS).convert("L"), "PNG"),
    "PNG grey alpha": lambda: save(grey_with_hole(), "PNG"),
    "PNG 16-bit": lambda: save(sixteen_bit_grey(65535), "PNG"),
    "TIFF 16-bit": lambda: save(sixteen_bit_grey(65535), "TIFF"),
    "TIFF 16-bit big-endian": lambda: save(sixteen_bit_grey(65535, ">u2"), "TIFF"),
    "TIFF 12 bits in 16": lambda: save(sixteen_bit_grey(4095), "TIFF"),
    "TIFF 32-bit": lambda: save(sixteen_bit_grey(65535, "<i4"), "TIFF"),
    "TIFF float": lambda: save(sixteen_bit_grey(1, "<f4"), "TIFF"),
    "TIFF LAB": lambda: save(lab(), "TIFF"),
}


@pytest.mark.parametrize("kind", [*COLOURED, *GREY])
def test_colours_come_out_right(renderer: Renderer, tmp_path: Path, kind: str) -> None:
    """A model shown a negative or a black page reads nothing, and nobody sees why."""
    path = tmp_path / "page"
    path.write_bytes((COLOURED | GREY)[kind]())
    expected = COLOURS if kind in COLOURED else GREYS
    page = render(renderer, path)
    assert np.abs(np.subtract(seen(page), expected)).max() <= 16


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}])
def test_one_bit_pages_are_black_on_white(renderer: Renderer, tmp_path: Path, options: dict[str, Any]) -> None:
    """Faxes and office scanners write these, often inverted inside."""
    page = Image.new("1", (SIDE, SIDE), 1)
    page.paste(0, (0, 0, SIDE // 2, SIDE // 2))
    page.save(tmp_path / "fax", "TIFF", **options)
    assert seen(render(renderer, tmp_path / "fax")) == [[0] * 3, [255] * 3, [255] * 3, [255] * 3]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_is_obeyed(renderer: Renderer, tmp_path: Path, kind: str, orientation: int) -> None:
    """Phones store sideways and say so; a sideways page reads badly."""
    upright = np.asarray(quadrants(COLOURS).resize((SIDE, SIDE // 2)))
    # What each orientation's stored pixels are, by the definition of the tag (EXIF 2.3).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}
    (tmp_path / "photo").write_bytes(save(Image.fromarray(np.ascontiguousarray(stored)), kind, quality=95, **options))
    page = render(renderer, tmp_path / "photo")
    assert page.width_px > page.height_px
    assert np.abs(np.subtract(seen(page, SIDE, SIDE // 2), COLOURS)).max() <= 16


def test_each_tiff_frame_is_a_page_but_thumbnails_are_not(renderer: Renderer, tmp_path: Path) -> None:
    """Scanners add a small copy of each page; it would be read as one more page."""
    frames = [quadrants(COLOURS), quadrants(GREYS).convert("L")]
    thumbnail = frames[0].resize((60, 60))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    path = tmp_path / "scan.tif"
    frames[0].save(path, save_all=True, append_images=[thumbnail, frames[1]], compression="tiff_lzw")
    document = open_file(renderer, path)
    assert (document.media_type, document.num_pages) == ("image/tiff", 2)
    second, first = (renderer.render(document, path, number, SPEC).result() for number in (2, 1))
    assert seen(first) == [list(colour) for colour in COLOURS]
    assert seen(second) == [list(colour) for colour in GREYS]


def test_fax_pixels_become_square(renderer: Renderer, tmp_path: Path) -> None:
    """A fax at 204 x 98 dpi is half as high in pixels as on paper."""
    Image.new("1", (1728, 1078), 1).save(tmp_path / "fax.tif", dpi=(204, 98))
    page = render(renderer, tmp_path / "fax.tif")
    assert page.height_px > page.width_px
    assert page.dpi == pytest.approx(204 * page.height_px / (1078 * 204 / 98), rel=0.05)


@pytest.mark.parametrize(("options", "dpi"), [({"dpi": (300, 300)}, 300), ({"dpi": (72, 72)}, None), ({}, None)])
def test_resolution_is_what_the_file_states_believably(
    renderer: Renderer, tmp_path: Path, options: dict[str, Any], dpi: float | None
) -> None:
    """72 dpi is what cameras write when they do not know."""
    quadrants(COLOURS).save(tmp_path / "scan.jpg", **options)
    assert render(renderer, tmp_path / "scan.jpg").dpi == dpi


def test_photo_is_scaled_to_the_budget_and_turned_on_request(renderer: Renderer, tmp_path: Path) -> None:
    """The ladder's next try may ask for a turn; the grid turns with it."""
    quadrants(COLOURS).resize((4000, 3000)).save(tmp_path / "photo.jpg")
    upright = render(renderer, tmp_path / "photo.jpg")
    turned = render(renderer, tmp_path / "photo.jpg", spec=RenderSpec(SPEC.max_pixels, 90))
    assert upright.pixels.shape[:2] == turned.pixels.shape[1::-1]
    assert np.abs(np.subtract(seen(turned, turned.width_px, turned.height_px), (BLUE, RED, WHITE, GREEN))).max() <= 16
    assert turned.pixels.flags.c_contiguous


def bomb_png() -> bytes:
    """Return a small file that declares 3.6 gigapixels."""
    good = sixteen_bit_rgb_png()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return good[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + good[33:]


@pytest.mark.parametrize(
    ("content", "error_type", "message"),
    [
        (b"", ErrorType.EMPTY_FILE, "empty"),
        (b"Dear Sir or Madam,\n", ErrorType.NOT_A_DOCUMENT, "plain text"),
        (b"PK\x03\x04" + bytes(100), ErrorType.NOT_A_DOCUMENT, "Office document or ZIP"),
        (bytes(100), ErrorType.NOT_A_DOCUMENT, "unknown type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), ErrorType.DAMAGED, "PNG image has a damaged header"),
        (b"II*\0" + bytes(100), ErrorType.DAMAGED, "TIFF image"),
        (bomb_png(), ErrorType.TOO_LARGE, "max_source_megapixels"),
    ],
)
def test_what_cannot_be_opened_says_why(
    renderer: Renderer, tmp_path: Path, content: bytes, error_type: ErrorType, message: str
) -> None:
    """One failed record with a type to group by and a sentence to act on."""
    path = tmp_path / "file.pdf"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=message) as caught:
        open_file(renderer, path)
    assert caught.value.error_type is error_type


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("GIF", {}), ("BMP", {})])
def test_truncated_image_is_read_as_far_as_it_goes_and_flagged(
    renderer: Renderer, tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    """Half a receipt may hold its total; the flag says that half is missing."""
    noise = np.random.default_rng(0).integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    content = save(Image.fromarray(noise + np.asarray(quadrants(COLOURS)) // 2), kind, **options)
    path = tmp_path / "cut"
    path.write_bytes(content[: len(content) * 6 // 10])
    assert open_file(renderer, path).flags == ("truncated",)
    assert np.any(render(renderer, path).pixels != 255)


def test_png_with_huge_text_beside_its_pixels_is_read(renderer: Renderer, tmp_path: Path) -> None:
    """Editors keep megabytes of notes in a picture; a text bomb costs the text and not the page."""
    notes = PngInfo()
    notes.add_text("notes", "x" * 50_000_000, zip=True)
    (tmp_path / "a.png").write_bytes(save(quadrants(COLOURS), "PNG", pnginfo=notes))
    assert seen(render(renderer, tmp_path / "a.png")) == [list(colour) for colour in COLOURS]


def test_photo_with_a_video_behind_it_is_whole(renderer: Renderer, tmp_path: Path) -> None:
    """Phones append the moving picture to the still one; calling that truncated would be wrong."""
    (tmp_path / "motion.jpg").write_bytes(save(quadrants(COLOURS), "JPEG") + bytes(3_000_000))
    assert open_file(renderer, tmp_path / "motion.jpg").flags == ()


def test_damaged_pixels_fail_the_page_and_not_the_document(renderer: Renderer, tmp_path: Path) -> None:
    """The other frames of a scan are still there."""
    path = tmp_path / "scan.tif"
    good = quadrants(COLOURS)
    good.save(path, save_all=True, append_images=[good], compression="tiff_lzw")
    with Image.open(path) as image:
        offset = image.tag_v2[273][0]  # type: ignore[attr-defined]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 64)
    document = open_file(renderer, path)
    with pytest.raises(RenderError) as caught:
        renderer.render(document, path, 1, SPEC).result()
    assert caught.value.error_type is ErrorType.DAMAGED
    assert seen(renderer.render(document, path, 2, SPEC).result()) == [list(colour) for colour in COLOURS]
