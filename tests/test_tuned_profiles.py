"""Which tuned profile a run takes up, and what it takes from it."""

import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.model_folder import write_model
from pipeline.capacity import PROFILES
from pipeline.config import VllmConfig
from pipeline.engines.vllm import describe, find_place
from pipeline.engines.vllm.cards import Card
from pipeline.engines.vllm.start import engine_arguments, plan_engine
from pipeline.engines.vllm.tuned import (
    Place,
    TunedProfile,
    apply_profile,
    profile_path,
    read_profile,
    write_profile,
)
from pipeline.errors import ConfigError, EngineStartError

SHAPE = PROFILES["qwen2.5-vl-7b-awq"].shape
H100 = Card("NVIDIA H100 80GB HBM3", 80 << 30, 79 << 30, (9, 0))
HERE = Place.of(H100, SHAPE, "fp8", "0.25.1")
GRAPHS = {"compilation_config": {"cudagraph_mm_encoder": True, "cudagraph_capture_sizes": [1, 2, 512]}}
SETTINGS = {"max_num_seqs": 192, "admission": "bursts", "engine_args": GRAPHS}
FOUND = TunedProfile(HERE, "qwen2.5-vl-7b-awq", date(2026, 3, 1), "96 pages", SETTINGS, 11.3, 13.9, 0.02)


@pytest.fixture(autouse=True)
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the profiles of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def written(profile: TunedProfile = FOUND, folder: Path | None = None) -> Path:
    """Write a profile, by default where runs look for it."""
    path = profile_path(profile.place, profile.model)
    path = folder / path.name if folder else path
    write_profile(profile, path)
    return path


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Tables and lists of vLLM's own settings included."""
    assert read_profile(written(folder=tmp_path)) == FOUND


def test_the_profile_for_this_card_and_model_holds_by_itself() -> None:
    """Nobody who ran a sweep should have to name its file."""
    path = written()
    tuned = apply_profile(VllmConfig(), HERE)
    assert (tuned.config.max_num_seqs, tuned.config.admission, tuned.config.engine_args) == (192, "bursts", GRAPHS)
    assert tuned.note is not None
    assert str(path) in tuned.note


def test_without_a_profile_nothing_changes_and_nothing_is_said() -> None:
    """Most users never sweep."""
    assert apply_profile(VllmConfig(), HERE) == (VllmConfig(), None)


def test_what_the_user_set_wins() -> None:
    """Also where it is the default, and inside vLLM's own settings key by key."""
    written()
    mine = {"max_model_len": 4096, "compilation_config": {"cudagraph_mm_encoder": False}}
    config = VllmConfig(admission="continuous", engine_args=mine)
    tuned = apply_profile(config, HERE).config
    assert (tuned.admission, tuned.max_num_seqs, tuned.engine_args["max_model_len"]) == ("continuous", 192, 4096)
    merged = {"cudagraph_mm_encoder": False, "cudagraph_capture_sizes": [1, 2, 512]}
    assert tuned.engine_args["compilation_config"] == merged


def test_off_keeps_profiles_out() -> None:
    """To measure against the defaults."""
    written()
    config = VllmConfig(profile="off")
    assert apply_profile(config, HERE) == (config, None)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, card="NVIDIA L40S"),
        replace(HERE, cards=2),
        Place.of(H100, PROFILES["qwen2.5-vl-3b"].shape, "fp8", "0.25.1"),
        replace(HERE, kv_cache_dtype="auto"),
        replace(HERE, vllm="0.32.0"),
    ],
)
def test_a_profile_for_another_place_is_passed_over(elsewhere: Place) -> None:
    """What is fast on one card is slow or impossible on another; one line says that it was not taken."""
    written(replace(FOUND, place=elsewhere))
    tuned = apply_profile(VllmConfig(), HERE)
    assert tuned.config == VllmConfig()
    assert tuned.note is not None
    assert "none of the 1 profiles" in tuned.note


def test_a_named_profile_for_another_place_is_refused(tmp_path: Path) -> None:
    """Who names a file wants it; reading on without it would hide that."""
    path = written(folder=tmp_path)
    with pytest.raises(EngineStartError, match=r"holds for 1 x NVIDIA H100.*this is 1 x NVIDIA L40S.*--sweep"):
        apply_profile(VllmConfig(profile=str(path)), replace(HERE, card="NVIDIA L40S"))


def test_a_named_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The same for a file that cannot be read."""
    with pytest.raises(EngineStartError, match=r"cannot be read.*vllm\.profile to off"):
        apply_profile(VllmConfig(profile=str(tmp_path / "no.toml")), HERE)


def test_of_a_folder_the_latest_profile_for_this_place_holds(tmp_path: Path) -> None:
    """A container's volume holds those of several cards, and perhaps a damaged one."""
    write_profile(replace(FOUND, settings={"max_num_seqs": 96}, measured_on=date(2026, 1, 1)), tmp_path / "old.toml")
    write_profile(replace(FOUND, place=replace(HERE, card="NVIDIA L40S")), tmp_path / "l40s.toml")
    write_profile(FOUND, tmp_path / "a.toml")
    (tmp_path / "broken.toml").write_text("place = ")
    assert apply_profile(VllmConfig(profile=str(tmp_path)), HERE).config.max_num_seqs == 192


def test_a_damaged_profile_in_the_folder_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It stops no run."""
    written().write_text("place = 3\n")
    with caplog.at_level(logging.WARNING):
        assert apply_profile(VllmConfig(), HERE).config == VllmConfig()
    assert "profile passed over" in caplog.text


@pytest.mark.parametrize("settings", [{"dtype": "float16"}, {"engine_args": {"max_model_len": 2048}}])
def test_a_profile_cannot_change_what_is_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Its settings are not in the fingerprint of the records."""
    with pytest.raises(ConfigError, match="may change what is read"):
        read_profile(written(replace(FOUND, settings=settings), tmp_path))


def test_a_profile_with_an_impossible_value_is_refused(tmp_path: Path) -> None:
    """Somebody edited it."""
    path = written(replace(FOUND, settings={"max_num_seqs": 0}), tmp_path)
    with pytest.raises(EngineStartError, match="max_num_seqs"):
        apply_profile(VllmConfig(profile=str(path)), HERE)


@pytest.mark.vllm
def test_an_engine_is_started_with_what_the_profile_says(tmp_path: Path) -> None:
    """And stays the same engine for the records: their fingerprint has its description."""
    config = VllmConfig(model=str(write_model(tmp_path / "model")), load_format="dummy")
    described = describe(config)
    written(replace(FOUND, place=find_place(config), settings={"max_num_seqs": 3, "engine_args": GRAPHS}))
    arguments = engine_arguments(plan_engine(config, None), 1_003_520)
    assert (arguments["max_num_seqs"], arguments["compilation_config"]) == (3, GRAPHS["compilation_config"])
    assert describe(config) == described
