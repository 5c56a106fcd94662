"""Critical points, basins and barriers against closed forms, published values and other root finders."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from sdesim.core.formula import FormulaError
from sdesim.problems.landscape import Landscape
from tests.problems import named


def test_the_double_well():
    well = Landscape(named.DOUBLE_WELL)
    np.testing.assert_allclose(well.minima, [-1, 1], rtol=1e-14)
    np.testing.assert_array_equal(well.maxima, [0])
    np.testing.assert_array_equal(well.saddles, [0])
    assert well.basins == [(-np.inf, 0.0), (0.0, np.inf)]
    np.testing.assert_allclose(well.barriers, [[0, 0.25], [0.25, 0]], rtol=1e-14)
    np.testing.assert_array_equal(well.basin_of([-3, -1e-9, 0, 1e-9, 2]), [0, 0, -1, 1, 1])
    np.testing.assert_allclose(well.hessian(well.minima), [2, 2])
    assert well.search["complete"] is True


def test_the_asymmetric_well():
    well = Landscape(named.ASYMMETRIC_WELL)
    roots = np.sort(np.roots([1, 0, -1, 0.1]).real)
    np.testing.assert_allclose(well.minima, roots[[0, 2]], rtol=1e-13)
    np.testing.assert_allclose(well.maxima, roots[[1]], rtol=1e-13)
    assert well.barriers[0, 1] > well.barriers[1, 0] > 0


def test_the_function_of_truncated_sgd():
    landscape = Landscape(named.TRUNCATED_SGD, domain=(-1.6, 1.6))
    np.testing.assert_allclose(landscape.minima, [-1.51, -0.70, 0.50, 1.32], atol=0.005)
    np.testing.assert_allclose(landscape.maxima, [-1.3, 0.2, 0.7], atol=1e-12)
    edges = [-1.6, *landscape.maxima, 1.6]
    assert landscape.basins == list(itertools.pairwise(edges))
    assert np.all(landscape.hessian(landscape.minima) > 0)
    np.testing.assert_allclose(landscape.gradient(landscape.minima), 0, atol=1e-10)
    # On the whole line its cusp at 1.65 is one more minimum.
    whole = Landscape(named.TRUNCATED_SGD)
    np.testing.assert_allclose(whole.minima[:4], landscape.minima, rtol=1e-13)
    assert whole.minima[4:].tolist() == [1.65]


def independent_roots(slope, low, high, n=400_001):
    """Sign changes on a very fine grid, each closed by Brent's method."""
    x = np.linspace(low, high, n) + 1e-9
    s = np.sign(slope(x))
    return np.array([brentq(slope, x[i], x[i + 1], xtol=1e-14) for i in np.flatnonzero(s[1:] * s[:-1] < 0)])


@pytest.mark.parametrize("text", [named.MANY_WELLS, "x**2 + 10*sin(7*x)", "x**4 - 3*x**2 + cos(9*x) + x/5"])
def test_every_well_of_a_rugged_loss_is_found(text):
    landscape = Landscape(text)
    roots = independent_roots(landscape.gradient, -60, 60)
    found = np.sort(np.concatenate([landscape.minima, landscape.maxima]))
    np.testing.assert_allclose(found, roots, atol=1e-10)
    assert len(landscape.minima) == len(landscape.maxima) + 1


def test_a_fast_oscillation_on_a_wide_bowl_is_not_undersampled():
    landscape = Landscape("x**2 + 10*sin(50*x)")
    # Extrema solve x + 250 cos(50 x) = 0, which has no solution beyond 250; the outermost pair is 8e-4 apart.
    x = np.linspace(-251, 251, 4_000_001)
    s = np.sign(x + 250 * np.cos(50 * x))
    assert len(landscape.minima) + len(landscape.maxima) == np.count_nonzero(s[1:] * s[:-1] < 0)


