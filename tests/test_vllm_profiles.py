"""Models, cards and settings of the vLLM engine: pure reckoning, no vLLM and no GPU."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.capacity import GIB, PROFILES, ModelShape, plan_memory, read_shape, weight_bytes
from pipeline.config import VllmConfig
from pipeline.data import Json
from pipeline.engines.vllm.cards import Card, detect_gpu
from pipeline.engines.vllm.lora import find_adapter
from pipeline.engines.vllm.models import find_model
from pipeline.engines.vllm.prompt import compose_instructions, shared_prefix_tokens
from pipeline.engines.vllm.settings import resolve_settings
from pipeline.errors import EngineStartError

AWQ_7B = PROFILES["qwen2.5-vl-7b-awq"].shape

QWEN_7B_CONFIG = {
    "model_type": "qwen2_5_vl",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_position_embeddings": 128000,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 152064,
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
"""As in the checkpoint's config.json, reduced to what is read."""


def make_card(name: str, gib: float, capability: tuple[int, int] = (8, 9)) -> Card:
    """A card with all its memory free."""
    return Card(name, total_bytes=int(gib * GIB), free_bytes=int(gib * GIB), capability=capability)


H100 = make_card("H100", 79.6, (9, 0))
L40S = make_card("L40S", 45.0)
RTX_4090 = make_card("RTX 4090", 24.0)
RTX_4000_ADA = make_card("RTX 4000 Ada", 19.6)
RTX_3090 = make_card("RTX 3090", 24.0, (8, 6))


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("qwen2.5-vl-3b", 7.0),
        ("qwen2.5-vl-3b-awq", 3.2),
        ("qwen2.5-vl-7b", 15.4),
        ("qwen2.5-vl-7b-awq", 6.4),
        ("qwen2.5-vl-7b-w8a8", 9.5),
        ("qwen2.5-vl-32b-awq", 19.3),
        ("qwen2.5-vl-72b-awq", 39.9),
        ("rolmocr", 15.4),
    ],
)
def test_weights_are_estimated_as_large_as_the_checkpoints(name: str, gib: float) -> None:
    """The memory check stands on them; 15.4 GiB is what the hub shows for the 16-bit 7B files."""
    assert weight_bytes(PROFILES[name].shape) / GIB == pytest.approx(gib, rel=0.05)


def test_kv_bytes_per_token_match_the_published_dimensions() -> None:
    """28 layers, 4 KV heads of 128: 28,672 bytes at FP8, twice that at 16 bit."""
    assert plan_memory(AWQ_7B, 20 * GIB, kv_bytes=1).kv_per_token == 28_672
    assert plan_memory(AWQ_7B, 20 * GIB, kv_bytes=2).kv_per_token == 57_344


def test_dimensions_are_read_from_the_config_file() -> None:
    """A fine-tune may differ from the profile; its own file decides."""
    assert read_shape(QWEN_7B_CONFIG) == PROFILES["qwen2.5-vl-7b"].shape
    nested = {"text_config": {**QWEN_7B_CONFIG}, "vision_config": QWEN_7B_CONFIG["vision_config"]}
    assert read_shape(nested) == PROFILES["qwen2.5-vl-7b"].shape


@pytest.mark.parametrize(
    ("quantisation", "method", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", 4),
        ({"quant_method": "fp8"}, "fp8", 8),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}},
            "compressed-tensors",
            8,
        ),
    ],
)
def test_quantisation_is_read_from_the_config_file(quantisation: Json, method: str, bits: int) -> None:
    """It decides the weights' size and is written into every row."""
    shape = read_shape({**QWEN_7B_CONFIG, "quantization_config": quantisation})
    assert (shape.quantisation, shape.weight_bits) == (method, bits)


def test_a_text_model_is_refused() -> None:
    """It would load for minutes before vLLM noticed that it sees no images."""
    text_only = {key: value for key, value in QWEN_7B_CONFIG.items() if key != "vision_config"}
    with pytest.raises(EngineStartError, match="vision"):
        read_shape(text_only)


