"""Holding models against their papers: claims in, verdicts out."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from sdesim.study.model import Claim, Model

FAMILY_ERROR = 1e-3
VERDICTS = ("agrees", "disagrees", "inconclusive")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One claim, what was measured and what follows."""

    model: str
    statement: str
    source: str
    verdict: str
    value: float
    low: float
    high: float
    expected: float
    relation: str
    precision: float | None
    level: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Its fields; numbers that JSON has no sign for (NaN, infinity) are None."""
        return {
            name: None if isinstance(v, float) and not math.isfinite(v) else v
            for name, v in dataclasses.asdict(self).items()
        }


def verdict(claim: Claim, measured: Any, expected: float) -> str:
    """Judge one measurement.

    Returns
    -------
    {"agrees", "disagrees", "inconclusive"}
        `inconclusive` where the interval is too wide to tell, or not a number.
    """
    low, high = interval(measured)
    if not (math.isfinite(expected) and low <= high):
        return "inconclusive"
    if claim.relation == "below":
        return _side(high < expected, low >= expected)
    if claim.relation == "above":
        return _side(low > expected, high <= expected)
    room = (claim.precision or 0.0) * (abs(expected) or 1.0)
    if claim.relation == "within":
        inside = expected - room <= low and high <= expected + room
        return _side(inside, low > expected + room or high < expected - room)
    if not low <= expected <= high:
        return "disagrees"
    return "agrees" if (high - low) / 2 <= room else "inconclusive"


def interval(measured: Any) -> tuple[float, float]:
    """Ends of an estimate's interval, or of the error bounds of a calculated reference."""
    if hasattr(measured, "error"):
        return float(measured.value - measured.error), float(measured.value + measured.error)
    return float(measured.low), float(measured.high)


def check(
    models: Sequence[Model],
    seed: int = 0,
    error: float = FAMILY_ERROR,
    report: Callable[[Finding], None] | None = None,
) -> list[Finding]:
    """Measure every claim of the models and judge it.

    Parameters
    ----------
    models : sequence of Model
        Whose claims are checked.
    seed : int
        Of all simulations.
    error : float
        Probability that any of the claims gets the wrong verdict by chance; each of n claims is judged by an
        interval of level `1 - error/n` (Bonferroni).
    report : callable, optional
        Called with each finding as it is made.

    Returns
    -------
    list of Finding
        In the order of the models and their claims.
    """
    claims = [(model, claim) for model in models for claim in model.claims]
    level = 1 - error / max(len(claims), 1)
    findings = []
    for model, claim in claims:
        findings.append(_judge(model, claim, seed, level))
        if report is not None:
            report(findings[-1])
    return findings


def _judge(model: Model, claim: Claim, seed: int, level: float) -> Finding:
    start = time.perf_counter()
    measured = claim.measure(seed, level)
    expected = claim.truth()
    low, high = interval(measured)
    return Finding(
        model=model.name,
        statement=claim.statement,
        source=claim.source,
        verdict=verdict(claim, measured, expected),
        value=float(measured.value),
        low=low,
        high=high,
        expected=expected,
        relation=claim.relation,
        precision=claim.precision,
        level=level,
        seconds=time.perf_counter() - start,
    )


def _side(right: bool, wrong: bool) -> str:
    return "agrees" if right else "disagrees" if wrong else "inconclusive"
