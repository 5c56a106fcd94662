"""An exit-time experiment written as text, without a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy

from sdesim.core.checks import near
from sdesim.study.model import Experiment

N_PATHS = 65_536
CORRECTIONS = {"auto": "auto", "bridge": "bridge", "none": None}


def exit_experiment(
    formula: str,
    *,
    x0: Sequence[float],
    until: Sequence[str],
    noise: str = "gaussian",
    sigma: float = 1.0,
    alpha: float | None = None,
    isotropic: bool | None = None,
    dt: float = 0.01,
    t_max: float = 1e4,
    correction: str = "auto",
    param: Mapping[str, float] | None = None,
) -> Experiment:
    r"""First exit times of a landscape.

    Gaussian and stable noise drive :math:`dX = -\nabla f(X)\,dt + \sigma\,dW`, stepped by Euler; Pareto,
    Student, uniform and Rademacher noise drive :math:`x^+ = x - dt\,(\nabla f(x) - Z)`, Z of scale sigma.

    Parameters
    ----------
    formula : str
        The loss f, such as "x**4/4 - x**2/2".
    x0 : sequence of float
        Start: one number for each variable, in alphabetical order.
    until : sequence of str
        A path stops when one of these holds: inequalities such as "x>0", "x**2 + y**2 > 1".
    noise, sigma, alpha, isotropic
        Law of the increments, its size and index (degrees of freedom of a Student law).
    dt : float
        Time step.
    t_max : float
        Time at which a path that is still inside is censored.
    correction : {"auto", "bridge", "none"}
        Exits between steps.
    param : mapping of name to number, optional
        Values of the parameters in the formula and the conditions.

    Returns
    -------
    Experiment
        Ready to run.

    Raises
    ------
    ValueError
        If a text is no formula, a name or value is not possible, or the start is outside.
    """
    from sdesim.dynamics.integrators import EulerMaruyama
    from sdesim.dynamics.sde import SDE
    from sdesim.dynamics.sgd import SGD
    from sdesim.observe.first_exit import FirstExit
    from sdesim.problems.landscape import Landscape

    params = dict(param or {})
    landscape = Landscape(formula, params=params)
    if len(x0) != landscape.dim:
        names = ", ".join(landscape.variables)
        raise ValueError(f"--x0 needs {landscape.dim} numbers, for {names}; got {len(x0)}")
    if correction not in CORRECTIONS:
        raise ValueError(f"unknown correction {correction!r}: {near(correction, CORRECTIONS)}")
    law = _law(noise, sigma, alpha, isotropic, landscape.dim)
    dynamics: Any
    if noise in ("gaussian", "stable"):
        dynamics = EulerMaruyama(SDE(-landscape.gradient, sigma, noise=law), dt=dt)
    else:
        dynamics = SGD(landscape, lr=dt, noise=law)
    observer = FirstExit(region(until, landscape.variables, params), correction=CORRECTIONS[correction])
    start = x0[0] if landscape.dim == 1 else list(x0)
    return Experiment(dynamics, start, N_PATHS, t_max=t_max, observers=(observer,))


def region(until: Sequence[str], variables: Sequence[str], params: Mapping[str, float]) -> Any:
    """The region in which none of the conditions holds.

    One variable: an `Interval`. Several variables and one condition: a `HalfSpace` or `Ball` where the
    condition is one, else the `Sublevel` set of its formula.

    Raises
    ------
    ValueError
        If a condition is no inequality between formulas, has unknown symbols, or there are several of them
        in several variables.
    """
    if not until:
        raise ValueError("--until needs a condition such as 'x>0'")
    functions = [_function(text, variables, params) for text in until]
    symbols = [sympy.Symbol(name, real=True) for name in variables]
    if len(symbols) == 1 and all(_degree(g, symbols) == 1 for g in functions):
        return _interval(functions, symbols[0])
    if len(functions) > 1:
        raise ValueError(
            "several --until are possible for linear conditions in one variable only: write one formula"
        )
    return _region(functions[0], symbols)


def _law(noise: str, sigma: float, alpha: float | None, isotropic: bool | None, dim: int) -> Any:
    from sdesim.problems.laws import law_named

    law = law_named(noise)
    needs_alpha = noise in ("stable", "pareto", "student")
    if needs_alpha and alpha is None:
        raise ValueError(f"--noise {noise} needs --alpha")
    if not needs_alpha and alpha is not None:
        raise ValueError(f"--noise {noise} has no --alpha: leave it out, or write --noise stable")
    if noise == "stable":
        return law(alpha, isotropic=isotropic)
    if isotropic is not None:
        raise ValueError(f"--noise {noise} has no --isotropic: leave it out")
    if noise == "gaussian":
        return law()
    if noise == "uniform":
        return law(half_width=sigma)
    if noise == "rademacher":
        return law(scale=sigma)
    return law(alpha, scale=sigma)


def _function(text: str, variables: Sequence[str], params: Mapping[str, float]) -> sympy.Expr:
    """The function that is positive where the condition holds."""
    from sdesim.core.formula import parse_condition

    g = parse_condition(text)[0].subs(
        {sympy.Symbol(name, real=True): value for name, value in params.items()}
    )
    for symbol in sorted(map(str, g.free_symbols - {sympy.Symbol(name, real=True) for name in variables})):
        raise ValueError(f"--until {text!r} has the unknown symbol {symbol!r}: {near(symbol, variables)}")
    return g


def _degree(g: sympy.Expr, symbols: Sequence[sympy.Symbol]) -> int | None:
    return sympy.Poly(g, *symbols).total_degree() if g.is_polynomial(*symbols) else None


def _interval(functions: Sequence[sympy.Expr], x: sympy.Symbol) -> Any:
    from sdesim.observe.regions import Interval

    low, high = -float("inf"), float("inf")
    for g in functions:
        slope, end = float(g.diff(x)), float(-g.subs(x, 0) / g.diff(x))
        low, high = (low, min(high, end)) if slope > 0 else (max(low, end), high)
    return Interval(low, high)


def _region(g: sympy.Expr, symbols: Sequence[sympy.Symbol]) -> Any:
    from sdesim.observe.regions import Ball, HalfSpace, Sublevel
    from sdesim.problems.landscape import Landscape

    origin = dict.fromkeys(symbols, 0)
    gradient = [g.diff(s) for s in symbols]
    degree = _degree(g, symbols)
    if degree == 1:
        return HalfSpace([float(slope) for slope in gradient], -float(g.subs(origin)))
    hessian = sympy.hessian(g, symbols)
    if degree == 2 and hessian == hessian[0] * sympy.eye(len(symbols)) and hessian[0] > 0:
        center = [-slope.subs(origin) / hessian[0] for slope in gradient]
        radius_squared = -2 * g.subs(dict(zip(symbols, center, strict=True))) / hessian[0]
        if radius_squared > 0:
            return Ball([float(c) for c in center], float(sympy.sqrt(radius_squared)))
    return Sublevel(Landscape(g, variables=[str(s) for s in symbols]), 0.0)
