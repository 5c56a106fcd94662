"""Calls that make no sense are refused before anything is computed, in one line that says what to write instead."""

import math

import numpy as np
import pytest

import sdesim as sd
from sdesim.engine import native, reference
from tests.engine.named import PLANE, WELL, clipped, euler, linear, sgd, well
from tests.engine.test_engines_agree import CASES

EXIT = [sd.FirstExit(sd.Interval(high=0.0))]
FLAT = sd.EulerMaruyama(sd.SDE(["-x", "-y"], 0.3), 0.1)


def run(dynamics=None, x0=-1.0, n_paths=4, **more):
    more = {"n_steps": 5, **more}
    return sd.run(dynamics or well(), x0, n_paths, **more)


REFUSED = {
    "dt zero": (lambda: well(dt=0.0), "dt must be positive, got 0"),
    "dt negative": (lambda: well(dt=-0.1), "dt must be positive, got -0.1"),
    "dt not finite": (lambda: well(dt=math.inf), "dt must be positive, got inf"),
    "dt a word": (lambda: well(dt="0.1"), "dt must be a number, got '0.1'"),
    "lr zero": (lambda: sd.SGD(WELL, 0.0), "lr must be positive, got 0"),
    "b negative": (lambda: sd.Truncated(sgd(sd.Gaussian()), -0.5), "b must be positive, got -0.5"),
    "b in vary": (lambda: run(clipped(), vary={"b": [0.1, -0.2]}), "b must be positive, got -0.2"),
    "alpha in vary": (
        lambda: run(linear(noise=sd.Stable(1.5)), vary={"alpha": [1.5, 2.5]}),
        r"alpha must be in \(0, 2\], got 2.5",
    ),
    "substeps": (lambda: sd.EulerMaruyama(well().sde, 0.1, 0), "substeps must be at least 1, got 0"),
    "substeps of isotropic noise": (
        lambda: euler(["-x", "-y"], 1.0, substeps=2, noise=sd.Stable(1.5, isotropic=True)),
        "isotropic=False",
    ),
    "unknown symbol": (
        lambda: sd.SDE("-x*kk", 1.0, variables=["x"], params={"k": 1.0}),
        "unknown symbol 'kk': did you mean k",
    ),
    "too many symbols": (lambda: sd.SDE("-x*a", 1.0), "the drift has 1 components and the variables are a, x"),
    "no formula": (lambda: sd.SDE("__import__('os')", 1.0), "__import__"),
    "law for an SDE": (
        lambda: sd.SDE("-x", 1.0, noise=sd.Pareto(1.5)),
        "driven by Gaussian or Stable noise, got Pareto: use SGD",
    ),
    "calculus": (
        lambda: sd.SDE("-x", 1.0, calculus="marcus"),
        "calculus must be 'ito' or 'stratonovich', got 'marcus'",
    ),
    "isotropy of an SDE": (lambda: sd.SDE(["-x", "-y"], 1.0, noise=sd.Stable(1.5)), "needs isotropic=True or False"),
    "isotropy of SGD": (lambda: sd.SGD(PLANE, 0.1, noise=sd.Stable(1.5)), "needs isotropic=True or False"),
    "isotropy of a start": (lambda: run(FLAT, sd.Stable(1.5)), "needs isotropic=True or False"),
    "shape of a diffusion": (lambda: sd.SDE(["-x", "-y"], [1, 1, 1]), "diffusion has 3 components, the drift has 2"),
    "rows of a diffusion": (lambda: sd.SDE(["-x", "-y"], [[1, 0]]), r"diffusion has 1 rows \[2\] long"),
    "no SDE": (lambda: sd.EulerMaruyama("x", 0.1), r"integrates an SDE, got str: write SDE\(drift, diffusion\)"),
    "no landscape": (lambda: sd.SGD("x**2", 0.1), r"runs on a Landscape, got str: write Landscape\(formula\)"),
    "no law": (lambda: sd.SGD(WELL, 0.1, noise="gaussian"), "noise must be a law, got 'gaussian': one of Gaussian"),
    "unknown parameter of SGD": (
        lambda: sd.SGD(sd.Landscape("zeta*x**2", params={"zeta": 1.0}), 0.1, params={"zet": 2.0}),
        "did you mean zeta",
    ),
    "nothing to wrap": (lambda: sd.Truncated("x", 0.1), "wraps a dynamics such as SGD.*, got 'x'"),
    "nothing to project": (lambda: sd.Projected(3, sd.Interval(0, 1)), "wraps a dynamics such as SGD.*, got 3"),
    "projection on a half space": (
        lambda: sd.Projected(well(), sd.HalfSpace([1.0], 0.0)),
        "needs an Interval or a Ball, .* got HalfSpace",
    ),
    "projection in another dimension": (
        lambda: sd.Projected(well(), sd.Ball([0, 0], 1.0)),
        "the region has dimension 2, the dynamics 1",
    ),
    "empty interval": (lambda: sd.Interval(1.0, 1.0), "needs low < high, got low=1.0 and high=1.0"),
    "radius": (lambda: sd.Ball([0, 0], -1.0), "Ball radius must be positive, got -1"),
    "center": (lambda: sd.Ball([0, math.nan], 1.0), "Ball center must be finite"),
    "normal": (lambda: sd.HalfSpace([0.0, 0.0], 1.0), "needs a finite normal other than zero"),
    "level": (lambda: sd.Sublevel(PLANE, math.inf), "level must be finite"),
    "sublevel of a text": (lambda: sd.Sublevel("x**2", 1.0), "needs a Landscape, got str"),
    "basin of a text": (lambda: sd.Basin("x**2", 1.0), "needs a Landscape, got str"),
    "region of a number": (lambda: sd.FirstExit(1.0), r"needs a region such as Interval\(-1, 1\), got 1.0"),
    "correction by another name": (
        lambda: sd.FirstExit(sd.Interval(0, 1), "brige"),
        "correction must be 'auto', 'bridge' or None, got 'brige': did you mean bridge",
    ),
    "bridge of a recursion": (
        lambda: run(sgd(sd.Gaussian()), observers=[sd.FirstExit(sd.Interval(high=0.0), "bridge")]),
        "correction='bridge' is not defined here: SGD with Gaussian noise .*; write correction=None",
    ),
    "bridge of jumps": (
        lambda: run(linear(noise=sd.Stable(1.5)), observers=[sd.FirstExit(sd.Interval(high=0.0), "bridge")]),
        "EulerMaruyama with Stable noise has no continuous path",
    ),
    "bridge of a truncated step": (
        lambda: run(sd.Truncated(well(), 0.1), observers=[sd.FirstExit(sd.Interval(high=0.0), "bridge")]),
        "Truncated with Gaussian noise has no continuous path",
    ),
    "bridge of a projected step": (
        lambda: run(
            sd.Projected(well(), sd.Interval(-2, 2)), observers=[sd.FirstExit(sd.Interval(high=0.0), "bridge")]
        ),
        "Projected with Gaussian noise has no continuous path",
    ),
    "bridge of a sublevel set": (
        lambda: run(observers=[sd.FirstExit(sd.Sublevel(WELL, -0.1), "bridge")]),
        "Sublevel has no signed distance",
    ),
    "exit in another dimension": (
        lambda: run(observers=[sd.FirstExit(sd.Ball([0, 0], 2.0))]),
        "the exit region has dimension 2, the dynamics 1",
    ),
    "interval for a plane": (
        lambda: run(FLAT, [0, 0], observers=EXIT),
        "the exit region has dimension 1, the dynamics 2",
    ),
    "passages in another dimension": (
        lambda: run(FLAT, [0, 0], observers=[sd.Passages(WELL)]),
        "the landscape of Passages has dimension 1, the dynamics 2",
    ),
    "passages of one well": (lambda: run(observers=[sd.Passages(sd.Landscape("x**2"))]), "needs at least two wells"),
    "core": (lambda: sd.Passages(WELL, core=1.5), r"core must be in \(0, 1\], got 1.5"),
    "capacity": (lambda: sd.Passages(WELL, capacity=0), "capacity must be at least 1, got 0"),
    "two of one kind": (lambda: run(observers=EXIT * 2), "two FirstExit observers in one run"),
    "no observer": (
        lambda: run(observers=[sd.Interval(0, 1)]),
        "is no observer: use FirstExit, Record, Moments, Passages",
    ),
    "times that fall": (lambda: sd.Record([1.0, 0.5]), "times must increase"),
    "negative times": (lambda: sd.Moments([-1.0, 0.5]), "times must be a list of finite times at least 0"),
    "no times": (lambda: sd.Record([]), "times must be a list of finite times"),
    "times that are not finite": (lambda: sd.Record([0, math.nan]), "times must be a list of finite times"),
    "start outside": (
        lambda: run(x0=0.5, observers=EXIT),
        r"x0=0.5 lies outside the region Interval\(.*\): start inside it",
    ),
    "start on the boundary": (lambda: run(x0=0.0, observers=EXIT), "x0=0.0 lies outside the region"),
    "one start of many outside": (lambda: run(x0=[-1.0, -1.0, 2.0, -1.0], observers=EXIT), "x0=2.0 lies outside"),
    "start outside in one cell": (
        lambda: run(x0=-1.0, observers=EXIT, vary={"high": [0.0, -1.2]}),
        "x0=-1.0 lies outside the region",
    ),
    "shape of a start": (lambda: run(x0=[1.0, 2.0, 3.0]), r"x0 has shape \(3,\): possible are \(\) or \(4,\)"),
    "shape of a start in the plane": (
        lambda: run(FLAT, 1.0),
        r"x0 has shape \(\): possible are \(2,\) for all paths or \(4, 2\)",
    ),
    "start that is not finite": (lambda: run(x0=math.nan), "x0 must be finite"),
    "start that is a word": (lambda: run(x0="left"), "x0 must be a number, an array or a law, got 'left'"),
    "no paths": (lambda: run(n_paths=0), "n_paths must be at least 1, got 0"),
    "negative paths": (lambda: run(n_paths=-5), "n_paths must be at least 1, got -5"),
    "half a path": (lambda: run(n_paths=2.5), "n_paths must be an integer, got 2.5"),
    "negative seed": (lambda: run(seed=-1), "seed must be at least 0, got -1"),
    "seed too large": (lambda: run(seed=1 << 64), r"seed must be below 2\*\*64"),
    "seed not whole": (lambda: run(seed=1.0), "seed must be an integer, got 1.0"),
    "negative start path": (lambda: run(start_path=-1), "start_path must be at least 0, got -1"),
    "path numbers": (lambda: run(start_path=(1 << 40) - 2), r"path numbers end at 2\*\*40"),
    "no end": (lambda: sd.run(well(), -1.0, 4), r"give t_max= \(time\) or n_steps= \(steps\)"),
    "two ends": (lambda: run(t_max=1.0), "one of them"),
    "t_max negative": (lambda: run(n_steps=None, t_max=-1.0), "t_max must be positive, got -1"),
    "t_max too short": (lambda: run(n_steps=None, t_max=0.001), "t_max=0.001 is shorter than one step of 0.02"),
    "t_max too long": (lambda: run(n_steps=None, t_max=1e15), r"more than 2\*\*47 steps"),
    "t_max infinite": (lambda: run(n_steps=None, t_max=math.inf), "t_max must be positive, got inf"),
    "n_steps zero": (lambda: run(n_steps=0), "n_steps must be at least 1, got 0"),
    "n_steps too many": (lambda: run(n_steps=(1 << 47) + 1), r"n_steps must be at most 2\*\*47"),
    "engine": (lambda: run(engine="natve"), "unknown engine 'natve': did you mean native"),
    "threads": (lambda: run(threads=0), "threads must be at least 1, got 0"),
    "wall time": (lambda: run(wall_time=0.0), "wall_time must be positive, got 0"),
    "no dynamics": (lambda: run(WELL), "run needs a dynamics such as EulerMaruyama"),
    "unknown parameter to vary": (
        lambda: run(vary={"difusion": [1.0]}),
        "unknown parameter 'difusion': did you mean diffusion",
    ),
    "ambiguous parameter": (
        lambda: run(clipped(), vary={"scale": [1.0], "low": [-2.0]}, observers=EXIT),
        "parameter 'low' is ambiguous: write one of",
    ),
    "values to vary": (lambda: run(vary={"dt": ["a"]}), r"vary\['dt'\] must be a list of numbers"),
    "no values to vary": (lambda: run(vary={"dt": []}), r"vary\['dt'\] must be a list of numbers"),
    "one parameter twice": (
        lambda: run(vary={"dt": [0.1], "sde.diffusion": [1.0], "diffusion": [2.0]}),
        "vary names sde.diffusion twice",
    ),
    "a dimension to vary": (
        lambda: run(euler("-path*x", 0.1, params={"path": 1.0}), vary={"path": [1.0]}),
        "it is a dimension of every dataset",
    ),
    "misspelt keyword": (lambda: run(tmax=1.0), "unexpected keyword argument 'tmax'"),
}


