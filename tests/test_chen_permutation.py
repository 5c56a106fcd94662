"""The two neurons of the permutation part: formulas of the network by hand, and a short run of each kind."""

import importlib

import numpy as np
import pytest
import scipy.stats
import torch
import xarray as xr

from sdesim.study import catalogue
from tests.chance import has_mean

model = catalogue.find("chen2023collapse")
part = importlib.import_module("sdesim.models.chen2023collapse.permutation")


def by_hand(row: np.ndarray, x: np.ndarray) -> np.ndarray:
    w, v = row[:2], row[2:]
    return sum(v[j] * (w[j] * x) * scipy.stats.norm.cdf(w[j] * x) for j in range(2))


def test_network_and_distance_are_the_formulas_of_the_docstring() -> None:
    objective = part.objective()
    x = np.random.default_rng(1).normal(size=8)
    rows = np.array([part.START, [0.3, -0.2, 2.0, 0.1]])
    expected = [np.mean((by_hand(row, x) - x) ** 2) for row in rows]
    np.testing.assert_allclose(objective.loss(torch.as_tensor(rows)), expected, rtol=1e-12)
    apart = (rows[:, 0] - rows[:, 1]) ** 2 + (rows[:, 2] - rows[:, 3]) ** 2
    np.testing.assert_allclose(part.square(torch.as_tensor(rows)), apart, rtol=1e-12)


def test_neurons_approach_each_other_with_label_noise_and_do_not_without() -> None:
    ds = {s: part.decay(0.1, s, 10.0, 20.0)(1) for s in (0.0, 0.4)}
    assert np.abs(ds[0.0]).max() < 1e-4
    assert ds[0.4].mean() < -0.1
    assert not has_mean(ds[0.4], 0.0)


def test_displacements_on_the_set_shrink_as_fast_as_neurons_approach() -> None:
    slope = part.decay(0.1, 0.4, 20.0, 30.0)(1).values
    tangent = part.on_the_set(0.1, 0.4, 20.0, 30.0)(2).values
    assert has_mean(slope - tangent, 0.0, bias=0.01)
    assert not has_mean(slope - tangent / 2, 0.0, bias=0.01)  # the exponent, not twice it


def test_ratio_of_means_has_fiellers_interval() -> None:
    rng = np.random.default_rng(0)
    make = {k: xr.DataArray(rng.normal(k, 0.1, 400), dims="path") for k in (3.0, 2.0)}
    found = part.ratio(lambda seed: make[3.0], lambda seed: make[2.0])(0, 0.999)
    assert found.low < make[3.0].mean() / make[2.0].mean() < found.high
    assert found.low < 1.5 < found.high
    assert found.high - found.low == pytest.approx(2 * 3.31 * 0.1 / 2 * (1 + 1.5**2) ** 0.5 / 20, rel=0.15)


def test_part_runs_and_draws_its_figure() -> None:
    ds = model.run(model.params(experiment="permutation", t_max=1.0), n_paths=4, seed=1, threads=1, progress=False)
    assert dict(ds["d2"].sizes) == {"dynamics": 3, "label_noise": 4, "path": 4, "time": 41}
    np.testing.assert_allclose(ds["d2"].isel(time=0), 0.4**2 + 0.2**2)
    drawn = model.figure(ds)
    assert drawn.axes[1].get_xlabel() == "lr σ²"
    assert len(drawn.axes[1].containers) == 3
