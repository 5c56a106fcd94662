"""Forward-mode derivatives over the vocabulary of steps: a step run on dual numbers gives its Jacobian times a vector.

A dual number a + b ε, ε² = 0, is a value and its slope along a direction. A step that is written over `ops` takes
`Forward(ops)` as well, on symbols, arrays and tensors alike, so its derivative is the same formula in every engine. At
a kink the slope is the mean of the one-sided ones, as in `sdesim.core.formula.differentiate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sdesim.core.ops import Ops


class Vector(NamedTuple):
    """A vector and its slope, both as the inner operations hold vectors."""

    value: Any
    slope: Any


class Dual:
    """A number and its slope along a direction."""

    __array_ufunc__ = None  # arrays leave arithmetic with dual numbers to them
    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any) -> None:
        self.value, self.slope = value, slope

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)
        return Dual(self.value * other, self.slope * other)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Dual:
        return self + (-other)

    def __rsub__(self, other: Any) -> Dual:
        return (-self) + other

    def __truediv__(self, other: Any) -> Dual:
        if not isinstance(other, Dual):
            return Dual(self.value / other, self.slope / other)
        ratio = self.value / other.value
        return Dual(ratio, (self.slope - ratio * other.slope) / other.value)

    def __rtruediv__(self, other: Any) -> Dual:
        ratio = other / self.value
        return Dual(ratio, -ratio * self.slope / self.value)

    def __pow__(self, n: int) -> Dual:
        return Dual(self.value**n, n * self.value ** (n - 1) * self.slope)

    def __gt__(self, other: Any) -> Any:
        return self.value > value_of(other)

    def __lt__(self, other: Any) -> Any:
        return self.value < value_of(other)

    __radd__, __rmul__ = __add__, __mul__


def value_of(x: Any) -> Any:
    """The number without its slope."""
    return x.value if isinstance(x, Dual) else x


def slope_of(x: Any) -> Any:
    """The slope, 0 for a constant."""
    return x.slope if isinstance(x, Dual) else 0.0


_SLOPES: dict[str, Callable[[Ops, Any, Any], Any]] = {
    "exp": lambda ops, x, f: f,
    "log": lambda ops, x, f: 1 / x,
    "sqrt": lambda ops, x, f: 1 / (2 * f),
    "sin": lambda ops, x, f: ops.cos(x),
    "cos": lambda ops, x, f: -ops.sin(x),
    "tan": lambda ops, x, f: 1 + f * f,
    "tanh": lambda ops, x, f: 1 - f * f,
    "sinh": lambda ops, x, f: ops.cosh(x),
    "cosh": lambda ops, x, f: ops.sinh(x),
    "abs": lambda ops, x, f: ops.sign(x),
    "sign": lambda ops, x, f: 0.0 * x,
}


class Forward:
    """The operations of `ops` on dual numbers; what has no slope passes through unchanged."""

    def __init__(self, ops: Ops) -> None:
        self.ops = ops

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.ops, name)
        if name not in _SLOPES:
            return function  # random draws, which do not depend on the state

        def chained(x: Any) -> Any:
            value = function(value_of(x))
            return Dual(value, _SLOPES[name](self.ops, x.value, value) * x.slope) if isinstance(x, Dual) else value

        return chained

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """x where the condition holds, else y."""
        value = self.ops.where(condition, value_of(x), value_of(y))
        if not isinstance(x, Dual) and not isinstance(y, Dual):
            return value
        return Dual(value, self.ops.where(condition, slope_of(x), slope_of(y)))

    def minimum(self, x: Any, y: Any) -> Any:
        """The smaller one."""
        return self._choice(self.ops.minimum, x, y, y > x)

    def maximum(self, x: Any, y: Any) -> Any:
        """The larger one."""
        return self._choice(self.ops.maximum, x, y, x > y)

    def _choice(self, function: Any, x: Any, y: Any, first: Any) -> Any:
        value = function(value_of(x), value_of(y))
        if not isinstance(x, Dual) and not isinstance(y, Dual):
            return value
        one, two = slope_of(x), slope_of(y)
        second = (x > y) if function == self.ops.minimum else (y > x)
        return Dual(value, self.ops.where(first, one, self.ops.where(second, two, (one + two) / 2)))

    def copysign(self, x: Any, y: Any) -> Any:
        """|x| with the sign of y."""
        value = self.ops.copysign(value_of(x), value_of(y))
        if not isinstance(x, Dual):
            return value
        return Dual(value, self.ops.sign(x.value) * self.ops.sign(value_of(y)) * x.slope)

    def power(self, x: Any, y: Any) -> Any:
        """x to the power y."""
        base, exponent = value_of(x), value_of(y)
        value, slope = self.ops.power(base, exponent), 0.0
        if isinstance(x, Dual):
            slope = exponent * self.ops.power(base, exponent - 1) * x.slope
        if isinstance(y, Dual):
            slope = slope + value * self.ops.log(base) * y.slope
        return Dual(value, slope) if isinstance(x, Dual) or isinstance(y, Dual) else value

    def norm(self, v: Any) -> Any:
        """Euclidean norm over the components; its slope at 0 counts as 0."""
        if not isinstance(v, Vector):
            return self.ops.norm(v)
        length = self.ops.norm(v.value)
        pairs = zip(self.ops.split(v.value), self.ops.split(v.slope), strict=True)
        along = sum(a * b for a, b in pairs)
        return Dual(length, self.ops.where(length > 0, along / length, 0.0 * along))

    def split(self, v: Any) -> list[Any]:
        """The components of a vector."""
        if not isinstance(v, Vector):
            return self.ops.split(v)
        return [Dual(*pair) for pair in zip(self.ops.split(v.value), self.ops.split(v.slope), strict=True)]

    def stack(self, values: list[Any]) -> Any:
        """A vector from its components."""
        if not any(isinstance(v, Dual) for v in values):
            return self.ops.stack(values)
        return Vector(self.ops.stack([value_of(v) for v in values]), self.ops.stack([slope_of(v) for v in values]))


def push(dynamics: Any, ops: Ops, x: Any, v: Any, z: Any, k: Any) -> tuple[Any, Any]:
    """The state after a step written over `ops`, and the Jacobian of the step times v; vectors as `ops` holds them."""
    new = dynamics.step(Forward(ops), Vector(x, v), z, k)
    return (new.value, new.slope) if isinstance(new, Vector) else (new, [0.0 * a for a in ops.split(v)])
