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
    tensor : torch.Tensor, optional
        The positions at the second end as the tensor engine has them, for functions of tensors.
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
    tensor: Any = None

    def only(self, some: np.ndarray) -> Step:
        """The step of some of the paths."""
        tensor = None if self.tensor is None else self.tensor[some.tolist()]
        ends = {"x0": self.x0[some], "x1": self.x1[some], "tensor": tensor}
        return self._replace(rows=self.rows[some], paths=self.paths[some], **ends)

    def bridge_uniform(self) -> np.ndarray:
        """The uniform that decides on a crossing in this step.

        One block of the bridge channel has the upper 32 bits for the steps of a round, which nearly always settle it;
        the bits below come from the crossing channel.
        """
        turn, place = divmod(self.k - 1, self.dynamics.noise.rounds(self.dynamics.noise_dim).steps)
        word = philox.words(self.seed, self.paths, philox.BRIDGE, turn)[place // 2]
        high = (word >> np.uint64(32 * (1 - place % 2))) & np.uint64(philox.MASK)
        low = philox.uniform(philox.words(self.seed, self.paths, philox.CROSSING, 2 * self.k - 1)[0])
        return (high.astype(np.float64) + low) * 2.0**-32

    def crossing_draws(self) -> tuple[np.ndarray, np.ndarray]:
        """A normal and a uniform that place a crossing in this step."""
        first, second = philox.words(self.seed, self.paths, philox.CROSSING, 2 * self.k - 2)
        return philox.normal_pair(first)[0], philox.uniform(second)
