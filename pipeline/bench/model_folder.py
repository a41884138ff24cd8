"""Folders that vLLM takes for a Qwen2.5-VL checkpoint, without weights: `load_format=dummy` fills them at random.

What a model costs does not depend on the values of its weights, so speed is measured with the dimensions of the
real one and nothing is downloaded. Texts mean nothing then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from pipeline.capacity import ModelShape, VisionShape

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TINY = ModelShape(
    2, 128, 2, 1, 64, 256, 320, tied=False, vision=VisionShape(depth=2, hidden=64, feed_forward=128, full_layers=1)
)
"""For tests on CPU. The head size is 64 because the CPU attention kernels refuse smaller ones."""
VISION_HEAD = 80
"""Size of an attention head in the vision tower of all sizes of Qwen2.5-VL."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_pil') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

QUANTISATIONS: Mapping[str, Mapping[str, Any]] = {
    "awq": {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "version": "gemm",
        "zero_point": True,
        "modules_to_not_convert": ["visual"],
    },
    "compressed-tensors": {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["re:visual.*", "re:.*visual.*", "lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False},
                "input_activations": {
                    "num_bits": 8,
                    "type": "int",
                    "symmetric": True,
                    "strategy": "token",
                    "dynamic": True,
                },
            }
        },
    },
}
"""As the config.json of Qwen2.5-VL-7B-Instruct-AWQ and of RedHatAI's w8a8 say; the vision tower stays at 16 bit."""


def write_model(folder: Path, shape: ModelShape = TINY, *, known_text: str = "") -> Path:
    """Write a model folder without weights, and return it.

    Args:
        known_text: its words become tokens of their own, so that a prompt has about as many as with a real
            tokenizer; other text is read byte by byte.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _write_tokenizer(folder, shape.vocabulary, known_text)
    _write_json(folder / "config.json", _config(shape, tokens))
    _write_json(folder / "preprocessor_config.json", _PREPROCESSOR)
    _write_json(folder / "generation_config.json", {"eos_token_id": [tokens["<|im_end|>"], tokens["<|endoftext|>"]]})
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1))


def _write_tokenizer(folder: Path, vocabulary: int, known_text: str) -> dict[str, int]:
    """Return the special tokens' numbers."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = (piece for piece, _ in bytewise.pre_tokenize_str(known_text))
    # Every number that a model with random weights writes is some text.
    words = chain(sorted(pre_tokenizers.ByteLevel.alphabet()), known, _invented_words())
    numbers: dict[str, int] = {}
    while len(numbers) < vocabulary - len(SPECIAL_TOKENS):
        numbers.setdefault(next(words), len(numbers))
    tokenizer = Tokenizer(BPE(vocab=numbers, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = bytewise
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    # Qwen's own class would make the tokenizer anew from merges, of which there are none.
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    _write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": 32768})
    return {token: len(numbers) + index for index, token in enumerate(SPECIAL_TOKENS)}


def _invented_words() -> Iterator[str]:
    """Yield words with a space before them (as the byte-level alphabet writes it)."""
    for letters in product(ascii_lowercase, repeat=4):
        yield "Ġ" + "".join(letters)


def _config(shape: ModelShape, tokens: Mapping[str, int]) -> dict[str, Any]:
    unit = shape.head_dim // 16
    sections = [2 * unit, 3 * unit, 3 * unit]
    text = {
        "model_type": "qwen2_5_vl_text",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": shape.tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
    }
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "dtype": "bfloat16",
        **{key: value for key, value in text.items() if key != "model_type"},
        "rope_scaling": {"type": "mrope", "mrope_section": sections},
        "text_config": text,
        "vision_config": _vision_config(shape.vision, shape.hidden),
        "image_token_id": tokens["<|image_pad|>"],
        "video_token_id": tokens["<|video_pad|>"],
        "vision_start_token_id": tokens["<|vision_start|>"],
        "vision_end_token_id": tokens["<|vision_end|>"],
        "eos_token_id": tokens["<|im_end|>"],
    }
    return config | ({"quantization_config": QUANTISATIONS[shape.quantisation]} if shape.quantisation else {})


def _vision_config(vision: VisionShape, text_hidden: int) -> dict[str, Any]:
    every = vision.depth // vision.full_layers
    return {
        "model_type": "qwen2_5_vl",
        "depth": vision.depth,
        "hidden_size": vision.hidden,
        "intermediate_size": vision.feed_forward,
        "num_heads": max(2, vision.hidden // VISION_HEAD),
        "out_hidden_size": text_hidden,
        "patch_size": vision.patch_px,
        "spatial_merge_size": vision.merge,
        "temporal_patch_size": 2,
        "window_size": vision.window_px,
        "fullatt_block_indexes": list(range(every - 1, vision.depth, every)),
        "tokens_per_second": 2,
    }


_PREPROCESSOR: dict[str, Any] = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
    "patch_size": 14,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
