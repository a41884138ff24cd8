"""Weights from values of which it is known whether they are right."""

import random
from collections import Counter

import pytest

from pipeline.trust.confidence import load_calibration
from pipeline.trust.features import FEATURES
from pipeline.trust.fitting import Sample, cross_validated, fit_weights, probability

PRIOR = load_calibration("prior").weights


def _vector(**known: float) -> tuple[float, ...]:
    return tuple({"base": 1.0, **known}.get(name, 0.0) for name in FEATURES)


def _samples(count: int, *, seed: int = 3) -> list[Sample]:
    """Values of which those by a label are right in 19 of 20 cases, others in 12 of 20."""
    chooser = random.Random(seed)
    made = []
    for number in range(count):
        labelled = chooser.random() < 0.5
        is_right = chooser.random() < (0.95 if labelled else 0.6)
        made.append(Sample(f"document {number // 5}", _vector(labelled=float(labelled)), is_right))
    return made


def test_fitted_probabilities_are_the_shares_that_are_right() -> None:
    """That is what calibrated means, on documents that the weights have not seen."""
    samples = _samples(2000)
    found = cross_validated(samples, PRIOR)
    for labelled, share in ((1.0, 0.95), (0.0, 0.6)):
        inside = [one for one, known in zip(found, samples, strict=True) if known.vector == _vector(labelled=labelled)]
        assert sum(inside) / len(inside) == pytest.approx(share, abs=0.04)


def test_weights_of_which_the_samples_say_nothing_stay_as_stated() -> None:
    """A dataset without log-probabilities must not undo what is known of them."""
    weights = fit_weights(_samples(300), PRIOR)
    assert weights["surprise"] == pytest.approx(PRIOR["surprise"])
    assert fit_weights([], PRIOR) == pytest.approx(PRIOR)


def test_few_samples_move_the_stated_weights_little() -> None:
    """Five documents are no ground for trusting what no page shows."""
    absent = _vector(not_found=1.0)
    weights = fit_weights([Sample(f"d{number}", absent, is_right=True) for number in range(5)], PRIOR)
    assert probability(weights, absent) < 0.8


def test_no_accident_makes_a_broken_rule_a_good_sign() -> None:
    """Signs that are certain hold, whatever a small dataset says."""
    broken, plain = _vector(broken=1.0), _vector()
    samples = [Sample(f"d{number}", broken, is_right=True) for number in range(200)]
    samples += [Sample(f"d{number}", plain, is_right=number % 2 == 0) for number in range(200)]
    assert fit_weights(samples, PRIOR)["broken"] <= 0


def test_a_document_is_never_in_the_fit_and_in_the_test() -> None:
    """Else the documents would be known by heart: here each group is right or wrong as a whole, by chance."""
    chooser = random.Random(5)
    groups = {f"group {number}": (chooser.random(), chooser.random() < 0.5) for number in range(60)}
    samples = [
        Sample(group, _vector(misreading=mark), is_right)
        for group, (mark, is_right) in groups.items()
        for _ in range(8)
    ]
    found = cross_validated(samples, PRIOR)
    assert len({(one.group, sure) for one, sure in zip(samples, found, strict=True)}) == len(groups)
    wrong = Counter((sure > 0.5) != one.is_right for one, sure in zip(samples, found, strict=True))
    assert wrong[True] / len(samples) > 0.3


def test_the_same_samples_give_the_same_weights() -> None:
    """A file of weights can be made again."""
    assert fit_weights(_samples(200), PRIOR) == fit_weights(_samples(200), PRIOR)
