import numpy as np
import pytest

from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.sgd import SGD
from sdesim.observe.regions import Ball, HalfSpace, Interval, Sublevel
from sdesim.study.one_off import exit_experiment, region

INF = float("inf")


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (["x>0"], Interval(-INF, 0.0)),
        (["x >= 0"], Interval(-INF, 0.0)),
        (["0 < x"], Interval(-INF, 0.0)),
        (["x < -2"], Interval(-2.0, INF)),
        (["2*x > 3"], Interval(-INF, 1.5)),
        (["1 - x > 3"], Interval(-2.0, INF)),
        (["x>1", "x<-1"], Interval(-1.0, 1.0)),
        (["x > c", "x < -c"], Interval(-0.5, 0.5)),
    ],
)
def test_conditions_on_one_variable_are_an_interval(until, expected) -> None:
    assert region(until, ["x"], {"c": 0.5}) == expected


def test_linear_condition_on_several_variables_is_a_half_space() -> None:
    half = region(["x + 2*y > 3"], ["x", "y"], {})
    assert isinstance(half, HalfSpace)
    points = np.array([[0.0, 0.0], [3.0, 0.1], [0.0, 1.4], [0.0, 1.6]])
    assert list(half.contains(points)) == [True, False, True, False]


def test_circle_is_a_ball_and_other_curves_are_a_sublevel_set() -> None:
    ball = region(["x**2 + y**2 - 2*x > 3"], ["x", "y"], {})
    assert isinstance(ball, Ball)
    assert list(ball.center) == [1.0, 0.0]
    assert ball.radius == 2.0
    other = region(["x**2 + 2*y**2 > 1"], ["x", "y"], {})
    assert isinstance(other, Sublevel)
    points = np.array([[0.9, 0.0], [0.0, 0.9]])
    assert list(other.contains(points)) == [True, False]
    outside = region(["x**2 + y**2 < 1"], ["x", "y"], {})
    assert list(outside.contains(np.array([[0.0, 0.0], [2.0, 0.0]]))) == [False, True]


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ([], "needs a condition"),
        (["x"], "not a condition"),
        (["x > z"], "unknown symbol 'z'"),
        (["__import__('os')"], "."),
        (["x**2 > 1", "x < 0"], "linear conditions in one variable only"),
    ],
)
def test_texts_that_are_no_condition_are_refused(until, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region(until, ["x"], {})


def test_laws_drive_an_sde_or_a_recursion() -> None:
    common = {"x0": [-1.0], "until": ["x>0"]}
    gauss = exit_experiment("x**4/4 - x**2/2", noise="gaussian", sigma=0.7, dt=0.02, **common)
    assert isinstance(gauss.dynamics, EulerMaruyama)
    assert gauss.dynamics.clock == 0.02
    assert gauss.x0 == -1.0
    pareto = exit_experiment("x**4/4 - x**2/2", noise="pareto", alpha=1.2, sigma=0.1, dt=0.02, **common)
    assert isinstance(pareto.dynamics, SGD)
    assert pareto.dynamics.noise.tail(0.1) == pytest.approx(2**-1.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": [-1.0, 2.0]}, "--x0 needs 1 numbers, for x; got 2"),
        ({"noise": "gausian"}, r"unknown noise 'gausian': did you mean gaussian\?"),
        ({"noise": "stable"}, "needs --alpha"),
        ({"alpha": 1.5}, "has no --alpha"),
        ({"noise": "stable", "alpha": 2.5}, "alpha"),
        ({"isotropic": True}, "has no --isotropic"),
        ({"correction": "bridg"}, "did you mean bridge"),
        ({"dt": -1.0}, "dt"),
        ({"until": ["y>0"]}, "unknown symbol 'y'"),
    ],
)
def test_impossible_wishes_are_refused(change, message: str) -> None:
    wishes = {"x0": [-1.0], "until": ["x>0"]} | change
    with pytest.raises(ValueError, match=message) as caught:
        exit_experiment("x**4/4 - x**2/2", **wishes)
    assert "\n" not in str(caught.value)


def test_parameters_of_the_formula_have_values() -> None:
    experiment = exit_experiment("a*x**2", x0=[0.0], until=["x>a"], param={"a": 2.0})
    assert experiment.observers[0].region == Interval(-INF, 2.0)
    with pytest.raises(ValueError, match="--x0 needs 2"):
        exit_experiment("a*x**2", x0=[0.0], until=["x>1"])
