"""One step of an ensemble as observers see it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sdesim.core import philox


class Step(NamedTuple):
    """Both ends of one step of all paths still running.

    Attributes
    ----------
    k : int
        Steps done after this one; 0 for the start, where x0 is x1.
    t0, t1 : float
        Times of the two ends.
    x0, x1 : array, shape (path, component)
        States at the two ends.
    rows : array of int, shape (path,)
        Rows of the accumulators that these paths own.
    paths : array of int, shape (path,)
        Path ids, which name their random streams.
    dynamics : Dynamics
        What moves the paths.
    seed : int
    """

    k: int
    t0: float
    t1: float
    x0: np.ndarray
    x1: np.ndarray
    rows: np.ndarray
    paths: np.ndarray
    dynamics: Any
    seed: int

    def uniforms(self, channel: int, which: int) -> np.ndarray:
        """A uniform of this step for each path.

        The bridge channel holds one uniform a step, packed like the noise in rounds of one or two steps; the
        crossing channel holds four, two blocks a step.
        """
        k = self.k - 1
        if channel == philox.BRIDGE:
            per_round = self.dynamics.noise.rounds(self.dynamics.noise_dim).steps
            return philox.uniforms(self.seed, self.paths, channel, k // per_round)[k % per_round]
        return philox.uniforms(self.seed, self.paths, channel, 2 * k + which // 2)[which % 2]
