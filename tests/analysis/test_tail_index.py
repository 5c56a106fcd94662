"""Tail indices against laws that have one, published tables and scipy; intervals by their coverage."""

import numpy as np
import pytest
import scipy.stats
import torch

import sdesim as sd
from sdesim.analysis.tail_index.estimators import _quantile_ratios
from tests import chance

SETS, SIZE = 300, 2000


def pareto(alpha, shape, seed=1):
    """P(|X| > x) = x**-alpha for x > 1, either sign."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(size=shape) ** (-1 / alpha)


def stable(alpha, shape, seed=2):
    return scipy.stats.levy_stable.rvs(alpha, 0.0, size=shape, random_state=np.random.default_rng(seed))


LAWS = {"hill": pareto, "moment": pareto, "mohammadi": stable, "characteristic": stable, "quantile": stable}


@pytest.mark.parametrize("method", LAWS)
@pytest.mark.parametrize("alpha", [1.3, 1.7])
def test_intervals_hold_the_index_of_the_law_as_often_as_they_say_and_not_another(method, alpha):
    found = sd.tail_index.estimate(LAWS[method](alpha, (SIZE, SETS)), method, repeats=20)
    assert chance.has_share(((found.low < alpha) & (alpha < found.high)).values, 0.95)
    wrong = 1.5 * alpha
    assert not chance.has_share(((found.low < wrong) & (wrong < found.high)).values, 0.95)


@pytest.mark.parametrize("method", ["mohammadi", "characteristic", "quantile"])
def test_normal_samples_have_index_two_and_look_like_the_null(method):
    x = np.random.default_rng(3).normal(size=(SIZE, SETS))
    found = sd.tail_index.estimate(x, method, repeats=600)
    assert float(found.value.median()) == pytest.approx(2.0, abs=0.03)
    # p-values of normal data are uniform, those of heavy-tailed data are not
    assert chance.has_share((found.p_value <= 0.1).values, 0.1)
    heavy = sd.tail_index.estimate(stable(1.5, (SIZE, SETS)), method, repeats=600)
    assert not chance.has_share((heavy.p_value <= 0.1).values, 0.1)


def test_moments_find_no_power_law_in_normal_samples_where_hill_gives_a_number():
    x = np.random.default_rng(4).normal(size=SIZE)
    found = sd.tail_index.estimates(x)
    assert np.isinf(found["moment"].high)
    assert 4 < found["hill"].value < 9
    assert all(e.p_value > 0.01 for e in found.values())


def test_quantile_ratios_are_mccullochs_table():
    """McCulloch 1986, table I, column of symmetric laws."""
    alphas, ratios = _quantile_ratios()
    table = {2.0: 2.439, 1.9: 2.5120, 1.8: 2.6080, 1.7: 2.7369, 1.6: 2.9115, 1.5: 3.1480, 1.0: 6.3140, 0.5: 44.6}
    for alpha, value in table.items():
        assert np.exp(ratios[np.isclose(alphas, alpha)]).item() == pytest.approx(value, rel=3e-3)


def test_hill_is_the_mean_of_logarithms_written_out():
    x = pareto(1.5, 500)
    top = sorted(abs(x), reverse=True)
    gamma = np.mean([np.log(top[i] / top[40]) for i in range(40)])
    assert sd.tail_index.estimate(x, "hill", number=40).value == pytest.approx(1 / gamma, rel=1e-12)


def test_mohammadis_estimator_is_its_formula():
    x = stable(1.5, 1000)
    sums = np.abs([x[i : i + 10].sum() for i in range(0, 1000, 10)])
    gamma = (np.log(sums).mean() - np.log(np.abs(x)).mean()) / np.log(10)
    assert sd.tail_index.estimate(x, "mohammadi", number=10).value == pytest.approx(1 / gamma, rel=1e-12)


@pytest.fixture(scope="module")
def anisotropic():
    """Normal draws of 30 coordinates whose widths differ by a factor of 100."""
    return np.random.default_rng(5).normal(size=(1000, 30)) * np.geomspace(0.01, 1.0, 30)


@pytest.mark.parametrize("method", ["mohammadi", "characteristic", "quantile"])
def test_normal_coordinates_of_different_widths_look_heavy_tailed_only_where_they_are_pooled(anisotropic, method):
    with pytest.warns(sd.tail_index.AnisotropyWarning, match="looks heavy-tailed"):
        pooled = sd.tail_index.estimate(anisotropic, method, axis="pooled", repeats=40)
    assert pooled.high < 1.7
    assert pooled.p_value > 0.01  # the null has the same widths and is not deceived
    each = sd.tail_index.estimate(anisotropic, method)
    assert each.value.dims == ("coordinate",) and each.value.size == 30
    assert float(each.value.median()) == pytest.approx(2.0, abs=0.1)
    assert sd.tail_index.estimate(anisotropic, method, axis="pooled", standardise=True, repeats=20).value > 1.85


def test_pooled_coordinates_of_one_width_give_no_warning(recwarn):
    x = np.random.default_rng(6).normal(size=(1000, 5))
    found = sd.tail_index.estimate(x, "quantile", axis="pooled", repeats=20)
    assert not recwarn.list
    assert found.low < 2 < found.high


def test_norms_of_an_isotropic_stable_vector_have_its_index():
    """Radius sqrt(2 S) times a normal vector: a sub-Gaussian law, with tail index α in every direction."""
    rng = np.random.default_rng(7)
    s = scipy.stats.levy_stable.rvs(0.6, 1.0, scale=np.cos(np.pi * 0.3) ** (1 / 0.6), size=20_000, random_state=rng)
    x = np.sqrt(s)[:, None] * rng.normal(size=(20_000, 3))
    found = sd.tail_index.estimate(x, "hill", axis="norm", repeats=20)
    assert found.low < 1.2 < found.high
    assert not found.low < 1.5 < found.high


def test_scale_changes_nothing():
    x = stable(1.5, 1000)
    for method in LAWS:
        one, other = (sd.tail_index.estimate(c * x, method, repeats=20) for c in (1.0, 1e-5))
        assert one.value == pytest.approx(other.value, rel=1e-9)


def test_tensors_are_samples_as_they_are():
    x = pareto(1.5, 500)
    given = torch.tensor(x, requires_grad=True)
    assert sd.tail_index.estimate(given, repeats=20).value == sd.tail_index.estimate(x, repeats=20).value


def test_an_index_says_its_axis_and_prints():
    found = sd.tail_index.estimate(pareto(1.5, 1000), repeats=20)
    assert found.axis == "coordinate" and len(found.null) == 20
    assert "hill over each coordinate's draws" in str(found)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.zeros(500), {}, "the same number in half of the draws"),
        (np.ones((3, 4, 5)), {}, r"shape \(3, 4, 5\): give \(n,\)"),
        (np.arange(50.0), {}, "at least 100"),
        (np.append(np.arange(500.0), np.nan), {}, "1 of 501 samples are not finite"),
        (np.arange(500.0), {"method": "hil"}, "did you mean hill"),
        (np.arange(500.0), {"axis": "pool"}, "did you mean pooled"),
        (np.arange(500.0), {"axis": "norm", "method": "mohammadi"}, "needs symmetric samples"),
        (np.arange(-250.0, 250.0), {"method": "mohammadi"}, "1 of 500 samples are 0, which has no logarithm"),
        (np.arange(500.0), {"number": 490}, "at most 474"),
        (np.arange(500.0), {"level": 1.2}, r"level must be in \(0, 1\)"),
    ],
)
def test_what_cannot_be_estimated_is_refused(samples, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sd.tail_index.estimate(samples, **options)
