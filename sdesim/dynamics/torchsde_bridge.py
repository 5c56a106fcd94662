"""SDEs of callables on tensors, and the way to and from torchsde.

torchsde takes an object with drift f(t, y), diffusion g(t, y), noise_type and sde_type. Its noise types are shapes of g
for a state of shape (path, d): "diagonal" is (path, d), "scalar" is (path, d, 1): one noise for all coordinates
(an SDE's own "scalar" kind is one factor with a noise for each), "general" and "additive" are (path, d, m).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sdesim.core.checks import count, is_number, near
from sdesim.core.ops import Ops
from sdesim.core.torch_ops import TORCH
from sdesim.dynamics.sde import CALCULI, SDE, check_noise
from sdesim.problems.laws import Gaussian, Law

KINDS = ("diagonal", "matrix")
NOISE_TYPES = ("diagonal", "scalar", "general", "additive")


@dataclass(frozen=True)
class CallableSDE:
    """An equation given by functions of time and state that torch evaluates for all paths at once.

        dX = drift(t, X) dt + diffusion(t, X) dL

    Parameters
    ----------
    drift : callable (t, x) -> tensor (path, d)
        x is (path, d). t is a tensor of one number: where the paths of a block have different ages it is called
        once for each, with the whole block, so that no shape depends on them.
    diffusion : callable (t, x) -> tensor (path, d) or (path, d, m)
        The factor in front of the noise: diagonal, or the matrix of m noises.
    dim : int
        Number of coordinates d.
    noise_dim : int, optional
        Number of noises m; d for a diagonal diffusion.
    calculus : "ito" or "stratonovich"
    noise : Gaussian or Stable
    diffusion_kind : "diagonal" or "matrix"
    autonomous : bool
        Says that drift and diffusion do not look at t: one call serves paths of all ages.
    like : tensor, optional
        Its type and device are those of the states that come as NumPy arrays. Default: double precision on the CPU.

    Raises
    ------
    ValueError, TypeError
        For things that cannot be called, unknown kinds, and dimensions that do not fit; at the first step for
        results of another shape.
    """

    drift: Callable[[Any, Any], Any]
    diffusion: Callable[[Any, Any], Any]
    dim: int
    noise_dim: int | None = None
    calculus: str = "ito"
    noise: Law = field(default_factory=Gaussian)
    diffusion_kind: str = "diagonal"
    autonomous: bool = False
    like: torch.Tensor | None = field(default=None, compare=False)

    structure = ("dim", "noise_dim", "like")
    formulas = False

    def __post_init__(self) -> None:
        for name in ("drift", "diffusion"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function of (t, x), got {getattr(self, name)!r}: use SDE(...)")
        check_noise(self.noise, self.calculus)
        if self.diffusion_kind not in KINDS:
            hint = near(str(self.diffusion_kind), KINDS)
            raise ValueError(f"diffusion_kind must be 'diagonal' or 'matrix', got {self.diffusion_kind!r}: {hint}")
        d, m = count("dim", self.dim, least=1), self.noise_dim
        if m is None and self.diffusion_kind == "matrix":
            raise ValueError("a diffusion of shape (path, d, m) needs noise_dim=m, the number of its noises")
        m = d if m is None else count("noise_dim", m, least=1)
        if self.diffusion_kind == "diagonal" and m != d:
            raise ValueError(f"a diagonal diffusion has a noise for each of the {d} coordinates, got noise_dim={m}")
        object.__setattr__(self, "noise_dim", m)

    def __repr__(self) -> str:
        names = [getattr(f, "__qualname__", type(f).__qualname__) for f in (self.drift, self.diffusion)]
        return (
            f"CallableSDE({names[0]}, {names[1]}, dim={self.dim}, noise_dim={self.noise_dim}, "
            f"calculus={self.calculus!r}, noise={self.noise!r}, diffusion_kind={self.diffusion_kind!r}, "
            f"autonomous={self.autonomous})"
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the coordinates: x, or x0, x1, ..."""
        return ("x",) if self.dim == 1 else tuple(f"x{i}" for i in range(self.dim))

    @property
    def params(self) -> dict[str, Any]:
        """None: the numbers in a function are its own."""
        return {}

    def coefficients(self, ops: Ops, x: Any, t: Any) -> tuple[Any, Any]:
        """Drift (path, d) and diffusion, (path, d) or (path, d, m), at states x and time t, one or one per path."""
        y = self._tensor(x)
        shape = (len(y), self.dim)
        if tuple(y.shape) != shape:
            raise ValueError(f"states have shape {tuple(y.shape)}, the SDE expects {shape}: (path, d)")
        full = shape if self.diffusion_kind == "diagonal" else (*shape, self.noise_dim)
        return _as(x, self._at("drift", t, y, shape)), _as(x, self._at("diffusion", t, y, full))

    def parts(self, ops: Ops, v: Any) -> list[Any]:
        """The vector whole: its only part."""
        return [v]

    def joined(self, ops: Ops, parts: list[Any]) -> Any:
        """The vector."""
        return parts[0]

    def increments(self, ops: Ops, z: Any, substeps: int) -> list[Any]:
        """The sum over substeps of the variates z, (path, substeps * noise_dim), as (path, noise_dim)."""
        self._tensor(z)
        return [z if substeps == 1 else z.reshape(len(z), substeps, self.noise_dim).sum(1)]

    def terms(self, ops: Ops, x: Any, t: Any, dw: list[Any]) -> tuple[list[Any], list[Any]]:
        """The drift a and the kick b dw at the states x and time t, each whole."""
        drift, diffusion = self.coefficients(ops, x, t)
        kick = diffusion * dw[0] if self.diffusion_kind == "diagonal" else (diffusion @ dw[0][..., None])[..., 0]
        return [drift], [kick]

    def variance_along(self, ops: Ops, x: Any, t: Any, normal: list[Any]) -> Any:
        """|bᵀ n|² for a unit vector n, given by its components."""
        _, diffusion = self.coefficients(ops, x, t)
        n = ops.stack([v + 0.0 * x[..., 0] for v in normal])
        along = diffusion * n if self.diffusion_kind == "diagonal" else (n[..., None, :] @ diffusion)[..., 0, :]
        return (along * along).sum(-1)

    def _tensor(self, x: Any) -> torch.Tensor:
        if isinstance(x, torch.Tensor):
            return x
        if not isinstance(x, np.ndarray):
            raise TypeError(
                "an SDE of callables has no formula to compile: run it with engine='tensor', or write SDE(drift, "
                "diffusion) with formulas"
            )
        if self.like is None:
            return torch.tensor(np.array(x, order="C"), dtype=torch.float64)
        return torch.tensor(np.array(x, order="C"), dtype=self.like.dtype, device=self.like.device)

    def _at(self, name: str, t: Any, y: torch.Tensor, shape: tuple[Any, ...]) -> torch.Tensor:
        """The coefficient at each path's time."""
        age = torch.as_tensor(t, dtype=y.dtype, device=y.device)
        if age.ndim == 0 or self.autonomous:
            return self._call(name, age if age.ndim == 0 else age[0], y, shape)
        ages, which = torch.unique(age, return_inverse=True)
        found = self._call(name, ages[0], y, shape)
        for i in range(1, len(ages)):
            mine = (which == i).reshape(-1, *[1] * (len(shape) - 1))
            found = torch.where(mine, self._call(name, ages[i], y, shape), found)
        return found

    def _call(self, name: str, t: torch.Tensor, y: torch.Tensor, shape: tuple[Any, ...]) -> torch.Tensor:
        value = getattr(self, name)(t, y)
        given = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        if given != shape:
            axes = "(path, d)" if len(shape) == 2 else "(path, d, m)"
            raise ValueError(
                f"the {name} has shape {given} for states of shape {tuple(y.shape)}, expected {shape}: {axes} with "
                f"dim={self.dim}, noise_dim={self.noise_dim}"
            )
        return value


