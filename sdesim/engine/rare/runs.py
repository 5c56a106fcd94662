"""Runs of adaptive multilevel splitting: the arrays they fill, and the two engines that fill them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdesim.core import philox
from sdesim.core.ops import NUMPY
from sdesim.engine.ensemble import FRACTION_OF_MEMORY, available_memory
from sdesim.engine.native import Progress
from sdesim.engine.rare.levels import HUGE, NUMBERS, REACHED, RETURNED
from sdesim.engine.rare.reveal import Reveal

Stop = Callable[[], bool]
Report = Callable[[Progress], None]


@dataclass(frozen=True)
class SplittingPlan:
    """What every run of splitting does.

    Attributes
    ----------
    excursion : Excursion
    starts : array (state, d)
        First states, of which each clone takes one at random.
    own : bool
        Clone c of run r starts in starts[(r - first_run) * n_clones + c] instead.
    n_clones : int
        Clones N of a run.
    kill : int
        Rank k of the maximum that is the next level.
    n_runs, first_run : int
    seed : int
    max_steps : int
        Steps after which an excursion is cut off.
    smallest : float
        A run whose weight falls below it is given up.
    reveal : Reveal or None
    from_a : bool
        Excursions may start in A, and end there once they have been away.
    """

    excursion: Any
    starts: np.ndarray
    own: bool
    n_clones: int
    kill: int
    n_runs: int
    first_run: int
    seed: int
    max_steps: int
    smallest: float
    reveal: Reveal | None
    from_a: bool = False

    @property
    def dynamics(self) -> Any:
        """What moves the clones."""
        return self.excursion.dynamics

    @property
    def max_levels(self) -> int:
        """Levels after which the weight is below the smallest: each kills `kill` clones or more."""
        return math.ceil(math.log(self.smallest) / math.log1p(-self.kill / self.n_clones)) + 1

    @property
    def key(self) -> int:
        """The key of the random words: not the seed itself, whose words are those of `run`."""
        return int(philox.words(self.seed, 0, philox.SELECTION, 1 << 40)[0])


@dataclass
class Clones:
    """Clones of all runs (run, clone, ...) and what became of the runs.

    A clone is known by where it was made (`start`, its coordinate, the steps before it, what is known of its first
    noise) and by its path id: that is enough to follow it again. `last`, `length` and `outcome`: where, when and how it
    ended.
    """

    start: np.ndarray
    start_top: np.ndarray
    base_steps: np.ndarray
    pids: np.ndarray
    kept: np.ndarray
    tops: np.ndarray
    last: np.ndarray
    length: np.ndarray
    outcome: np.ndarray
    numbers: np.ndarray
    weight: np.ndarray
    levels: np.ndarray


def new_clones(plan: SplittingPlan, heights: np.ndarray, in_a: np.ndarray) -> Clones:
    """Clones at their starts, of which the coordinates are given, and which lie in A; both of shape (state,)."""
    m, n, d = plan.n_runs, plan.n_clones, plan.excursion.dim
    runs = plan.first_run + np.arange(m)
    pids = np.asarray(philox.path_id(runs[:, None], np.arange(n)))
    if plan.own:
        chosen = np.arange(m * n).reshape(m, n)
    elif len(plan.starts) == 1:
        chosen = np.zeros((m, n), dtype=np.int64)
    else:
        u = philox.uniform(philox.words(plan.key, pids, philox.START, 0)[0])
        chosen = (u * len(plan.starts)).astype(np.int64)
    columns = plan.reveal.columns if plan.reveal else 0
    kept = np.zeros((m, n, columns + plan.from_a), np.int64)
    kept[:, :, 2:columns:2] = -1
    if plan.from_a:
        kept[:, :, columns] = ~in_a[chosen]
    numbers = np.zeros((m, NUMBERS), np.int64)
    numbers[:, 0] = n
    return Clones(
        start=plan.starts[chosen],
        start_top=heights[chosen],
        base_steps=np.zeros((m, n), np.int64),
        pids=np.ascontiguousarray(pids),
        kept=kept,
        tops=np.full((m, n), -np.inf),
        last=np.full((m, n, d), np.nan),
        length=np.zeros((m, n), np.int64),
        outcome=np.zeros((m, n), np.int8),
        numbers=numbers,
        weight=np.ones(m),
        levels=np.full((m, plan.max_levels), np.nan),
    )


def seen(plan: SplittingPlan) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of paths at the starts (see `levels`), 0 if they go on, and their coordinates."""
    e, x = plan.excursion, plan.starts
    with np.errstate(all="ignore"):
        inside = e.b.contains(x)
        height = np.asarray(e.coordinate(NUMPY, x), dtype=float) + np.zeros(len(x))
    code = np.where(e.a.contains(x), RETURNED, 0)
    return np.where(~inside if e.outside else inside, REACHED, code), np.minimum(height, HUGE)


def check_memory(plan: SplittingPlan) -> int:
    """Bytes the runs will hold; refuses what does not fit and says how many runs do.

    Raises
    ------
    MemoryError
    """
    words = (plan.reveal.columns if plan.reveal else 0) + plan.from_a
    each = plan.n_clones * (8 * (2 * plan.excursion.dim + 7 + words) + 1) + 8 * (plan.max_levels + NUMBERS + 1)
    each += plan.n_clones * 8 * (plan.excursion.dim + 2)  # the dataset made of them
    need, free = each * plan.n_runs, available_memory()
    if free is not None and need > FRACTION_OF_MEMORY * free:
        fit = int(FRACTION_OF_MEMORY * free) // each
        raise MemoryError(
            f"{plan.n_runs} runs of {plan.n_clones} clones need {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
            f"free: {fit} runs fit; take fewer, and others with first_run="
        )
    return need
