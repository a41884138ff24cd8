"""What a schema says of pages that the engine need not read, and what that does to the fingerprint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import RunConfig, SkipConfig
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import ConfigError
from pipeline.extraction import Extraction, load_extraction
from pipeline.identity import identify_run, reads_text_layers

INFO = ScriptedEngine(lambda _: "").info
SCHEMA = """
from typing import ClassVar
from pydantic import BaseModel

class Note(BaseModel):
{}
"""


def note(folder: Path, *lines: str) -> Extraction:
    """Return an extraction whose record model has these lines."""
    (folder / "note").mkdir()
    (folder / "note" / "schema.py").write_text(SCHEMA.format("\n".join(f"    {line}" for line in lines)))
    (folder / "note" / "prompt.md").write_text("Read the note.")
    return load_extraction(str(folder / "note"))


def fingerprint(extraction: Extraction, **skip: bool | None) -> str:
    """Return the fingerprint of a run."""
    config = RunConfig(input="in", output="out", skip=SkipConfig.model_validate(skip))
    return identify_run(config, extraction, INFO, 1_000_000).fingerprint


@pytest.mark.parametrize("name", ["receipt", "invoice", "transcript"])
def test_shipped_records_of_nothing_say_nothing(name: str) -> None:
    """What is not on the page is not in the record."""
    record = load_extraction(name).empty_record
    assert record is not None
    assert not any(record.values())
    assert not load_extraction(name).is_sufficient(record, is_whole=False)


@pytest.mark.parametrize("line", ["title: str", "kind: str = 'note'"])
def test_a_record_that_must_say_something_is_never_empty(tmp_path: Path, line: str) -> None:
    """A required field cannot be made up, and a default was not read."""
    assert note(tmp_path, line).empty_record is None


def test_a_record_from_a_text_layer_must_have_what_the_schema_asks_for(tmp_path: Path) -> None:
    """Which fields every document has, only its author knows; a page of a long one need not have them all."""
    extraction = note(
        tmp_path,
        'text_layer_needs: ClassVar[tuple[str, ...]] = ("day",)',
        "title: str | None",
        "day: str | None = None",
        "place: str | None = None",
    )
    assert extraction.is_sufficient({"title": "a", "day": "Monday", "place": None}, is_whole=True)
    for part in ({"title": "a", "day": None, "place": "b"}, {"title": None, "day": "Monday", "place": "b"}):
        assert not extraction.is_sufficient(part, is_whole=True)
        assert extraction.is_sufficient(part, is_whole=False)


def test_fields_that_a_schema_asks_for_must_be_its_own(tmp_path: Path) -> None:
    """A misspelt name would send every page to the engine, and nobody would know why."""
    with pytest.raises(ConfigError, match="text_layer_needs names fields that it lacks: dya"):
        note(tmp_path, 'text_layer_needs: ClassVar[tuple[str, ...]] = ("dya",)', "day: str | None = None")


def test_the_setting_wins_over_the_schema_and_ocr_has_its_own(tmp_path: Path) -> None:
    """The OCR engine reads text layers by itself, under `ocr.text_layer`."""
    extraction = note(tmp_path, "text_layer_suffices: ClassVar[bool] = True", "day: str | None = None")
    config = RunConfig(input="in", output="out")
    refused = RunConfig(input="in", output="out", skip=SkipConfig(text_layer=False))
    assert reads_text_layers(config, extraction, INFO)
    assert not reads_text_layers(refused, extraction, INFO)
    assert not reads_text_layers(config, extraction, replace(INFO, engine="ocr"))
    assert not reads_text_layers(config, load_extraction("transcript"), INFO)


def test_only_what_can_change_a_record_changes_the_fingerprint() -> None:
    """Switching duplicates off must not have a million pages read again; reading text layers differently must."""
    transcript = load_extraction("transcript")
    usual = fingerprint(transcript)
    assert fingerprint(transcript, duplicates=False) == usual
    assert fingerprint(transcript, text_layer=False) == usual
    others = {fingerprint(transcript, blank=False), fingerprint(transcript, text_layer=True)}
    assert len(others | {usual}) == 3