def _as(x: Any, value: torch.Tensor) -> Any:
    """The value as what x is, a tensor or an array."""
    return value if isinstance(x, torch.Tensor) else value.detach().cpu().to(torch.float64).numpy()


def from_torchsde(obj: Any, dim: int, noise_dim: int | None = None, *, autonomous: bool = False) -> CallableSDE:
    """The equation of an object that torchsde can solve.

    Parameters
    ----------
    obj : object with f, g, noise_type and sde_type
        f(t, y) is the drift, g(t, y) the diffusion in front of standard Brownian motion.
    dim : int
        Number of coordinates d.
    noise_dim : int, optional
        Number of noises m; needed for the noise types "general" and "additive".
    autonomous : bool
        Says that f and g do not look at t, which makes paths of different age as cheap as equal ones.

    Returns
    -------
    CallableSDE
        For `EulerMaruyama` (sde_type "ito") or `Heun` ("stratonovich").

    Raises
    ------
    TypeError, ValueError
        If something is missing, unknown, or does not fit.
    """
    missing = [name for name in ("f", "g", "noise_type", "sde_type") if not hasattr(obj, name)]
    if missing:
        raise TypeError(
            f"{type(obj).__name__} has no {', '.join(missing)}: an SDE of torchsde has f(t, y), g(t, y), noise_type "
            "and sde_type"
        )
    kind = str(obj.noise_type)
    if kind not in NOISE_TYPES:
        raise ValueError(f"noise_type must be one of {', '.join(NOISE_TYPES)}, got {kind!r}: {near(kind, NOISE_TYPES)}")
    if str(obj.sde_type) not in CALCULI:
        raise ValueError(f"sde_type must be 'ito' or 'stratonovich', got {obj.sde_type!r}")
    if kind == "scalar" and noise_dim not in (None, 1):
        raise ValueError(f"noise_type 'scalar' has one noise, got noise_dim={noise_dim}: use 'general'")
    if kind in ("general", "additive") and noise_dim is None:
        raise ValueError(f"noise_type {kind!r} needs noise_dim=m, the last axis of g(t, y): (path, d, m)")
    return CallableSDE(
        obj.f,
        obj.g,
        dim,
        1 if kind == "scalar" else noise_dim,
        calculus=str(obj.sde_type),
        diffusion_kind="diagonal" if kind == "diagonal" else "matrix",
        autonomous=autonomous,
        like=_like(obj),
    )


