"""Landscape: a loss given as a formula, with its derivatives, critical points, basins and barriers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from sdesim.core.checks import near
from sdesim.core.field import Field, evaluate, numeric_params, variable_names
from sdesim.core.formula import FormulaError, OpsFunction, differentiate, expression, ops_function, text_of
from sdesim.problems import critical, multistart

Box = tuple[tuple[float, float], ...]


class Landscape:
    r"""A loss f(x) of one or several variables, given as a formula.

    Nothing is searched for until it is asked for; results are kept. With one variable the search for minima
    and maxima is complete on the domain, kinks such as that of `abs(x)` included; with several it starts
    Newton's method from many points and may miss some (see `search`).

    Parameters
    ----------
    formula : text, number or SymPy expression
        The loss. Symbols are matched by name and made real.
    variables : sequence of str, optional
        Names of the components of x, in order; by default all symbols that are not parameters, sorted.
    params : mapping of str to float, optional
        Values of the other symbols.
    domain : (low, high), or one pair per variable, optional
        Where critical points are searched. By default an interval (box) outside of which the loss rises.

    Raises
    ------
    FormulaError
        If the formula is not one, or contains a symbol that is neither variable nor parameter.

    Examples
    --------
    >>> well = Landscape("x**4/4 - x**2/2")
    >>> well.minima, well.maxima
    (array([-1.,  1.]), array([0.]))
    >>> float(well.barriers[0, 1])
    0.25
    """

    def __init__(
        self,
        formula: Any,
        variables: Sequence[str] | None = None,
        params: Mapping[str, Any] | None = None,
        domain: Any = None,
    ) -> None:
        self.formula = formula
        self.expr: sp.Expr = expression(formula)
        self.params: dict[str, Any] = numeric_params(params)
        names = {s.name for s in self.expr.free_symbols}
        for name in self.params:
            if name not in names:
                raise ValueError(f"the formula has no parameter {name}; {near(name, names)}")
        if variables is None:
            variables = sorted(names - set(self.params))
        elif isinstance(variables, str):
            raise TypeError(f"variables must be a list of names, got {variables!r}; write [{variables!r}]")
        self.variables = variable_names(variables)
        for name in sorted(names - set(self.params)):
            if name not in self.variables:
                raise FormulaError(f"{name} is neither a variable nor a parameter; add it to params=")
        for name in self.params:
            if name in self.variables:
                raise ValueError(f"{name} is given as a variable and as a parameter; drop one of them")
        self.domain: Box | None = None if domain is None else _box(domain, self.variables)

    def __repr__(self) -> str:
        extra = f", params={self.params}" if self.params else ""
        return f"Landscape({text_of(self.expr)!r}, variables={list(self.variables)}{extra})"

    def _key(self) -> tuple[Any, ...]:
        return self.expr, self.variables, frozenset(self.params.items()), self.domain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Landscape) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def dim(self) -> int:
        """Number of variables d."""
        return len(self.variables)

    def with_params(self, **values: Any) -> Landscape:
        """The same formula with other values of some parameters.

        Raises
        ------
        ValueError
            If a name is not one of the parameters.
        """
        for name in values:
            if name not in self.params:
                raise ValueError(f"the landscape has no parameter {name}; {near(name, self.params)}")
        return Landscape(self.formula, self.variables, {**self.params, **values}, self.domain)

    # Values and derivatives.

    def __call__(self, x: Any) -> Any:
        """Loss at `x`: shape (...,) for points of shape (..., d), or the shape of `x` when d == 1."""
        return evaluate(self._value, x, self.dim, self.params)[0][()]

    @cached_property
    def gradient(self) -> Field:
        """Gradient of the loss; at a kink the mean of the one-sided slopes."""
        exprs = tuple(differentiate(self.expr, s) for s in self._symbols)
        return Field(exprs, self.variables, self.params)

    @cached_property
    def hessian_exprs(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """Second derivatives, as rows of formulas; a kink's jump of slope is left out."""
        return self.gradient.jacobian_exprs

    def hessian(self, x: Any) -> Any:
        """Second derivatives at `x`: shape (..., d, d), or the shape of `x` when d == 1."""
        values = evaluate(self._curvature, x, self.dim, self.params)
        if self.dim == 1:
            return values[0][()]
        entries = np.stack(values, axis=-1)
        return entries.reshape(*entries.shape[:-1], self.dim, self.dim)

    @cached_property
    def _symbols(self) -> list[sp.Symbol]:
        return [sp.Symbol(v, real=True) for v in self.variables]

    def _compiled(self, exprs: Sequence[sp.Expr]) -> OpsFunction:
        return ops_function(exprs, [*self.variables, *self.params])

    @cached_property
    def _value(self) -> OpsFunction:
        return self._compiled([self.expr])

    @cached_property
    def _curvature(self) -> OpsFunction:
        return self._compiled([e for row in self.hessian_exprs for e in row])

    # Critical points.

    @cached_property
    def search_domain(self) -> Box:
        """Where critical points are searched: `domain`, or an interval (box) beyond which the loss rises.

        Raises
        ------
        ValueError
            If no domain is given and the loss does not rise far from the origin.
        """
        if self.domain is not None:
            return self.domain
        if self.dim == 1:
            return (self._searched[1],)
        return multistart.confining_box(self.gradient, self.dim)

    @property
    def search(self) -> dict[str, Any]:
        """How critical points are found, and whether that finds all of them in `domain`."""
        if self.dim == 1:
            return {"method": "bracketing", "complete": True, "domain": self.search_domain}
        n_starts = multistart.STARTS_PER_DIM * self.dim
        return {"method": "multistart", "complete": False, "starts": n_starts, "domain": self.search_domain}

    @cached_property
    def _searched(self) -> tuple[critical.Extrema, tuple[float, float]]:
        kinks: list[critical.Function] = [Field((k,), self.variables, self.params) for k in self._kinks]
        if self.domain is None:
            return critical.confined_extrema(self._slope, self.hessian, kinks)
        return critical.extrema(self._slope, self.hessian, kinks, *self.domain[0]), self.domain[0]

    def _slope(self, x: Any) -> Any:
        """Slope where the loss is defined: log(x) has none for x < 0, though 1/x has values there."""
        return np.where(np.isnan(self(x)), np.nan, self.gradient(x))

    @cached_property
    def _kinks(self) -> list[sp.Expr]:
        return _kinks(self.expr, self._symbols)

    def _kink_minima(self) -> np.ndarray:
        kinks = Field(tuple(self._kinks), self.variables, self.params)
        normals = Field(sum(kinks.jacobian_exprs, ()), self.variables, self.params)
        shape = (-1, len(self._kinks), self.dim)
        return multistart.kink_minima(self, kinks, lambda x: normals(x).reshape(shape), self.search_domain)

    @cached_property
    def minima(self) -> np.ndarray:
        """Local minima inside the domain, sorted: shape (m,) when d == 1, (m, d) else."""
        if self.dim == 1:
            return self._searched[0].minima
        box = self.search_domain
        smooth = multistart.stationary_points(self.gradient, self.hessian, box, index=0)
        if not self._kinks:
            return smooth
        # Smooth points come first: Newton's method is the more precise of the two.
        found = np.concatenate([smooth, self._kink_minima()])
        return multistart.distinct(found, self._size)

    @property
    def maxima(self) -> np.ndarray:
        """Local maxima inside the domain, sorted, shape (m,); for one variable.

        Raises
        ------
        ValueError
            If there are several variables.
        """
        if self.dim > 1:
            raise ValueError(f"maxima are for one variable, this landscape has {self.dim}; use saddles")
        return self._searched[0].maxima

    @cached_property
    def saddles(self) -> np.ndarray:
        """Passes between minima: the maxima when d == 1, saddles of index 1 with shape (m, d) else."""
        if self.dim == 1:
            return self.maxima
        return multistart.stationary_points(self.gradient, self.hessian, self.search_domain, index=1)

    @property
    def _size(self) -> float:
        return float(np.linalg.norm([high - low for low, high in self.search_domain]))

    # Basins and barriers.

    @cached_property
    def basins(self) -> list[tuple[float, float]]:
        """For one variable: the interval (low, high) that flows into each minimum.

        The outermost basins end at a maximum if the loss falls towards the edge of the domain, else at that
        edge, or at infinity when the domain was found automatically.

        Raises
        ------
        ValueError
            If there are several variables.
        """
        if self.dim > 1:
            raise ValueError(f"basins are for one variable, this landscape has {self.dim}; use basin_of")
        if not len(self.minima):
            return []
        outer = self.domain[0] if self.domain else (-np.inf, np.inf)
        ends = [critical.domain_edge(self, m, o) for m, o in zip(self.minima[[0, -1]], outer, strict=True)]
        walls = np.sort(np.concatenate([ends[:1], self.maxima, self._searched[0].gaps, ends[1:]]))
        right = np.searchsorted(walls, self.minima)
        return [(float(walls[i - 1]), float(walls[i])) for i in right]

    def basin_of(self, x: Any) -> Any:
        """Index of the minimum that gradient flow reaches from `x`; -1 where it reaches none.

        Parameters
        ----------
        x : array, shape (..., d), or any shape when d == 1

        Returns
        -------
        integer array, shape (...)
        """
        points = np.asarray(x, dtype=float)
        if self.dim == 1:
            index = np.full(points.shape, -1)
            for i, (low, high) in enumerate(self.basins):
                index = np.where((points > low) & (points < high), i, index)
            return index[()]
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"points have shape {points.shape}, expected (..., {self.dim})")
        rows = points.reshape(-1, self.dim)
        return self._flow(rows).reshape(points.shape[:-1])[()]

    def _flow(self, rows: np.ndarray) -> np.ndarray:
        return multistart.flow(self.gradient, self.hessian, self.minima, rows, self._size)

    @cached_property
    def barriers(self) -> np.ndarray:
        """Heights above minimum i of the lowest pass that leads directly to minimum j.

        Shape (m, m), in units of the loss; infinite where no pass joins i and j, 0 on the diagonal. In
        several dimensions the passes are the saddles found, each followed downhill on both sides.
        """
        passes = np.full((len(self.minima),) * 2, np.inf)
        for i, j, height in self._passes():
            passes[i, j] = passes[j, i] = min(passes[i, j], height)
        heights = passes - np.asarray(self(self.minima))[:, None] if len(self.minima) else passes
        np.fill_diagonal(heights, 0.0)
        return heights

    def _passes(self) -> list[tuple[int, int, float]]:
        if self.dim == 1:
            edges = pairwise(self.basins)
            return [(i, i + 1, float(self(a[1]))) for i, (a, b) in enumerate(edges) if a[1] == b[0]]
        if not len(self.saddles):
            return []
        lowest = np.linalg.eigh(self.hessian(self.saddles))[1][..., 0] * (1e-4 * self._size)
        ends = zip(self._flow(self.saddles + lowest), self._flow(self.saddles - lowest), strict=True)
        heights = self(self.saddles)
        joined = zip(ends, heights, strict=True)
        return [(i, j, float(v)) for (i, j), v in joined if i != j and min(i, j) >= 0]


