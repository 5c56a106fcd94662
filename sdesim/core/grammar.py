"""Formulas as text: a whitelist over Python's `ast` into SymPy.

Text is never evaluated and never handed to `sympify`. Every symbol is real, matched by name; decimal
literals are exact rationals, so that `x**0.5` is a square root. Outside the domain of a function (the log of
a negative number) a formula is NaN.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import sympy as sp

from sdesim.core.checks import near

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt, "sin": sp.sin, "cos": sp.cos, "tan": sp.tan,
    "tanh": sp.tanh, "sinh": sp.sinh, "cosh": sp.cosh, "abs": sp.Abs, "sign": sp.sign,
    "min": sp.Min, "max": sp.Max,
}  # fmt: skip
CONSTANTS = {"pi": sp.pi}
MAX_LENGTH, MAX_DEPTH, MAX_EXPONENT, MAX_BITS, MAX_CHOICES = 4000, 40, 1000, 1023, 16
OPERATORS = "+ - * / **"


class FormulaError(ValueError):
    """A text or an object that is not a formula this library can differentiate and run."""


class Condition(NamedTuple):
    """The set where `excess` > 0 (`strict`) or `excess` >= 0."""

    excess: sp.Expr
    strict: bool


def short(text: str, width: int = 60) -> str:
    """`text` as it may stand in a one-line message."""
    return ascii(text if len(text) <= width else text[: width - 3] + "...")


def _hint(text: str) -> str:
    words = [w for w in keyword.kwlist if w in text.replace("(", " ").replace("*", " ").split()]
    if words:
        return f"{words[0]!r} is a word of Python, give the symbol another name"
    if "|" in text:
        return "write abs(x) for |x|"
    return "write products as 2*x and powers as x**2"


def _tree(text: str) -> tuple[ast.expr, str]:
    """The syntax tree of one expression, and its text on one line."""
    if not isinstance(text, str):
        raise FormulaError(f"a formula is text such as 'x**4/4 - x**2/2', got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"the formula has {len(text)} characters, at most {MAX_LENGTH} are read")
    line = " ".join(text.split())
    if not line:
        raise FormulaError("the formula is empty; write something like 'x**4/4 - x**2/2'")
    if "#" in line:
        raise FormulaError(f"'#' has no meaning in a formula: {short(line)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(line, mode="eval").body, line
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise FormulaError(f"{short(line)} is not a formula; {_hint(line)}") from None


class _Reader:
    """Walks a syntax tree and lets through what the whitelist names."""

    def __init__(self, line: str) -> None:
        self.line = line

    def piece(self, node: ast.AST) -> str:
        return short(ast.get_source_segment(self.line, node) or self.line, 40)

    def read(self, node: ast.expr, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise FormulaError(f"the formula is nested more than {MAX_DEPTH} deep; use fewer brackets")
        match node:
            case ast.Constant():
                value = self.number(node)
            case ast.Name():
                value = self.name(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                inner = self.read(operand, depth + 1)
                value = -inner if isinstance(op, ast.USub) else inner
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                value = sp.Add(*self.chain(node, ast.Add, ast.Sub, operator.neg, depth))
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                value = sp.Mul(*self.chain(node, ast.Mult, ast.Div, self.reciprocal, depth))
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                value = self.power(self.read(left, depth + 1), self.read(right, depth + 1), node)
            case ast.Call():
                value = self.call(node, depth)
            case _:
                raise FormulaError(f"{self.piece(node)} is not allowed in a formula: {self.reason(node)}")
        return self.checked(value, node)

    def reason(self, node: ast.expr) -> str:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            return "write ** for powers"
        if isinstance(node, ast.Compare):
            return "a comparison is a condition, not a value"
        return f"use numbers, names, {OPERATORS} and {', '.join(FUNCTIONS)}"

    def chain(self, node: ast.expr, join: type, invert: type, inverse: Callable[[Any], Any], depth: int) -> list[Any]:
        """Operands of a + b - c or a * b / c, without recursion: a long sum is not a deep one."""
        operands = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, join | invert):
            value = self.read(node.right, depth + 1)
            operands.append(inverse(value) if isinstance(node.op, invert) else value)
            node = node.left
        return [self.read(node, depth + 1), *reversed(operands)]

    def reciprocal(self, value: Any) -> Any:
        if value == 0:
            raise FormulaError(f"division by zero in {short(self.line)}")
        return 1 / value

    def number(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise FormulaError(f"{self.piece(node)} is not a real number")
        if abs(node.value) > 1e308:
            raise FormulaError(f"the number {self.piece(node)} is too large")
        return rational(node.value)

    def name(self, node: ast.Name) -> Any:
        if node.id in FUNCTIONS:
            raise FormulaError(f"{node.id} is a function, write {node.id}(x)")
        if node.id.startswith("_"):
            raise FormulaError(f"the name {self.piece(node)} must start with a letter")
        return CONSTANTS.get(node.id, sp.Symbol(node.id, real=True))

    def call(self, node: ast.Call, depth: int) -> Any:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise FormulaError(f"{self.piece(node)} is not allowed in a formula: call functions as exp(x)")
        name = node.func.id
        if name not in FUNCTIONS:
            raise FormulaError(f"unknown function {short(name, 40)}; {near(name, FUNCTIONS)}")
        choice = name in ("min", "max")
        if not (2 <= len(node.args) <= MAX_CHOICES if choice else len(node.args) == 1):
            wanted = f"2 to {MAX_CHOICES} arguments" if choice else "one argument"
            raise FormulaError(f"{name} takes {wanted}, got {len(node.args)} in {self.piece(node)}")
        values = [self.read(a, depth + 1) for a in node.args]
        if choice and not all(v.is_number for v in values):
            # SymPy compares all pairs of arguments, which takes seconds for long ones.
            return FUNCTIONS[name](*values, evaluate=False)
        return FUNCTIONS[name](*values)

    def power(self, base: Any, exponent: Any, node: ast.expr) -> Any:
        """base**exponent, refused before SymPy starts on a number too large for a float."""
        coefficient = base if base.is_number else base.as_coeff_Mul()[0]
        if base == 0 and exponent.is_number and exponent < 0:
            raise FormulaError(f"division by zero in {self.piece(node)}")
        if exponent.is_number and coefficient != 0:
            size = abs(float(exponent))
            bits = size * abs(math.log2(abs(float(coefficient)) or 5e-324))
            if bits > MAX_BITS or (size > MAX_EXPONENT and not base.is_number):
                raise FormulaError(f"the power {self.piece(node)} is too large")
            if not (exponent.is_Rational and exponent.q <= 10):
                return self.rounded_power(base, exponent, coefficient, node)
        return sp.Pow(base, exponent)

    def rounded_power(self, base: Any, exponent: Any, coefficient: Any, node: ast.expr) -> Any:
        """base**exponent with the power of the coefficient rounded: exactly, 7.37**0.743 is very long."""
        size = rational(float(abs(coefficient)) ** float(exponent))
        rest = sp.sign(coefficient) if base.is_number else base / abs(coefficient)
        if rest == -1:
            raise FormulaError(f"{self.piece(node)} is not real")
        return size * sp.Pow(rest, exponent)

    def checked(self, value: Any, node: ast.expr) -> Any:
        """`value`, if it is real and finite as far as it can be known."""
        numbers = [v for v in (value, *value.args) if v.is_number]
        if any(v in (sp.zoo, sp.nan, sp.oo, -sp.oo) for v in numbers):
            raise FormulaError(f"{self.piece(node)} is not finite")
        if any(v.is_extended_real is False for v in numbers):
            raise FormulaError(f"{self.piece(node)} is not real")
        exact = {r for v in numbers for r in v.atoms(sp.Rational)}
        if any(max(int(r.p).bit_length(), int(r.q).bit_length()) > 12 * MAX_BITS for r in exact):
            raise FormulaError(f"the exact numbers in {self.piece(node)} have too many digits; write fewer")
        if value.is_number and not value.is_Rational:
            size = sp.Abs(value.evalf(15))
            if (size < 1e308) is not sp.true:
                raise FormulaError(f"the number {self.piece(node)} is too large")
        return value


def rational(value: Any) -> sp.Rational:
    """The number a person means by writing this float or integer."""
    return sp.Integer(int(value)) if isinstance(value, int) else sp.Rational(repr(float(value)))


def parse(text: str) -> sp.Expr:
    """A formula given as text.

    Numbers, names, `+ - * / **` and the functions exp log sqrt sin cos tan tanh sinh cosh abs sign min max;
    `pi` is the constant, every other name a real symbol.

    Parameters
    ----------
    text : str
        At most 4000 characters, nested at most 40 deep.

    Raises
    ------
    FormulaError
        For anything else, naming the piece that is not allowed.

    Examples
    --------
    >>> parse("x**4/4 - x**2/2")
    x**4/4 - x**2/2
    """
    tree, line = _tree(text)
    return _Reader(line).read(tree)


def parse_condition(text: str) -> Condition:
    """A single comparison such as `x > 0` or `x**2 + y**2 <= r`, as the excess of its larger side.

    Raises
    ------
    FormulaError
        If the text is not one comparison with <, <=, > or >= of two formulas.
    """
    tree, line = _tree(text)
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or isinstance(tree.ops[0], ast.Eq | ast.NotEq):
        raise FormulaError(f"{short(line)} is not a condition; write one comparison such as 'x > 0'")
    reader, comparison = _Reader(line), tree.ops[0]
    left, right = reader.read(tree.left), reader.read(tree.comparators[0])
    if isinstance(comparison, ast.Gt | ast.GtE):
        return Condition(left - right, isinstance(comparison, ast.Gt))
    if isinstance(comparison, ast.Lt | ast.LtE):
        return Condition(right - left, isinstance(comparison, ast.Lt))
    raise FormulaError(f"{short(line)} is not a condition; compare with <, <=, > or >=")