@pytest.fixture
def nothing_simulated(monkeypatch):
    def simulate(*args, **more):
        raise AssertionError("something was simulated")

    monkeypatch.setattr(native, "simulate", simulate)
    monkeypatch.setattr(reference, "simulate", simulate)


@pytest.mark.parametrize("case", REFUSED)
def test_a_senseless_call_is_refused_in_one_line(case, nothing_simulated):
    call, words = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_sensible_call_beside_them_is_simulated(nothing_simulated):
    with pytest.raises(AssertionError, match="something was simulated"):
        run(observers=EXIT)


def test_more_paths_than_memory_holds_are_refused_and_the_message_says_how_many_fit(monkeypatch, nothing_simulated):
    from sdesim.engine import ensemble

    monkeypatch.setattr(ensemble, "available_memory", lambda: 1 << 30)
    with pytest.raises(MemoryError, match=r"paths need .* GiB and 1\.0 GiB are free: \d+ paths fit") as caught:
        run(n_paths=1 << 33, observers=[*EXIT, sd.Record(np.arange(100.0))])
    assert "\n" not in str(caught.value)
    fit = int(str(caught.value).split(" free: ")[1].split()[0])
    assert 10_000 < fit < 1 << 22
    with pytest.raises(MemoryError):
        run(n_paths=fit + 1, observers=[*EXIT, sd.Record(np.arange(100.0))])
    with pytest.raises(AssertionError, match="something was simulated"):
        run(n_paths=fit, observers=[*EXIT, sd.Record(np.arange(100.0))])


