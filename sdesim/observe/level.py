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
        _check(self)

    def __repr__(self) -> str:
        return _text(self)

    def margins(self, ops: Ops, x: torch.Tensor) -> list[torch.Tensor]:
        """level - function(x)."""
        return [self.level - self.function(x)]

    def contains(self, x: torch.Tensor | np.ndarray) -> np.ndarray:
        """Which states are inside."""
        return _contains(self, x)


@dataclass(frozen=True)
class Above:
    """States x with function(x) > level; see `Below`."""

    function: Callable[[torch.Tensor], torch.Tensor]
    level: Any
    every: int = 1

    structure = ("function", "every")
    formulas = False
    dim = None

    def __post_init__(self) -> None:
        _check(self)

    def __repr__(self) -> str:
        return _text(self)

    def margins(self, ops: Ops, x: torch.Tensor) -> list[torch.Tensor]:
        """function(x) - level."""
        return [self.function(x) - self.level]

    def contains(self, x: torch.Tensor | np.ndarray) -> np.ndarray:
        """Which states are inside."""
        return _contains(self, x)


def _check(region: Below | Above) -> None:
    if not callable(region.function):
        raise TypeError(f"{type(region).__name__} takes a function of tensors, got {region.function!r}")
    finite("level", region.level)
    count("every", region.every, least=1)


def _contains(region: Below | Above, x: torch.Tensor | np.ndarray) -> np.ndarray:
    inside: np.ndarray = (region.margins(TORCH, torch.as_tensor(x))[0] > 0).cpu().numpy()
    return inside


def _text(region: Below | Above) -> str:
    name = getattr(region.function, "__qualname__", type(region.function).__qualname__)
    return f"{type(region).__name__}({name}, {region.level!r}, every={region.every})"
