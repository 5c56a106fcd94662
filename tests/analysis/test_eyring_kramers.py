"""Escape rates over saddles against exact 1-D quadrature and an independent 2-D solver."""
import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve

from sdesim.analysis import theory
from sdesim.dynamics.sde import SDE
from sdesim.observe.regions import Interval
from sdesim.problems.landscape import Landscape

INFINITE = float("inf")
DOUBLE = Landscape("x**4/4 - x**2/2 + x/20")
TRIPLE = Landscape("x**6/6 - 5*x**4/4 + 2*x**2 + x/10")


def exact(well, sigma, x0, high):
    return theory.mean_exit_time(SDE(-well.gradient, sigma), x0, Interval(-INFINITE, high)).value


def test_the_limit_in_one_dimension_is_that_of_the_quadrature():
    """The relative difference falls like D = σ²/2 and is within the stated order."""
    wrong = []
    for sigma in (0.28, 0.14, 0.1, 0.07):
        found = theory.eyring_kramers(DOUBLE, sigma, start=-1.0)
        wrong.append(exact(DOUBLE, sigma, DOUBLE.minima[0], 0.8) / found.value - 1)
        assert abs(wrong[-1]) * found.value < found.error
    assert wrong[2] / wrong[3] == pytest.approx(2, rel=0.1) and abs(wrong[3]) < 0.005


def test_the_boundary_is_touched_in_half_of_the_time():
    """The two leading differences, of order √D and D, have opposite signs here: within the stated order √D."""
    for sigma in (0.2, 0.1, 0.05):
        found = theory.eyring_kramers(DOUBLE, sigma, start=-1.0, until="boundary")
        wrong = exact(DOUBLE, sigma, DOUBLE.minima[0], DOUBLE.maxima[0]) / found.value - 1
        assert abs(wrong) * found.value < found.error
    assert abs(wrong) < 0.005


def test_independent_directions_change_nothing_but_cancel():
    """In f(x) + 3 (y + x)² the change y -> y + x is no isometry: only the determinants know."""
    turned = Landscape("(0.6*x + 0.8*y)**4/4 - (0.6*x + 0.8*y)**2/2 + (0.6*x + 0.8*y)/20 + 3*(0.8*x - 0.6*y)**2")
    flat = theory.eyring_kramers(DOUBLE, 0.2, start=-1.0).value
    start = DOUBLE.minima[0] * np.array([0.6, 0.8])
    assert theory.eyring_kramers(turned, 0.2, start=start).value == pytest.approx(flat, rel=1e-9)


def plane_mean(f, sigma, box, low, n):
    """Mean time from `low` until x > 0.6 in a box of n × n cells: reversible rates from the values of f alone."""
    d = sigma**2 / 2
    (x0, x1), (y0, y1) = box
    hx, hy = (x1 - x0) / n, (y1 - y0) / n
    x, y = x0 + hx * (np.arange(n) + 0.5), y0 + hy * (np.arange(n) + 0.5)
    v = f(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)) / d
    number = np.arange(n * n).reshape(n, n)
    v = np.where(v < v.min() + 60, v, np.inf)  # nothing goes there: a wall
    rows, cols, rates = [], [], []
    for a, b, h in ((np.s_[:-1, :], np.s_[1:, :], hx), (np.s_[:, :-1], np.s_[:, 1:], hy)):
        for p, q in ((a, b), (b, a)):
            rows.append(number[p].ravel())
            cols.append(number[q].ravel())
            open_ = np.isfinite(v[p]) & np.isfinite(v[q])
            step = np.where(open_, v[p], 0.0) - np.where(open_, v[q], 0.0)
            rates.append(np.where(open_, d / h**2 * np.exp(0.5 * step), 0.0).ravel())
    rows, cols, rates = (np.concatenate(parts) for parts in (rows, cols, rates))
    out = np.bincount(rows, rates, n * n)
    generator = sparse.csc_matrix((rates, (rows, cols)), (n * n, n * n)) - sparse.diags(out).tocsc()
    inside = np.flatnonzero((np.repeat(x, n) < 0.6) & np.isfinite(v.ravel()))
    mean = np.full(n * n, 0.0)
    mean[inside] = spsolve(generator[inside][:, inside], -np.ones(inside.size))
    return mean.reshape(n, n)[np.argmin(np.abs(x - low[0])), np.argmin(np.abs(y - low[1]))]


BENT = Landscape("x**4/4 - x**2/2 + (1 + 2*x**2)*(y - x**2/4)**2")


