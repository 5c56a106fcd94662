"""Vector fields given by formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from sdesim.core.checks import is_number, near
from sdesim.core.formula import FormulaError, OpsFunction, differentiate, expression, ops_function
from sdesim.core.ops import NUMPY


def evaluate(function: OpsFunction, x: Any, dim: int, params: Mapping[str, Any]) -> list[Any]:
    """Values of `function(*variables, *params)` at points `x`, each with the shape of the points.

    Parameters
    ----------
    x : array, shape (..., dim), or any shape when dim == 1
        Points; with one variable every entry is a point.

    Raises
    ------
    ValueError
        If the last axis of `x` does not have length `dim`.
    """
    points = np.asarray(x, dtype=float)
    if dim > 1 and (points.ndim == 0 or points.shape[-1] != dim):
        raise ValueError(f"points have shape {points.shape}, expected (..., {dim}): one entry per variable")
    for name, value in params.items():
        if not is_number(value):
            raise FormulaError(f"the parameter {name} is the symbol {value}; give it a number to evaluate")
    components = [points] if dim == 1 else [points[..., i] for i in range(dim)]
    with np.errstate(all="ignore"):
        values = function(NUMPY, *components, *params.values())
    return [np.asarray(v, dtype=float) + np.zeros(components[0].shape) for v in values]


def numeric_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameter values as finite floats; symbols, which stand for values given later, pass.

    Raises
    ------
    TypeError
        If a value is not one number.
    ValueError
        If a value is not finite.
    """
    values: dict[str, Any] = {}
    for name, value in (params or {}).items():
        if isinstance(value, sp.Expr) and value.free_symbols:
            values[name] = value
            continue
        if not is_number(value) or np.ndim(value) != 0:
            raise TypeError(f"parameter {name} must be one number, got {value!r}; use vary= for several")
        if not np.isfinite(value):
            raise ValueError(f"parameter {name} must be finite, got {value}")
        values[name] = float(value)
    return values


@dataclass(frozen=True)
class Field:
    r"""A vector field x -> (f_1(x), ..., f_n(x)) given by formulas.

    Parameters
    ----------
    exprs : sequence of formulas
        Components: text, numbers or SymPy.
    variables : sequence of str
        Names of the components of x, in order.
    params : mapping of str to float
        Values of other symbols. A symbol that has none yet may be given one later, by an SDE for example.

    Examples
    --------
    >>> rotation = Field(["-y", "x"], ["x", "y"])
    >>> (2 * rotation)([1.0, 0.0])
    array([0., 2.])
    """

    exprs: tuple[sp.Expr, ...]
    variables: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("exprs", self.exprs), ("variables", self.variables)):
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise TypeError(f"{name} of a field must be a list, got {value!r}; write [{value!r}]")
        object.__setattr__(self, "exprs", tuple(expression(e) for e in self.exprs))
        object.__setattr__(self, "variables", variable_names(self.variables))
        object.__setattr__(self, "params", numeric_params(self.params))
        both = set(self.variables) & set(self.params)
        if both:
            raise ValueError(f"{min(both)} is given as a variable and as a parameter; drop one of them")

    def __hash__(self) -> int:
        return hash((self.exprs, self.variables, frozenset(self.params.items())))

    def __call__(self, x: Any) -> Any:
        """Values at `x`.

        Parameters
        ----------
        x : array, shape (..., dim), or any shape when there is one variable

        Returns
        -------
        array, shape (..., n_components)
            With one variable and one component: the shape of `x`.
        """
        values = evaluate(self._function, x, len(self.variables), self.params)
        if len(self.variables) == 1 and len(values) == 1:
            return values[0][()]
        return np.stack(values, axis=-1)

    @cached_property
    def _function(self) -> OpsFunction:
        names = [*self.variables, *self.params]
        for symbol in sorted(set().union(*[e.free_symbols for e in self.exprs]), key=str):
            if symbol.name not in names:
                raise FormulaError(f"the parameter {symbol.name} has no value; {near(symbol.name, names)}")
        return ops_function(self.exprs, names)

    @cached_property
    def jacobian_exprs(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """Derivatives d f_i / d x_j, as rows i."""
        symbols = [sp.Symbol(v, real=True) for v in self.variables]
        return tuple(tuple(differentiate(e, s) for s in symbols) for e in self.exprs)

    def _map(self, change: Callable[[sp.Expr], sp.Expr]) -> Field:
        return Field(tuple(change(e) for e in self.exprs), self.variables, self.params)

    def _join(self, other: Any, sign: int) -> Any:
        if not isinstance(other, Field):
            return NotImplemented
        if self.variables != other.variables or len(self.exprs) != len(other.exprs):
            raise ValueError(
                f"fields over ({', '.join(self.variables)}) with {len(self.exprs)} components and over "
                f"({', '.join(other.variables)}) with {len(other.exprs)} cannot be added"
            )
        for name in self.params.keys() & other.params.keys():
            if self.params[name] != other.params[name]:
                one, two = self.params[name], other.params[name]
                raise ValueError(f"parameter {name} is {one} in one field, {two} in the other; rename it")
        pairs = zip(self.exprs, other.exprs, strict=True)
        exprs = tuple(a + sign * b for a, b in pairs)
        return Field(exprs, self.variables, {**self.params, **other.params})

    def _scale(self, factor: Any, power: int) -> Any:
        if not isinstance(factor, str | sp.Expr) and not (is_number(factor) and np.ndim(factor) == 0):
            return NotImplemented
        factor = expression(factor)
        if power < 0 and factor == 0:
            raise ValueError("a field cannot be divided by zero")
        return self._map(lambda e: e * factor**power)

    def __neg__(self) -> Field:
        return self._map(lambda e: -e)

    def __add__(self, other: Field) -> Field:
        return self._join(other, 1)

    def __sub__(self, other: Field) -> Field:
        return self._join(other, -1)

    def __mul__(self, factor: Any) -> Field:
        return self._scale(factor, 1)

    def __rmul__(self, factor: Any) -> Field:
        return self._scale(factor, 1)

    def __truediv__(self, factor: Any) -> Field:
        return self._scale(factor, -1)


def variable_names(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names of variables.

    Raises
    ------
    TypeError
        If a name is not text.
    ValueError
        If there is none, or one is not a symbol or appears twice.
    """
    names = tuple(n.name if isinstance(n, sp.Symbol) else n for n in names)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"variables are names such as 'x', got {name!r}")
        if not isinstance(expression(name), sp.Symbol):
            raise ValueError(f"variables are names such as 'x', got {name!r}")
    if not names:
        raise ValueError("at least one variable is needed, such as variables=['x']")
    if len(set(names)) < len(names):
        raise ValueError(f"variables must be distinct, got {', '.join(names)}")
    return names
