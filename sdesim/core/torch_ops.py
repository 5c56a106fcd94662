"""The vocabulary of `sdesim.core.ops` on torch tensors, paths first, on any device and in any floating type.

Random words are int64 tensors that hold 64 bits each. On a CPU they are made and turned into normals by compiled
code, without a copy; elsewhere by the same arithmetic in tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sdesim.core import philox

HALF = 32


def _either(on_tensors: Callable[..., Any], on_numbers: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors that leaves numbers numbers."""

    def function(*args: Any) -> Any:
        if not any(isinstance(a, torch.Tensor) for a in args):
            return on_numbers(*args)
        like = next(a for a in args if isinstance(a, torch.Tensor))
        return on_tensors(*(a if isinstance(a, torch.Tensor) else like.new_tensor(a) for a in args))

    return function


def _power(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x**y with NaN wherever an argument is NaN."""
    return torch.where(torch.isnan(x) | torch.isnan(y), torch.nan, torch.pow(x, y))


class TorchOps:
    """Operations on tensors, paths first and components last; a number stays a number."""

    exp = staticmethod(_either(torch.exp, np.exp))
    log = staticmethod(_either(torch.log, np.log))
    log_normal_range = log
    sqrt = staticmethod(_either(torch.sqrt, np.sqrt))
    sin = staticmethod(_either(torch.sin, np.sin))
    cos = staticmethod(_either(torch.cos, np.cos))
    tan = staticmethod(_either(torch.tan, np.tan))
    tanh = staticmethod(_either(torch.tanh, np.tanh))
    sinh = staticmethod(_either(torch.sinh, np.sinh))
    cosh = staticmethod(_either(torch.cosh, np.cosh))
    abs = staticmethod(_either(torch.abs, np.abs))
    sign = staticmethod(_either(lambda x: torch.where(torch.isnan(x), x, torch.sign(x)), np.sign))
    copysign = staticmethod(_either(torch.copysign, np.copysign))
    minimum = staticmethod(_either(torch.minimum, np.minimum))
    maximum = staticmethod(_either(torch.maximum, np.maximum))
    power = staticmethod(_either(_power, np.power))

    @staticmethod
    def where(condition: Any, x: Any, y: Any) -> Any:
        """x where the condition holds, else y."""
        return torch.where(condition, x, y) if isinstance(condition, torch.Tensor) else (x if condition else y)

    @staticmethod
    def split(v: Any) -> list[Any]:
        """The components of a vector."""
        return list(v.unbind(-1))

    @staticmethod
    def norm(v: Any) -> Any:
        """Euclidean norm over the components."""
        return torch.linalg.vector_norm(v, dim=-1)

    @staticmethod
    def stack(values: list[Any]) -> Any:
        """A vector from its components."""
        like = next(v for v in values if isinstance(v, torch.Tensor))
        full = [v if isinstance(v, torch.Tensor) else torch.full_like(like, float(v)) for v in values]
        return torch.stack(torch.broadcast_tensors(*full), dim=-1)

    @staticmethod
    def sincos_turn(t: Any) -> tuple[Any, Any]:
        """sin and cos of 2 pi t, reduced exactly to an eighth of a turn first."""
        quarter = torch.round(4.0 * t)
        r = (4.0 * t - quarter) * (math.pi / 2)
        s, c, k = torch.sin(r), torch.cos(r), quarter.to(torch.int64)
        sine, cosine = torch.where((k & 1) != 0, c, s), torch.where((k & 1) != 0, s, c)
        return torch.where((k & 2) != 0, -sine, sine), torch.where(((k + 1) & 2) != 0, -cosine, cosine)

    @staticmethod
    def sin_quarter(t: Any) -> Any:
        """sin(2 pi t) for t in [0, 1/4]."""
        return torch.sin(2 * math.pi * t)

    @staticmethod
    def uniform(word: torch.Tensor) -> torch.Tensor:
        """The uniform (n + 1/2) / 2**52 on (0, 1) of a word, in double precision."""
        return (_upper(word, 52).to(torch.float64) + 0.5) * 2.0**-52

    @staticmethod
    def normal_pair(word: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two standard normals of a word (see `sdesim.core.normals`), in double precision."""
        if _compiled(word):
            from sdesim.core.fill import normals_of

            return normals_of(word)
        n, m = _upper(word, 41) & ((1 << 40) - 1), word & ((1 << 22) - 1)
        radius = torch.sqrt(-2 * torch.log((n.to(torch.float64) + 0.5) * 2.0**-40))
        radius = torch.where(word < 0, -radius, radius)
        angle = math.pi / 2 * ((m.to(torch.float64) + 0.5) * 2.0**-22 - 0.5)
        s, c = torch.sin(angle), torch.cos(angle)
        choice = (word & (1 << 22)) != 0
        return radius * torch.where(choice, s, c), radius * torch.where(choice, c, s)


TORCH = TorchOps()


def _upper(word: torch.Tensor, n: int) -> torch.Tensor:
    """The upper n bits of a word as a number that is not negative."""
    return (word >> (64 - n)) & ((1 << n) - 1)


def words(seed: int, path: torch.Tensor, channel: int, block: torch.Tensor) -> torch.Tensor:
    """The two words of each block, shape (..., 2), for int64 tensors of path ids and block numbers that broadcast.

    Philox4x32-10 as in `sdesim.core.philox`, on the device of the tensors.
    """
    path, block = torch.broadcast_tensors(path, block)
    if _compiled(path):
        from sdesim.core.fill import words_of

        return words_of(seed, path, channel, block)
    mask = philox.MASK
    k0, k1 = seed & mask, seed >> HALF
    c0, c1 = block & mask, (channel << 16) | ((block >> HALF) & mask)
    c2, c3 = path & mask, (path >> HALF) & mask
    for _ in range(10):
        p0, p1 = philox.MULTIPLIER_0 * c0, philox.MULTIPLIER_1 * c2
        c0, c1 = ((p1 >> HALF) & mask) ^ c1 ^ k0, p1 & mask
        c2, c3 = ((p0 >> HALF) & mask) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + philox.WEYL_0) & mask, (k1 + philox.WEYL_1) & mask
    return torch.stack([(c0 << HALF) | c1, (c2 << HALF) | c3], dim=-1)


def turn_words(seed: int, path: torch.Tensor, channel: int, turn: torch.Tensor, blocks: int) -> torch.Tensor:
    """The words of blocks turn * blocks, ..., turn * blocks + blocks - 1 of each lane, shape (lane, 2 blocks)."""
    if _compiled(path):
        from sdesim.core.fill import words_of_turns

        return words_of_turns(seed, path, channel, turn, blocks)
    number = turn[:, None] * blocks + torch.arange(blocks, device=turn.device)
    return words(seed, path[:, None], channel, number).flatten(1)


def _compiled(t: torch.Tensor) -> bool:
    """Whether compiled code can reach the memory of a tensor."""
    return t.device.type == "cpu"
