"""Elementary functions, compiled over lanes, against mpmath: at most 2 ulp, special values, NaN in NaN out."""

import math

import mpmath
import numpy as np
import pytest
from numba import njit

from sdesim.core import elementary as el
from sdesim.core import trigonometric as tr
from sdesim.core.ops import NUMPY

LIMIT = 2.0
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    1e300,
    -1e300,
    1e-310,
    math.inf,
    -math.inf,
    math.nan,
]
_compiled = {}


def lanes_of(function):
    """The function compiled over arrays, as kernels use it."""
    if function not in _compiled:

        @njit(error_model="numpy", fastmath={"contract"})
        def unary(x, out):
            for i in range(x.size):
                out[i] = function(x[i])

        @njit(error_model="numpy", fastmath={"contract"})
        def binary(x, y, out):
            for i in range(x.size):
                out[i] = function(x[i], y[i])

        _compiled[function] = unary, binary
    return _compiled[function]


def evaluate(function, *args):
    args = [np.ascontiguousarray(a, dtype=float) for a in args]
    out = np.empty_like(args[0])
    lanes_of(function)[len(args) - 1](*args, out)
    return out


def worst(function, truth, *args):
    """Largest error in units of the last place, over results that are normal doubles."""
    got, errors = evaluate(function, *args), []
    with mpmath.workprec(160):
        for value, *x in zip(got.tolist(), *(np.asarray(a).tolist() for a in args), strict=True):
            exact = truth(*map(mpmath.mpf, x))
            size = abs(float(exact))
            if 2.3e-308 < size < math.inf:
                errors.append(float(abs(mpmath.mpf(value) - exact) / mpmath.mpf(float(np.spacing(size)))))
            else:
                assert value == float(exact) or size < 2.3e-308
    assert len(errors) > 0.9 * got.size
    return max(errors)


RNG = np.random.default_rng(1)
N = 800


def spread(low, high):
    """Both signs, sizes uniform in the logarithm between powers of ten."""
    return RNG.choice([-1.0, 1.0], N) * 10 ** RNG.uniform(low, high, N)


NEAR_TURNS = math.pi / 2 * RNG.integers(-1_000_000, 1_000_000, N) * (1 + RNG.uniform(-1, 1, N) * 1e-15)
ANGLES = np.concatenate([RNG.uniform(-10, 10, N), spread(-8, 9), NEAR_TURNS, [math.pi / 2, math.pi, 1e-300, 1.0e9]])
POSITIVE = np.concatenate([np.exp(RNG.uniform(-700, 700, N)), 1 + RNG.uniform(-0.3, 0.4, N), 1 + spread(-15, -3)])
TURNS = np.concatenate(
    [RNG.uniform(-0.5, 0.5, N), spread(-20, -0.5), 0.25 + spread(-16, -2), 0.5 - 10 ** RNG.uniform(-16, 0, N)]
)
SIZES = np.concatenate([RNG.uniform(-30, 30, N), spread(-20, 0.5), spread(-1, 2.8)])


@pytest.mark.parametrize(
    ("function", "truth", "x"),
    [
        (
            el.lane_exp,
            mpmath.exp,
            np.concatenate([RNG.uniform(-707, 709, N), RNG.uniform(-1, 1, N), spread(-20, 0)]),
        ),
        (el.lane_log, mpmath.log, np.concatenate([POSITIVE, RNG.uniform(0, 1, N) * 1e-310])),
        (el.log_unit, mpmath.log, np.concatenate([RNG.uniform(0, 1, N), 2.0 ** -RNG.integers(1, 54, N)])),
        (tr.lane_sin, mpmath.sin, ANGLES),
        (tr.lane_cos, mpmath.cos, ANGLES),
        (tr.lane_tan, mpmath.tan, ANGLES),
        (tr.lane_sin_quarter, lambda t: mpmath.sin(2 * mpmath.pi * t), TURNS[(TURNS > 0) & (TURNS < 0.25)]),
        (tr.lane_sin_turn, lambda t: mpmath.sin(2 * mpmath.pi * t), TURNS),
        (tr.lane_cos_turn, lambda t: mpmath.cos(2 * mpmath.pi * t), TURNS),
        (el.lane_tanh, mpmath.tanh, SIZES),
        (el.lane_sinh, mpmath.sinh, SIZES),
        (el.lane_cosh, mpmath.cosh, SIZES),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_at_most_two_units_in_the_last_place(function, truth, x):
    assert worst(function, truth, x) <= LIMIT


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.exp(RNG.uniform(-30, 30, N)), RNG.uniform(-20, 20, N)),
        (1 + RNG.uniform(-0.3, 0.4, N), RNG.uniform(-1000, 1000, N)),
        (np.exp(RNG.uniform(-700, 700, N)), np.full(N, 0.6)),
        (1 + spread(-12, -3), spread(2, 5)),
        (RNG.uniform(0, 1, N) * 1e-310, np.full(N, -0.4)),
        (RNG.uniform(-5, 0, N), RNG.integers(-9, 9, N).astype(float)),
    ],
)
def test_powers_are_within_two_units_in_the_last_place(x, y):
    assert worst(el.lane_pow, lambda a, b: mpmath.re(mpmath.power(a, b)), x, y) <= LIMIT


