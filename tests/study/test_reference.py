import math
from pathlib import Path

import numpy as np
import pytest

import sdesim as sd
from sdesim.analysis import theory
from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.engine import results
from sdesim.observe.basin import Basin
from sdesim.problems.landscape import Landscape
from sdesim.problems.laws import Pareto, Stable
from sdesim.study.exit_theory import NoTheory, exit_theory
from sdesim.study.model import Experiment, compare
from sdesim.study.reference import SHARES_METHOD, THEORY, THEORY_ERROR, THEORY_METHOD
from sdesim.study.table import table

BOWL = Landscape("x**2/2")
PLANE = Landscape("x**4/4 - x**2/2 + x/20 + y**2", variables=["x", "y"])
SPACE = Landscape("x**4/4 - x**2/2 + x/20 + y**2 + z**2", variables=["x", "y", "z"])


def steps(drift, sigma=1.0, noise=None, names=("x",), dt=0.01):
    return sd.EulerMaruyama(sd.SDE(drift, sigma, noise=noise or sd.Gaussian(), variables=list(names)), dt=dt)


def test_gaussian_sde_on_the_line_has_the_quadrature() -> None:
    found = exit_theory(steps("0"), 0.0, sd.Interval(-1, 1))
    assert found.value == pytest.approx(1.0) and "quadrature" in found.method


@pytest.mark.parametrize(("dim", "region"), [(1, sd.Interval(-2, 2)), (2, sd.Ball([0.0, 0.0], 2.0))])
def test_driftless_stable_noise_has_getoor(dim: int, region) -> None:
    noise = Stable(1.5, isotropic=True) if dim > 1 else Stable(1.5)
    found = exit_theory(steps(["0"] * dim, 0.5, noise, "xy"[:dim]), [0.0] * dim, region)
    assert found.value == pytest.approx(theory.stable_exit_time(1.5, dim, 2.0, 0.0, 0.5))


def test_recursions_on_the_line_have_the_operator() -> None:
    chain = sd.SGD(BOWL, 0.1, noise=Pareto(1.5, scale=0.3))
    found = exit_theory(sd.Truncated(chain, 0.2), 0.0, sd.Interval(-1, 1))
    assert "operator" in found.method and math.isfinite(found.value)
    levy = exit_theory(steps("-x", 0.3, Stable(1.5), dt=0.05), 0.0, sd.Interval(-1, 1))
    assert "operator" in levy.method


def test_limits_are_used_where_nothing_exact_is_known_and_say_so() -> None:
    ball = sd.Ball([0.0, 0.0], 1.0)
    levy = exit_theory(steps(["-x", "-y"], 0.01, Stable(1.5, isotropic=False), "xy"), [0.0, 0.0], ball)
    assert isinstance(levy, Asymptotic) and "one jump" in levy.method
    well = exit_theory(steps(-SPACE.gradient, 0.2, names="xyz"), [-1.0, 0.0, 0.0], Basin(SPACE, [-1.0, 0.0, 0.0]))
    assert isinstance(well, Asymptotic)
    line = theory.eyring_kramers(Landscape("x**4/4 - x**2/2 + x/20"), 0.2, -1.0, until="boundary")
    assert well.value == pytest.approx(line.value, rel=1e-6)


@pytest.mark.parametrize(
    ("dynamics", "x0", "region", "reason"),
    [
        (steps("x"), 0.0, sd.Interval(-math.inf, 1), "infinite"),
        (steps(["-x", "-y", "-z"], names="xyz"), [0.0] * 3, sd.Ball([0.0] * 3, 1.0), "Basin"),
        (steps(["-x", "x-y", "-z"], 0.2, names="xyz"), [-1.0, 0, 0], Basin(SPACE, [-1.0, 0, 0]), "minus the gradient"),
        (steps(-SPACE.gradient, 2.0, names="xyz"), [-1.0, 0, 0], Basin(SPACE, [-1.0, 0, 0]), "small against the barr"),
        (steps(["-x", "-y"], 2.0, Stable(1.5, isotropic=True), "xy"), [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0), "small no"),
        (sd.SGD(PLANE, 0.1), [-1.0, 0.0], sd.Ball([-1.0, 0.0], 1.0), "recursions in 2 dimensions"),
        (steps("0"), [0.0, 0.5], sd.Interval(-1, 1), "several points"),
        (steps("0"), sd.Gaussian(), sd.Interval(-1, 1), "from a law"),
    ],
)
def test_where_no_theory_holds_the_assumption_is_named(dynamics, x0, region, reason) -> None:
    with pytest.raises(NoTheory, match=reason):
        exit_theory(dynamics, x0, region)


def run(dynamics, x0, region, **more):
    options = {"t_max": 100.0, "observers": [sd.FirstExit(region)], **more}
    return Experiment(dynamics, x0, 20, **options).run(seed=1)


def test_theory_of_every_cell_of_a_sweep_is_in_the_dataset() -> None:
    ds = run(steps("0", dt=0.05), 0.0, sd.Interval(-1, 1), vary={"diffusion": [0.5, 1.0, 2.0]})
    assert ds[THEORY].dims == ds[THEORY_ERROR].dims == ("diffusion",)
    assert list(ds[THEORY].values) == pytest.approx([4.0, 1.0, 0.25])
    assert np.all(ds[THEORY_ERROR] < 1e-12)
    assert "theory   of exit time: scale function" in table(ds)


def test_cells_without_theory_are_nan_and_say_why() -> None:
    jumps = steps(["-x", "-y"], 0.01, Stable(1.5, isotropic=True), "xy")
    ds = run(jumps, [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0), vary={"diffusion": [0.01, 2.0]})
    assert np.isfinite(ds[THEORY].values).tolist() == [True, False]
    shown = table(ds)
    assert "≈ " in shown
    assert "theory   of exit time (diffusion 0.01): asymptotic, noise small: one jump" in shown
    assert "theory   none for exit time (diffusion 2): one-jump exits need small noise" in shown


def test_sweeps_of_many_cells_use_no_operators() -> None:
    chain = sd.SGD(BOWL, 0.1, noise=Pareto(1.5, scale=0.3))
    ds = run(chain, 0.0, sd.Interval(-1, 1), vary={"lr": np.linspace(0.05, 0.1, 5)})
    assert THEORY not in ds and "would take too long" in str(ds[THEORY_METHOD].values[0])


def test_dynamics_with_and_without_theory_are_compared(tmp_path: Path) -> None:
    ball = sd.Ball([-1.0, 0.0], 0.5)
    noise = Stable(1.5, isotropic=True)
    runs = {
        "walk": run(sd.SGD(PLANE, 0.1), [-1.0, 0.0], ball),
        "jumps": run(steps(["0", "0"], 0.5, noise, "xy"), [-1.0, 0.0], ball),
    }
    ds = compare(runs)
    assert np.isfinite(ds[THEORY].values).tolist() == [False, True]
    results.save(ds, tmp_path / "both.nc")
    shown = table(results.load(tmp_path / "both.nc"))
    assert "theory   none for exit time (walk): none is known for recursions in 2" in shown
    assert "theory   of exit time (jumps): Getoor 1961" in shown


def test_shares_without_a_stationary_law_say_why() -> None:
    watched = [sd.Passages(Landscape("x**4/4 - x**2/2"))]
    chain = steps("x - x**3", 0.5)
    ds = Experiment(chain, -1.0, 8, t_max=5.0, observers=watched, vary={"diffusion": [0.5, 0.6]}).run(seed=0)
    assert str(ds[SHARES_METHOD].values).startswith("no theory")
    assert "theory   none for share of time" in table(ds)
