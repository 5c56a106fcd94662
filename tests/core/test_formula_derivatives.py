"""Derivatives and programs of formulas agree with mpmath, at kinks with the mean of both sides."""

from __future__ import annotations

import math
import pickle
import re

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdesim.core import ops
from sdesim.core.formula import FormulaError, differentiate, ops_function, parse
from sdesim.core.ops import NUMPY, SYMBOLIC

X, Y = sp.Symbol("x", real=True), sp.Symbol("y", real=True)
QUICK = settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow], derandomize=True)

UNARY = ["exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "abs", "sign"]


def _calls(children):
    pair = st.tuples(children, children)
    return st.one_of(
        st.tuples(pair, st.sampled_from(list("+-*/"))).map(lambda t: f"({t[0][0]} {t[1]} {t[0][1]})"),
        st.tuples(children, st.integers(-3, 4)).map(lambda t: f"({t[0]})**({t[1]})"),
        st.tuples(children, st.sampled_from([0.5, 0.6, 1.5, -0.5, 2.25])).map(lambda t: f"abs({t[0]})**{t[1]}"),
        st.tuples(children, st.sampled_from(UNARY)).map(lambda t: f"{t[1]}({t[0]})"),
        st.tuples(pair, st.sampled_from(["min", "max"])).map(lambda t: f"{t[1]}({t[0][0]}, {t[0][1]})"),
        children.map(lambda c: f"-{c}"),
    )


LEAVES = st.one_of(st.sampled_from(["x", "y"]), st.sampled_from(["0.5", "2", "3", "1.65", "0.1"]))
FORMULAS = st.recursive(LEAVES, _calls, max_leaves=8)

REFERENCE = {
    "exp": mpmath.exp,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "abs": abs,
    "sign": mpmath.sign,
    "min": min,
    "max": max,
    "pi": mpmath.pi,
    "sqrt": mpmath.sqrt,
    "log": mpmath.log,
}


def by_mpmath(text, **values):
    """The text read as Python over 40-digit numbers: an independent meaning of a formula."""
    exact = re.sub(r"(?<![\w.])\d+(\.\d+)?", lambda m: f"mpf('{m.group()}')", text)
    with mpmath.workdps(40):
        scope = {**REFERENCE, "mpf": mpmath.mpf, **{k: mpmath.mpf(v) for k, v in values.items()}}
        try:
            return eval(exact, {"__builtins__": {}}, scope)
        except (ZeroDivisionError, ValueError, OverflowError, TypeError):
            return None


@QUICK
@given(
    FORMULAS,
    st.floats(-2, 2).filter(lambda v: abs(v) > 1e-3),
    st.floats(-2, 2).filter(lambda v: abs(v) > 1e-3),
)
def test_programs_agree_with_mpmath(text, x, y):
    truth = by_mpmath(text, x=x, y=y)
    if truth is None or isinstance(truth, mpmath.mpc) or not 1e-100 < abs(truth) < 1e100:
        return
    try:
        expr = parse(text)
    except FormulaError:
        return
    with np.errstate(all="ignore"):
        value = float(ops_function([expr], ["x", "y"])(NUMPY, np.float64(x), np.float64(y))[0])
    # Cancellation amplifies rounding; inputs moved by 1e-15 show how much this formula allows.
    moved = [by_mpmath(text, x=x * (1 + s * 1e-15), y=y * (1 - t * 1e-15)) for s in (-1, 1) for t in (-1, 1)]
    if any(m is None or isinstance(m, mpmath.mpc) for m in moved) or not math.isfinite(value):
        return
    spread = max(abs(m - truth) for m in moved)
    assert abs(value - truth) <= 1e-9 * max(abs(truth), 1e-3) + 1e3 * spread


def at(expr, **values):
    with np.errstate(all="ignore"):
        return float(ops_function([expr], list(values))(NUMPY, *map(np.float64, values.values()))[0])


SMOOTH = [
    "x**4/4 - x**2/2",
    "abs(x)**0.6",
    "abs(1.65 - x)**0.6*exp(x)",
    "abs(x)",
    "x*abs(x)",
    "abs(sin(3*x))**1.5",
    "sqrt(x**2 + y**2)",
    "(x**2)**0.3",
    "max(x**2, y)",
    "min(x, y, x*y)",
    "max(x, min(y, 0.5))*abs(x - y)",
    "log(abs(x))*tan(y)",
    "abs(x*y)**0.7",
    "exp(-abs(x))*cosh(y)",
    "sign(x)*x**3",
    "abs(abs(x) - 1)",
    "tanh(x*y)/(1 + x**2)",
    "abs(x)**y",
    "(1 + x**2)**sin(y)",
    "sinh(x)**-2",
    "1/(0.01 + 4*(x - 0.5)**2)",
    "max(abs(x), abs(y), 0.3)**1.3",
    "sqrt(abs(x - y))",
]


@pytest.mark.parametrize("text", SMOOTH)
def test_first_and_second_derivatives_agree_with_mpmath(text):
    expr = parse(text)
    slope = differentiate(expr, X)
    for x, y in [(0.31, -0.77), (-0.83, 0.42), (1.37, 0.91), (-1.21, -0.53)]:
        for order, derivative in ((1, slope), (2, differentiate(slope, X))):
            with mpmath.workdps(40):
                truth = mpmath.diff(
                    lambda u, y=y: by_mpmath(text, x=u, y=y), mpmath.mpf(x), order, h=mpmath.mpf("1e-12")
                )
            assert at(derivative, x=x, y=y) == pytest.approx(float(truth), rel=1e-9, abs=1e-9)
        mixed = differentiate(slope, Y)
        h = mpmath.mpf("1e-12")
        with mpmath.workdps(40):
            corner = {(s, t): by_mpmath(text, x=x + s * h, y=y + t * h) for s in (-1, 1) for t in (-1, 1)}
            truth = (corner[1, 1] - corner[1, -1] - corner[-1, 1] + corner[-1, -1]) / (4 * h * h)
        assert at(mixed, x=x, y=y) == pytest.approx(float(truth), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("text", SMOOTH)
def test_derivatives_hold_nothing_that_cannot_be_evaluated(text):
    for symbol in (X, Y):
        for expr in (
            differentiate(parse(text), symbol),
            differentiate(differentiate(parse(text), X), symbol),
        ):
            assert not expr.has(sp.DiracDelta, sp.Heaviside, sp.Derivative, sp.Subs, sp.I, sp.re, sp.im)


@pytest.mark.parametrize(
    ("text", "x", "slope"),
    [
        ("abs(x)", 0, 0),
        ("3*x + abs(x)", 0, 3),
        ("abs(x)**0.6", 0, 0),
        ("(0.05*abs(1.65 - x))**0.6*(x - 3)", 1.65, 0.0),
        ("max(x, 0)", 0, 0.5),
        ("min(x, 3*x)", 0, 2),
        ("max(x**2, x)", 1, 1.5),
        ("exp(abs(x))", 0, 0),
        ("x*abs(x)", 0, 0),
        ("sqrt(x**2)", 0, 0),
        ("sqrt(x**2 + (2*x)**2)", 0, 0),
        ("sign(x)", 0, 0),
    ],
)
def test_at_a_kink_the_slope_is_the_mean_of_both_sides(text, x, slope):
    assert at(differentiate(parse(text), X), x=x) == pytest.approx(slope, abs=1e-15)


def test_the_slope_of_a_cone_at_its_tip_is_zero():
    for text in ("sqrt(x**2 + y**2)", "((x - 1)**2 + 3*(y + 2)**2)**0.4"):
        x, y = (0, 0) if text.startswith("sqrt") else (1, -2)
        assert at(differentiate(parse(text), X), x=x, y=y) == 0
        assert at(differentiate(parse(text), Y), x=x, y=y) == 0


def test_second_derivatives_at_a_kink_leave_out_its_jump():
    assert at(differentiate(differentiate(parse("exp(abs(x))"), X), X), x=0) == 1
    assert at(differentiate(differentiate(parse("abs(x)**0.6"), X), X), x=0) == -math.inf
    assert at(differentiate(differentiate(parse("abs(x)**1.5"), X), X), x=0) == math.inf


def test_singular_values_stay_infinite():
    assert at(parse("1/sqrt(abs(x))"), x=0) == math.inf
    assert at(parse("cos(x)/sqrt(abs(x))"), x=0) == math.inf
    assert at(differentiate(parse("sqrt(x)"), X), x=0) == math.inf


def test_large_unchosen_branches_do_not_spoil_a_slope():
    assert at(differentiate(parse("min(exp(x**2), 100 + x)"), X), x=40) == 1


def test_every_program_propagates_nan():
    for text in SMOOTH:
        value = ops_function([parse(text)], ["x", "y"])(NUMPY, np.array([np.nan]), np.array([0.3]))[0]
        assert np.isnan(value).all(), text


def test_symbolic_and_numeric_programs_mean_the_same():
    for text in SMOOTH:
        program = ops_function([parse(text), differentiate(parse(text), X)], ["x", "y"])
        numeric = program(NUMPY, np.float64(0.37), np.float64(-1.2))
        symbolic = program(SYMBOLIC, X, Y)
        natural = {ops.lane_min: sp.Min, ops.lane_max: sp.Max}
        for number, expr in zip(numeric, symbolic, strict=True):
            for opaque, function in natural.items():
                expr = expr.replace(opaque, function)
            expr = expr.replace(ops.lane_select, lambda c, a, b: sp.Piecewise((a, c > 0), (b, True)))
            assert float(expr.subs({X: 0.37, Y: -1.2})) == pytest.approx(float(number), rel=1e-12)


def test_equal_subexpressions_are_computed_once():
    class Counting:
        calls = 0

        def exp(self, x):
            self.calls += 1
            return np.exp(x)

    counting = Counting()
    ops_function([parse("exp(x*y) + sin(exp(x*y))*0 + 1/exp(x*y)**3"), parse("exp(x*y)**2")], ["x", "y"])(
        counting, 1.0, 2.0
    )
    assert counting.calls <= 3


def test_programs_can_be_pickled():
    program = pickle.loads(pickle.dumps(ops_function([parse("x**2 + a")], ["x", "a"])))
    assert program(NUMPY, 3.0, 1.0) == [10.0]


def test_a_symbol_without_a_value_is_named():
    with pytest.raises(FormulaError, match="sigma has no value; did you mean sigmo"):
        ops_function([parse("sigma*x")], ["x", "sigmo"])


@pytest.mark.parametrize("text", ["73.737**0.743", "(73.737*x)**0.743", "(-73.737*x)**0.743", "x*pi**0.123"])
def test_long_decimal_powers_are_rounded(text):
    for x in (0.7, -0.7):
        truth = by_mpmath(text, x=x)
        value = at(parse(text), x=x)
        assert math.isnan(value) if isinstance(truth, mpmath.mpc) else value == pytest.approx(float(truth), rel=1e-14)
