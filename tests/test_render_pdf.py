"""PDF pages: geometry, text layer, locks and damage."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from rendering import SPEC, open_file, render

from pipeline.data import RenderSpec, TextLayer
from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render import Renderer

HIDDEN = 3


def text_layer(renderer: Renderer, path: Path) -> TextLayer:
    """Return the text of the first page."""
    layer = render(renderer, path).text_layer
    assert layer is not None
    return layer


def save(path: Path, document: pymupdf.Document, **options: Any) -> Path:
    """Save and close a document."""
    document.save(path, **options)
    document.close()
    return path


def letter(text: str = "Total 42", pages: int = 1, **options: Any) -> pymupdf.Document:
    """Return a new document with one line of text on each page."""
    document = pymupdf.open()
    for _ in range(pages):
        document.new_page(width=595, height=842).insert_text((90, 120), text, fontsize=30, **options)
    return document


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_words_lie_where_their_ink_is(renderer: Renderer, tmp_path: Path, rotation: int, turn: int) -> None:
    """Evidence boxes are drawn on the image; page rotation, crop and the turn of a try all move them."""
    document = letter()
    document[0].set_cropbox(pymupdf.Rect(40, 60, 500, 700))
    document[0].set_rotation(rotation)
    page = render(renderer, save(tmp_path / "a.pdf", document), spec=RenderSpec(SPEC.max_pixels, turn))
    assert (page.width_px > page.height_px) == ((rotation + turn) % 180 == 90)
    assert page.text_layer is not None
    (line,) = page.text_layer.lines
    assert line.text == "Total 42"
    assert [word.text for word in line.words] == ["Total", "42"]
    ink = page.pixels.min(axis=2) < 128
    for box in (line.box, *(word.box for word in line.words)):
        x0, y0, x1, y1 = (round(side) for side in box)
        assert ink[y0:y1, x0:x1].any()
    x0, y0, x1, y1 = (round(side) for side in line.box)
    ink[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = False
    assert not ink.any()


def test_page_is_drawn_straight_to_the_budget(renderer: Renderer, tmp_path: Path) -> None:
    """A poster and a ticket both become readable pages; the resolution says how readable."""
    document = pymupdf.open()
    for width, height in ((595, 842), (8420, 11910), (100, 300), (14_400, 14_400)):
        document.new_page(width=width, height=height)
    path = save(tmp_path / "sizes.pdf", document)
    pages = [render(renderer, path, number) for number in (1, 2, 3, 4)]
    assert [(page.width_px, page.height_px) for page in pages] == [(840, 1176), (840, 1176), (420, 1288), (952, 952)]
    assert [round(page.dpi or 0) for page in pages] == [101, 7, 300, 5]


@pytest.mark.parametrize(("mode", "share"), [(0, 0), (HIDDEN, 1)])
def test_hidden_text_is_told_from_printed(renderer: Renderer, tmp_path: Path, mode: int, share: float) -> None:
    """The invisible text over a scan is some other program's OCR."""
    layer = text_layer(renderer, save(tmp_path / "a.pdf", letter(render_mode=mode)))
    assert layer.hidden_share == share
    assert [line.text for line in layer.lines] == ["Total 42"]


def test_images_count_by_the_area_they_cover(renderer: Renderer, tmp_path: Path) -> None:
    """A page under one image is a scan, whatever text it carries."""
    pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 10, 10))
    pixels.clear_with(200)
    document = letter()
    for _ in range(2):  # twice the same place counts once
        document[0].insert_image(pymupdf.Rect(0, 421, 595, 842), pixmap=pixels, keep_proportion=False)
    assert text_layer(renderer, save(tmp_path / "a.pdf", document)).image_share == pytest.approx(0.5, abs=0.02)


def test_form_fields_are_drawn_and_read(renderer: Renderer, tmp_path: Path) -> None:
    """The values of a filled form stand in annotations, not in the page's content."""
    document = letter()
    field = pymupdf.Widget()
    field.rect, field.field_type, field.field_name = (
        pymupdf.Rect(90, 200, 300, 230),
        pymupdf.mupdf.PDF_WIDGET_TYPE_TEXT,
        "n",
    )
    field.field_value = "Ada Lovelace"
    document[0].add_widget(field)
    layer = text_layer(renderer, save(tmp_path / "form.pdf", document))
    assert [line.text for line in layer.lines] == ["Total 42", "Ada Lovelace"]


