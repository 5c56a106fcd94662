"""Formulas as straight-line programs over the vocabulary of `sdesim.core.ops`."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import sympy as sp

from sdesim.core.checks import near
from sdesim.core.grammar import FUNCTIONS, FormulaError, short
from sdesim.core.ops import Ops

# Added to a non-negative base under a negative power where another factor vanishes with it:
# 0 * 1e120 is 0, while 0 * inf is NaN.
TINY = 1e-300

_NAMES = {function: name for name, function in FUNCTIONS.items() if name not in ("sqrt", "min", "max")}


class OpsFunction:
    """Formulas ready to be evaluated over any ops; equal subexpressions are computed once."""

    def __init__(self, exprs: Sequence[sp.Expr], args: Sequence[str]) -> None:
        self.args = tuple(args)
        self._steps: list[tuple[str, tuple[Any, ...]]] = []
        self._slots: dict[Any, int] = {sp.Symbol(a, real=True): i for i, a in enumerate(self.args)}
        self._outputs = [self._slot(e) for e in exprs]

    def __call__(self, ops: Ops, *values: Any) -> list[Any]:
        """Values of the formulas; one that contains no argument comes back as a plain number."""
        if len(values) != len(self.args):
            raise TypeError(f"expected values for {', '.join(self.args) or 'no argument'}, got {len(values)}")
        slots = list(values)
        for name, operands in self._steps:
            slots.append(_perform(ops, name, operands, slots))
        return [slots[i] for i in self._outputs]

    def _emit(self, name: str, *operands: Any) -> int:
        key = (name, operands)
        if key not in self._slots:
            self._slots[key] = len(self.args) + len(self._steps)
            self._steps.append(key)
        return self._slots[key]

    def _slot(self, expr: Any) -> int:
        if expr not in self._slots:
            self._slots[expr] = self._visit(expr)
        return self._slots[expr]

    def _visit(self, expr: Any) -> int:
        if expr.is_number:
            return self._emit("number", _plain(expr))
        if expr.is_Symbol:
            raise FormulaError(f"the symbol {expr.name} has no value; {near(expr.name, self.args)}")
        if isinstance(expr, sp.Add):
            return self._emit("sum", *map(self._slot, expr.args))
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        if isinstance(expr, sp.Pow) and expr.base != sp.E:
            return self._power(expr.base, expr.exp)
        if isinstance(expr, sp.Min | sp.Max):
            name = "minimum" if isinstance(expr, sp.Min) else "maximum"
            return reduce(lambda a, b: self._emit(name, a, b), map(self._slot, expr.args))
        if isinstance(expr, sp.Piecewise):
            return self._choice(expr)
        if expr.func not in _NAMES:
            raise FormulaError(f"{short(expr.func.__name__)} is not part of a formula")
        return self._emit(_NAMES[expr.func], *map(self._slot, expr.args))

    def _product(self, expr: sp.Mul) -> int:
        """One division by all factors with a negative integer power (or inverse root)."""
        above, below = [], []
        for factor in expr.args:
            base, exponent = factor.as_base_exp()
            others = [f for f in expr.args if f is not factor]
            if isinstance(factor, sp.Pow) and not exponent.is_integer and exponent.is_nonnegative is not True:
                base = base + sp.Float(TINY) if _vanishes(base, others) else base
                above.append(self._power(base, exponent))
            elif isinstance(factor, sp.Pow) and exponent.is_Integer and exponent < 0:
                below.append(self._power(base, -exponent))
            else:
                above.append(self._slot(factor))
        top = self._emit("product", *above) if len(above) > 1 else (above or [self._emit("number", 1)])[0]
        if not below:
            return top
        return self._emit("quotient", top, self._emit("product", *below) if len(below) > 1 else below[0])

    def _power(self, base: Any, exponent: Any) -> int:
        """Products for small integer powers, square roots for halves, `power` otherwise."""
        if exponent.is_Rational and exponent < 0 and exponent.q <= 2:
            return self._emit("quotient", self._emit("number", 1), self._power(base, -exponent))
        if exponent.is_Integer and exponent <= 64:
            return self._repeated(self._slot(base), int(exponent))
        if exponent.is_Rational and exponent.q == 2 and exponent <= 64:
            root, whole = self._emit("sqrt", self._slot(base)), int(exponent - sp.Rational(1, 2))
            return self._emit("product", root, self._repeated(self._slot(base), whole)) if whole else root
        return self._emit("power", self._slot(base), self._slot(exponent))

    def _repeated(self, slot: int, n: int) -> int:
        if n == 1:
            return slot
        half = self._repeated(slot, n // 2)
        square = self._emit("product", half, half)
        return self._emit("product", square, slot) if n % 2 else square

    def _choice(self, expr: sp.Piecewise) -> int:
        result = self._emit("number", math.nan)
        for value, order in reversed(expr.args):
            chosen = self._slot(value)
            if order == sp.true:
                result = chosen
                continue
            high, low = self._slot(order.gts), self._slot(order.lts)
            if isinstance(order, sp.StrictGreaterThan | sp.StrictLessThan):
                result = self._emit("choose", high, low, chosen, result)
            else:
                result = self._emit("choose", low, high, result, chosen)
        return result


def _perform(ops: Ops, name: str, operands: tuple[Any, ...], slots: list[Any]) -> Any:
    if name == "number":
        return operands[0]
    values = [slots[i] for i in operands]
    if name == "choose":
        return ops.where(values[0] > values[1], values[2], values[3])
    operation = {"sum": operator.add, "product": operator.mul, "quotient": operator.truediv}.get(name)
    return reduce(operation, values) if operation else getattr(ops, name)(*values)


def _plain(expr: Any) -> int | float:
    """A number that SymPy holds exactly, as Python's nearest."""
    if expr.is_Integer and abs(expr) < 2**53:
        return int(expr)
    value = complex(expr.evalf(25))
    if value.imag or not math.isfinite(value.real):
        raise FormulaError(f"{short(str(expr))} is not a finite real number")
    return value.real