def _kinks(expr: sp.Expr, symbols: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """Expressions at whose zeros the formula may have a kink."""
    found = [f.args[0] for f in expr.atoms(sp.Abs, sp.sign)]
    found += [p.base for p in expr.atoms(sp.Pow) if p.base != sp.E and not p.exp.is_integer]
    for choice in expr.atoms(sp.Min, sp.Max):
        found += [a - b for i, a in enumerate(choice.args) for b in choice.args[:i]]
    found += [order.lhs - order.rhs for order in expr.atoms(Relational)]
    return [k for k in dict.fromkeys(found) if k.free_symbols & set(symbols)]


def _box(domain: Any, variables: tuple[str, ...]) -> Box:
    """One pair (low, high) per variable."""
    if isinstance(domain, Mapping):
        unknown = next((n for n in domain if n not in variables), None)
        if unknown is not None or len(domain) != len(variables):
            given = ", ".join(map(str, domain))
            raise ValueError(f"domain names {given}, the variables are {', '.join(variables)}")
        domain = [domain[v] for v in variables]
    pairs = np.asarray(domain, dtype=float)
    if len(variables) == 1 and pairs.shape == (2,):
        pairs = pairs[None]
    if pairs.shape != (len(variables), 2):
        names = ", ".join(variables)
        raise ValueError(f"domain has shape {pairs.shape}, expected one (low, high) for each of {names}")
    for name, (low, high) in zip(variables, pairs, strict=True):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"domain of {name} must be finite with low < high, got ({low:g}, {high:g})")
    return tuple((float(low), float(high)) for low, high in pairs)