def _like(obj: Any) -> torch.Tensor | None:
    """A number of the type and device of a module's first floating parameter or buffer."""
    if not isinstance(obj, torch.nn.Module):
        return None
    own = next((p for p in [*obj.parameters(), *obj.buffers()] if p.is_floating_point()), None)
    return None if own is None else torch.zeros((), dtype=own.dtype, device=own.device)


class FormulaSDE(torch.nn.Module):
    """Formulas as torchsde reads them; see `to_torchsde`."""

    def __init__(self, sde: SDE, scale: float) -> None:
        super().__init__()
        self.sde, self.scale = sde, scale
        self.diagonal = sde.diffusion_kind != "matrix" and sde.mixed() is None
        self.noise_type = "diagonal" if self.diagonal else "general"
        self.sde_type = sde.calculus

    def f(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """Drift, shape (path, d)."""
        drift, _ = self.sde.coefficients(TORCH, y, t)
        return _stacked(drift, y)

    def g(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """Diffusion in front of standard Brownian motion, shape (path, d) or (path, d, m)."""
        _, rows = self.sde.coefficients(TORCH, y, t)
        if self.diagonal:
            factor = _stacked([row[i] for i, row in enumerate(rows)], y)
        else:
            factor = torch.stack([_stacked(row, y) for row in rows], dim=-2)
        return factor * self.scale


def _stacked(values: list[Any], y: torch.Tensor) -> torch.Tensor:
    """Values for each path, some of them plain numbers, as components."""
    zero = torch.zeros_like(y[:, 0])
    return torch.stack([zero + v for v in values], dim=-1)


def to_torchsde(sde: SDE) -> FormulaSDE:
    """A Brownian SDE of formulas as a module for `torchsde.sdeint`.

    Parameters
    ----------
    sde : SDE
        Gaussian noise; its scale becomes part of g.

    Returns
    -------
    torch.nn.Module
        With f(t, y), g(t, y), sde_type, and noise_type "diagonal" where every factor depends on its own coordinate and
        t alone, else "general": torchsde's solvers of higher order leave out mixed terms of the former.

    Raises
    ------
    TypeError, ValueError
        For something else than an SDE of formulas, Stable noise, or a parameter without a value.

    Examples
    --------
    >>> import torch
    >>> from sdesim import SDE
    >>> to_torchsde(SDE("-x", 0.5)).g(0.0, torch.zeros(2, 1))
    tensor([[0.5000],
            [0.5000]])
    """
    if not isinstance(sde, SDE):
        hint = "give torchsde the object itself" if isinstance(sde, CallableSDE) else "write SDE(drift, diffusion)"
        raise TypeError(f"to_torchsde takes an SDE of formulas, got {type(sde).__name__}: {hint}")
    if not isinstance(sde.noise, Gaussian):
        raise ValueError(f"torchsde knows Brownian motion alone, got {sde.noise!r}: use EulerMaruyama(sde, dt) and run")
    for name, value in {**sde.params, "noise scale": sde.noise.scale}.items():
        if not is_number(value) or np.ndim(value) != 0:
            raise ValueError(f"the parameter {name} is {value!r}: give it one number")
    return FormulaSDE(sde, float(sde.noise.scale))
