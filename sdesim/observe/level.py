"""Regions given by a function of tensors: inside while the function is on one side of a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sdesim.core.checks import count, finite
from sdesim.core.ops import Ops
from sdesim.core.torch_ops import TORCH


@dataclass(frozen=True)
class Below:
    """States x with function(x) < level; for the tensor engine.

    Parameters
    ----------
    function : callable
        Takes states as a tensor (path, dim) and returns one number a path: `objective.accuracy`, say.
    level : float
    every : int
        The function is looked at after every so many steps of a path, and nowhere else.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    level: Any
    every: int = 1

    structure = ("function", "every")
    formulas = False
    dim = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"{type(self).__name__} takes a function of tensors, got {self.function!r}")
        finite("level", self.level)
        count("every", self.every, least=1)

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"{type(self).__name__}({name}, {self.level!r}, every={self.every})"

    def margins(self, ops: Ops, x: torch.Tensor) -> list[torch.Tensor]:
        """level - function(x), positive inside."""
        return [self.level - self.function(x)]

    def contains(self, x: torch.Tensor | np.ndarray) -> np.ndarray:
        """Which states are inside."""
        inside: np.ndarray = (self.margins(TORCH, torch.as_tensor(x))[0] > 0).cpu().numpy()
        return inside


@dataclass(frozen=True, repr=False)
class Above(Below):
    """States x with function(x) > level; see `Below`."""

    def margins(self, ops: Ops, x: torch.Tensor) -> list[torch.Tensor]:
        """function(x) - level, positive inside."""
        return [self.function(x) - self.level]