def test_characters_without_meaning_are_counted(renderer: Renderer, tmp_path: Path) -> None:
    """Fonts without an encoding look right on the page and are nonsense as text."""
    document = letter("Total")
    fonts = document[0].get_fonts()
    # Two of five characters now mean a private-use and a replacement character.
    mapping = b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <ff> endcodespacerange "
    mapping += b"2 beginbfchar <54> <e000> <6f> <fffd> endbfchar endcmap"
    xref = document.get_new_xref()
    document.update_object(xref, "<<>>")
    document.update_stream(xref, mapping)
    document.xref_set_key(fonts[0][0], "ToUnicode", f"{xref} 0 R")
    assert text_layer(renderer, save(tmp_path / "a.pdf", document)).unmapped_share == pytest.approx(0.4)


ENCRYPTION = {"encryption": pymupdf.mupdf.PDF_ENCRYPT_AES_256, "owner_pw": "owner"}


@pytest.mark.parametrize("password", ["", "geheim"])
def test_encrypted_file_opens_with_a_known_password(renderer: Renderer, tmp_path: Path, password: str) -> None:
    """Bank statements come locked with one password for all."""
    path = save(tmp_path / "a.pdf", letter(), **ENCRYPTION, user_pw=password)
    document = open_file(renderer, path)
    assert document.flags == ("decrypted",)
    assert text_layer(renderer, path).lines[0].text == "Total 42"


def test_encrypted_file_without_its_password_says_where_to_put_it(renderer: Renderer, tmp_path: Path) -> None:
    """The person who reads the report in the morning has the password."""
    path = save(tmp_path / "a.pdf", letter(), **ENCRYPTION, user_pw="unknown")
    with pytest.raises(DocumentError, match=r"none of the 2 passwords tried opens it.*render\.passwords") as caught:
        open_file(renderer, path)
    assert caught.value.error_type is ErrorType.ENCRYPTED


def test_type_is_found_by_content(renderer: Renderer, tmp_path: Path) -> None:
    """Mail gateways and scanners name files as they like."""
    document = open_file(renderer, save(tmp_path / "scan.jpg", letter(pages=3)))
    assert (document.media_type, document.num_pages, document.flags) == ("application/pdf", 3, ())


def test_truncated_file_is_repaired_and_flagged(renderer: Renderer, tmp_path: Path) -> None:
    """An upload that broke off holds its first pages; the flag says that more is missing."""
    path = save(tmp_path / "a.pdf", letter(pages=3), expand=255)
    path.write_bytes(path.read_bytes()[:-300])
    document = open_file(renderer, path)
    assert document.flags == ("repaired", "truncated")
    assert text_layer(renderer, path).lines[0].text == "Total 42"


def raw_pdf(*objects: str) -> bytes:
    """Return a well-formed PDF of these objects."""
    body, offsets = "%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    size = len(objects) + 1
    table = f"xref\n0 {size}\n0000000000 65535 f \n" + "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return f"{body}{table}trailer\n<< /Root 1 0 R /Size {size} >>\nstartxref\n{len(body)}\n%%EOF\n".encode()


CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
NO_KIDS = "<< /Type /Pages /Kids [] /Count 0 >>"
PAGE = "<< /Type /Page /Parent 2 0 R >>"


@pytest.mark.parametrize(
    ("content", "error_type", "message"),
    [
        (b"%PDF-1.7\nnothing here", ErrorType.DAMAGED, "damaged"),
        (raw_pdf(CATALOG, NO_KIDS), ErrorType.NO_PAGES, "no page"),
        (raw_pdf(CATALOG, NO_KIDS).split(b"xref")[0], ErrorType.DAMAGED, "no page can be recovered"),
        (
            raw_pdf(CATALOG, f"<< /Type /Pages /Kids [{'3 0 R ' * 9}] /Count 99999999 >>", PAGE),
            ErrorType.DAMAGED,
            "number of pages",
        ),
    ],
)
def test_what_cannot_be_opened_says_why(
    renderer: Renderer, tmp_path: Path, content: bytes, error_type: ErrorType, message: str
) -> None:
    """One failed record with a type to group by and a sentence to act on."""
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(DocumentError, match=message) as caught:
        open_file(renderer, tmp_path / "a.pdf")
    assert caught.value.error_type is error_type


