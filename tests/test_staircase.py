"""The pieces of the staircase model: wells, exponents with intervals, ratios and shares; the network."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.study import catalogue
from tests.chance import ALARM, has_mean

model = catalogue.find("staircase")
parts = importlib.import_module("sdesim.models.staircase.wells")
network = importlib.import_module("sdesim.models.staircase.network")
P = parts.Params()


def slow_exit_steps(p, b: float, lr: float, n: int) -> np.ndarray:
    """Steps until paths in the parabola around 1 pass 0, written out."""
    rng, x, steps, k = np.random.default_rng(7), np.ones(n), [], 0
    while len(x):
        k += 1
        size = p.scale * ((1 - rng.random(len(x))) ** (-1 / p.alpha) - 1)
        noise = np.where(rng.random(len(x)) < 0.5, size, -size)
        x = x - np.clip(lr * (x - 1) - lr * noise, -b, b)
        steps += [k] * int((x <= 0).sum())
        x = x[x > 0]
    return np.array(steps)


def test_the_wells_have_the_stated_widths_and_equal_barriers() -> None:
    f = parts.recursion(P, 1.0, 0.1).dynamics.landscape
    np.testing.assert_allclose(f.minima, [-0.3, 1.0])
    np.testing.assert_allclose(f.maxima, [0.0], atol=1e-9)
    np.testing.assert_allclose([f.barriers[0, 1], f.barriers[1, 0]], 0.5)


def test_operator_time_is_that_of_a_recursion_written_out() -> None:
    loud = parts.Params(scale=1.0)
    steps = slow_exit_steps(loud, 0.667, 0.05, 4000)
    assert has_mean(steps, float(parts.exact(loud, "wide well", 0.667, 0.05, 1e-3).steps))
    assert not has_mean(steps, float(parts.exact(loud, "wide well", 0.6, 0.05, 1e-3).steps))


def test_one_jump_leaves_the_wide_well_at_the_rate_of_the_tail() -> None:
    one_sided = 2 / float(sd.Pareto(P.alpha, scale=P.scale).tail(1 / 0.005))
    assert float(parts.exact(P, "wide well", 1.25, 0.005).steps) == pytest.approx(one_sided, rel=0.01)


@pytest.mark.parametrize(("b", "count", "exponent"), [(1.25, 1, 1.5), (0.667, 2, 2.0), (0.5, 2, 2.0), (0.3, 4, 3.0)])
def test_treads_are_those_of_the_theorem(b: float, count: int, exponent: float) -> None:
    assert parts.jumps(b) == count
    assert parts.limit(P, b) == pytest.approx(exponent)


def test_measured_exponent_of_one_jump_is_the_operators_and_not_that_of_two() -> None:
    found = parts.measured_exponent(P, 1.25, 3, 1 - ALARM, 2)
    exact = parts.exact_exponent(P, 1.25, (0.02, 0.08))
    assert exact.error < 0.02
    assert found.low - exact.error < exact.value < found.high + exact.error
    assert found.high < parts.limit(P, 0.667) - 0.3


def test_split_time_of_two_jumps_is_the_operators_and_not_that_of_another_b() -> None:
    found = parts.split(P, 0.667, 0.08, 3, 1 - ALARM, 20)
    assert found.low < float(parts.exact(P, "wide well", 0.667, 0.08).value) < found.high
    assert not found.low < float(parts.exact(P, "wide well", 0.52, 0.08).value) < found.high


def test_quotient_of_exact_numbers_keeps_the_other_interval() -> None:
    above, exact = parts.Measured(8.0, 4.0, 16.0), parts.Measured(2.0, 2.0, 2.0)
    assert parts.quotient(above, exact) == parts.Measured(4.0, 2.0, 8.0)
    both = parts.quotient(above, above)
    assert both.high == pytest.approx(2 ** np.sqrt(2))
    assert both.low * both.high == pytest.approx(1.0)


def test_model_runs_scores_as_the_operator_says_and_draws_its_figure(tmp_path: Path) -> None:
    given = {"lr": 0.04, "n_steps": 3000, "clips": (1.25, 0.667, 0.4), "split": (0.667,)}
    p, ds = parts.Params(**given), model.run(model.params(**given), n_paths=2000, seed=1)
    assert dict(ds.sizes) == {"dynamics": 2, "b": 3, "path": 2000}
    for b in p.clips:
        left = [ds.sel(b=b, dynamics=name) for name in (parts.SHARP, parts.WIDE)]
        score = parts.measured_score(*left, 1 - ALARM)
        assert score.low - 0.01 < parts.exact_score(p, b) < score.high + 0.01
    assert not score.low < parts.exact_score(p, 1.25) < score.high
    drawn = model.figure(ds)
    assert [ax.get_title() for ax in drawn.axes] == ["wide well", "η = 0.04", "after 3000 steps, η = 0.04"]
    sd.plot.write(drawn, tmp_path / "figure.png")


def test_sharpness_at_one_loss_is_interpolated_where_the_loss_first_falls_there() -> None:
    """Sharpness = 5 loss² on the way; paths that are always below the loss, or never, have none."""
    times = np.linspace(0.0, 9.0, 40)
    loss = np.stack([np.exp(-times), np.exp(-2 * times), 1 + times, 1e-4 * np.exp(-times)])
    found = network.at_loss(loss, 5 * loss**2, 0.01)
    np.testing.assert_allclose(found[:2], np.log(5 * 0.01**2))
    assert np.isnan(found[2:]).all()


def test_unclipped_steps_of_the_network_are_those_without_clipping_and_clipped_ones_are_short() -> None:
    p = network.Params(examples=40, width=4, large=40, n_steps=1, clips=(network.NONE, 0.25))
    ds = network.build(p).run(3, 5)
    free = sd.HeavyTailedSGD(network.objective(p), p.lr, p.large, p.small, sd.Pareto(p.alpha))
    plain = sd.run(free, network.objective(p), 3, n_steps=1, seed=5)["final_state"]
    np.testing.assert_allclose(ds["final_state"].sel(clip=network.NONE), plain, rtol=1e-6)
    start = network.objective(p).fresh_states(3, 5).numpy()
    assert (np.linalg.norm(ds["final_state"].sel(clip=0.25) - start, axis=1) <= 0.25 * p.lr * (1 + 1e-4)).all()


def test_network_part_runs_cools_and_draws(tmp_path: Path) -> None:
    given = {"examples": 40, "width": 4, "large": 40, "n_steps": 30, "cool": 20, "clips": (0.5, 2.0, network.NONE)}
    ds = model.run(model.params(experiment="network", loss=2.0, **given), n_paths=3, seed=1)
    assert ds["final_state"].sizes["clip"] == 3
    p = network.Params(loss=2.0, **given)
    cold = network.cooled(ds, p)
    last = network.objective(p).loss(torch.tensor(ds["final_state"].sel(clip=0.5).values, dtype=torch.float32))
    assert (cold["loss"][0] < last.numpy()).all()
    drawn = model.figure(ds)
    assert [ax.get_xlabel() for ax in drawn.axes] == ["clipping c"] * 3
    sd.plot.write(drawn, tmp_path / "figure.png")
