"""What a run will do, checked and in numbers, before anything is computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdesim.core import philox
from sdesim.core.checks import count, is_number, positive
from sdesim.core.ops import NUMPY
from sdesim.dynamics.parameters import formula_parameters, rebind, resolve
from sdesim.engine.trace import Watch, all_parameters, bind
from sdesim.observe.schedule import steps_of
from sdesim.problems.laws import Law, Stable

MAX_STEPS = 1 << 47
MAX_CELLS = 1 << (63 - philox.PATH_BITS)


@dataclass(frozen=True)
class Plan:
    """A run in numbers. Arrays over cells follow the grid of `vary` in row-major order.

    Attributes
    ----------
    grid : dict of name -> values
    values : dict of dotted path -> number or array over cells
    clock, n_steps : arrays, shape (cell,)
    record_steps, moment_steps : int arrays, shape (cell, time)
    x0 : array, shape (cell * path, component)
    """

    dynamics: Any
    watch: Watch
    n_paths: int
    start_path: int
    seed: int
    grid: dict[str, np.ndarray]
    values: dict[str, Any]
    varied: frozenset[str]
    clock: np.ndarray
    n_steps: np.ndarray
    record_steps: np.ndarray
    moment_steps: np.ndarray
    x0: np.ndarray

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return len(self.clock)

    @property
    def total(self) -> int:
        """Paths in all cells."""
        return self.cells * self.n_paths

    def in_cell(self, cell: int) -> dict[str, Any]:
        """Parameter values of one cell."""
        return {p: (v[cell] if p in self.varied else v) for p, v in self.values.items()}


def make_plan(
    dynamics: Any,
    seen: Watch,
    n_paths: int,
    t_max: float | None,
    n_steps: int | None,
    seed: int,
    start_path: int,
    vary: Mapping[str, Any] | None,
) -> Plan:
    """Check every argument of a run but x0 and turn it into numbers.

    Raises
    ------
    ValueError, TypeError
        One line that says what was given, what is possible and what to write instead.
    """
    if not hasattr(dynamics, "step"):
        raise TypeError(f"run needs a dynamics such as EulerMaruyama(sde, dt) or SGD(landscape, lr), got {dynamics!r}")
    n_paths, start_path = count("n_paths", n_paths, least=1), count("start_path", start_path)
    seed = count("seed", seed)
    if seed >= 1 << 64:
        raise ValueError(f"seed must be below 2**64, got {seed}")
    if start_path + n_paths > 1 << philox.PATH_BITS:
        raise ValueError(f"path numbers end at 2**{philox.PATH_BITS}, asked for {start_path + n_paths}")
    if seen.exit is not None:
        seen.exit.uses_bridge(dynamics)
        _check_dimension("the exit region", seen.exit.region.dim, dynamics.dim)
    if seen.passages is not None:
        _check_dimension("the landscape of Passages", seen.passages.landscape.dim, dynamics.dim)
    values = all_parameters(dynamics, seen)
    grid, varied, values = _grid(vary, values, dynamics, seen)
    cells = math.prod(len(v) for v in grid.values())
    if cells > MAX_CELLS:
        raise ValueError(f"the grid of vary has {cells} cells, at most {MAX_CELLS} are possible")
    clock = _clock(dynamics, seen, values, varied, cells)
    steps = _horizon(clock, t_max, n_steps)
    return Plan(
        dynamics,
        seen,
        n_paths,
        start_path,
        seed,
        grid,
        values,
        varied,
        clock,
        steps,
        _schedule(seen.record, clock),
        _schedule(seen.moments, clock),
        np.empty((0, dynamics.dim)),
    )


def with_start(plan: Plan, x0: Any) -> Plan:
    """The plan with first states of all paths, which take memory.

    Raises
    ------
    ValueError, TypeError
        If x0 is of another shape, not finite, or outside the region to be left.
    """
    if hasattr(x0, "fresh_states"):
        x0 = x0.fresh_states(plan.n_paths, plan.seed, plan.start_path).cpu()
    if hasattr(plan.dynamics, "at_rest"):
        x0 = plan.dynamics.at_rest(x0)
    states = _start(x0, plan.dynamics.dim, plan.cells, plan.n_paths, plan.start_path, plan.seed)
    placed = replace(plan, x0=states)
    _check_inside(placed)
    return placed


def _check_dimension(what: str, given: int | None, dim: int) -> None:
    if given not in (None, dim):
        raise ValueError(f"{what} has dimension {given}, the dynamics {dim}")


def _grid(
    vary: Mapping[str, Any] | None, values: dict[str, Any], dynamics: Any, seen: Watch
) -> tuple[dict[str, np.ndarray], frozenset[str], dict[str, Any]]:
    """Grid values by the name given, the paths that vary, and all parameter values over cells."""
    grid: dict[str, np.ndarray] = {}
    paths: dict[str, list[str]] = {}
    for name, entries in (vary or {}).items():
        found = _meant(name, values, dynamics, seen)
        array = np.atleast_1d(np.asarray(entries))
        if array.ndim != 1 or array.size == 0 or not is_number(array):
            raise ValueError(f"vary[{name!r}] must be a list of numbers, got {entries!r}")
        if any(path in other for path in found for other in paths.values()):
            raise ValueError(f"vary names {found[0]} twice")
        if name in ("path", "time", "component", "well", "to_well", "passage"):
            raise ValueError(f"vary cannot use the name {name!r}: it is a dimension of every dataset")
        grid[name], paths[name] = array.astype(float), found
    points = list(itertools.product(*grid.values()))
    values = dict(values)
    for i, name in enumerate(grid):
        values |= {path: np.array([p[i] for p in points]) for path in paths[name]}
    return grid, frozenset(path for found in paths.values() for path in found), values


def _meant(name: str, values: dict[str, Any], dynamics: Any, seen: Watch) -> list[str]:
    """The paths that a name of `vary` stands for: a symbol of formulas is the same in the step and in the region.

    Raises
    ------
    ValueError
        If there is no such parameter, or the cores of Passages would have to move with it.
    """
    watched = [] if seen.exit is None else [f"exit.{path}" for path in formula_parameters(seen.exit)]
    symbols = [p for p in [*formula_parameters(dynamics), *watched] if p.rsplit(".", 1)[-1] == name]
    if symbols and seen.passages is not None and name in seen.passages.landscape.params:
        raise ValueError(f"vary[{name!r}] would move the wells of Passages: run its values one at a time")
    others = [p for p in values if p.rsplit(".", 1)[-1] == name and p not in symbols]
    return symbols if symbols and not others else [resolve(name, values)]


def _clock(dynamics: Any, seen: Watch, values: dict[str, Any], varied: frozenset[str], cells: int) -> np.ndarray:
    """Time per step in each cell. Binding the values checks them: at once for formulas, else cell by cell."""
    if getattr(dynamics, "objective", None) is None:
        moved, _, _ = bind(dynamics, seen, values)
        return np.broadcast_to(np.asarray(moved.clock, dtype=float), (cells,)).copy()
    each = [{p: (v[c] if p in varied else v) for p, v in values.items()} for c in range(cells)]
    return np.array([bind(dynamics, seen, own)[0].clock for own in each], dtype=float)


def _horizon(clock: np.ndarray, t_max: float | None, n_steps: int | None) -> np.ndarray:
    """Steps of a path in each cell."""
    if (t_max is None) == (n_steps is None):
        raise ValueError("give t_max= (time) or n_steps= (steps), one of them: it ends paths that do not exit")
    if n_steps is not None:
        steps = np.full(len(clock), count("n_steps", n_steps, least=1), dtype=np.int64)
    else:
        positive("t_max", t_max)
        ratio = float(t_max or 0.0) / clock
        if np.any(ratio < 1 - 1e-9):
            raise ValueError(f"t_max={t_max:g} is shorter than one step of {clock.max():g}")
        if np.any(ratio > MAX_STEPS):
            raise ValueError(f"t_max={t_max:g} is more than 2**47 steps of {clock.min():g}: shorten it")
        steps = np.floor(ratio * (1 + 1e-12) + 1e-9).astype(np.int64)
    if np.any(steps > MAX_STEPS):
        raise ValueError(f"n_steps must be at most 2**47, got {n_steps}")
    return steps


def _schedule(observer: Any, clock: np.ndarray) -> np.ndarray:
    if observer is None:
        return np.zeros((len(clock), 0), dtype=np.int64)
    return np.array([steps_of(observer.times, c) for c in clock])


def _start(x0: Any, dim: int, cells: int, n_paths: int, start_path: int, seed: int) -> np.ndarray:
    """First states of all paths in all cells, (cells * n_paths, dim), from a value, an array or a law."""
    if isinstance(x0, Law):
        if dim > 1 and isinstance(x0, Stable) and x0.isotropic is None:
            raise ValueError(f"x0={x0} in {dim} dimensions needs isotropic=True or False: the laws differ")
        ids = philox.path_id(np.repeat(np.arange(cells), n_paths), np.tile(start_path + np.arange(n_paths), cells))
        flat = [w for b in range(x0.rounds(dim).blocks) for w in philox.words(seed, ids, philox.START, b)]
        return np.ascontiguousarray(np.stack(x0.draw(NUMPY, dim, flat)[0], axis=-1))
    try:
        given = np.asarray(x0, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"x0 must be a number, an array or a law, got {x0!r}") from None
    if not np.all(np.isfinite(given)):
        raise ValueError("x0 must be finite")
    shapes = f"({dim},) for all paths or ({n_paths}, {dim}) for each" if dim > 1 else f"() or ({n_paths},)"
    if (given.shape in ((), (1,)) and dim == 1) or (given.shape == (dim,) and dim > 1):
        one = np.broadcast_to(given.reshape(-1), (n_paths, dim))
    elif given.shape == (n_paths, dim) or (dim == 1 and given.shape == (n_paths,)):
        one = given.reshape(n_paths, dim)
    else:
        raise ValueError(f"x0 has shape {given.shape}: possible are {shapes}")
    return np.array(np.broadcast_to(one, (cells, n_paths, dim)), order="C").reshape(cells * n_paths, dim)


def _check_inside(plan: Plan) -> None:
    """Refuse paths that start outside the region they are to leave."""
    if plan.watch.exit is None or not getattr(plan.watch.exit.region, "formulas", True):
        return  # what only tensors know, the tensor engine checks
    grouped = plan.x0.reshape(plan.cells, plan.n_paths, -1)
    fixed = not any(p.startswith("exit.") for p in plan.varied)
    for cell in range(plan.cells):
        values = {k[len("exit.") :]: v for k, v in plan.in_cell(cell).items() if k.startswith("exit.")}
        region = rebind(plan.watch.exit, values).region
        inside = region.contains(grouped[cell])
        if not np.all(inside):
            first = grouped[cell][np.flatnonzero(~inside)[0]]
            where = first[0] if len(first) == 1 else tuple(first.tolist())
            raise ValueError(f"x0={where} lies outside the region {region}: start inside it")
        if fixed and cell == 0 and _same_start(plan):
            return


def _same_start(plan: Plan) -> bool:
    return plan.cells == 1 or bool(np.all(plan.x0.reshape(plan.cells, -1) == plan.x0[: plan.n_paths].reshape(1, -1)))
