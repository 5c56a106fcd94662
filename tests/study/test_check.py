import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from sdesim.study.check import check, verdict
from sdesim.study.model import Claim, Experiment, Model, Paper

PAPER = Paper("Doe, Jane", "Deep wells", 2020)


def measured(low: float, high: float) -> SimpleNamespace:
    return SimpleNamespace(value=(low + high) / 2, low=low, high=high)


def claim(relation: str, expected: float = 10.0, precision: float | None = 0.1, measure=None) -> Claim:
    return Claim(
        "a statement",
        "Theorem 1",
        measure or (lambda seed, level: measured(9, 11)),
        expected,
        relation,
        precision,
    )


def model(*claims: Claim) -> Model:
    from dataclasses import make_dataclass

    return Model(
        "doe2020wells",
        PAPER,
        make_dataclass("Params", []),
        lambda p: Experiment(None, 0, 1, n_steps=1),
        claims=claims,
    )


@pytest.mark.parametrize(
    ("relation", "low", "high", "expected_verdict"),
    [
        ("equals", 9.5, 10.5, "agrees"),
        ("equals", 10.1, 10.5, "disagrees"),
        ("equals", 8.0, 12.0, "inconclusive"),
        ("within", 9.2, 10.8, "agrees"),
        ("within", 9.2, 11.2, "inconclusive"),
        ("within", 11.1, 11.2, "disagrees"),
        ("below", 8.0, 9.0, "agrees"),
        ("below", 8.0, 12.0, "inconclusive"),
        ("below", 10.0, 12.0, "disagrees"),
        ("above", 11.0, 12.0, "agrees"),
        ("above", 8.0, 12.0, "inconclusive"),
        ("above", 8.0, 10.0, "disagrees"),
        ("equals", math.nan, math.nan, "inconclusive"),
        ("below", -math.inf, math.inf, "inconclusive"),
    ],
)
def test_verdict_follows_the_whole_interval(relation, low, high, expected_verdict) -> None:
    assert verdict(claim(relation), measured(low, high), 10.0) == expected_verdict


def test_precision_is_absolute_where_nothing_is_expected() -> None:
    assert verdict(claim("equals"), measured(-0.05, 0.05), 0.0) == "agrees"
    assert verdict(claim("equals"), measured(-0.5, 0.5), 0.0) == "inconclusive"


def test_levels_split_the_error_over_all_claims() -> None:
    levels = []

    def measure(seed: int, level: float) -> SimpleNamespace:
        levels.append((seed, level))
        return measured(9.5, 10.5)

    findings = check(
        [model(claim("equals", measure=measure)), model(*[claim("below", measure=measure)] * 3)], seed=5
    )
    assert levels == [(5, 1 - 1e-3 / 4)] * 4
    assert [f.verdict for f in findings] == ["agrees", "inconclusive", "inconclusive", "inconclusive"]
    assert findings[0].expected == 10.0


def normal_mean(shift: float):
    """A measurement whose truth is 10 + shift, with a Student interval."""

    def measure(seed: int, level: float) -> SimpleNamespace:
        sample = 10.0 + shift + np.random.default_rng(seed).normal(size=4000)
        low, high = stats.t.interval(level, sample.size - 1, sample.mean(), stats.sem(sample))
        return SimpleNamespace(value=sample.mean(), low=low, high=high)

    return measure


def test_true_claim_agrees_and_wrong_one_does_not() -> None:
    right, wrong = (claim("equals", precision=0.01, measure=normal_mean(s)) for s in (0.0, 0.16))
    assert [f.verdict for f in check([model(right, wrong)])] == ["agrees", "disagrees"]


def test_expected_value_may_be_calculated_and_numbers_without_json_are_none() -> None:
    one = Claim("s", "t", lambda seed, level: measured(-math.inf, math.inf), lambda: 3, "equals", 0.1)
    (finding,) = check([model(one)])
    assert finding.expected == 3.0
    assert finding.to_dict()["low"] is None
    assert finding.to_dict()["verdict"] == "inconclusive"


def test_findings_are_reported_as_they_are_made() -> None:
    seen = []
    check([model(claim("equals"))], report=seen.append)
    assert [f.statement for f in seen] == ["a statement"]


def test_claims_that_cannot_be_judged_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown relation 'equal'.*equals"):
        claim("equal")
    with pytest.raises(ValueError, match="needs a precision"):
        claim("within", precision=None)
