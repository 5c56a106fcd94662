"""A jump revealed step by step: what makes exits by one big jump reachable by splitting.

Noise with a heavy tail leaves a well in a single jump, from the bottom. Splitting at states alone is blind to it: a
copy begins behind the jump. So a step with a large variate passes through states in between, in which the variate
is only known to be beyond some bound. The uniform that decides the size of a variate comes from a word; D, the word's
distance from the end of its range where large variates are, is revealed to be below smaller and smaller bounds,
PER_OCTAVE of them for every factor of two. The state in between is (x, bound); its coordinate is that of the landing
point for the smallest jump below the bound. A copy made there draws D anew, uniform below the bound.

This refines the time of the chain and changes no law, so splitting remains unbiased: whatever the coordinate of a state
in between is, as long as it depends on what has been revealed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core.ops import Ops
from sdesim.problems.laws import Pareto, Stable, StudentT

FIRST_DEPTH = 5  # octaves below which a step has states in between: one step in 2**5
LAST_DEPTH = 48
PER_OCTAVE = 3
TINY = 1e-12


@dataclass(frozen=True)
class Reveal:
    """Which of the words of one step are revealed how.

    Attributes
    ----------
    per_step : int
        Words of a step.
    graded : int
        The word revealed by bounds.
    known : tuple of int
        Words revealed before it; all others are revealed after it.
    end : "both", "zeros" or "ones"
        Where among the words large variates come from: both ends, told apart by the first bit; 0; or the largest.
    """

    per_step: int
    graded: int
    known: tuple[int, ...]
    end: str

    @property
    def columns(self) -> int:
        """Numbers that a copy made in between keeps: bound and side of the graded word, and each known word twice."""
        return 2 + 2 * len(self.known)

    @property
    def bounds(self) -> np.ndarray:
        """The bounds of D, falling."""
        exponent = (63 if self.end == "both" else 64) - FIRST_DEPTH
        return np.exp2(exponent - np.arange(PER_OCTAVE * (LAST_DEPTH - FIRST_DEPTH)) / PER_OCTAVE).astype(np.int64)


def reveal_of(dynamics: Any) -> Reveal | None:
    """How the jumps of a dynamics are revealed; None for noise without a heavy tail or with several of them."""
    law, m = getattr(dynamics, "noise", None), getattr(dynamics, "noise_dim", 0)
    if isinstance(law, Stable) and law.alpha < 2:
        if m == 1:
            return Reveal(2, 0, (1,), "both")
        if law.isotropic:
            words = 2 * law.rounds(m).blocks
            return Reveal(words, 0, tuple(range(2, words)), "ones")
    if m == 1 and isinstance(law, Pareto):
        return Reveal(1, 0, (), "both")
    if m == 1 and isinstance(law, StudentT):
        return Reveal(2, 0, (1,), "zeros")
    return None


def landing(ops: Ops, moved: Any, x: Any, words: list[Any], k: Any) -> Any:
    """The coordinate of a state in between, from x and the words of the step, the first of `words`.

    It is the coordinate of the landing point, or what the jump covers of the way that is left, whichever is more:
    low + (high - low) (landing - x) / (high - x) in coordinates, with low where excursions start and high where B
    begins. From below the start a jump that is large, but not large enough to get beyond it, is progress too.
    """
    z = ops.stack(moved.noise.draw(ops, moved.noise_dim, words)[0])
    here, there = (moved.coordinate(ops, at) for at in (x, moved.step(ops, x, z, k)))
    if moved.high is None:
        return there
    share = (there - here) / ops.maximum(moved.high - here, TINY)
    return ops.maximum(there, moved.low + (moved.high - moved.low) * share)
