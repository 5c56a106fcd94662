"""The parts of splitting that choose: the level, who dies with it, whose copies follow, and words below a bound."""

from __future__ import annotations

import numpy as np
import pytest

from sdesim.engine.rare.levels import (
    EXTINCT,
    FINISHED,
    GIVEN_UP,
    MADE,
    NUMBERS,
    RUNNING,
    STATUS,
    below,
    kth_smallest,
    next_level,
)

KEY = np.uint64(1), np.uint64(2)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0, 1.0], [np.inf, -np.inf, 0.0, np.inf, 5.0]])
def test_the_kth_smallest_is_that_of_the_sorted_values(values: list[float]) -> None:
    for k in range(len(values)):
        assert kth_smallest(np.array(values), k) == sorted(values)[k]
    rng = np.random.default_rng(1)
    many = rng.integers(0, 20, 500).astype(float)
    assert [kth_smallest(many.copy(), k) for k in range(500)] == sorted(many)


def test_a_word_below_a_bound_is_the_upper_half_of_the_product() -> None:
    rng = np.random.default_rng(2)
    words = rng.integers(-(2**63), 2**63 - 1, 200)
    bounds = rng.integers(1, 2**63 - 1, 200) >> rng.integers(0, 62, 200)
    for w, n in zip(words.tolist(), bounds.tolist(), strict=True):
        assert below(np.int64(w), np.int64(n)) == ((w % 2**64) * n) >> 64


def moved(tops: list[float], kth: int = 1, smallest: float = 1e-20) -> tuple[int, float, np.ndarray, np.ndarray, float]:
    n = len(tops)
    numbers, weight, pids = np.zeros(NUMBERS, np.int64), np.ones(1), np.arange(n)
    numbers[MADE] = n
    todo, parent = np.full(n, -1), np.full(n, -1)
    made, level = next_level(
        *KEY, 7, kth, smallest, np.array(tops), pids, numbers, weight, np.zeros(9), todo, parent, np.zeros(n),
        np.zeros(n, np.int64),
    )  # fmt: skip
    assert len(set(pids)) == n
    return made, level, numbers, np.stack([todo, parent])[:, :made], float(weight[0])


def test_all_clones_tied_with_the_level_die_and_parents_are_above_it() -> None:
    made, level, numbers, pairs, weight = moved([1.0, 3.0, 1.0, 1.0, 2.0], kth=2)
    assert (made, level, numbers[STATUS]) == (3, 1.0, RUNNING)
    assert pairs[0].tolist() == [0, 2, 3]
    assert set(pairs[1]) <= {1, 4}
    assert weight == pytest.approx(0.4)


def test_parents_are_chosen_evenly() -> None:
    chosen = moved([0.0] * 900 + [1.0] * 9)[3][1]
    counts = np.bincount(chosen - 900, minlength=9)
    assert ((counts - 100) ** 2 / 100).sum() < 50  # chi-square with 8 degrees of freedom: 4e-8 beyond


def test_a_run_ends_in_one_of_three_ways() -> None:
    assert moved([np.inf, np.inf, 1.0], kth=2)[2][STATUS] == FINISHED
    assert moved([1.0, 1.0, 1.0])[2][STATUS] == EXTINCT
    assert moved([1.0, 2.0, 3.0], smallest=0.9)[2][STATUS] == GIVEN_UP