def _vanishes(base: Any, others: Sequence[Any]) -> bool:
    """Whether another factor is zero where `base` is: |u| beside sign(u), u**2 + v**2 beside u."""
    if base.is_nonnegative is not True:
        return False
    zeros = {_primitive(f.args[0] if isinstance(f, sp.sign) else f.as_base_exp()[0]) for f in others}
    roots = [f.args[0] for f in base.atoms(sp.Abs)] + [f.base for f in base.atoms(sp.Pow) if f.exp.is_even]
    return any(_primitive(r) in zeros or -_primitive(r) in zeros for r in roots)


def _primitive(expr: Any) -> Any:
    """`expr` without its numeric factor."""
    return expr.as_content_primitive()[1]


def ops_function(exprs: Sequence[sp.Expr], args: Sequence[str]) -> OpsFunction:
    """Formulas as one function of `(ops, *args)` that returns the list of their values.

    Parameters
    ----------
    exprs : sequence of sympy.Expr
        As made by `parse`, `expression` or `differentiate`.
    args : sequence of str
        Names of the symbols, in the order of the arguments; each value a number, an array or a symbol.

    Raises
    ------
    FormulaError
        If a symbol is not among the arguments, or a number is not real.

    Examples
    --------
    >>> from sdesim.core.grammar import parse
    >>> from sdesim.core.ops import NUMPY
    >>> ops_function([parse("x**2 + a")], ["x", "a"])(NUMPY, 3.0, 1.0)
    [10.0]
    """
    return _built(tuple(exprs), tuple(args))


@lru_cache(maxsize=512)
def _built(exprs: tuple[sp.Expr, ...], args: tuple[str, ...]) -> OpsFunction:
    """One program for equal formulas: a step asks for its own again at every step."""
    return OpsFunction(exprs, args)