@pytest.mark.parametrize("y", [0.6, -0.4, 0.9, -0.9, 0.05, -1e-6])
@pytest.mark.parametrize(
    "x",
    [np.exp(RNG.uniform(-700, 700, N)), np.exp(RNG.uniform(-2, 2, N)), 1 + spread(-12, -1), RNG.uniform(0, 1e-310, N)],
)
def test_fractional_powers_are_within_two_units_in_the_last_place(x, y):
    assert worst(el.lane_pow_fraction, mpmath.power, np.abs(x), np.full(N, y)) <= LIMIT


@pytest.mark.parametrize("y", [0.6, -0.4])
def test_special_fractional_powers_are_numpys(y):
    x = np.array([0.0, 5e-324, 1.0, math.inf, math.nan])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(evaluate(el.lane_pow_fraction, x, np.full(5, y)), np.power(x, y), rtol=1e-15)


def test_an_exponential_below_the_normal_numbers_is_zero():
    assert np.array_equal(evaluate(el.lane_exp, [-708.1, -745.0, -1e300, -math.inf]), np.zeros(4))
    assert evaluate(el.lane_exp, [-708.0])[0] == pytest.approx(math.exp(-708.0), rel=1e-15)


def test_the_measure_of_error_sees_a_polynomial_that_is_too_short():
    x = RNG.uniform(-0.3, 0.3, N)

    @njit
    def short_exp(v):
        return 1 + v + v * v / 2 + v**3 / 6 + v**4 / 24 + v**5 / 120

    assert worst(short_exp, mpmath.exp, x) > 1e3


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "sign", "abs"])
def test_special_values_are_numpys(name):
    x = np.array([v for v in SPECIAL if not (name in ("sin", "cos", "tan") and abs(v) > tr.LARGEST_ANGLE)])
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    got = evaluate(getattr(tr if name in ("sin", "cos", "tan") else el, f"lane_{name}"), x)
    np.testing.assert_allclose(got, expected, rtol=1e-15, atol=0)
    moved = expected == 0
    assert np.array_equal(np.signbit(got[moved & (x != 0)]), np.signbit(expected[moved & (x != 0)]))


def test_an_angle_too_large_to_resolve_gives_nan():
    for function in (tr.lane_sin, tr.lane_cos, tr.lane_tan):
        assert np.isnan(evaluate(function, [1.1e9, -1e300, math.inf])).all()


def test_special_powers_are_numpys_nan_stays_and_the_sign_of_zero_does_not():
    x, y = (v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(all="ignore"):
        expected = np.where(np.isnan(x) | np.isnan(y), np.nan, np.power(np.where(x == 0, 0.0, x), y))
    expected[(x == -math.inf) & (np.floor(y) != y)] = np.nan  # as for every negative base
    expected[abs(expected) < 2.3e-308] = 0.0  # results below the normal numbers
    got = evaluate(el.lane_pow, x, y)
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_minimum_maximum_and_their_clip_keep_nan_from_either_side():
    x = np.array([math.nan, 1.0, math.nan, 2.0])
    y = np.array([1.0, math.nan, math.nan, 3.0])
    for function, exact in ((el.lane_min, np.minimum), (el.lane_max, np.maximum)):
        assert np.array_equal(evaluate(function, x, y), exact(x, y), equal_nan=True)
    assert np.array_equal(evaluate(el.lane_max, [-1.0], evaluate(el.lane_min, [1.0], [math.nan])), [math.nan], True)


def test_a_choice_takes_the_second_value_unless_the_condition_is_positive():
    @njit
    def choose(c, a, b, out):
        for i in range(c.size):
            out[i] = el.lane_select(c[i], a, b)

    out = np.empty(4)
    choose(np.array([1.0, 0.0, -1.0, math.nan]), 5.0, 7.0, out)
    assert out.tolist() == [5.0, 7.0, 7.0, 7.0]


def test_the_reference_operations_reduce_a_turn_as_exactly():
    t = TURNS[np.abs(TURNS) > 1e-16]
    sine, cosine = NUMPY.sincos_turn(t)
    with mpmath.workprec(160):
        exact_sine = [float(mpmath.sin(2 * mpmath.pi * mpmath.mpf(v))) for v in t.tolist()]
        exact_cosine = [float(mpmath.cos(2 * mpmath.pi * mpmath.mpf(v))) for v in t.tolist()]
    np.testing.assert_allclose(sine, exact_sine, rtol=4e-16)
    np.testing.assert_allclose(cosine, exact_cosine, rtol=4e-16)
