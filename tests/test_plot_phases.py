"""The phase diagram of noise against curvature, on formulas and on a network."""

from __future__ import annotations

import numpy as np
import pytest

import sdesim as sd
from tests.analysis.test_lyapunov import two_layers


@pytest.fixture(scope="module")
def quartic():
    sde = sd.SDE("mu*x - x**3", "zeta*x", params={"mu": 1.0, "zeta": 1.0})
    grid = {"zeta": [0.5, 1.5, 2.5], "mu": [0.5, 1.5, 2.5, 3.5]}
    return sd.run(sd.Tangent(sd.EulerMaruyama(sde, 0.02)), 0.0, 60, t_max=10.0, vary=grid, engine="tensor", threads=1)


def drawn_on(ax):
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    return ax.get_xlabel(), ax.get_ylabel(), legend


def test_map_shows_the_measured_zero_beside_the_predicted_boundary(quartic):
    drawn, (ax,) = sd.plot.canvas(1)
    sd.plot.phase_diagram(ax, quartic, x="zeta", boundary=lambda zeta: zeta**2 / 2, label="ζ² = 2μ")
    x, y, legend = drawn_on(ax)
    assert (x, y) == ("parameter zeta", "parameter mu")
    assert legend == ["0 within the 95% interval", "measured zero", "ζ² = 2μ"]
    values = ax.collections[0].get_array().reshape(4, 3)
    assert (np.sign(values[0]) == [1, -1, -1]).all()
    assert (values[3] > 0).sum() >= 2
    assert drawn.axes[1].get_ylabel() == "Lyapunov exponent [1/time]"


def test_line_has_the_exponents_and_the_threshold(quartic):
    _, (ax,) = sd.plot.canvas(1)
    sd.plot.phase_diagram(ax, quartic.sel(mu=1.5, drop=True), boundary=3**0.5)
    assert drawn_on(ax) == ("parameter zeta", "Lyapunov exponent [1/time]", ["predicted boundary", "measured, 95%"])


def test_diagram_of_a_network_is_over_its_rate_and_its_label_noise():
    sgd, xy, x = two_layers()
    tangent = sd.Tangent(sgd, sd.invariant.VanishingNeurons(sgd.objective, 0, [0]), direction=[1, 1])
    grid = {"label_noise": [0.0, 2.0], "lr": [0.1, 0.6]}
    ds = sd.run(tangent, [0.0, 0.0], 64, n_steps=100, vary=grid, threads=1)
    found = sd.lyapunov(ds, level=1 - 1e-7)
    for j, lr in enumerate(grid["lr"]):
        exact = [np.mean(sd.mean_log(1 + lr * xy, lr * s * x)) / lr for s in grid["label_noise"]]
        assert ((found.low[:, j] < exact) & (exact < found.high[:, j])).all()
        assert found.value[1, j] < found.value[0, j]
    _, (ax,) = sd.plot.canvas(1)
    sd.plot.phase_diagram(ax, ds)
    assert drawn_on(ax)[:2] == ("parameter lr", "parameter label_noise")


def test_datasets_without_two_swept_parameters_are_refused(quartic):
    _, (ax,) = sd.plot.canvas(1)
    with pytest.raises(ValueError, match="one or two swept parameters, the dataset has 0"):
        sd.plot.phase_diagram(ax, quartic.isel(mu=0, zeta=0))
    with pytest.raises(ValueError, match="'zta' is no swept parameter: did you mean zeta"):
        sd.plot.phase_diagram(ax, quartic, x="zta")
    with pytest.raises(TypeError, match=r"the boundary over two parameters is a function of zeta, got 1\.0"):
        sd.plot.phase_diagram(ax, quartic, x="zeta", boundary=1.0)
    with pytest.raises(ValueError, match="both 'mu'"):
        sd.plot.phase_diagram(ax, quartic, x="mu", y="mu")
