"""What the tests of rendering share: one renderer, as starting one takes a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.config import RenderConfig
from pipeline.data import Document, DocumentRef, PageImage, RenderSpec
from pipeline.render import Renderer

SPEC = RenderSpec(1_003_520)


@pytest.fixture(scope="session")
def renderer() -> Iterator[Renderer]:
    """Return a renderer of one process that knows two passwords."""
    config = RenderConfig(passwords=(SecretStr("wrong"), SecretStr("geheim")), max_source_megapixels=50)
    renderer = Renderer(config, num_workers=1)
    yield renderer
    renderer.close()


def ref(path: Path) -> DocumentRef:
    """Return a reference to a local file, its size left for the renderer to find."""
    return DocumentRef(f"file://{path}", 0, None)


def open_file(renderer: Renderer, path: Path) -> Document:
    """Open a document and wait for it."""
    return renderer.open(ref(path), path).result()


def render(renderer: Renderer, path: Path, page_number: int = 1, spec: RenderSpec = SPEC) -> PageImage:
    """Render a page and wait for it."""
    return renderer.render(open_file(renderer, path), path, page_number, spec).result()