@pytest.mark.parametrize(
    ("card", "sequences", "batched"),
    [(RTX_4000_ADA, 128, 4096), (RTX_4090, 128, 4096), (L40S, 256, 8192), (H100, 256, 8192)],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_default_model_runs_on_every_supported_card(card: Card, sequences: int, batched: int) -> None:
    """20, 24, 48 and 80 GB, with nothing configured."""
    settings = resolve_settings(VllmConfig(), card, AWQ_7B)
    assert (settings.max_num_seqs, settings.max_num_batched_tokens) == (sequences, batched)
    assert settings.kv_cache_dtype == "fp8"
    assert settings.dtype == "bfloat16"


def test_sequences_are_limited_to_what_the_cache_holds() -> None:
    """More would be preempted and computed again."""
    larger = resolve_settings(VllmConfig(), RTX_4000_ADA, PROFILES["qwen2.5-vl-7b-w8a8"].shape)
    assert 64 <= larger.max_num_seqs < resolve_settings(VllmConfig(), RTX_4000_ADA, AWQ_7B).max_num_seqs


def test_configured_values_win() -> None:
    """Every choice made here is a default."""
    config = VllmConfig(
        max_num_seqs=7,
        max_num_batched_tokens=1024,
        max_model_len=2048,
        gpu_memory_utilization=0.5,
        attention_backend="FLASHINFER",
        kv_cache_dtype="auto",
    )
    arguments = resolve_settings(config, L40S, AWQ_7B).arguments()
    assert arguments["max_num_seqs"] == 7
    assert arguments["max_num_batched_tokens"] == 1024
    assert arguments["max_model_len"] == 2048
    assert arguments["gpu_memory_utilization"] == 0.5
    assert arguments["attention_config"] == {"backend": "FLASHINFER"}
    assert arguments["kv_cache_dtype"] == "auto"


def test_ada_without_a_compiler_gets_a_backend_that_needs_none() -> None:
    """FlashAttention refuses an FP8 cache there, and FlashInfer would compile at first use and fail."""
    settings = resolve_settings(VllmConfig(), L40S, AWQ_7B)
    assert settings.attention_backend == "TRITON_ATTN"
    assert settings.environment == {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
    with_compiler = replace(L40S, can_compile=True)
    assert resolve_settings(VllmConfig(), with_compiler, AWQ_7B).attention_backend is None
    assert resolve_settings(VllmConfig(), H100, AWQ_7B).attention_backend is None


def test_ampere_falls_back_to_a_16_bit_cache_unless_fp8_is_asked_for() -> None:
    """It has no FP8; the default must work, an explicit wish must not be dropped silently."""
    assert resolve_settings(VllmConfig(), RTX_3090, AWQ_7B).kv_cache_dtype == "auto"
    with pytest.raises(EngineStartError, match=r"RTX 3090 has no FP8 .* kv_cache_dtype to auto"):
        resolve_settings(VllmConfig(kv_cache_dtype="fp8"), RTX_3090, AWQ_7B)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (VllmConfig(dtype="float16"), "dtype to bfloat16"),
        (VllmConfig(dtype="auto"), "dtype to bfloat16"),  # AWQ checkpoints say float16
        (VllmConfig(kv_cache_dtype="fp8_e5m2"), "e5m2 corrupts"),
        (VllmConfig(tensor_parallel_size=2), "only 1 GPU"),
    ],
)
def test_contradictions_are_refused_with_what_to_change(config: VllmConfig, message: str) -> None:
    """Each of these fails minutes later inside vLLM, or not at all and spoils the output."""
    with pytest.raises(EngineStartError, match=message):
        resolve_settings(config, H100, AWQ_7B)


def test_a_model_too_large_is_refused_with_by_how_much_and_what_would_fit() -> None:
    """The alternative is an out-of-memory error after ten minutes of loading."""
    config = VllmConfig(model="qwen2.5-vl-32b-awq")
    with pytest.raises(EngineStartError) as caught:
        resolve_settings(config, RTX_4090, PROFILES["qwen2.5-vl-32b-awq"].shape)
    message = str(caught.value)
    assert "needs 24.1 GiB" in message
    assert "has 21.6 GiB" in message
    assert "short by 2.5 GiB" in message
    assert "Try model qwen2.5-vl-7b." in message


