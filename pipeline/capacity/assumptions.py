"""Every number of a prediction that is neither a dimension of the model nor a figure of the card.

Each has a source and can be changed: `pagemill plan --assume name=value`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from pipeline.capacity.prices import CARD_FIGURES
from pipeline.errors import ConfigError


def _assume(value: float, meaning: str, source: str, *, at_most: float = math.inf) -> float:
    """Return a dataclass field that carries what it means, where it is from, and its bounds."""
    made: float = field(default=value, metadata={"meaning": meaning, "source": source, "at_most": at_most})
    return made


_KERNELS = "usual for such kernels"
_FITTED = "fitted to H100 figures"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The numbers; `described` tells about them."""

    vision_efficiency: float = _assume(
        0.45, "share of the card's arithmetic the vision tower uses", _KERNELS, at_most=1
    )
    prefill_efficiency: float = _assume(0.6, "the same of reading the prompt", _KERNELS, at_most=1)
    decode_efficiency: float = _assume(0.6, "the same of writing many pages at once", _KERNELS, at_most=1)
    bandwidth_efficiency: float = _assume(0.8, "share of the memory's bandwidth writing uses", _KERNELS, at_most=1)
    stream_share: float = _assume(0.76, "share of the roofline a stream reaches", f"{_FITTED} (7B)", at_most=1)
    layer_launch_s: float = _assume(
        0.00128, "host time to start a layer in a step that takes in a page", f"{_FITTED} (3B)"
    )
    wide_step_s: float = _assume(
        0.00018, "time a step loses for each sequence beyond 256", f"{_FITTED} (512 sequences), unexplained"
    )
    decode_step_s: float = _assume(0.004, "shortest step that only writes", f"{_FITTED} (batches of 32)")
    longest_output: float = _assume(
        2.0, "longest output over the mean; a fixed batch waits for it", "800 over 400 there"
    )
    grammar_s_per_token: float = _assume(
        0.0, "host time a token costs where a JSON schema is enforced", "see docs/plan.md"
    )
    parallel_efficiency: float = _assume(
        0.85, "share each of several cards keeps of its speed", "not measured", at_most=1
    )
    hours_per_month: float = _assume(730.0, "hours of a month that is paid as a whole", "8,760 / 12", at_most=744)

    def changed(self, values: Mapping[str, float]) -> Assumptions:
        """Return them with other values.

        Raises:
            ConfigError: there is no such assumption, or the value is out of its bounds.
        """
        known = {one.name: one for one in fields(self)}
        for name, value in values.items():
            if name not in known:
                close = difflib.get_close_matches(name, [*known, *CARD_FIGURES], n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise ConfigError(
                    f"There is no assumption {name!r}, only {', '.join(known)}; "
                    f"and of the card {', '.join(CARD_FIGURES)}.{hint}"
                )
            least = 0 if name.endswith("_s") or name.startswith("grammar") else 1e-9
            if not (least <= value <= known[name].metadata["at_most"]) or math.isinf(value):
                upper = known[name].metadata["at_most"]
                limit = f" and at most {upper:g}" if upper < math.inf else ""
                raise ConfigError(f"--assume {name}={value:g}: it is above 0{limit}.")
        return replace(self, **values)

    def described(self) -> list[Described]:
        """Return each with what it means and where it is from."""
        return [
            Described(
                one.name, value, one.metadata["meaning"], one.metadata["source"] if value == one.default else "yours"
            )
            for one in fields(self)
            for value in [getattr(self, one.name)]
        ]


@dataclass(frozen=True, slots=True)
class Described:
    """One assumption."""

    name: str
    value: float
    meaning: str
    source: str
