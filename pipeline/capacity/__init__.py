"""What a model takes of a card's memory and time, and what that costs: formulas, and nothing that runs.

Knows no vLLM, no files but the price book, and no configuration.
"""

from pipeline.capacity.assumptions import Assumptions, Described
from pipeline.capacity.measured import Measured, held_against_measurements
from pipeline.capacity.memory import (
    GIB,
    OVERHEAD_BYTES,
    PAGE_TOKENS,
    MemoryPlan,
    activation_bytes,
    embedding_bytes,
    kv_bytes_per_token,
    largest_fitting_profile,
    plan_memory,
    text_bytes,
    vision_bytes,
    weight_bytes,
)
from pipeline.capacity.prices import CARD_FIGURES, Api, Gpu, Price, PriceBook, load_price_book, price_book_text
from pipeline.capacity.profiles import PROFILES, ModelProfile
from pipeline.capacity.quantisation import Arithmetic, Quantisation, parse_quantisation
from pipeline.capacity.shapes import ModelShape, VisionShape, read_shape
from pipeline.capacity.speed import Prediction, Serving, Workload, predict, vision_flops

__all__ = [
    "CARD_FIGURES",
    "GIB",
    "OVERHEAD_BYTES",
    "PAGE_TOKENS",
    "PROFILES",
    "Api",
    "Arithmetic",
    "Assumptions",
    "Described",
    "Gpu",
    "Measured",
    "MemoryPlan",
    "ModelProfile",
    "ModelShape",
    "Prediction",
    "Price",
    "PriceBook",
    "Quantisation",
    "Serving",
    "VisionShape",
    "Workload",
    "activation_bytes",
    "embedding_bytes",
    "held_against_measurements",
    "kv_bytes_per_token",
    "largest_fitting_profile",
    "load_price_book",
    "parse_quantisation",
    "plan_memory",
    "predict",
    "price_book_text",
    "read_shape",
    "text_bytes",
    "vision_bytes",
    "vision_flops",
    "weight_bytes",
]