@pytest.mark.parametrize(
    ("text", "minima", "maxima"),
    [
        ("abs(x)", [0], []),
        ("abs(1.65 - x)**0.6", [1.65], []),
        ("abs(abs(x) - 1)", [-1, 1], [0]),
        ("-abs(x) + x**2", [-0.5, 0.5], [0]),
        ("max(x**2, 2*x + 3)", [-1], []),
        ("max(abs(x) - 1, 0)", [0], []),
        ("min((x - 1)**2, (x + 2)**2 + 1)", [-2, 1], [-2 / 3]),
        ("x - log(x)", [1], []),
        ("-exp(-x**2)", [0], []),
        ("(x - 1000)**2", [1000], []),
        ("(x**2 - 1e-9)**2", [-np.sqrt(1e-9), np.sqrt(1e-9)], [0]),
        ("x**4", [0], []),
        ("1/x**2 + x**2", [-1, 1], [0]),
        ("3*x**4 + 4*x**3", [-1], []),
        ("x**2*abs(x - 1)**0.5", [0, 1], [0.8]),
    ],
)
def test_kinks_plateaus_poles_and_scales(text, minima, maxima):
    landscape = Landscape(text)
    np.testing.assert_allclose(landscape.minima, minima, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(landscape.maxima, maxima, rtol=1e-9, atol=1e-14)


def test_a_pair_of_extrema_closer_than_any_grid_is_found():
    gap = 1e-5
    landscape = Landscape("(x - 0.3127)**3/3 - g**2*(x - 0.3127)", params={"g": gap}, domain=(-1, 1))
    np.testing.assert_allclose(landscape.minima, [0.3127 + gap], rtol=1e-10)
    np.testing.assert_allclose(landscape.maxima, [0.3127 - gap], rtol=1e-10)


def test_a_basin_ends_where_the_loss_is_undefined():
    assert Landscape("x - log(x)").basins == [(pytest.approx(0, abs=1e-30), np.inf)]
    assert Landscape("x - log(x)").basin_of(-1.0) == -1


def test_a_region_that_falls_off_the_domain_belongs_to_no_well():
    landscape = Landscape("cos(x)", domain=(-4, 3))
    assert landscape.basins == [(-4.0, 0.0)]
    np.testing.assert_array_equal(landscape.basin_of([-3.9, -0.1, 0.1, 2.9]), [0, 0, -1, -1])


def test_a_loss_that_confines_nothing_asks_for_a_domain():
    for text in ("x", "-x**2", "cos(x)", "x**3"):
        landscape = Landscape(text)
        with pytest.raises(ValueError, match=r"give domain=\(low, high\)"):
            _ = landscape.minima
    with pytest.raises(ValueError, match="give domain="):
        _ = Landscape("x**2 - y**2").minima


def test_a_monotone_loss_has_no_wells_on_a_domain():
    landscape = Landscape("x", domain=(0, 1))
    assert landscape.minima.size == 0 and landscape.basins == [] and landscape.barriers.shape == (0, 0)


def test_mueller_brown_has_the_published_minima_saddles_and_energies():
    landscape = Landscape(named.MUELLER_BROWN)
    for found, published in [
        (landscape.minima, named.MUELLER_BROWN_MINIMA),
        (landscape.saddles, named.MUELLER_BROWN_SADDLES),
    ]:
        order = sorted(published)
        np.testing.assert_allclose(found, order, atol=6e-4)
        np.testing.assert_allclose(landscape(found), [published[p] for p in order], atol=6e-4)
    assert landscape.search["method"] == "multistart" and landscape.search["complete"] is False


def test_mueller_brown_barriers_join_neighbours_through_the_published_saddles():
    barriers = Landscape(named.MUELLER_BROWN).barriers
    deep, middle, right = named.MUELLER_BROWN_MINIMA.values()
    first, second = named.MUELLER_BROWN_SADDLES.values()
    expected = [[0, first - deep, np.inf], [first - middle, 0, second - middle], [np.inf, second - right, 0]]
    np.testing.assert_allclose(barriers, expected, atol=2e-3)


def test_basins_of_mueller_brown_follow_the_gradient_flow():
    landscape = Landscape(named.MUELLER_BROWN)
    points = np.random.default_rng(0).uniform([-1.4, -0.3], [1.1, 1.9], (40, 2))
    for point, index in zip(points, landscape.basin_of(points), strict=True):
        options = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-10}
        end = solve_ivp(lambda t, y: -landscape.gradient(y), (0, 5), point, **options).y[:, -1]
        assert np.argmin(np.linalg.norm(landscape.minima - end, axis=1)) == index


@pytest.mark.parametrize(
    ("text", "minima", "saddles"),
    [
        (
            "(x**2 - 1)**2 + (y**2 - 1)**2",
            [[-1, -1], [-1, 1], [1, -1], [1, 1]],
            [[-1, 0], [0, -1], [0, 1], [1, 0]],
        ),
        ("(x**2 - 1)**2 + y**2 + 3*z**2", [[-1, 0, 0], [1, 0, 0]], [[0, 0, 0]]),
        ("abs(x) + abs(y)", [[0, 0]], []),
        ("sqrt(x**2 + y**2)", [[0, 0]], []),
        ("abs(y - x) + (x**2 - 1)**2", [[-1, -1], [1, 1]], None),
        ("max(abs(x + y), abs(3*x - y))", [[0, 0]], []),
        ("abs(y - x**2) + (x - 0.5)**2", [[0.5, 0.25]], None),
    ],
)
def test_several_variables_smooth_or_not(text, minima, saddles):
    landscape = Landscape(text)
    np.testing.assert_allclose(landscape.minima, minima, atol=1e-6)
    if saddles is not None:
        np.testing.assert_allclose(landscape.saddles.tolist(), saddles, atol=1e-9)


