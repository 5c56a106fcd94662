"""A run traced with symbols: what one round of steps computes, as formulas in states, uniforms and parameters.

The step of the dynamics, the draws of its law, the region of an exit and the crossing law are each written over `ops`;
here they run once on symbols. Whatever depends on parameters alone is taken out and passed to the kernel as numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from sdesim.core.ops import SYMBOLIC, unit
from sdesim.core.printing import Hoister, cheaper, native_lines
from sdesim.core.stages import cut
from sdesim.dynamics.parameters import parameters, rebind
from sdesim.observe import bridge
from sdesim.observe.basin import FlowBasin
from sdesim.observe.first_exit import FirstExit
from sdesim.observe.passages import Passages
from sdesim.observe.regions import Ball, Interval
from sdesim.observe.schedule import Moments, Record


@dataclass(frozen=True)
class Watch:
    """The observers of a run, at most one of each kind."""

    exit: FirstExit | None = None
    record: Record | None = None
    moments: Moments | None = None
    passages: Passages | None = None


def watch(observers: Any) -> Watch:
    """The observers by kind.

    Raises
    ------
    ValueError, TypeError
        If a kind appears twice or something is no observer.
    """
    kinds = {FirstExit: "exit", Record: "record", Moments: "moments", Passages: "passages"}
    found: dict[str, Any] = {}
    for observer in observers:
        name = kinds.get(type(observer))
        if name is None:
            known = ", ".join(k.__name__ for k in kinds)
            raise TypeError(f"{observer!r} is no observer: use {known}")
        if name in found:
            raise ValueError(f"two {type(observer).__name__} observers in one run: give one of each kind")
        found[name] = observer
    return Watch(**found)


@dataclass(frozen=True)
class Function:
    """One compiled function of the kernel: argument names, shared assignments, results.

    `outputs` names the lane arrays that keep the results: draws, and stages of a longer formula.
    """

    name: str
    args: tuple[str, ...]
    lines: tuple[str, ...]
    results: tuple[str, ...]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """Everything the source of a kernel is made from.

    Attributes
    ----------
    dim, noise_dim : int
    steps, blocks : int
        Steps in one round, and Philox blocks they take.
    words : tuple of str
        What the draws want of each word of the blocks: w0, w1, ... as it is, u0, u1, ... made a uniform, "" not at all.
    functions : dict of Function
        draw0, draw1, ..., step, inside; core_0, core_1, ...; rarity, chance and crossing when the bridge applies.
    stages : dict of lists of Function
        What is to be computed before each of the draws and before step, in order.
    hoister, symbols : parameters-only formulas, and the symbol of each parameter path
    kernels : the loops compiled so far
    """

    dim: int
    noise_dim: int
    steps: int
    blocks: int
    words: tuple[str, ...]
    functions: dict[str, Function]
    stages: dict[str, list[Function]]
    bridge: bool
    check_finite: bool
    wells: int
    basin: FlowBasin | None
    hoister: Hoister = field(compare=False)
    symbols: dict[str, sp.Symbol] = field(compare=False)
    kernels: dict[Any, Callable[..., None]] = field(default_factory=dict, compare=False)

    def parameter_values(self, values: dict[str, Any], cells: int) -> np.ndarray:
        """The kernel's numbers for each cell, shape (parameters, cells)."""
        return self.hoister.values({s: values[path] for path, s in self.symbols.items()}, cells)

    def varied(self, names: set[str]) -> list[bool]:
        """Which kernel numbers depend on the parameters of these paths."""
        moving = {self.symbols[n] for n in names}
        return [bool(expr.free_symbols & moving) for expr in self.hoister.names]


def all_parameters(dynamics: Any, seen: Watch) -> dict[str, Any]:
    """Numeric parameters of dynamics and observers by dotted path; the exit region's come under `region`."""
    found = parameters(dynamics)
    if seen.exit is not None:
        found.update({f"exit.{k}": v for k, v in parameters(seen.exit).items()})
    for j, core in enumerate(seen.passages.cores() if seen.passages else []):
        found.update({f"core{j}.{k}": v for k, v in parameters(core).items()})
    return found


