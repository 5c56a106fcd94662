"""The small vocabulary a step is written in.

A step of a dynamics, a variate and a region are each written once over `ops`. On `SYMBOLIC` they yield SymPy
expressions, from which the native engine prints compiled code; on `NUMPY` they run on arrays, paths first,
and are the slow, obvious reference. Every function propagates NaN.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import sympy as sp

from sdesim.core import philox


class Ops(Protocol):
    """What a set of operations provides; components of a vector lie on the last axis."""

    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def log_normal_range(self, x: Any) -> Any: ...
    def sqrt(self, x: Any) -> Any: ...
    def sin(self, x: Any) -> Any: ...
    def cos(self, x: Any) -> Any: ...
    def tan(self, x: Any) -> Any: ...
    def tanh(self, x: Any) -> Any: ...
    def sinh(self, x: Any) -> Any: ...
    def cosh(self, x: Any) -> Any: ...
    def abs(self, x: Any) -> Any: ...
    def sign(self, x: Any) -> Any: ...
    def copysign(self, x: Any, y: Any) -> Any: ...
    def power(self, x: Any, y: Any) -> Any: ...
    def minimum(self, x: Any, y: Any) -> Any: ...
    def maximum(self, x: Any, y: Any) -> Any: ...
    def where(self, condition: Any, x: Any, y: Any) -> Any: ...
    def norm(self, v: Any) -> Any: ...
    def stack(self, values: list[Any]) -> Any: ...
    def split(self, v: Any) -> list[Any]: ...
    def sincos_turn(self, t: Any) -> tuple[Any, Any]: ...
    def sin_quarter(self, t: Any) -> Any: ...
    def uniform(self, word: Any) -> Any: ...
    def normal_pair(self, word: Any) -> tuple[Any, Any]: ...


class lane_sin_turn(sp.Function):
    """sin(2*pi*t) of a turn t in [-1/2, 1/2]; stays opaque until it is printed."""

    nargs = 1
    is_real = True


class lane_cos_turn(sp.Function):
    """cos(2*pi*t) of a turn t in [-1/2, 1/2]; stays opaque until it is printed."""

    nargs = 1
    is_real = True


class lane_sin_quarter(sp.Function):
    """sin(2*pi*t) of a turn t in [0, 1/4]; stays opaque until it is printed."""

    nargs = 1
    is_real = True


class log_unit(sp.Function):
    """log of a number known to be positive and neither subnormal nor infinite; stays opaque until it is printed."""

    nargs = 1
    is_real = True


class unit(sp.Function):
    """The uniform on (0, 1) of a random word."""

    nargs = 1
    is_real = True


class normal_first(sp.Function):
    """The first of the two normals of a random word."""

    nargs = 1
    is_real = True


class normal_second(sp.Function):
    """The second of the two normals of a random word."""

    nargs = 1
    is_real = True


class lane_min(sp.Function):
    """NaN-propagating minimum; SymPy's Min would sort and merge arguments it cannot compare."""

    nargs = 2
    is_real = True


class lane_max(sp.Function):
    """NaN-propagating maximum."""

    nargs = 2
    is_real = True


class lane_copysign(sp.Function):
    """|x| with the sign of y."""

    nargs = 2
    is_real = True


class lane_select(sp.Function):
    """`a if condition > 0 else b`, with NaN conditions choosing b."""

    nargs = 3
    is_real = True


class SymbolicOps:
    """Operations on SymPy expressions; vectors are lists of components."""

    exp = staticmethod(sp.exp)
    log = staticmethod(sp.log)
    log_normal_range = staticmethod(log_unit)
    sqrt = staticmethod(sp.sqrt)
    sin = staticmethod(sp.sin)
    cos = staticmethod(sp.cos)
    tan = staticmethod(sp.tan)
    tanh = staticmethod(sp.tanh)
    sinh = staticmethod(sp.sinh)
    cosh = staticmethod(sp.cosh)
    abs = staticmethod(sp.Abs)
    sign = staticmethod(sp.sign)
    copysign = staticmethod(lane_copysign)
    power = staticmethod(sp.Pow)
    minimum = staticmethod(lane_min)
    maximum = staticmethod(lane_max)

    @staticmethod
    def where(condition: Any, x: Any, y: Any) -> Any:
        if isinstance(condition, sp.StrictGreaterThan):
            return lane_select(condition.lhs - condition.rhs, x, y)
        if isinstance(condition, sp.StrictLessThan):
            return lane_select(condition.rhs - condition.lhs, x, y)
        return x if condition else y

    @staticmethod
    def split(v: Any) -> list[Any]:
        return list(v)

    @staticmethod
    def norm(v: Any) -> Any:
        if len(v) == 1:
            return sp.Abs(v[0])
        return sp.sqrt(sum(c**2 for c in v))

    @staticmethod
    def stack(values: list[Any]) -> Any:
        return list(values)

    @staticmethod
    def sincos_turn(t: Any) -> tuple[Any, Any]:
        return lane_sin_turn(t), lane_cos_turn(t)

    sin_quarter = staticmethod(lane_sin_quarter)
    uniform = staticmethod(unit)

    @staticmethod
    def normal_pair(word: Any) -> tuple[Any, Any]:
        return normal_first(word), normal_second(word)


class NumpyOps:
    """Operations on NumPy arrays, paths first and components last."""

    exp = staticmethod(np.exp)
    log = staticmethod(np.log)
    log_normal_range = staticmethod(np.log)
    sqrt = staticmethod(np.sqrt)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    tan = staticmethod(np.tan)
    tanh = staticmethod(np.tanh)
    sinh = staticmethod(np.sinh)
    cosh = staticmethod(np.cosh)
    abs = staticmethod(np.abs)
    sign = staticmethod(np.sign)
    copysign = staticmethod(np.copysign)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    where = staticmethod(np.where)

    @staticmethod
    def power(x: Any, y: Any) -> Any:
        """x**y with NaN wherever an argument is NaN (NumPy alone has 1**nan = nan**0 = 1)."""
        return np.where(np.isnan(x) | np.isnan(y), np.nan, np.power(x, y))

    @staticmethod
    def split(v: Any) -> list[Any]:
        return list(np.moveaxis(np.asarray(v), -1, 0))

    @staticmethod
    def norm(v: Any) -> Any:
        v = np.asarray(v)
        return np.abs(v[..., 0]) if v.shape[-1] == 1 else np.sqrt(np.sum(v * v, axis=-1))

    @staticmethod
    def stack(values: list[Any]) -> Any:
        return np.stack(np.broadcast_arrays(*values), axis=-1)

    @staticmethod
    def sincos_turn(t: Any) -> tuple[Any, Any]:
        """sin and cos of 2*pi*t, reduced exactly to an eighth of a turn first."""
        quarter = np.rint(4.0 * np.asarray(t))
        r = (4.0 * t - quarter) * (math.pi / 2)
        s, c, k = np.sin(r), np.cos(r), quarter.astype(np.int64)
        sine, cosine = np.where(k & 1, c, s), np.where(k & 1, s, c)
        return np.where(k & 2, -sine, sine), np.where((k + 1) & 2, -cosine, cosine)

    @staticmethod
    def sin_quarter(t: Any) -> Any:
        """sin(2*pi*t) for t in [0, 1/4]."""
        return np.sin(2 * math.pi * np.asarray(t))

    uniform = staticmethod(philox.uniform)
    normal_pair = staticmethod(philox.normal_pair)


SYMBOLIC = SymbolicOps()
NUMPY = NumpyOps()
