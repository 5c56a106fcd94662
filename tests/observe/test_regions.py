"""Regions: what lies inside, distances to the boundary, nearest points."""

import math

import numpy as np
import pytest

import sdesim as sd
from sdesim.core.ops import NUMPY

POINTS = np.random.default_rng(0).normal(size=(500, 2)) * 1.5
PLANE = sd.Landscape("(x**2 - 1)**2/4 + y**2/2 + a*x*y", params={"a": 0.1})
WELL = sd.Landscape("x**4/4 - x**2/2")


def test_an_interval_is_open_and_may_be_infinite():
    x = np.array([-math.inf, -1.0, -0.999, 0.0, 1.0, math.inf, math.nan])
    assert sd.Interval(-1, 1).contains(x).tolist() == [False, False, True, True, False, False, False]
    assert sd.Interval(high=0.5).contains([-1e300, 0.5, 0.4]).tolist() == [True, False, True]
    assert bool(sd.Interval(-1, 1).contains(0.3))
    assert sd.Interval(-1, 1).contains([[0.3], [2.0]]).tolist() == [True, False]


def test_balls_half_spaces_and_sublevel_sets_hold_the_points_of_their_definitions():
    x, y = POINTS.T
    assert np.array_equal(sd.Ball([0.3, -0.2], 1.1).contains(POINTS), np.hypot(x - 0.3, y + 0.2) < 1.1)
    assert np.array_equal(sd.HalfSpace([3.0, 4.0], 2.0).contains(POINTS), 3 * x + 4 * y < 2)
    assert np.array_equal(sd.Sublevel(PLANE, 0.2).contains(POINTS), PLANE(POINTS) < 0.2)
    for region in (sd.Ball([0, 0], 1.0), sd.HalfSpace([1, 0], 1.0), sd.Sublevel(PLANE, 0.2)):
        assert not region.contains([[math.nan, 0.0]]).any()


def test_points_of_another_dimension_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"points have shape \(3, 3\), the region has dimension 2"):
        sd.Ball([0, 0], 1.0).contains(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("region", "points"),
    [
        (sd.Interval(-0.5, 1.2), POINTS[:, :1]),
        (sd.Ball([0.3, -0.2], 1.1), POINTS),
        (sd.HalfSpace([3.0, 4.0], 2.0), POINTS),
        (sd.Ball([0.3], 1.1), POINTS[:, :1]),
    ],
    ids=repr,
)
def test_faces_are_signed_distances_that_grow_along_their_unit_normals(region, points):
    inside = np.logical_and.reduce([rho > 0 for rho, _ in region.faces(NUMPY, points)])
    assert np.array_equal(inside, region.contains(points))
    for rho, normal in region.faces(NUMPY, points):
        n = np.stack(np.broadcast_arrays(*normal, np.asarray(rho))[:-1], axis=-1)
        np.testing.assert_allclose(np.linalg.norm(n, axis=-1), 1.0, rtol=1e-14)
        moved = points + 1e-3 * n
        faces = region.faces(NUMPY, moved)
        assert min(np.abs(f - rho - 1e-3).max() for f, _ in faces) < 1e-12


@pytest.mark.parametrize(
    ("region", "points"), [(sd.Interval(-0.5, 1.2), POINTS[:, :1]), (sd.Ball([0.3, -0.2], 0.9), POINTS)]
)
def test_a_projection_keeps_inner_points_and_is_nearest_for_outer_ones(region, points):
    got = region.project(NUMPY, points)
    inside = region.contains(points)
    np.testing.assert_allclose(got[inside], points[inside], rtol=0, atol=1e-15)
    rng = np.random.default_rng(1)
    for other in rng.normal(size=(200, points.shape[1])):
        if region.contains(other[None] if points.shape[1] > 1 else other).all():
            nearer = np.linalg.norm(points - other, axis=1) < np.linalg.norm(points - got, axis=1) - 1e-12
            assert not nearer[~inside].any()


def test_a_basin_on_the_line_is_the_interval_between_maxima():
    basin = sd.Basin(WELL, -0.3)
    assert isinstance(basin, sd.Interval)
    assert (basin.low, basin.high) == (-math.inf, pytest.approx(0.0, abs=1e-12))
