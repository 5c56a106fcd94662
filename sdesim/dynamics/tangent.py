"""Tangent dynamics: a path and a vector that is carried along by the Jacobian of every step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sdesim.core.ops import NUMPY, Ops
from sdesim.dynamics.forward import push
from sdesim.problems.laws import Law

PASSED_ON = frozenset({"clock", "params", "noise", "noise_dim", "draw", "objective", "formulas"})
GROWTH = "log_growth"
GENERIC = 20_230_604  # seeds the direction where none is given
TRIED = 16  # steps that try whether a set is kept


@dataclass(frozen=True)
class Tangent:
    """A dynamics together with the growth of a small displacement, whose rate is the largest Lyapunov exponent.

        x⁺ = step(x, z),    w = N(x⁺) D step(x, z) v,    v⁺ = w / |w|,    s⁺ = s + log |w|

    A state is (x, v, s). D is the derivative with respect to x at the same noise z, N the projection on the normal
    space of an invariant set: with it, and x in the set, s grows at the rate at which nearby paths leave the set, the
    largest *transverse* Lyapunov exponent; below 0 the set attracts. v has length 1, so no exponent underflows.
    `lyapunov` turns runs into exponents with intervals. All engines, observers and `vary` take it as any dynamics.

    Formulas are differentiated as formulas, in compiled code too; SDEs of callables by forward-mode AD; minibatch SGD,
    momentum and their SDE by Hessian-vector products of the batch. An Euler-Maruyama chain has the exponent of its
    own steps, which is within O(dt) of the SDE's.

    Parameters
    ----------
    dynamics : Dynamics
        Of d components.
    normal_to : set, or list of k rows of d numbers, optional
        The invariant set: one of `sdesim.invariant` (`VanishingNeurons`, `DuplicateNeurons`, `LowRank`; for formulas
        `Subspace`), or rows that span the normal space of a linear one. First states are moved to the set, and every
        step is put back on it, or rounding errors would grow where the set repels. For (x, velocity) of `Momentum` a
        set of parameters acts on both halves.
    direction : list of d numbers, optional
        First v, up to its length. Default: one generic direction, the same for all paths.

    Raises
    ------
    TypeError, ValueError
        For a dynamics without a derivative, a set that is not invariant or has a kink, or rows and directions that do
        not fit.

    Notes
    -----
    A path ends as diverged where its x diverges, and where a step annihilates v (log |w| = -∞).

    References
    ----------
    Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980) 9–20; Chen, Kunin, Yamamura and Ganguli 2023,
    arXiv 2306.04251, section 4.
    """

    dynamics: Any
    normal_to: Any = None
    direction: Any = None

    structure = ("normal_to", "direction")
    continuous = False

    def __getattr__(self, name: str) -> Any:
        if name in PASSED_ON:
            return getattr(self.dynamics, name)
        raise AttributeError(f"Tangent has no attribute {name!r}")

    def __post_init__(self) -> None:
        _check_differentiable(self.dynamics)
        d = self.dynamics.dim
        if self.normal_to is not None:
            object.__setattr__(self, "normal_to", _set(self.normal_to, self.dynamics))
        if self.direction is not None:
            (row,) = _rows("direction", [self.direction], d)
            object.__setattr__(self, "direction", row)
            if not any(row):
                raise ValueError("direction must not be zero")

    @property
    def dim(self) -> int:
        """Numbers in a state: 2 d + 1."""
        return 2 * self.dynamics.dim + 1

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the components of a state."""
        inner = self.dynamics.variables
        return (*inner, *(f"tangent_{name}" for name in inner), GROWTH)

    def position(self, x: Any) -> Any:
        """The parameters in a state, for an objective; formulas have the whole state."""
        if getattr(self, "formulas", True):
            return x
        return getattr(self.dynamics, "position", lambda y: y)(x[:, : self.dynamics.dim])

    def at_rest(self, x0: Any) -> Any:
        """States for first x: moved to the set, with the first direction and no growth. Whole states stay."""
        if isinstance(x0, Law):
            raise ValueError(
                f"Tangent starts from numbers, got the law {x0!r}: draw an array, x0=rng.normal(size=(n_paths, d))"
            )
        d, given = self.dynamics.dim, np.asarray(x0, dtype=float)
        if given.shape[-1:] == (self.dim,) and (d > 1 or given.ndim == 2):
            return given
        if hasattr(self.dynamics, "at_rest"):
            given = np.asarray(self.dynamics.at_rest(given))
        if d == 1 and given.ndim < 2 and given.shape != (1,):
            given = given[..., None]
        if given.shape[-1:] != (d,):
            raise ValueError(f"x0 has shape {given.shape}, Tangent starts from ({d},) for all paths or (n_paths, {d})")
        first = np.atleast_2d(given)
        x, v = self._on_set(first, np.broadcast_to(_unit(np.array(self.direction or _generic(d))), first.shape))
        if isinstance(self.normal_to, tuple) and getattr(self, "formulas", True):
            self._check_kept(x)
        length = np.linalg.norm(v, axis=-1, keepdims=True)
        if not np.all(length > 1e-9):
            raise ValueError("the direction lies in the set: give one with a part normal to it")
        state = np.concatenate([x, v / length, np.zeros_like(length)], axis=-1)
        return state if given.ndim > 1 else state[0]

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k; x is (..., 2 d + 1)."""
        if getattr(self, "formulas", True):
            return self._formula_step(ops, x, z, k)
        d = self.dynamics.dim
        here, v, s = x[:, :d], x[:, d : 2 * d], x[:, 2 * d :]
        new, w = _tensor_push(self.dynamics, ops, here, v, z, k)
        if self.normal_to is not None:
            new = self._nearest(new)
            w = self._normal(new, w)
        import torch

        length = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        return torch.cat([new, w / length, s + torch.log(length)], dim=-1)

    def _formula_step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        d, parts = self.dynamics.dim, ops.split(x)
        new, w = push(self.dynamics, ops, ops.stack(parts[:d]), ops.stack(parts[d : 2 * d]), z, k)
        there, along = ops.split(new), ops.split(w)
        if self.normal_to is not None:
            there = [a - b for a, b in zip(there, _normal_parts(self.normal_to, there), strict=True)]
            along = _normal_parts(self.normal_to, along)
        length = ops.norm(ops.stack(along))
        return ops.stack([*there, *(c / length for c in along), parts[2 * d] + ops.log(length)])

    def _normal(self, x: Any, w: Any) -> Any:
        """The part of w normal to the set, for parameters and velocities alike."""
        if isinstance(self.normal_to, tuple):
            return w @ w.new_tensor(_projection(self.normal_to))
        import torch

        p = self.dynamics.objective.dim
        halves = w.split(p, dim=-1)
        return torch.cat([self.normal_to.normal(x[:, :p], half) for half in halves], dim=-1)

    def _nearest(self, x: Any) -> Any:
        """The nearest points of the set; velocities lose their normal part."""
        if isinstance(self.normal_to, tuple):
            return x - self._normal(x, x)
        import torch

        p = self.dynamics.objective.dim
        here, *velocity = x.split(p, dim=-1)
        here = self.normal_to.project(here)
        return torch.cat([here, *(half - self.normal_to.normal(here, half) for half in velocity)], dim=-1)

    def _on_set(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First points and directions, moved to the set and normal to it."""
        if self.normal_to is None:
            return x, v
        import torch

        nearest = self._nearest(torch.tensor(x))
        return nearest.numpy(), self._normal(nearest, torch.tensor(v)).numpy()

    def _check_kept(self, x: np.ndarray) -> None:
        """Refuse a set that steps from these points of it leave, tried with some noises."""
        z = np.random.default_rng(GENERIC).standard_normal((TRIED, self.noise_dim))
        at = np.resize(x, (TRIED, x.shape[1]))
        with np.errstate(all="ignore"):
            moved = np.asarray(self.dynamics.step(NUMPY, at, z, 0)) - at
        moved = moved[np.isfinite(moved).all(axis=1)]
        off = np.abs(moved @ np.array(_projection(self.normal_to))).max(initial=0.0)
        if off > 1e-9 * max(1e-6, np.abs(moved).max(initial=0.0), np.abs(at).max()):
            raise ValueError(
                f"steps leave the set that normal_to={[list(row) for row in self.normal_to]} describes, by {off:.3g} "
                "at once: give rows that span the normal space of a set that gradient and noise keep"
            )


