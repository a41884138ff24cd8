"""A whole run on real vLLM: tries, prefix cache, and an engine killed while it reads."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pymupdf
import pytest
from PIL import Image

from pipeline.config import CanaryConfig, RunConfig, SkipConfig, TriesConfig, TrustConfig, VllmConfig
from pipeline.run import run
from pipeline.stats import PARTITION
from pipeline.tally import Progress

pytestmark = [
    pytest.mark.vllm,
    # What vLLM's own dependencies warn about while they are imported is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SCHEMA = '''
from typing import Literal

from pydantic import BaseModel


class Kind(BaseModel):
    """What a page is."""

    kind: Literal["invoice", "receipt"]
'''
ANSWER_TOKENS = len('{"kind":"invoice"}')
"""The tiny model's tokens are bytes."""
FIRST_LIMIT = 16
"""The shortest the configuration allows: an answer needs a second try with twice as many."""
TYPED, WORDS = "typed.pdf", "An invoice or a receipt. " * 12
"""A page with a text layer, on which stands whatever the model says of it."""
SCANS = {"a.pdf": 7, "b.pdf": 12, "c.pdf": 4}
DOCUMENTS = SCANS | {TYPED: 1}


class EngineKiller:
    """Kills vLLM's process once, as soon as a page is done."""

    def __init__(self) -> None:
        self.killed: psutil.Process | None = None

    def __call__(self, progress: Progress) -> None:
        """Take note of progress."""
        if self.killed or not progress.pages_ok:
            return
        [self.killed] = [child for child in psutil.Process().children() if "VLLM" in child.name()]
        self.killed.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents, and an extraction whose answers are a little longer than the first try allows."""
    (tmp_path / "in").mkdir()
    for name, num_pages in SCANS.items():
        shades = [Image.new("RGB", (280, 196), (10 * number, len(name), num_pages)) for number in range(num_pages)]
        shades[0].save(tmp_path / "in" / name, save_all=True, append_images=shades[1:])
    with pymupdf.open() as typed:  # type: ignore[no-untyped-call]
        page: Any = typed.new_page(width=280, height=196)
        page.insert_textbox((10, 10, 270, 190), WORDS, fontsize=8)
        typed.save(tmp_path / "in" / TYPED)
    extraction = tmp_path / "prompts" / "kind"
    extraction.mkdir(parents=True)
    (extraction / "prompt.md").write_text("Say what kind of page this is. " * 8)
    (extraction / "schema.py").write_text(SCHEMA)
    return tmp_path


def make_config(folder: Path, vllm: VllmConfig) -> RunConfig:
    """Return the settings of a run over the folder, with a model that need not know what it reads."""
    return RunConfig(
        input=str(folder / "in"),
        output=str(folder / "out"),
        extraction="kind",
        prompts=(folder / "prompts",),
        engine="vllm",
        vllm=vllm,
        tries=TriesConfig(max_tokens=FIRST_LIMIT),
        skip=SkipConfig(blank=False),  # they are of one colour each
        canary=CanaryConfig(mode="off"),
        trust=TrustConfig(scans="off"),  # test_trust_run has these
    )


def test_a_run_survives_its_engine_and_every_page_completes_once(
    folder: Path, tiny_config: VllmConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut-off answers get more room, pages of a dead engine are read again, and nothing is doubled."""
    config = make_config(folder, tiny_config)
    killer = EngineKiller()
    with caplog.at_level(logging.WARNING):
        report = run(config, on_progress=killer)

    assert killer.killed
    assert "engine died (vLLM's engine process died (exit code -9)" in caplog.text
    assert (report.pages_ok, report.pages_failed) == (sum(DOCUMENTS.values()), 0)
    spent = {name: getattr(report.total, name) for name in PARTITION}
    assert sum(spent.values()) == pytest.approx(report.total.wall_s)
    assert min(spent["starting_s"], spent["prefill_s"], spent["decode_s"]) > 0
    assert spent["busy_other_s"] < 0.5 * report.total.busy_s, f"the engine does not say where its time went: {spent}"
    rows = ds.dataset(folder / "out" / "kind" / "pages", format="parquet").to_table().to_pylist()
    pages = Counter((Path(row["source_uri"]).name, row["page_number"]) for row in rows)
    assert pages == {(name, number + 1): 1 for name, count in DOCUMENTS.items() for number in range(count)}
    for row in rows:
        assert row["record"]["kind"] in {"invoice", "receipt"}
        assert FIRST_LIMIT < ANSWER_TOKENS < row["output_tokens"]
        assert [each["finish_reason"] for each in row["tries"]] == ["length", "stop"]
        assert row["cached_tokens"] >= 128, "the instructions were computed again"
        [found] = row["evidence"]
        is_typed = row["source_uri"].endswith(TYPED)
        assert (found["path"], found["verdict"]) == ("kind", "exact" if is_typed else None)
        spelling = _spelling(row["token_logprobs"], row["record"]["kind"])
        assert found["logprob"] == min(token["logprob"] for token in spelling)
        assert found["confidence"] is not None
        assert not is_typed or found["x0"] < found["x1"] <= row["width_px"]
    assert (report.total.pages_unchecked, report.total.fields_exact) == (sum(SCANS.values()), 1)


def _spelling(tokens: list[dict[str, Any]], value: str) -> list[dict[str, Any]]:
    """Return the tokens that spell a value; each is a byte."""
    start = "".join(token["token"] for token in tokens).index(value)
    return tokens[start : start + len(value)]
