"""The noise of a block of lanes in splitting, part of which may be known, and the states within a large jump."""

from __future__ import annotations

from typing import Any

import torch

from sdesim.core import philox
from sdesim.core.torch_ops import TORCH, turn_words
from sdesim.engine.draws import Draws, variates
from sdesim.engine.rare.excursion import Excursion
from sdesim.engine.rare.levels import HUGE
from sdesim.engine.rare.reveal import Reveal, landing

MIDDLE = -(1 << 63)
LOW = 0xFFFFFFFF


class KnownDraws(Draws):
    """Draws of which a lane may know something in its first round; `kept` says what, shape (lane, columns)."""

    def __init__(self, dynamics: Any, seed: int, dtype: torch.dtype, reveal: Reveal, kept: torch.Tensor) -> None:
        super().__init__(dynamics, seed, dtype)
        self.reveal, self.kept = reveal, kept
        self.found = torch.empty(0)

    def __call__(self, ids: torch.Tensor, k: torch.Tensor) -> Any:
        """Noise of the next step, shape (lane, noise_dim)."""
        if self.phase == 0:
            self.found = turn_words(self.seed, ids, philox.NOISE, k // self.per_round, self.blocks)
            self._replace(self.found)
            self.round = [z.to(self.dtype) for z in variates(self.dynamics.noise, self.dynamics.noise_dim, self.found)]
        z = self.round[self.phase]
        self.phase = (self.phase + 1) % self.per_round
        return z

    def _replace(self, found: torch.Tensor) -> None:
        """Put what is known in the place of the words, and forget it."""
        r, bound, side = self.reveal, self.kept[:, 0], self.kept[:, 1]
        g = found[:, r.graded]
        found[:, r.graded] = torch.where(bound > 0, _below(g, bound) ^ side, g)
        for j, w in enumerate(r.known, start=1):
            found[:, w] = (found[:, w] & self.kept[:, 2 * j]) | self.kept[:, 2 * j + 1]
        self.kept[:, ::2], self.kept[:, 1::2] = -1, 0
        self.kept[:, 0] = 0

    def words(self, s: int) -> torch.Tensor:
        """The words of step s of the round, shape (lane, word)."""
        return self.found[:, s * self.reveal.per_step : (s + 1) * self.reveal.per_step]


class Between:
    """The states in between of one step: bounds below which the graded word of each lane lies."""

    def __init__(self, excursion: Excursion, reveal: Reveal, words: torch.Tensor) -> None:
        self.excursion, self.reveal, self.words = excursion, reveal, words
        g = words[:, reveal.graded]
        ends = {"both": g >> 63, "zeros": torch.zeros_like(g), "ones": torch.full_like(g, -1)}
        self.side = ends[reveal.end]
        self.far = g ^ self.side
        self.bounds = torch.as_tensor(reveal.bounds, device=g.device)
        self.large = (self.far >= 0) & (self.far < self.bounds[0])

    def first_above(
        self, lanes: torch.Tensor, x: torch.Tensor, k: torch.Tensor, top: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For these lanes: the maximum up to the first state in between above the target, that state's bound, or 0.

        Returns
        -------
        top, bound, height : tensors (lane,)
            The height is the coordinate of the state whose bound is given.
        """
        far, side, words = self.far[lanes], self.side[lanes], self.words[lanes]
        counts = (far[:, None] < self.bounds).sum(dim=1)  # bounds fall, so these come first
        lane = torch.repeat_interleave(torch.arange(len(lanes), device=far.device), counts)
        place = torch.arange(len(lane), device=far.device) - (counts.cumsum(0) - counts)[lane]
        edge = (self.bounds[place] - 1) ^ side[lane]
        c = self._height(x[lane], words[lane], edge, k[lane])
        none = len(self.bounds)
        beyond = torch.where(c > target[lane], place, none)
        first = torch.full_like(far, none).scatter_reduce(0, lane, beyond, "amin")
        seen = torch.where((place <= first[lane]) & ~torch.isnan(c), c, -torch.inf)
        top = top.scatter_reduce(0, lane, seen, "amax")
        at_first = torch.where(place == first[lane], c, -torch.inf)
        height = torch.full_like(top, -torch.inf).scatter_reduce(0, lane, at_first, "amax")
        bound = torch.where(first < none, self.bounds[first.clamp(max=none - 1)], 0)
        return top, bound, height

    def _height(self, x: torch.Tensor, words: torch.Tensor, edge: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """The coordinate of the state in between, see `landing`."""
        r = self.reveal
        columns = [torch.full_like(edge, MIDDLE)] * (2 * self.excursion.noise.rounds(self.excursion.noise_dim).blocks)
        for w in r.known:
            columns[w] = words[:, w]
        columns[r.graded] = edge
        return landing(TORCH, self.excursion, x, columns, k).to(torch.float64).clamp(max=HUGE)


def _below(word: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """The upper 64 bits of word * bound, both taken without sign."""
    w1, w0, n1, n0 = (word >> 32) & LOW, word & LOW, (bound >> 32) & LOW, bound & LOW
    middle = w1 * n0 + (((w0 * n0) >> 32) & LOW)
    return w1 * n1 + ((middle >> 32) & LOW) + (((w0 * n1 + (middle & LOW)) >> 32) & LOW)