def _check_differentiable(dynamics: Any) -> None:
    """Refuse what is no dynamics or has no derivative here."""
    if not hasattr(dynamics, "step") or isinstance(dynamics, Tangent):
        raise TypeError(
            f"Tangent wraps a dynamics such as SGD(landscape, lr) or EulerMaruyama(sde, dt), got {dynamics!r}"
        )
    if getattr(dynamics, "formulas", True) or hasattr(dynamics, "tangent"):
        return
    if getattr(dynamics, "objective", None) is None:
        return
    sde: Any = getattr(dynamics, "sde", None)
    if not hasattr(sde, "tangent"):
        raise TypeError(
            f"Tangent has no derivative of {type(dynamics).__name__} on an objective: possible are MinibatchSGD, "
            "Momentum, SVAG and EulerMaruyama(minibatch_sde(...), dt)"
        )
    if type(dynamics).__name__ != "EulerMaruyama" or sde.covariance != "exact":
        raise ValueError(
            f"Tangent needs covariance='exact' and EulerMaruyama, got covariance={sde.covariance!r} and "
            f"{type(dynamics).__name__}: the noise of other covariances has no Hessian-vector form"
        )


def _set(given: Any, dynamics: Any) -> Any:
    """A set of parameters as it is; a linear one as rows that span its normal space."""
    objective = getattr(dynamics, "objective", None)
    if not hasattr(given, "normal") or hasattr(given, "normals"):
        rows = _rows("normal_to", getattr(given, "normals", given), dynamics.dim)
        if not any(any(row) for row in rows):
            raise ValueError("normal_to must have a row that is not zero: such as [[1, -1]] for the set x = y")
        return rows
    if objective is None:
        raise TypeError(
            f"normal_to={given!r} is a set of the parameters of an objective; for formulas give rows that span the "
            "normal space, such as [[1, -1]] for the set x = y"
        )
    if getattr(given, "objective", objective).layout != objective.layout:
        raise ValueError(f"normal_to={given!r} is a set of another network, with other parameters: make it of this one")
    if not getattr(given, "invariant", True):
        raise ValueError(f"normal_to={given!r} is no invariant set, SGD leaves it: use one whose `invariant` is True")
    if not getattr(given, "differentiable", True):
        raise ValueError(
            f"the loss has a kink on {given!r}, as with relu or a maximum, so that steps have no Jacobian there: use a "
            "smooth activation (tanh, gelu, silu), or record the distance to the set and take lyapunov(distance=...)"
        )
    return given