def test_memory_that_others_hold_is_counted_and_named() -> None:
    """A second process on the card is the commonest cause on a workstation."""
    busy = replace(RTX_4090, free_bytes=6 * GIB)
    with pytest.raises(EngineStartError, match=r"other processes hold 18\.0 GiB"):
        resolve_settings(VllmConfig(), busy, AWQ_7B)


def test_two_cards_share_what_one_cannot_hold() -> None:
    """72B at 4 bits needs two cards of 48 GB; the message offers the second one."""
    shape = PROFILES["qwen2.5-vl-72b-awq"].shape
    two = replace(L40S, count=2)
    with pytest.raises(EngineStartError, match="tensor_parallel_size 2"):
        resolve_settings(VllmConfig(model="qwen2.5-vl-72b-awq"), two, shape)
    settings = resolve_settings(VllmConfig(model="qwen2.5-vl-72b-awq", tensor_parallel_size=2), two, shape)
    assert settings.arguments()["tensor_parallel_size"] == 2


def test_the_cpu_build_needs_no_card() -> None:
    """It knows no FP8 cache; tests run on it with the same configuration."""
    tiny = ModelShape(2, 128, 2, 1, 64, 256, 320, tied=False)
    settings = resolve_settings(VllmConfig(), None, tiny)
    assert settings.kv_cache_dtype == "auto"
    assert settings.gpu_memory_utilization is None


@pytest.mark.parametrize("name", ["qwen2.5-vl-7b-awk", "./no-such-folder", "/no/such/folder", "~/models/none"])
def test_an_unknown_model_is_refused_with_the_known_ones(name: str) -> None:
    """A typing error must not become a failed download."""
    with pytest.raises(EngineStartError, match=r"qwen2\.5-vl-7b-awq"):
        find_model(name, None)


def test_a_folder_is_identified_by_its_weights(tmp_path: Path) -> None:
    """Rows of a retrained model in the same folder must not count as done."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN_7B_CONFIG))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"\x01" * 5_000_000)
    first = find_model(str(tmp_path), None)
    assert first.location == str(tmp_path)
    assert find_model(str(tmp_path), None).identity == first.identity
    weights.write_bytes(b"\x02" * 5_000_000)
    assert find_model(str(tmp_path), None).identity != first.identity


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """Often the parent of the right folder."""
    with pytest.raises(EngineStartError, match=r"no config\.json"):
        find_model(str(tmp_path), None)


def test_a_lora_adapter_is_checked_before_the_model_is_loaded(tmp_path: Path) -> None:
    """A missing folder would otherwise show at the first page."""
    config = VllmConfig(lora={"receipt": str(tmp_path)})
    assert find_adapter(config, "invoice") is None
    with pytest.raises(EngineStartError, match=r"no adapter_config\.json"):
        find_adapter(config, "receipt")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 24}))
    adapter = find_adapter(config, "receipt")
    assert adapter
    assert adapter.arguments()["max_lora_rank"] == 32


def test_the_schema_stands_in_the_shared_part_of_the_prompt() -> None:
    """Only what comes before the image is computed once for all pages."""
    text = compose_instructions("Read it.\n", {"type": "object"})
    assert text.startswith("Read it.")
    assert text.endswith('{"type":"object"}')
    assert compose_instructions("Read it.\n", None) == "Read it."


@pytest.mark.parametrize(("image_at", "block", "shared"), [(415, 16, 400), (416, 16, 416), (100, 128, 0)])
def test_whole_blocks_before_the_image_are_shared(image_at: int, block: int, shared: int) -> None:
    """A block that the image touches carries the image's identity."""
    assert shared_prefix_tokens([1] * image_at + [9, 9, 2], 9, block) == shared


def test_looking_for_a_gpu_fails_nowhere() -> None:
    """`--engine auto` asks on every machine, with or without a driver."""
    card = detect_gpu()
    assert card is None or card.total_bytes > GIB


def test_the_guide_names_every_model() -> None:
    """A model that is not in the guide does not exist for its readers."""
    guide = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert [name for name in PROFILES if f"| `{name}`" not in guide] == []