@pytest.mark.parametrize(
    "text", [named.TRUNCATED_SGD, named.MUELLER_BROWN, "abs(x - y)**1.5*exp(y) + max(x, y)**3"]
)
def test_gradient_and_hessian_agree_with_finite_differences(text):
    landscape = Landscape(text)
    d = landscape.dim
    x = np.random.default_rng(3).uniform(-1, 1, (20, d) if d > 1 else 20)
    for i in range(d):
        h = 1e-6 * (np.eye(d)[i] if d > 1 else 1.0)
        slope, curvature = landscape.gradient(x), landscape.hessian(x)
        along = (landscape(x + h) - landscape(x - h)) / 2e-6
        change = (landscape.gradient(x + h) - landscape.gradient(x - h)) / 2e-6
        scale = np.abs(landscape(x)).max() + np.abs(slope).max()
        np.testing.assert_allclose(slope[..., i] if d > 1 else slope, along, rtol=1e-5, atol=1e-7 * scale)
        scale = np.abs(curvature).max()
        np.testing.assert_allclose(
            curvature[..., i, :] if d > 1 else curvature, change, rtol=1e-5, atol=1e-6 * scale
        )


def test_shapes_of_value_gradient_and_hessian():
    plane = Landscape("x**2 + y**2")
    assert plane(np.ones((4, 3, 2))).shape == (4, 3)
    assert plane.gradient(np.ones((4, 3, 2))).shape == (4, 3, 2)
    assert plane.hessian(np.ones((4, 3, 2))).shape == (4, 3, 2, 2)
    assert plane.minima.shape == (1, 2) and plane.saddles.shape == (0, 2)
    assert plane.basin_of(np.ones((4, 3, 2))).shape == (4, 3) and plane.basin_of([1.0, 2.0]) == 0
    line = Landscape("x**2")
    assert (
        np.ndim(line(2.0)) == 0
        and line(np.ones((4, 1))).shape == (4, 1)
        and line.hessian(np.ones(3)).shape == (3,)
    )


def test_parameters_change_the_landscape():
    well = Landscape("x**4/4 - a*x**2/2", params={"a": 1})
    assert well.variables == ("x",)
    np.testing.assert_allclose(well.with_params(a=4).minima, [-2, 2])
    np.testing.assert_allclose(well.minima, [-1, 1])


def test_landscapes_compare_hash_and_pickle():
    one, two = Landscape("x**2", domain=(-1, 1)), Landscape("x*x", domain=[(-1, 1)])
    assert one == two and hash(one) == hash(two) and one != Landscape("x**2")
    _ = one.minima
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Landscape("a*x**2", params={"b": 1}), "no parameter b"),
        (lambda: Landscape("alpha*x**2", params={"alhpa": 1}), "did you mean alpha"),
        (lambda: Landscape("a*x**2", variables=["x"]), "a is neither a variable nor a parameter"),
        (lambda: Landscape("x**2").with_params(a=1), "no parameter a"),
        (lambda: Landscape("3"), "at least one variable"),
        (lambda: Landscape("x**2", variables=["x"], params={"x": 1}), "as a variable and as a parameter"),
        (lambda: Landscape("x**2", domain=(1, 1)), "low < high"),
        (lambda: Landscape("x**2", domain=(0, np.inf)), "finite"),
        (
            lambda: Landscape("x**2 + y**2", domain=(0, 1)),
            r"shape \(2,\), expected one \(low, high\) for each of x, y",
        ),
        (lambda: Landscape("x**2", domain={"y": (0, 1)}), "the variables are x"),
        (lambda: Landscape("x**2 + y**2")(np.ones(3)), r"shape \(3,\), expected \(..., 2\)"),
        (lambda: Landscape("x**2 + y**2").basin_of(np.ones(3)), r"shape \(3,\), expected \(..., 2\)"),
        (lambda: Landscape("x**2 + y**2").maxima, "use saddles"),
        (lambda: Landscape("x**2 + y**2").basins, "use basin_of"),
    ],
)
def test_bad_landscapes_are_refused_in_one_line(make, said):
    with pytest.raises(ValueError, match=said) as refusal:
        make()
    assert str(refusal.value).isprintable()


def test_an_undeclared_symbol_is_a_formula_error():
    with pytest.raises(FormulaError):
        Landscape("a*x**2", variables=["x"])


def test_nothing_is_searched_at_construction_and_the_search_is_quick():
    started = time.perf_counter()
    line, plane = Landscape(named.TRUNCATED_SGD), Landscape(named.MUELLER_BROWN)
    assert not {"_searched", "minima", "saddles"} & {*vars(line), *vars(plane)}
    assert time.perf_counter() - started < 0.5
    _ = plane.minima, plane.saddles, plane.barriers
    assert time.perf_counter() - started < 3.5


def test_import_is_light():
    heavy = "{'scipy.stats', 'torch', 'matplotlib'}"
    code = f"import sys, sdesim.problems.landscape; print(len({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0"
