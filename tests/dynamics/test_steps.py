"""One step of each dynamics against its equation, written out."""

import math

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY

X = np.array([[0.3], [-1.2], [2.0]])
Z = np.array([[0.5], [-2.0], [30.0]])
WELL = sd.Landscape("x**4/4 - x**2/2")
PLANE = sd.Landscape("x**2*y + y**2")
XY = np.array([[0.3, -0.7], [1.5, 2.0]])
ZZ = np.array([[1.0, -0.2], [0.4, 3.0]])


def test_euler_maruyama_adds_drift_and_scaled_noise():
    dynamics = sd.EulerMaruyama(sd.SDE("a*x - t", "b*x", params={"a": 0.4, "b": 2.0}), 0.1)
    expected = X + (0.4 * X - 0.5) * 0.1 + 2.0 * X * math.sqrt(0.1) * Z
    np.testing.assert_allclose(dynamics.step(NUMPY, X, Z, 5), expected, rtol=1e-14)


def test_stable_increments_scale_with_dt_to_one_over_alpha():
    dynamics = sd.EulerMaruyama(sd.SDE("-x", 0.3, noise=sd.Stable(1.25)), 0.01)
    np.testing.assert_allclose(dynamics.step(NUMPY, X, Z, 0), X - 0.01 * X + 0.3 * 0.01**0.8 * Z, rtol=1e-14)


def test_a_matrix_diffusion_multiplies_the_vector_of_noises():
    dynamics = sd.EulerMaruyama(sd.SDE(["-x", "x*y"], [[1, 0, "y"], [0.5, "x", 0]]), 0.04)
    z = np.array([[1.0, -0.2, 0.3], [0.4, 3.0, -1.0]])
    x, y = XY.T
    dw = 0.2 * z.T
    expected = np.stack([x - 0.04 * x + dw[0] + y * dw[2], y + 0.04 * x * y + 0.5 * dw[0] + x * dw[1]], axis=-1)
    np.testing.assert_allclose(dynamics.step(NUMPY, XY, z, 0), expected, rtol=1e-14)
    assert dynamics.noise_dim == 3


def test_substeps_sum_their_increments():
    dynamics = sd.EulerMaruyama(sd.SDE(["-x", "-y"], [1, 2]), 0.4, substeps=2)
    z = np.array([[1.0, -0.2, 0.3, 0.7]])
    dw = math.sqrt(0.2) * np.array([[1.3, 0.5]])
    np.testing.assert_allclose(dynamics.step(NUMPY, XY[:1], z, 0), 0.6 * XY[:1] + dw * [1, 2], rtol=1e-14)


def test_sgd_descends_the_gradient_less_its_noise():
    np.testing.assert_allclose(sd.SGD(WELL, 0.1).step(NUMPY, X, Z, 0), X - 0.1 * (X**3 - X - Z), rtol=1e-13)
    x, y = XY.T
    expected = XY - 0.1 * (np.stack([2 * x * y, x**2 + 2 * y], axis=-1) - ZZ)
    np.testing.assert_allclose(sd.SGD(PLANE, 0.1).step(NUMPY, XY, ZZ, 0), expected, rtol=1e-13)


@pytest.mark.parametrize("b", [0.01, 0.5, 100.0])
def test_a_truncated_step_has_the_direction_of_the_step_and_at_most_the_length_b(b):
    for landscape, x, z in ((WELL, X, Z), (PLANE, XY, ZZ)):
        inner = sd.SGD(landscape, 0.2)
        w = inner.step(NUMPY, x, z, 0) - x
        length = np.linalg.norm(w, axis=-1, keepdims=True)
        got = sd.Truncated(inner, b).step(NUMPY, x, z, 0) - x
        np.testing.assert_allclose(got, w * np.minimum(1, b / length), rtol=1e-12, atol=1e-15)


def test_a_truncated_step_of_length_zero_stays():
    with np.errstate(divide="ignore"):
        still = sd.Truncated(sd.SGD(PLANE, 0.2), 0.1).step(NUMPY, np.zeros((1, 2)), np.zeros((1, 2)), 0)
    assert np.array_equal(still, np.zeros((1, 2)))


def test_a_projected_step_ends_at_the_nearest_point_of_the_region():
    inner = sd.SGD(WELL, 0.2)
    new = inner.step(NUMPY, X, Z, 0)
    assert np.array_equal(sd.Projected(inner, sd.Interval(-0.5, 1.0)).step(NUMPY, X, Z, 0), np.clip(new, -0.5, 1.0))
    flat = sd.SGD(PLANE, 0.2)
    new = flat.step(NUMPY, XY, ZZ, 0)
    got = sd.Projected(flat, sd.Ball([0.1, 0.0], 0.8)).step(NUMPY, XY, ZZ, 0)
    offset = new - [0.1, 0.0]
    length = np.linalg.norm(offset, axis=-1, keepdims=True)
    np.testing.assert_allclose(got, [0.1, 0.0] + offset * np.minimum(1, 0.8 / length), rtol=1e-14)


def test_the_order_of_wrappers_is_kept():
    inner = sd.SGD(WELL, 0.2)
    one = sd.Truncated(sd.Projected(inner, sd.Interval(-0.5, 1.0)), 0.3).step(NUMPY, X, Z, 0)
    two = sd.Projected(sd.Truncated(inner, 0.3), sd.Interval(-0.5, 1.0)).step(NUMPY, X, Z, 0)
    assert not np.array_equal(one, two)
    assert (two >= -0.5).all()
    assert (np.abs(one - X) <= 0.3 + 1e-15).all()


@pytest.mark.parametrize(
    ("diffusion", "kind", "m"),
    [(0.5, "scalar", 2), ("x", "scalar", 2), (["x", 2], "diagonal", 2), ([[1, 0], [0, 1]], "scalar", 2),
     ([[1, 0.1], [0, 1]], "matrix", 2), ([[1], [0.3]], "matrix", 1), (np.eye(2), "scalar", 2)],
)  # fmt: skip
def test_a_diffusion_is_a_factor_a_diagonal_or_a_matrix(diffusion, kind, m):
    sde = sd.SDE(["-x", "-y"], diffusion)
    assert (sde.diffusion_kind, sde.noise_dim, sde.dim) == (kind, m, 2)


def test_a_field_brings_its_variables_and_parameters():
    f = sd.Landscape("a*x**2 + b*y**2", variables=["y", "x"], params={"a": 1.0, "b": 2.0})
    sde = sd.SDE(-f.gradient, 0.5, params={"a": 3.0})
    assert sde.variables == ("y", "x")
    assert sde.params == {"a": 3.0, "b": 2.0, "diffusion": 0.5}


def test_the_variance_across_a_boundary_is_that_of_the_increment():
    dynamics = sd.EulerMaruyama(sd.SDE(["-x", "-y"], [[1, 0.5], [0, "x"]], noise=sd.Gaussian(2.0)), 0.1)
    n = np.array([0.6, 0.8])
    got = dynamics.normal_variance(NUMPY, XY, 0, list(n))
    matrix = np.array([[[1, 0.5], [0, x]] for x in XY[:, 0]])
    np.testing.assert_allclose(got, 4 * 0.1 * ((np.swapaxes(matrix, 1, 2) @ n) ** 2).sum(axis=1), rtol=1e-14)
