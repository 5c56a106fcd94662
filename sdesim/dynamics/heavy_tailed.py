"""Heavy-tailed SGD on an objective: the noise of a small batch, stretched by a heavy-tailed factor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from sdesim.core import philox
from sdesim.core.checks import positive, whole
from sdesim.core.ops import Ops
from sdesim.core.torch_ops import TORCH
from sdesim.dynamics.batches import batches, check_sampling
from sdesim.problems.laws import LAWS, Law, Pareto
from sdesim.problems.objective import Objective


@dataclass(frozen=True)
class HeavyTailedSGD:
    r"""SGD whose gradient noise has a heavy tail made from two batches.

        g = ∇L_large(x) + Z (∇L_small(x) - ∇L_large(x)),    x⁺ = x - lr g min(1, clip/‖g‖)

    One factor Z a step, of any law of ours; all are symmetric, so that E Z = 0 where a mean exists and E g = ∇L. The
    small batch is drawn by itself, not from the large one: given the batches' laws the difference has mean zero and
    covariance (1/B_small + 1/B_large) Σ with replacement, hence

        cov g = Σ/B_large + E Z² (1/B_small + 1/B_large) Σ    where E Z² is finite.

    Z = 0 is SGD with large batches, Z = 1 with small ones. A large batch of all examples (without replacement) is
    ∇L itself.

    Parameters
    ----------
    objective : Objective
    lr : float
        Learning rate; also the clock, so that time is lr × step.
    large, small : int
        Batch sizes, small ≤ large.
    noise : law
        Law of Z, drawn afresh at every step.
    clip : float, optional
        Longest gradient. Steps are then at most lr × clip: the paper's φ_b(η g) is clip = b/η.
    sampling : "replacement" or "fresh"
        As for `MinibatchSGD`; the covariances above hold for "replacement".

    References
    ----------
    Wang, Oh and Rhee 2021, arXiv 2102.04297, section 5; there Z is a Pareto variable, and the sign that ours has makes
    no difference but for the skewness of the batch noise.
    """

    objective: Objective
    lr: Any
    large: Any
    small: Any
    noise: Law = field(default_factory=lambda: Pareto(1.2))
    clip: Any = None
    sampling: str = "replacement"

    structure = ("objective", "sampling")
    formulas = False
    continuous = False

    def __post_init__(self) -> None:
        if not isinstance(self.objective, Objective):
            raise TypeError(
                f"heavy-tailed SGD runs on an Objective, got {type(self.objective).__name__}: write network(module, "
                "loss, data), or SGD(landscape, lr, noise=Pareto(1.2)) for a landscape"
            )
        positive("lr", self.lr)
        if self.clip is not None:
            positive("clip", self.clip)
        if not isinstance(self.noise, tuple(LAWS.values())):
            raise TypeError(
                f"noise must be a law, got {self.noise!r}: one of {', '.join(c.__name__ for c in LAWS.values())}"
            )
        if self.sampling == "epochs":
            raise ValueError("sampling must be 'replacement' or 'fresh', got 'epochs': each step draws two batches")
        for name in ("large", "small"):
            object.__setattr__(self, name, whole(name, getattr(self, name), least=1))
            check_sampling(self.sampling, self.objective.n_examples, getattr(self, name))
        if self.small > self.large:
            raise ValueError(f"small={self.small} is more than large={self.large}: exchange them")

    @property
    def clock(self) -> Any:
        """Time per step."""
        return self.lr

    @property
    def dim(self) -> int:
        """Numbers in a state: the parameters."""
        return self.objective.dim

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the components of a state."""
        return tuple(f"x{i}" for i in range(self.objective.dim))

    def position(self, x: torch.Tensor) -> torch.Tensor:
        """The parameters in a state."""
        return x

    def draw(self, stream: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Large batch (path, large), small batch (path, small) and factor Z (path,) of a step."""
        n, drawn = self.objective.n_examples, stream.words(philox.MINIBATCH, self.large + self.small)
        large = batches(_Given(drawn[:, : self.large]), n, self.large, self.sampling)
        small = batches(_Given(drawn[:, self.large :]), n, self.small, self.sampling)
        words = stream.words(philox.NOISE, 2 * self.noise.rounds(1).blocks)
        z = self.noise.draw(TORCH, 1, list(words.unbind(1)))[0][0]
        return large, small, z.to(stream.dtype)

    def step(self, ops: Ops, x: torch.Tensor, z: Any, k: Any) -> torch.Tensor:
        """The state after step k; x is (path, dim)."""
        return torch.add(x, self.gradient(x, z), alpha=-self.lr)

    def gradient(self, x: torch.Tensor, z: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """g, clipped, shape (path, dim)."""
        large, small, factor = z
        quiet = self.objective.gradient(x, large)
        g = quiet + factor[:, None] * (self.objective.gradient(x, small) - quiet)
        if self.clip is None:
            return g
        length = g.norm(dim=1, keepdim=True)
        return g * torch.where(length > self.clip, self.clip / length, torch.ones_like(length))


@dataclass(frozen=True)
class _Given:
    """A stream of words that were drawn already."""

    drawn: torch.Tensor

    def words(self, channel: int, n: int) -> torch.Tensor:
        """The first n."""
        return self.drawn[:, :n]
