"""Slopes of differences whose order is known, and differences that have none."""

import numpy as np
import pytest
import xarray as xr

import sdesim as sd
from tests.analysis.compare_data import one_number
from tests.analysis.test_compare_statistics import no_more_than

RATES = (0.05, 0.1, 0.2, 0.4)


def ladder(seed, order=2.0, size=1.0, n=2000, one_seed=False, sign=1.0):
    """Two ensembles at each rate whose means differ by size * rate^order; of one seed, path by path they depend."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n) if one_seed else np.zeros(n)
    runs = {}
    for i, rate in enumerate(RATES):
        a, b = (0.5 * common + 0.01 * rng.standard_normal(n) for _ in range(2))
        b += sign * size * rate**order * (1 + 0.5 * common)
        runs[rate] = {"SGD": one_number(a, 0 if one_seed else i), "SDE": one_number(b, 0 if one_seed else 9 + i)}
    return runs


@pytest.mark.parametrize("one_seed", [False, True])
def test_intervals_hold_the_order_of_differences_that_stand_out(one_seed):
    found = [sd.weak_order(ladder(s, one_seed=one_seed), level=0.9) for s in range(30)]
    missed = sum(not f.low <= 2.0 <= f.high for f in found)
    assert no_more_than(missed, len(found), 0.1)
    assert all(f.high - f.low < 0.5 and not f.warning for f in found)
    assert not any(f.low <= 1.0 for f in found)


def test_first_order_is_told_from_second():
    found = sd.weak_order(ladder(3, order=1.0, sign=-1.0))
    assert found.low <= 1.0 <= found.high < 1.2
    assert found.differences.value.values == pytest.approx([-r for r in RATES], abs=0.002)


def test_a_swept_dataset_will_do():
    runs = {f"{r:g}": d for r, d in ladder(4).items()}
    dims = [
        xr.concat([d[name] for d in runs.values()], dim="lr").assign_coords(lr=list(RATES)) for name in ("SGD", "SDE")
    ]
    ds = xr.concat(dims, dim="dynamics", combine_attrs="override").assign_coords(dynamics=["SGD", "SDE"])
    swept, listed = sd.weak_order(ds, paired=False), sd.weak_order(ladder(4))
    assert (swept.value, swept.low) == pytest.approx((listed.value, listed.low))
    assert sd.weak_order(ds, paired=False, reference="SDE").value == pytest.approx(listed.value)


def test_differences_within_the_noise_have_no_order():
    found = sd.weak_order(ladder(5, size=0.1))
    assert np.isnan(found.value) and (found.low, found.high) == (-np.inf, np.inf)
    assert "do not stand out of the noise at lr = 0.05" in found.warning
    need = int(found.warning.split("about ")[1].split()[0])
    assert need > 2000


def test_equal_means_have_no_order():
    runs = {lr: {"SGD": both["SGD"], "SDE": both["SGD"]} for lr, both in ladder(5).items()}
    assert sd.weak_order(runs).warning.startswith("the means are equal to the last digit")


def test_differences_that_change_sign_have_no_order():
    runs = ladder(6)
    runs[0.4]["SDE"] = -runs[0.4]["SDE"]
    assert sd.weak_order(runs).warning.startswith("the differences change sign")


def test_weak_order_of_the_sde_of_sgd_is_that_of_the_exact_means():
    """f = (1 + ξ) x²/2: SGD has the mean (1 - η)^(T/η), Euler steps of its SDE (1 - h)^(T/h)."""
    loss, t = sd.Landscape("(a + xi)*x**2/2", params={"a": 1.0, "xi": 0.0}), 1.2
    runs, exact = {}, []
    for i, lr in enumerate((0.1, 0.2, 0.4)):
        h = lr / 40
        sgd = sd.SGD(loss, lr, noise=sd.Gaussian(0.2), random="xi")
        sde = sd.EulerMaruyama(sd.SDE("-x", "c*x", params={"c": 0.2 * lr**0.5}), h)
        both = {"SGD": (sgd, round(t / lr)), "SDE": (sde, round(t / h))}
        runs[lr] = {
            name: sd.run(d, 1.0, 40_000, n_steps=n, seed=10 * i + n, progress=False) for name, (d, n) in both.items()
        }
        exact.append((1 - h) ** round(t / h) - (1 - lr) ** round(t / lr))
    found = sd.weak_order(runs)
    truth = sd.exits.scaling_exponent(exact, over=[0.1, 0.2, 0.4]).value
    assert found.low <= truth <= found.high < 1.5  # of first order, not of second


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.weak_order({0.1: ladder(1)[0.1]}), "at least two positive values of lr"),
        (lambda: sd.weak_order(ladder(1), other="SDF"), "no dynamics 'SDF': did you mean SGD or SDE"),
        (lambda: sd.weak_order({"x": ladder(1)[0.1]}), "keys must be values of lr, numbers, got 'x'"),
        (lambda: sd.weak_order(ladder(1), time=3.0), "time 3.0 is not common to all values: there are"),
        (lambda: sd.weak_order(ladder(1), observable="lass"), "no observable 'lass' in both: did you mean loss"),
        (lambda: sd.weak_order(ladder(1), component="x"), "loss has no component 'x'"),
    ],
)
def test_what_has_no_order_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
