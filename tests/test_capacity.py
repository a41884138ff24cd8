"""Memory and speed of models on cards, against numbers worked by hand and against what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capacity import (
    GIB,
    PROFILES,
    Arithmetic,
    Assumptions,
    Gpu,
    ModelShape,
    Serving,
    VisionShape,
    Workload,
    activation_bytes,
    held_against_measurements,
    kv_bytes_per_token,
    load_price_book,
    parse_quantisation,
    plan_memory,
    predict,
    read_shape,
    vision_flops,
    weight_bytes,
)
from pipeline.errors import ConfigError, EngineStartError

AWQ_7B = PROFILES["qwen2.5-vl-7b-awq"].shape
AWQ_3B = PROFILES["qwen2.5-vl-3b-awq"].shape
CARDS = load_price_book().gpus
H100 = CARDS["h100-sxm"]
PAGE = Workload(page_pixels=896 * 1148, shared_tokens=416, own_tokens=16, output_tokens=400)
NOTES_PAGE = Workload(page_pixels=5200 * 14 * 14, shared_tokens=192, own_tokens=8, output_tokens=400)
"""5,200 patches are 1,300 image tokens; with 200 of text the prompt is 1,500, of which 192 are cached."""
UNLIMITED = Serving(max_num_seqs=1_000_000, utilization=0.9)

QWEN3_8B = {
    "text_config": {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
    },
    "vision_config": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}
QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "mlp_ratio": 4},
}


def test_parameters_of_the_7b_are_the_published_ones() -> None:
    """By hand: 28 x (2 x 3584 x 128 x (28 + 4) + 3 x 3584 x 18944) = 6.525e9, and 152064 x 3584 = 0.545e9 twice."""
    assert AWQ_7B.layer_params == 28 * (2 * 3584 * 128 * 32 + 3 * 3584 * 18944) == 6_525_288_448
    assert AWQ_7B.head_params == 544_997_376
    assert AWQ_7B.embedding_params == 2 * 544_997_376
    assert AWQ_3B.layer_params == pytest.approx(2.775e9, rel=1e-3)
    assert AWQ_3B.embedding_params == AWQ_3B.head_params  # tied


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("qwen2.5-vl-3b", 3_754_622_976),
        ("qwen2.5-vl-7b", 8_292_166_656),
        ("qwen2.5-vl-32b-awq", 33_452_718_336),
    ],
)
def test_parameters_are_those_of_the_published_checkpoints(name: str, published: int) -> None:
    """By the index files of the 16-bit checkpoints, whose sizes are halved; only norms and biases are left out."""
    shape = PROFILES[name].shape
    found = shape.layer_params + shape.embedding_params + shape.vision_params
    assert 0.9997 * published < found < published


@pytest.mark.parametrize(
    ("quantisation", "gib"),
    [
        ("bf16", 15.44),  # 2 x 8.2913e9
        ("fp8", 9.43),  # 1.01 x 6.5253e9 + 3.532e9
        ("awq", 6.45),  # 0.5195 x 6.5253e9 + 3.532e9
        ("nf4", 6.71),  # 0.5625 x 6.5253e9 + 3.532e9
    ],
)
def test_only_the_text_layers_are_quantised(quantisation: str, gib: float) -> None:
    """By hand, at 16 bit in each: embeddings 2 x 1.0900e9 and vision tower 2 x 0.6760e9, together 3.532e9 bytes."""
    shape = replace(AWQ_7B, weights=parse_quantisation(quantisation))
    assert weight_bytes(shape) / GIB == pytest.approx(gib, abs=0.005)


@pytest.mark.parametrize(
    ("shape", "kv_bytes", "expected"),
    [(AWQ_7B, 2, 57_344), (AWQ_7B, 1, 28_672), (AWQ_3B, 2, 36_864), (AWQ_3B, 1, 18_432)],
)
def test_a_token_takes_a_key_and_a_value_of_each_layer_and_kv_head(
    shape: ModelShape, kv_bytes: int, expected: int
) -> None:
    """By hand for the 7B: 2 x 28 layers x 4 KV heads x 128 x 2 bytes = 57,344."""
    assert kv_bytes_per_token(shape, kv_bytes=kv_bytes) == expected


def test_two_cards_share_the_kv_heads_and_one_head_is_not_cut() -> None:
    """Every card has one KV head at least: eight cards of a model with four hold each of them twice."""
    assert kv_bytes_per_token(AWQ_7B, kv_bytes=2, cards=2) == 57_344 // 2
    assert kv_bytes_per_token(AWQ_7B, kv_bytes=2, cards=8) == 57_344 // 4


@pytest.mark.parametrize(("shape", "gib"), [(AWQ_7B, 6.4), (AWQ_3B, 3.2)])
def test_weights_at_4_bits_are_those_of_the_checkpoint(shape: ModelShape, gib: float) -> None:
    """By hand for the 7B: 0.52 x 6.525e9 + 2 x 1.090e9 + 1.35e9 = 6.92e9 bytes = 6.4 GiB."""
    assert weight_bytes(shape) / GIB == pytest.approx(gib, rel=0.02)


@pytest.mark.parametrize(
    ("name", "bytes_per_param"),
    [
        ("bf16", 2.0),
        ("fp8", 1.01),
        ("int8", 1.01),
        ("awq", 0.51953125),  # 4 bits, and 16 + 4 bits for each 128
        ("gptq-g32", 0.578125),
        ("nf4", 0.5625),  # 4 bits, and 32 bits for each 64
        ("q4_k_m", 4.89 / 8),
    ],
)
def test_quantisations_take_their_bits_and_scales(name: str, bytes_per_param: float) -> None:
    """Scales and zero points are worth a model size on a small card."""
    assert parse_quantisation(name).bytes_per_param == pytest.approx(bytes_per_param)


def test_gguf_is_known_for_its_memory_only() -> None:
    """By hand, Q4_K_M: (6.525e9 + 1.090e9) x 4.89 / 8 and 1.35e9 for the vision tower at 16 bit: 6.0e9 bytes."""
    q4 = parse_quantisation("Q4_K_M")
    assert not q4.speed_known
    assert "speed is not predicted" in q4.remark
    assert weight_bytes(replace(AWQ_7B, weights=q4)) == pytest.approx(6.0e9, rel=0.01)


def test_an_unknown_quantisation_is_refused_with_the_nearest() -> None:
    """People write them in many ways."""
    with pytest.raises(EngineStartError, match=r"'q4_k_x'.*Did you mean q4_k_s\?"):
        parse_quantisation("q4_k_x")


@pytest.mark.parametrize(
    ("settings", "name", "arithmetic"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, "awq-g64", Arithmetic.FP16),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "gptq-g4096", Arithmetic.FP16),
        ({"quant_method": "fp8"}, "fp8", Arithmetic.FP8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4", Arithmetic.FP16),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-int8", Arithmetic.FP16),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "0": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}
                },
            },
            "compressed-tensors",
            Arithmetic.INT8,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"0": {"weights": {"num_bits": 8, "type": "int"}}},
            },
            "compressed-tensors",
            Arithmetic.FP16,
        ),
    ],
)
def test_arithmetic_follows_from_what_config_json_says(
    settings: dict[str, object], name: str, arithmetic: Arithmetic
) -> None:
    """Weights alone at 8 bits are unpacked to 16; only with 8-bit activations are tensor cores faster."""
    found = read_shape({**QWEN2_7B, "quantization_config": settings}).weights
    assert (found.name, found.arithmetic) == (name, arithmetic)


def test_the_vision_tower_of_qwen2_5_costs_what_the_formula_says() -> None:
    """By hand, N = 5,200 patches: 2N x 631.5e6 + N/2 x 44.6e6 + 4 x 4 N^2 x 1280 + 28 x 4 N x 64 x 1280 = 7.285e12."""
    patches = 5200
    by_hand = 2 * patches * 631.5e6 + patches / 2 * 44.6e6 + 4 * 4 * patches**2 * 1280 + 28 * 4 * patches * 64 * 1280
    assert by_hand == pytest.approx(7.285e12, rel=1e-3)
    assert vision_flops(AWQ_7B, patches) == pytest.approx(by_hand, rel=1e-3)


def test_towers_of_the_neighbouring_families_are_read() -> None:
    """Qwen3-VL has no windows, larger patches and three more mergers; Qwen2-VL a plain feed-forward part."""
    qwen3 = read_shape(QWEN3_8B)
    assert qwen3.vision == VisionShape(
        depth=27,
        hidden=1152,
        feed_forward=4304,
        mlp_matrices=2,
        patch_px=16,
        window_px=None,
        full_layers=27,
        mergers=4,
    )
    assert qwen3.vision.token_px == 32
    assert read_shape(QWEN2_7B).vision == VisionShape(
        hidden=1280, feed_forward=5120, mlp_matrices=2, window_px=None, full_layers=32
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": None}, "num_hidden_layers = None, which is no size"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0, which is no size"),
        ({"num_experts": 128}, "mixture of experts"),
        ({"hidden_size": 10}, "head_dim = 0, which is no size"),
        ({"max_position_embeddings": "many"}, "max_position_embeddings = 'many', which is no size"),
        ({"vision_config": {"patch_size": 0}}, "patch_size = 0, which is no size"),
        ({"vision_config": ["a"]}, "a value of another kind than expected"),
        ({"text_config": 3}, "a value of another kind than expected"),
        ({"quantization_config": "awq"}, "a value of another kind than expected"),
        ({"quantization_config": {"quant_method": "gptq", "bits": "four"}}, "a value of another kind than expected"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    """A wrong size would become a wrong price."""
    with pytest.raises(EngineStartError, match=message):
        read_shape({**QWEN2_7B, **changes})


def test_times_of_a_page_by_hand() -> None:
    """A card of round numbers: 100 TFLOPS, 1,000 GB/s; every share 1; N = 5,200, S = 1,500, c = 192, O = 400, B = 100.

    vision   7.285e12 / 1e14                                                    =  72.9 ms
    prefill  (2 x 6.525e9 x 1308 + 2 x 28 x 28 x 128 x (1500^2 - 192^2) + 1.09e9) / 1e14 = 175.2 ms
    step     weights 3.390e9 + head 1.090e9 + 100 x 1,700 x 28,672 = 9.354e9 bytes / 1e12 = 9.35 ms;
             arithmetic 100 x 14.14e9 / 1e14 = 14.14 ms, which is longer
    decode   400 x 14.14 / 100                                                  =  56.6 ms
    """
    card = Gpu(key="x", name="x", memory_gib=80, bandwidth_gb_s=1000, fp16_tflops=100, power_w=1, capability="9.0")
    perfect = Assumptions().changed(
        {f"{part}_efficiency": 1.0 for part in ("vision", "prefill", "decode", "bandwidth")}
    )
    found = predict(AWQ_7B, card, NOTES_PAGE, Serving(100), perfect)
    assert found.vision_s == pytest.approx(0.0729, rel=2e-3)
    assert found.prefill_s == pytest.approx(0.1752, rel=2e-3)
    assert found.step_s(100) == pytest.approx(0.01414, rel=2e-3)
    assert found.decode_s == pytest.approx(0.0566, rel=2e-3)
    faster = card.model_copy(update={"fp16_tflops": 1000.0})
    bound_by_memory = predict(AWQ_7B, faster, NOTES_PAGE, Serving(100), perfect)
    assert bound_by_memory.step_s(100) == pytest.approx(0.00935, rel=2e-3)


@pytest.mark.parametrize(
    ("card", "shape", "kv_bytes", "pages_per_hour"),
    [
        ("rtx-4000-ada", AWQ_7B, 2, 4900),
        ("rtx-4000-ada", AWQ_7B, 1, 5600),
        ("l4", AWQ_7B, 2, 4200),
        ("rtx-6000-ada", AWQ_7B, 2, 17_400),
        ("rtx-6000-ada", AWQ_7B, 1, 19_900),
        ("l40s", AWQ_7B, 2, 17_500),
        ("l40s", AWQ_7B, 1, 20_300),
        ("h100-sxm", AWQ_7B, 2, 51_000),
        ("h100-sxm", AWQ_7B, 1, 55_000),
        ("rtx-4000-ada", AWQ_3B, 2, 8200),
        ("l4", AWQ_3B, 2, 7000),
        ("rtx-6000-ada", AWQ_3B, 2, 27_700),
        ("l40s", AWQ_3B, 2, 27_800),
        ("h100-sxm", AWQ_3B, 2, 80_000),
    ],
)
def test_the_roofline_gives_the_estimates_made_by_hand(
    card: str, shape: ModelShape, kv_bytes: int, pages_per_hour: float
) -> None:
    """They were worked out before, for N = 5,200, S = 1,500, c = 192 and O = 400, and stand in docs/gpu.md."""
    found = predict(shape, CARDS[card], NOTES_PAGE, replace(UNLIMITED, kv_bytes=kv_bytes))
    assert found.roofline_pages_per_s * 3600 == pytest.approx(pages_per_hour, rel=0.05)


def test_expectations_are_within_15_percent_of_every_measured_figure() -> None:
    """Those that a number was fitted to within 3 %; what was not fitted says how good the rest is."""
    found = list(held_against_measurements())
    assert len(found) == 9
    assert {one.what: round(one.error, 2) for one in found if abs(one.error) > 0.15} == {}
    assert all(abs(one.error) < 0.03 for one in found if one.fitted)
    assert sum(one.fitted is None for one in found) == 4


def test_a_fixed_batch_waits_for_its_longest_output() -> None:
    """What most scripts do: half as fast as a stream on the same card; outputs of one length cost less."""
    found = predict(AWQ_7B, H100, PAGE, Serving(256))
    even = predict(AWQ_7B, H100, PAGE, Serving(256), Assumptions().changed({"longest_output": 1}))
    assert found.batches(32) < 0.6 * found.pages_per_s
    assert found.batches(32) < even.batches(32) < found.pages_per_s
    assert found.batches(32) < found.batches(64) < found.whole_list(384) < found.pages_per_s


def test_cards_without_fp8_compute_such_weights_at_16_bit() -> None:
    """An A100 unpacks them; an H100 multiplies them twice as fast."""
    fp8 = replace(AWQ_7B, weights=parse_quantisation("fp8"))
    a100, h100 = CARDS["a100-80"], H100
    assert predict(fp8, a100, PAGE, Serving(64, 2)).prefill_s == predict(AWQ_7B, a100, PAGE, Serving(64, 2)).prefill_s
    assert predict(fp8, h100, PAGE, Serving(64)).prefill_s < 0.6 * predict(AWQ_7B, h100, PAGE, Serving(64)).prefill_s


def test_two_cards_share_a_page_and_lose_some_of_it() -> None:
    """Less than twice as fast, as they wait for each other."""
    one = predict(AWQ_7B, CARDS["l40s"], PAGE, Serving(128))
    two = predict(AWQ_7B, CARDS["l40s"], PAGE, Serving(128, cards=2))
    assert one.roofline_pages_per_s < two.roofline_pages_per_s < 2 * one.roofline_pages_per_s


def test_sequences_are_what_the_cache_holds() -> None:
    """By hand: 20 GiB x 0.9 - 6.4 - 2.8 = 8.75 GiB hold 327,801 tokens of 28,672 bytes; 1,708 a page make 191."""
    found = predict(AWQ_7B, CARDS["rtx-4000-ada"], NOTES_PAGE, Serving(256, utilization=0.9))
    assert found.memory.kv_tokens == pytest.approx(327_801, rel=0.01)
    assert found.fits_sequences == found.memory.kv_tokens // 1708
    assert found.sequences == found.fits_sequences < 256


def test_a_card_that_holds_no_page_still_has_an_answer() -> None:
    """It does not fit, which the memory says; nothing may divide by zero before."""
    found = predict(PROFILES["qwen2.5-vl-72b-awq"].shape, CARDS["l4"], PAGE, Serving(8))
    assert (found.fits_sequences, found.sequences) == (0, 1)
    assert found.pages_per_s > 0


def test_activations_stay_within_the_overhead_that_was_measured() -> None:
    """They are shown as a part of it: 8,192 tokens through 18,944 wide layers and a page of 2.25 MP."""
    size = activation_bytes(AWQ_7B, batched_tokens=8192, patches=11_800, sequences=256)
    assert 0.8 * GIB < size < 1.2 * GIB


@given(
    pixels=st.integers(28 * 28, 4_000_000),
    output=st.integers(1, 4000),
    sequences=st.integers(1, 512),
    card=st.sampled_from(sorted(CARDS)),
)
def test_more_work_is_never_faster(pixels: int, output: int, sequences: int, card: str) -> None:
    """Larger pages and longer outputs take longer, at the roofline and as expected.

    But for a few thousandths: what takes more memory leaves one sequence less, and fewer take shorter steps.
    """
    load, serving = Workload(pixels, 192, 16, output), Serving(sequences)
    found = predict(AWQ_7B, CARDS[card], load, serving)
    for harder in (replace(load, page_pixels=2 * pixels), replace(load, output_tokens=2 * output)):
        slower = predict(AWQ_7B, CARDS[card], harder, serving)
        assert slower.roofline_pages_per_s < found.roofline_pages_per_s
        assert slower.pages_per_s <= found.pages_per_s * 1.01
    assert found.pages_per_s < found.roofline_pages_per_s


@given(faster=st.floats(1, 10), part=st.sampled_from(["bandwidth_gb_s", "fp16_tflops", "memory_gib"]))
def test_a_better_card_is_never_slower(faster: float, part: str) -> None:
    """More bandwidth, arithmetic or memory, each alone."""
    card = CARDS["rtx-4000-ada"]
    better = card.model_copy(update={part: getattr(card, part) * faster})
    serving = Serving(256)
    assert predict(AWQ_7B, better, PAGE, serving).roofline_pages_per_s >= (
        predict(AWQ_7B, card, PAGE, serving).roofline_pages_per_s * (1 - 1e-9)
    )


@given(gib=st.floats(1, 200), cards=st.integers(1, 8), name=st.sampled_from(sorted(PROFILES)))
def test_memory_adds_up(gib: float, cards: int, name: str) -> None:
    """What is missing for a cache is what the cache lacks, and more memory never holds fewer tokens."""
    plan = plan_memory(PROFILES[name].shape, int(gib * GIB), kv_bytes=1, cards=cards)
    more = plan_memory(PROFILES[name].shape, int(gib * GIB) + GIB, kv_bytes=1, cards=cards)
    assert more.kv_tokens >= plan.kv_tokens
    assert plan.shortfall(1000) == 1000 * plan.kv_per_token - plan.kv


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stream_shar": 0.5}, r"Did you mean stream_share\?"),
        ({"stream_share": 1.5}, "at most 1"),
        ({"stream_share": 0}, "above 0"),
        ({"layer_launch_s": -1}, "above 0"),
        ({"longest_output": float("nan")}, "above 0"),
    ],
)
def test_assumptions_out_of_bounds_are_refused(values: dict[str, float], message: str) -> None:
    """A share above 1 or a typing error would go unseen in a price."""
    with pytest.raises(ConfigError, match=message):
        Assumptions().changed(values)


def test_a_changed_assumption_says_that_it_is_yours() -> None:
    """Whoever reads the plan later must see what was not ours."""
    told = {one.name: one for one in Assumptions().changed({"stream_share": 0.9}).described()}
    assert (told["stream_share"].value, told["stream_share"].source) == (0.9, "yours")
    assert told["decode_step_s"].source != "yours"