def test_prefactor_in_the_plane_is_that_of_a_grid_solution():
    """The transverse curvature is 2 at the saddle and 6 at the minima: a prefactor √3 that one dimension has not."""
    low = np.array([-1.0, 0.25])
    wrong = []
    for sigma in (0.4, 0.28):
        grids = [plane_mean(BENT, sigma, ((-2.0, 0.7), (-1.25, 2.0)), low, n) for n in (54, 108)]
        found = theory.eyring_kramers(BENT, sigma, start=low)
        wrong.append((4 * grids[1] - grids[0]) / 3 / found.value - 1)
    # The difference is linear in D = σ²/2, so that it extrapolates to nothing.
    assert wrong[0] / wrong[1] == pytest.approx((0.4 / 0.28) ** 2, rel=0.1) and abs(wrong[1]) < 0.2
    without = theory.eyring_kramers(Landscape("x**4/4 - x**2/2"), 0.28, start=-1.0).value
    assert theory.eyring_kramers(BENT, 0.28, start=low).value == pytest.approx(without * np.sqrt(2 / 6), rel=1e-6)


def test_generator_of_three_wells_matches_quadrature_and_balances():
    sigma = 0.32
    found = theory.kramers_generator(TRIPLE, sigma)
    q, minima, tops = found.value, TRIPLE.minima, TRIPLE.maxima
    sde = SDE(-TRIPLE.gradient, sigma)
    np.testing.assert_allclose(q.sum(axis=1), 0, atol=1e-15)
    assert q[0, 2] == q[2, 0] == 0
    between = Interval(minima[0], minima[2])
    out = 1 / theory.mean_exit_time(sde, minima[1], between).value
    up = theory.exit_side(sde, minima[1], between).value
    rates = {
        (0, 1): 1 / theory.mean_exit_time(sde, minima[0], Interval(-INFINITE, minima[1])).value,
        (1, 0): out * (1 - up),
        (1, 2): out * up,
    }
    for (i, j), rate in rates.items():
        assert abs(q[i, j] - rate) < found.error[i, j] and q[i, j] == pytest.approx(rate, rel=0.15)
    weight = np.exp(-TRIPLE(minima) / (sigma**2 / 2)) / np.sqrt(TRIPLE.hessian(minima))
    np.testing.assert_allclose(weight[0] * q[0, 1], weight[1] * q[1, 0], rtol=1e-9)
    assert tops.size == 2


def test_two_saddles_of_one_height_double_the_rate():
    one = Landscape("x**4/4 - x**2/2")
    ring = Landscape("(x**2 + y**2 - 1)**2 + 0.2*y**2")
    generator = theory.kramers_generator(ring, 0.15).value
    saddle, low = ring.hessian([0.0, np.sqrt(0.9)]), ring.hessian([1.0, 0.0])
    height = ring([0.0, np.sqrt(0.9)])
    rate = abs(np.linalg.eigvalsh(saddle)[0]) / (2 * np.pi) * np.sqrt(np.linalg.det(low) / -np.linalg.det(saddle))
    assert generator[0, 1] == pytest.approx(2 * rate * np.exp(-height / (0.15**2 / 2)), rel=1e-6)
    assert theory.kramers_generator(one, 0.2).value[0, 1] == pytest.approx(
        1 / (np.sqrt(2) * np.pi * np.exp(0.25 / 0.02))
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.eyring_kramers(DOUBLE, 1.5, start=-1.0), "small against the barrier"),
        (lambda: theory.eyring_kramers(DOUBLE, 0.3), "2 wells"),
        (lambda: theory.eyring_kramers(DOUBLE, 0.3, start=-1.0, until="basin"), "'well' or 'boundary'"),
        (lambda: theory.eyring_kramers(Landscape("x**4 + x**2"), 0.3), "no saddle"),
        (lambda: theory.eyring_kramers(Landscape("x**4"), 0.3), "degenerate"),
        (lambda: theory.eyring_kramers(Landscape("abs(x**2 - 1) + x**2/4"), 0.1, start=-1.0), "kink|curvature|degen"),
        (lambda: theory.eyring_kramers(Landscape("(abs(x) - 1)**2"), 0.1, start=-1.0), "kink|degen"),
        (lambda: theory.kramers_generator(Landscape("x**2"), 0.3), "one well"),
        (lambda: theory.kramers_generator(Landscape("-x**4/4 + x**2/2 - x**6/60 + cos(4*x)",
                                                    domain=(-1.5, 1.5)), 0.05), "no well"),
        (lambda: theory.eyring_kramers(DOUBLE, -1.0, start=-1.0), "positive"),
    ],
)  # fmt: skip
def test_questions_outside_the_assumptions_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