def _tensor_push(dynamics: Any, ops: Ops, x: Any, v: Any, z: Any, k: Any) -> tuple[Any, Any]:
    """The state after a step of tensors, and the Jacobian of the step times v."""
    if hasattr(dynamics, "tangent"):
        return dynamics.step(ops, x, z, k), dynamics.tangent(x, v, z, k)
    sde: Any = getattr(dynamics, "sde", None)
    if hasattr(sde, "tangent"):
        from sdesim.dynamics.integrators import increments

        return dynamics.step(ops, x, z, k), sde.tangent(x, v, dynamics.dt, increments(dynamics, ops, z))
    import torch

    new, w = torch.func.jvp(lambda y: dynamics.step(ops, y, z, k), (x,), (v,))[:2]
    return new, w


def _rows(name: str, given: Any, d: int) -> tuple[tuple[float, ...], ...]:
    """Rows of d finite numbers as tuples."""
    try:
        rows = np.array(given, dtype=float)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[1] != d or not len(rows) or not np.all(np.isfinite(rows)):
        what = f"rows of {d} finite numbers" if name == "normal_to" else f"{d} finite numbers"
        raise ValueError(f"{name} must be {what}, got {given!r}")
    return tuple(tuple(row) for row in rows.tolist())


@lru_cache(maxsize=64)
def _projection(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """The orthogonal projection on the span of the rows."""
    _, size, basis = np.linalg.svd(np.array(rows), full_matrices=False)
    basis = basis[size > 1e-12 * size[0]]
    found = basis.T @ basis
    return tuple(tuple(row) for row in np.where(np.abs(found) < 1e-15, 0.0, found).tolist())


def _normal_parts(rows: tuple[tuple[float, ...], ...], parts: list[Any]) -> list[Any]:
    """The projection of a vector, given by its components, on the span of the rows."""
    return [sum(p * c for p, c in zip(row, parts, strict=True) if p) for row in _projection(rows)]


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.linalg.norm(v))


def _generic(d: int) -> np.ndarray:
    """A direction with no symmetry."""
    return np.random.default_rng(GENERIC).standard_normal(d)
