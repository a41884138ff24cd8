"""A labelled folder -> the same documents, and each of them twice as a poor scan: what confidence is fitted to.

    python tests/benchmarks/poor_scans.py LABELLED OUT
    pagemill eval OUT --engine ocr --fit-confidence FILE --reliability PICTURE

A reader errs little on the documents it was made with; what makes a value wrong shows on worse ones. Each scan is made
smaller and compressed, and is skewed, blurred, noisy, black and white, or none of these, by chance; always the same.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image, ImageFilter

SCANS = ("a", "b")
DPI = 180
KINDS = ("receipt", "invoice")


def main(source: Path, target: Path) -> None:
    """Write the folder."""
    (target / "documents").mkdir(parents=True)
    (target / "labels").mkdir()
    lines = (source / "manifest.jsonl").read_text("utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["kind"] in KINDS and entry.get("ground_truth")]
    written = [one for entry in entries for one in _written(entry, source, target)]
    (target / "manifest.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in written), "utf-8")


def _written(entry: dict[str, str], source: Path, target: Path) -> Iterator[dict[str, str]]:
    document, labels = source / entry["file"], f"labels/{entry['id']}.json"
    shutil.copy(source / entry["ground_truth"], target / labels)
    file = f"documents/{entry['id']}{document.suffix}"
    shutil.copy(document, target / file)
    yield {"id": entry["id"], "kind": entry["kind"], "file": file, "ground_truth": labels}
    for scan in SCANS:
        chance = random.Random(entry["id"] + scan)
        pages = [_worse(page, chance) for page in _pages(document)]
        file = f"documents/{entry['id']}-{scan}.{'jpg' if len(pages) == 1 else 'pdf'}"
        (target / file).write_bytes(_jpeg(*pages[0]) if len(pages) == 1 else _pdf([_jpeg(*page) for page in pages]))
        yield {"id": f"{entry['id']}-{scan}", "kind": entry["kind"], "file": file, "ground_truth": labels}


def _pages(document: Path) -> Iterator[Image.Image]:
    if document.suffix != ".pdf":
        yield Image.open(document)
        return
    with pymupdf.open(document) as opened:  # type: ignore[no-untyped-call]
        for page in opened:
            yield Image.open(io.BytesIO(page.get_pixmap(dpi=DPI).tobytes("png")))


def _worse(page: Image.Image, chance: random.Random) -> tuple[Image.Image, int]:
    """Return a page as a poor scan, and the quality of its compression."""
    page = page.convert("RGB")
    scale = chance.uniform(0.42, 0.75) if max(page.size) > 1000 else chance.uniform(0.6, 0.9)
    page = page.resize((int(page.width * scale), int(page.height * scale)), Image.Resampling.BICUBIC)
    fault = chance.choice(["none", "noise", "blur", "black and white", "skew"])
    if fault == "skew":
        turn = chance.uniform(-3, 3)
        page = page.rotate(turn, expand=True, fillcolor=(235, 235, 230), resample=Image.Resampling.BICUBIC)
    elif fault == "blur":
        page = page.filter(ImageFilter.GaussianBlur(chance.uniform(0.7, 1.2)))
    pixels = np.asarray(page).astype(np.float64)
    if fault == "noise":
        pixels = pixels * chance.uniform(0.6, 0.9)
        noise = np.random.default_rng(chance.randrange(10**6))
        pixels = pixels + noise.normal(20, chance.uniform(12, 25), pixels.shape)
    elif fault == "black and white":
        pixels = np.repeat(((pixels.mean(2) > chance.uniform(130, 190)) * 255.0)[:, :, None], 3, 2)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), chance.choice([25, 35, 50, 70])


def _jpeg(page: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    page.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _pdf(pages: list[bytes]) -> bytes:
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for content in pages:
            width, height = Image.open(io.BytesIO(content)).size
            page = document.new_page(width=595, height=595 * height / width)
            page.insert_image(page.rect, stream=content)
        written: bytes = document.tobytes()
    return written


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
