"""Variates from a fixed number of uniforms, written once over `ops`.

Every function takes uniforms on (0, 1), (n + 1/2) / 2**52 with n of 52 bits, so that a quantile of 1e-9 and far below
is reached and right: heavy tails live in the last bits. Printed by the native engine and run on arrays they give
the same numbers up to rounding. Normals come in pairs from one word, see `ops.normal_pair`.
"""

from __future__ import annotations

from typing import Any

from sdesim.core.ops import Ops


def exponential(ops: Ops, u: Any) -> Any:
    """Standard exponential -log u."""
    return -ops.log_normal_range(u)


def uniform(ops: Ops, u: Any) -> Any:
    """Uniform on (-1, 1)."""
    return 2 * u - 1


def sign(ops: Ops, u: Any) -> Any:
    """1 or -1, the half that u falls in."""
    return ops.copysign(1.0, 2 * u - 1)


def symmetric_lomax(ops: Ops, alpha: Any, u: Any) -> Any:
    """±W with P(W > w) = (1 + w)**-alpha: the sign is the half that u falls in, W = v**(-1/alpha) - 1 (Lomax 1954)."""
    side = 2 * u - 1
    v = 1 - ops.abs(side)
    return ops.copysign(ops.exp(-ops.log_normal_range(v) / alpha) - 1, side)


def student(ops: Ops, df: Any, u: Any, t: Any) -> Any:
    """Student's t with `df` degrees of freedom, sqrt(df (u**(-2/df) - 1)) cos(2 pi t) (Bailey 1994)."""
    _, c = ops.sincos_turn(t - 0.5)
    return ops.sqrt(df * (ops.exp(-2 * ops.log_normal_range(u) / df) - 1)) * c


def symmetric_stable(ops: Ops, alpha: Any, t: Any, u: Any) -> Any:
    """Symmetric stable, characteristic function exp(-|xi|**alpha), for every alpha in (0, 2].

    sin(alpha V) / cos(V)**(1/alpha) * (cos((1 - alpha) V) / W)**((1 - alpha)/alpha) with V = pi (t - 1/2), W = -log u
    (Chambers, Mallows and Stuck 1976); at alpha = 1 it is tan V, at alpha = 2 a normal of variance 2.
    """
    turn = (t - 0.5) * 0.5  # V is 2 pi times it
    c = ops.sin_quarter(0.25 - ops.abs(turn))
    c1 = ops.sin_quarter(0.25 - ops.abs((1 - alpha) * turn))
    log_scale = ((1 - alpha) * ops.log_normal_range(c1 / exponential(ops, u)) - ops.log_normal_range(c)) / alpha
    return ops.copysign(_sin_half(ops, alpha * ops.abs(turn)) * ops.exp(log_scale), turn)


def _sin_half(ops: Ops, t: Any) -> Any:
    """sin(2 pi t) of a turn t in [0, 1/2]."""
    return ops.sin_quarter(ops.minimum(t, 0.5 - t))


SMALLEST = 1e-300


def positive_stable(ops: Ops, a: Any, t: Any, u: Any) -> Any:
    """Positive stable of index a in (0, 1], Laplace transform exp(-s**a) (Kanter 1975).

    sin(a U) / sin(U)**(1/a) * (sin((1 - a) U) / W)**((1 - a)/a) with U = pi t, W = -log u; it is 1 at a = 1.
    """
    turn = t * 0.5  # U is 2 pi times it
    s, s_one, s_rest = (_sin_half(ops, share * turn) for share in (a, 1, 1 - a))
    log_rest = ops.log_normal_range(ops.maximum(s_rest, SMALLEST) / exponential(ops, u))
    return s * ops.exp(((1 - a) * log_rest - ops.log_normal_range(s_one)) / a)