def bind(dynamics: Any, seen: Watch, values: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """Dynamics, exit region and cores with parameters replaced."""
    region = None
    if seen.exit is not None:
        own = {k[len("exit.") :]: v for k, v in values.items() if k.startswith("exit.")}
        region = rebind(seen.exit, own).region
    cores = []
    for j, core in enumerate(seen.passages.cores() if seen.passages else []):
        prefix = f"core{j}."
        cores.append(rebind(core, {k[len(prefix) :]: v for k, v in values.items() if k.startswith(prefix)}))
    return rebind(dynamics, values), region, cores


def trace(dynamics: Any, seen: Watch) -> Program:
    """Run the step, the law, the region and the crossing once on symbols."""
    paths = all_parameters(dynamics, seen)
    symbols = {path: sp.Symbol(f"q{i}", real=True) for i, path in enumerate(paths)}
    moved, region, cores = bind(dynamics, seen, dict(symbols))
    hoist = Hoister(symbols.values())
    d, m = dynamics.dim, dynamics.noise_dim
    steps, blocks = dynamics.noise.rounds(m)
    x, y = _symbols("x", d), _symbols("y", d)
    z, words = _symbols("z", m), _symbols("w", 2 * blocks)
    k = sp.Symbol("k", real=True)

    make = _Maker(hoist)
    draws, sources = _from_words([v for group in moved.noise.draw(SYMBOLIC, m, words) for v in group], words)
    scale, draws = _common_scale(draws, set(symbols.values()))
    inputs = [s for s in sources if s is not None]
    for i, group in enumerate(_groups(draws, set(inputs))):
        make.in_stages(f"draw{i}", inputs, [draws[j] for j in group], tuple(f"z{j}" for j in group))
    make.in_stages("step", [*x, *z, k], moved.step(SYMBOLIC, x, [scale * v for v in z], k))
    bounded = False
    if region is not None:
        make("inside", x, region.margins(SYMBOLIC, x))
        bounded = isinstance(region, Interval | Ball | FlowBasin)  # no infinite state lies inside
        if isinstance(region, FlowBasin):
            make("slope", x, region.gradient(SYMBOLIC, x))
    for j, core in enumerate(cores):
        make(f"core_{j}", x, core.margins(SYMBOLIC, x))
    uses_bridge = seen.exit is not None and seen.exit.uses_bridge(dynamics)
    if uses_bridge:
        w, v = sp.Symbol("w", real=True), sp.Symbol("v", real=True)
        make("rarity", [*x, *y, k], [bridge.rarity(SYMBOLIC, moved, region, x, y, k)])
        make("chance", [*x, *y, k], [bridge.probability(SYMBOLIC, moved, region, x, y, k)])
        make("crossing", [*x, *y, k, w, v], bridge.crossing(SYMBOLIC, moved, region, x, y, k, w, v))
    return Program(
        d,
        m,
        steps,
        blocks,
        tuple("" if s is None else s.name for s in sources),
        make.functions,
        make.stages,
        uses_bridge,
        not bounded,
        len(cores),
        region if isinstance(region, FlowBasin) else None,
        hoist,
        symbols,
    )


def _from_words(draws: list[Any], words: list[sp.Symbol]) -> tuple[list[Any], list[sp.Symbol | None]]:
    """The draws with symbols for the uniforms of words, and for each word what they want of it."""
    made = {unit(w): sp.Symbol(f"u{i}", real=True) for i, w in enumerate(words)}
    draws = [sp.sympify(v).xreplace(made) for v in draws]
    used = set().union(*(v.free_symbols for v in draws))
    return draws, [next((s for s in (w, made[unit(w)]) if s in used), None) for w in words]


def _groups(draws: list[Any], inputs: set[Any]) -> list[list[int]]:
    """Numbers of the draws, those together that are made from the same words: every loop is as short as can be."""
    found: dict[frozenset[Any], list[int]] = {}
    for j, draw in enumerate(draws):
        found.setdefault(frozenset(draw.free_symbols & inputs), []).append(j)
    return list(found.values())


def _common_scale(draws: list[Any], parameters: set[sp.Symbol]) -> tuple[Any, list[Any]]:
    """A factor of parameters that all draws share, to be joined with the step's own, and the draws without it."""
    parts = [d.as_independent(*(d.free_symbols - parameters), as_Add=False) for d in draws]
    scales = {scale for scale, _ in parts}
    return (scales.pop(), [rest for _, rest in parts]) if len(scales) == 1 else (sp.S.One, draws)


def _symbols(prefix: str, n: int) -> list[sp.Symbol]:
    return [sp.Symbol(f"{prefix}{i}", real=True) for i in range(n)]


class _Maker:
    """Collects functions whose parameters share one hoister."""

    def __init__(self, hoist: Hoister) -> None:
        self.hoist = hoist
        self.functions: dict[str, Function] = {}
        self.stages: dict[str, list[Function]] = {}

    def __call__(self, name: str, args: list[sp.Symbol], exprs: list[Any]) -> None:
        self.functions[name] = _function(name, [a.name for a in args], self._ready(exprs))

    def in_stages(self, name: str, args: list[sp.Symbol], exprs: list[Any], outputs: tuple[str, ...] = ()) -> None:
        """A function whose costly parts are functions of their own, to be called before it."""
        stages, reduced = cut(self._ready(exprs), f"{name}_h")
        names, made = [a.name for a in args], []
        for i, stage in enumerate(stages):
            needed = set().union(*(e.free_symbols for e in stage.exprs))
            made.append(_function(f"{name}_{i}", [n for n in names if _named(n, needed)], stage.exprs, stage.names))
            names += stage.names
        self.stages[name] = made
        needed = set().union(*(e.free_symbols for e in reduced))
        self.functions[name] = _function(name, [n for n in names if _named(n, needed)], reduced, outputs)

    def _ready(self, exprs: list[Any]) -> list[sp.Expr]:
        return cheaper([self.hoist(sp.sympify(e)) for e in exprs])


def _named(name: str, symbols: set[sp.Symbol]) -> bool:
    return any(s.name == name for s in symbols)


def _function(name: str, args: list[str], exprs: Sequence[sp.Expr], outputs: tuple[str, ...] = ()) -> Function:
    lines, results = native_lines(exprs)
    return Function(name, tuple(args), tuple(lines), tuple(results), outputs)