@pytest.mark.parametrize(
    ("count", "pages", "flags"),
    [
        ("/Count 2", 2, ()),
        ("/Count 1", 2, ("page_tree_mismatch",)),
        ("/Count 0", 2, ("page_tree_mismatch",)),
        ("/Count -7", 2, ("page_tree_mismatch",)),
        ("/Count 1000000", 2, ("page_tree_mismatch",)),
        ("", 2, ("page_tree_mismatch",)),
        ("/Count 3", 3, ("page_tree_mismatch",)),
    ],
)
def test_all_pages_are_found_whatever_the_document_counts(
    renderer: Renderer, tmp_path: Path, count: str, pages: int, flags: tuple[str, ...]
) -> None:
    """MuPDF believes the count: a page beyond it would be missing and nobody would know."""
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, f"<< /Type /Pages /Kids [3 0 R 4 0 R] {count} >>", PAGE, PAGE))
    document = open_file(renderer, path)
    assert (document.num_pages, document.flags) == (pages, flags)
    assert [renderer.render(document, path, number, SPEC).result().page_number for number in (1, 2)] == [1, 2]
    if pages == 3:
        with pytest.raises(RenderError):
            renderer.render(document, path, 3, SPEC).result()


@pytest.mark.parametrize(
    "kids",
    [("3 0 R 2 0 R", "<< /Type /Page >>"), ("3 0 R", "<< /Type /Pages /Kids [2 0 R 4 0 R] >>", "<< /Type /Page >>")],
)
def test_a_page_tree_that_contains_itself_ends(renderer: Renderer, tmp_path: Path, kids: tuple[str, ...]) -> None:
    """Walking it must not last for ever."""
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, f"<< /Type /Pages /Kids [{kids[0]}] /Count 1 >>", *kids[1:]))
    assert open_file(renderer, path).num_pages == 1


def test_a_page_whose_only_content_is_lost_is_no_blank_page(renderer: Renderer, tmp_path: Path) -> None:
    """A scan that cannot be decoded would else end as an ok record of nothing."""
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R >>"
    lost = "<< /Length 9 /Filter /FlateDecode >>\nstream\nnonsense!\nendstream"
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, lost))
    with pytest.raises(RenderError, match=r"Nothing on the page can be decoded.*zlib") as caught:
        render(renderer, path)
    assert caught.value.error_type is ErrorType.DAMAGED


def test_text_beyond_what_anybody_can_read_is_no_text_and_never_cut(renderer: Renderer, tmp_path: Path) -> None:
    """Half a page of text would pass for the whole page."""
    words = "BT /F1 1 Tf " + "0 0.001 Td (a b c d e f g h) Tj " * 13_000 + "ET"
    font = "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R {font} >>"
    stream = f"<< /Length {len(words)} >>\nstream\n{words}\nendstream"
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, stream))
    assert render(renderer, path).text_layer is None


def test_image_bomb_fails_its_page_only(renderer: Renderer, tmp_path: Path) -> None:
    """A few bytes can declare gigapixels; the pages around it are fine."""
    document = letter(pages=2)
    pixels = pymupdf.Pixmap(pymupdf.csGRAY, pymupdf.IRect(0, 0, 10, 10))
    pixels.clear_with(0)
    xref = document[0].insert_image(pymupdf.Rect(0, 0, 100, 100), pixmap=pixels)
    document.xref_set_key(xref, "Width", "100000")
    document.xref_set_key(xref, "Height", "100000")
    path = save(tmp_path / "bomb.pdf", document)
    with pytest.raises(RenderError, match="100000 x 100000 pixels") as caught:
        render(renderer, path)
    assert caught.value.error_type is ErrorType.TOO_LARGE
    assert np.any(render(renderer, path, 2).pixels < 128)


def test_scripts_links_and_attachments_stay_untouched(renderer: Renderer, tmp_path: Path) -> None:
    """A document must never make the program run, open or fetch anything."""
    proof = tmp_path / "proof"
    document = letter()
    document.embfile_add("run.sh", f"touch {proof}".encode())
    document[0].insert_link({"kind": pymupdf.LINK_LAUNCH, "from": pymupdf.Rect(0, 0, 595, 842), "file": str(proof)})
    action = f"<< /S /JavaScript /JS (app.launchURL\\('file://{proof}'\\)) >>"
    document.xref_set_key(document.pdf_catalog(), "OpenAction", action)
    render(renderer, save(tmp_path / "a.pdf", document))
    assert not proof.exists()