def test_the_memory_estimate_covers_what_the_arrays_and_the_dataset_take():
    from sdesim.engine.ensemble import bytes_per_path, new_ensemble
    from sdesim.engine.plan import make_plan, with_start
    from sdesim.engine.trace import watch

    dynamics, x0, observers = CASES["truncated and projected"]
    ds = sd.run(dynamics, x0, 1000, n_steps=5, observers=observers).drop_vars("moment_sums")
    plan = with_start(make_plan(dynamics, watch(observers), 1000, None, 5, 0, 0, None), x0)
    held = new_ensemble(plan, bridge=False)
    arrays = sum(v.nbytes for name, v in vars(held).items() if name not in ("moment_sums", "values"))
    assert max(arrays, ds.nbytes) < 1000 * bytes_per_path(plan) < 2 * (arrays + ds.nbytes)


def test_a_varied_symbol_is_the_same_in_the_step_and_in_the_region():
    f = sd.Landscape("a*x**4 - x**2/2", params={"a": 0.25})
    watched = [sd.FirstExit(sd.Sublevel(f, 0.1))]
    for chain in (sd.SGD(f, 0.05, noise=sd.Gaussian(6.0)), sd.EulerMaruyama(sd.SDE(-f.gradient, 1.0), 0.05)):
        swept = sd.run(chain, -1.0, n_paths=200, n_steps=50, observers=watched, vary={"a": [0.25, 0.35]})
        for a, cell in swept.groupby("a"):
            outside = f.with_params(a=a)(cell["final_state"].values) >= 0.1
            np.testing.assert_array_equal(outside, cell["status"].values == sd.Status.EXITED)
            assert 0 < outside.sum() < outside.size
        with pytest.raises(ValueError, match="would move the wells of Passages"):
            sd.run(chain, -1.0, n_paths=2, n_steps=5, observers=[sd.Passages(f)], vary={"a": [0.25, 0.35]})
