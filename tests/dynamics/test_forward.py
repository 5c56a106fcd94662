"""Jacobians of steps by dual numbers against finite differences and SymPy."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

from sdesim.core.formula import differentiate, ops_function, parse
from sdesim.core.ops import NUMPY, SYMBOLIC
from sdesim.core.torch_ops import TORCH
from sdesim.dynamics.forward import Dual, Forward, push
from tests.dynamics.test_contract import GRID, draw

FORMULAS = (
    "exp(x)*sin(3*x) - cos(x)/(1 + x**2)",
    "log(2 + x)*sqrt(3 + x) + tan(x/3)",
    "tanh(2*x)**3 + sinh(x)/cosh(x)**2 - 2**x",
    "abs(x)**1.6 + (2 + x)**(x/2) + sign(x)*x**2",
    "min(x, x**2, 1 - x) + max(x**3, -x/2)",
)


@pytest.mark.parametrize("dynamics", GRID)
def test_jacobian_of_a_step_matches_finite_differences(dynamics):
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(2, 7, dynamics.dim))
    z, h = draw(dynamics, 7)[0], 1e-6

    def step(y):
        return dynamics.step(NUMPY, y, z, 3)

    new, w = push(dynamics, NUMPY, x, v, z, 3)
    exact = (step(x + h * v) - step(x - h * v)) / (2 * h)
    np.testing.assert_allclose(new, step(x), rtol=1e-14)
    np.testing.assert_allclose(w, exact, rtol=1e-5, atol=1e-6)
    assert not np.allclose(w, (step(x + h * v[::-1]) - step(x)) / h, rtol=1e-3)
    tensors = [torch.tensor(a) for a in (x, v, z)]
    np.testing.assert_allclose(push(dynamics, TORCH, *tensors, 3)[1].numpy(), w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("text", FORMULAS)
def test_slope_of_a_formula_is_its_derivative(text):
    function, x = ops_function([parse(text)], ["x"]), np.linspace(-1.9, 1.9, 40)
    slope = ops_function([differentiate(parse(text), sp.Symbol("x", real=True))], ["x"])
    (found,) = function(Forward(NUMPY), Dual(x, np.full_like(x, 2.0)))
    (exact,) = slope(NUMPY, x)
    np.testing.assert_allclose(found.value, function(NUMPY, x)[0], rtol=1e-14)
    np.testing.assert_allclose(found.slope, 2 * exact, rtol=1e-12, atol=1e-12)
    (tensor,) = function(Forward(TORCH), Dual(torch.tensor(x), torch.full((40,), 2.0, dtype=torch.float64)))
    np.testing.assert_allclose(tensor.slope.numpy(), 2 * exact, rtol=1e-12, atol=1e-12)
    at = sp.Symbol("x", real=True)
    (symbolic,) = ops_function([parse(text)], ["x"])(Forward(SYMBOLIC), Dual(at, sp.Integer(2)))
    for name in ("lane_min", "lane_max", "lane_select"):
        if name in str(symbolic.slope):
            return  # no SymPy value; compiled code is compared with these operations in test_tangent
    np.testing.assert_allclose([float(symbolic.slope.subs(at, v)) for v in x], 2 * exact, rtol=1e-10)


def test_slope_at_a_kink_is_the_mean_of_both_sides():
    ops, zero = Forward(NUMPY), Dual(np.zeros(1), np.ones(1))
    assert ops.abs(zero).slope == 0
    assert ops.maximum(zero, 0.0).slope == 0.5
    assert ops.minimum(2 * zero, zero).slope == 1.5


def test_numbers_arrays_and_tensors_may_stand_on_either_side():
    for one in (2.0, np.array([2.0]), torch.tensor([2.0])):
        x = Dual(one, one / 2)
        for result, value, slope in (
            (one - x, 0, -1), (one * x, 4, 2), (one / x, 1, -0.5), (x / one, 1, 0.5), (one + x, 4, 1), (x**3, 8, 12),
        ):  # fmt: skip
            assert isinstance(result, Dual)
            assert (np.ravel(result.value)[0], np.ravel(result.slope)[0]) == (value, slope)


def test_nan_stays_in_value_and_slope():
    ops, x = Forward(NUMPY), Dual(np.array([np.nan, 1.0]), np.ones(2))
    for result in (ops.exp(x), ops.maximum(x, 0.0), x * x, ops.abs(x), ops.power(x, 1.5)):
        assert np.isnan(result.value[0]) and not np.isnan(result.value[1])
