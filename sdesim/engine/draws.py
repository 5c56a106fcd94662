"""The noise of a block of lanes: the same numbers, path by path and step by step, as in the native engine."""

from __future__ import annotations

from typing import Any

import torch

from sdesim.core import philox
from sdesim.core.torch_ops import TORCH, turn_words
from sdesim.problems.laws import Law, Round

MANY = 16  # more components than these are drawn as one array


class Stream:
    """The random words of one step of every lane, for dynamics that draw for themselves.

    Attributes
    ----------
    k : int tensor (lane,)
        Step numbers.
    memory : dict
        What a dynamics keeps from one step to the next, lane by lane; a lane may have another path by then.
    """

    def __init__(self, seed: int, ids: torch.Tensor, k: torch.Tensor, dtype: torch.dtype, memory: dict[str, Any]):
        self.seed, self.ids, self.k, self.dtype, self.memory = seed, ids, k, dtype, memory

    def words(
        self, channel: int, n: int, at: torch.Tensor | None = None, lanes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """n words for each lane, shape (lane, n).

        Parameters
        ----------
        at : int tensor (lane,), optional
            Numbers that stand for the step's, such as the epoch.
        lanes : bool tensor (lane,), optional
            Which lanes; default all.
        """
        blocks = (n + 1) // 2
        ids, turn = self.ids, self.k if at is None else at
        if lanes is not None:
            ids, turn = ids[lanes], turn[lanes]
        return turn_words(self.seed, ids, channel, turn, blocks)[:, :n]

    def normals(self, m: int, channel: int = philox.NOISE) -> torch.Tensor:
        """m standard normals for each lane."""
        pairs = TORCH.normal_pair(self.words(channel, (m + 1) // 2))
        return torch.stack(pairs, dim=2).flatten(1)[:, :m].to(self.dtype)


class Draws:
    """Noise of the steps of one round at a time; all lanes are at the same place in their rounds.

    Attributes
    ----------
    per_round : int
        Steps that one round of draws serves; step numbers at phase 0 are multiples of it.
    phase : int
        Place of the next step in its round.
    """

    per_round: int
    blocks: int

    def __init__(self, dynamics: Any, seed: int, dtype: torch.dtype) -> None:
        self.dynamics, self.seed, self.dtype = dynamics, seed, dtype
        self.own = hasattr(dynamics, "draw")
        self.per_round, self.blocks = Round(1, 0) if self.own else dynamics.noise.rounds(dynamics.noise_dim)
        self.phase = 0
        self.memory: dict[str, Any] = {}
        self.round: list[torch.Tensor] = []

    def __call__(self, ids: torch.Tensor, k: torch.Tensor) -> Any:
        """Noise of the next step, shape (lane, noise_dim), or what the dynamics draws itself."""
        if self.own:
            return self.dynamics.draw(Stream(self.seed, ids, k, self.dtype, self.memory))
        if self.phase == 0:
            found = turn_words(self.seed, ids, philox.NOISE, k // self.per_round, self.blocks)
            self.round = [z.to(self.dtype) for z in variates(self.dynamics.noise, self.dynamics.noise_dim, found)]
        z = self.round[self.phase]
        self.phase = (self.phase + 1) % self.per_round
        return z


def variates(law: Law, m: int, found: torch.Tensor) -> list[torch.Tensor]:
    """The draws of one round for words of shape (lane, word): a tensor (lane, m) for each step."""
    if m <= MANY or not law.coordinatewise:
        return [TORCH.stack(step) for step in law.draw(TORCH, m, list(found.unbind(1)))]
    blocks = law.rounds(1).blocks
    columns = found.view(len(found), -1, 2 * blocks).unbind(2)
    parts = law.draw(TORCH, 1, list(columns))  # each word's column holds a whole array
    together = torch.stack([part[0] for part in parts], dim=2).flatten(1)
    wanted = law.rounds(m).steps
    return list(together[:, : wanted * m].view(len(found), wanted, m).unbind(1))
