import math

import pytest

from sdesim.analysis import theory
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.sde import SDE
from sdesim.dynamics.sgd import SGD
from sdesim.dynamics.wrappers import Truncated
from sdesim.observe.first_exit import FirstExit
from sdesim.observe.regions import Ball, Interval
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import Gaussian, Pareto, Stable
from sdesim.study.model import Experiment
from sdesim.study.reference import THEORY, mean_exit_time


def test_gaussian_sde_on_the_line_has_the_quadrature() -> None:
    sde = SDE("0", 1.0, variables=["x"])
    assert mean_exit_time(EulerMaruyama(sde, dt=0.01), 0.0, Interval(-1, 1)).value == pytest.approx(1.0)


@pytest.mark.parametrize(("dim", "region"), [(1, Interval(-2, 2)), (2, Ball([0.0, 0.0], 2.0))])
def test_driftless_stable_noise_has_getoor(dim: int, region) -> None:
    names = ["x", "y"][:dim]
    noise = Stable(1.5, isotropic=True) if dim > 1 else Stable(1.5)
    sde = SDE(["0"] * dim, 0.5, noise=noise, variables=names)
    found = mean_exit_time(EulerMaruyama(sde, dt=0.01), [0.0] * dim, region)
    assert found.value == pytest.approx(theory.stable_exit_time(1.5, dim, 2.0, 0.0, 0.5))


def test_recursions_on_the_line_have_the_operator() -> None:
    chain = SGD(Landscape("x**2/2"), 0.1, noise=Pareto(1.5, scale=0.3))
    found = mean_exit_time(Truncated(chain, 0.2), 0.0, Interval(-1, 1))
    assert "operator" in found.method
    assert math.isfinite(found.value)


def test_where_no_theory_holds_there_is_none() -> None:
    drift = EulerMaruyama(SDE("-x", 1.0, noise=Stable(1.5), variables=["x"]), dt=0.01)
    assert mean_exit_time(drift, 0.0, Interval(-1, 1)) is None
    plane = EulerMaruyama(SDE(["-x", "-y"], 1.0, noise=Gaussian(), variables=["x", "y"]), dt=0.01)
    assert mean_exit_time(plane, [0.0, 0.0], Ball([0.0, 0.0], 1.0)) is None
    coordinatewise = SDE(["0", "0"], 1.0, noise=Stable(1.5, isotropic=False), variables=["x", "y"])
    assert mean_exit_time(EulerMaruyama(coordinatewise, dt=0.01), [0.0, 0.0], Ball([0.0, 0.0], 1.0)) is None


def test_theory_of_every_cell_of_a_sweep_is_in_the_dataset() -> None:
    sde = SDE("0", 1.0, variables=["x"])
    watched = [FirstExit(Interval(-1, 1))]
    ds = Experiment(
        EulerMaruyama(sde, dt=0.05),
        0.0,
        20,
        t_max=100.0,
        observers=watched,
        vary={"diffusion": [0.5, 1.0, 2.0]},
    ).run(seed=1)
    assert ds[THEORY].dims == ("diffusion",)
    assert list(ds[THEORY].values) == pytest.approx([4.0, 1.0, 0.25])
