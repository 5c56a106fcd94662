"""Heavy-tailed SGD against enumeration of all batches, and against the dynamics it contains."""

import itertools

import numpy as np
import pytest
import torch

import sdesim as sd
from tests import chance

RNG = np.random.default_rng(5)
A, Y = RNG.normal(size=(4, 2)), RNG.normal(size=4)
X0, LR, PATHS = np.array([0.4, -0.7]), 0.1, 200_000
EACH = (A @ X0 - Y)[:, None] * A


def half_square(x, inputs, targets):
    return (inputs @ x - targets) ** 2 / 2


def objective(dtype=torch.float64):
    return sd.Objective(half_square, torch.tensor(A, dtype=dtype), torch.tensor(Y, dtype=dtype), dim=2, method="vmap")


def gradients(seed=0, n_paths=PATHS, **more):
    """The gradients of one step from X0, one a path."""
    ds = sd.run(sd.HeavyTailedSGD(objective(), LR, 2, 1, **more), X0, n_paths, n_steps=1, seed=seed, block=n_paths)
    return (X0 - ds.final_state.values) / LR


def enumerated(z2):
    """Mean and covariance of g over all batches with replacement and a factor Z with E Z = 0, E Z² = z2."""
    mean, square = np.zeros(2), np.zeros((2, 2))
    for large in itertools.product(range(4), repeat=2):
        for small in range(4):
            a, b = EACH[list(large)].mean(0), EACH[small] - EACH[list(large)].mean(0)
            mean += a / 64
            square += (np.outer(a, a) + z2 * np.outer(b, b)) / 64
    return mean, square - np.outer(mean, mean)


def has_moments(g, mean, covariance):
    e = g - mean
    pairs = ((0, 0), (0, 1), (1, 1))
    return all(chance.has_mean(e[:, i], 0.0) for i in range(2)) and all(
        chance.has_mean(e[:, i] * e[:, j], covariance[i, j]) for i, j in pairs
    )


def test_mean_and_covariance_of_a_step_are_those_of_all_batches():
    g = gradients(noise=sd.Uniform(3**0.5 * 2))  # E Z² = 4
    assert has_moments(g, *enumerated(4.0))
    assert not has_moments(g, *enumerated(3.6))


def test_covariance_is_the_one_stated():
    mean, covariance = enumerated(4.0)
    sigma = np.cov(EACH.T, bias=True)
    np.testing.assert_allclose(covariance, sigma / 2 + 4 * (1 + 1 / 2) * sigma, rtol=1e-12)
    np.testing.assert_allclose(mean, EACH.mean(0), rtol=1e-12)


def test_unclipped_steps_have_the_tail_of_the_factor():
    law = sd.Pareto(1.2)
    g = gradients(noise=law)
    far = 50.0
    pairs = [(EACH[list(b)].mean(0), EACH[s]) for b in itertools.product(range(4), repeat=2) for s in range(4)]

    def beyond(a, b):
        """P(|g| > far) for one pair of batches: g is a line in Z."""
        d = b - a
        if not d.any():
            return float(np.linalg.norm(a) > far)
        roots = np.sort(np.roots([d @ d, 2 * a @ d, a @ a - far**2]).real)
        return float(law.cdf(roots[0]) + 1 - law.cdf(roots[1]))

    share = np.mean([beyond(a, b) for a, b in pairs])
    hits = np.linalg.norm(g, axis=1) > far
    assert chance.has_share(hits, share)
    assert not chance.has_share(hits, 1.3 * share)


def test_clipped_steps_are_unclipped_ones_shortened():
    free, cut = gradients(n_paths=500), gradients(n_paths=500, clip=0.8)
    length = np.linalg.norm(free, axis=1, keepdims=True)
    np.testing.assert_allclose(cut, free * np.minimum(1, 0.8 / length), rtol=1e-9)
    assert 0.2 < (length > 0.8).mean() < 1


def test_truncated_steps_are_clipped_gradients():
    chain = sd.HeavyTailedSGD(objective(), LR, 2, 1)
    one = sd.run(sd.Truncated(chain, 0.08), X0, 200, n_steps=20, seed=3)
    other = sd.run(sd.HeavyTailedSGD(objective(), LR, 2, 1, clip=0.8), X0, 200, n_steps=20, seed=3)
    np.testing.assert_allclose(one.final_state, other.final_state, rtol=1e-9)


def test_all_examples_without_replacement_are_gradient_descent():
    """Both batches are all the data, whatever the factor."""
    chain = sd.HeavyTailedSGD(objective(), LR, 4, 4, sampling="fresh")
    found = sd.run(chain, X0, 5, n_steps=3).final_state.values
    x = X0
    for _ in range(3):
        x = x - LR * A.T @ (A @ x - Y) / 4
    np.testing.assert_allclose(found, np.broadcast_to(x, found.shape), rtol=1e-6)


def test_the_two_batches_of_a_step_are_drawn_apart():
    chain = sd.HeavyTailedSGD(objective(), LR, 2, 2, noise=sd.Gaussian())
    from sdesim.engine.draws import Stream

    ids = torch.arange(50_000)
    large, small, z = chain.draw(Stream(1, ids, torch.zeros_like(ids), torch.float64, {}))
    for i, j in itertools.product(range(2), range(2)):
        assert chance.has_share(large[:, i] == small[:, j], 1 / 4)
    assert chance.has_mean(z, 0.0) and chance.has_mean(z**2, 1.0)
    assert not chance.has_share(large[:, 0] == large[:, 0], 1 / 4)


def test_vary_reaches_rate_clip_and_tail_and_each_cell_is_the_run_alone():
    grid = {"lr": [0.05, 0.1], "clip": [0.5, 1.0], "alpha": [1.1, 1.9]}
    base = sd.HeavyTailedSGD(objective(), 0.1, 2, 1, clip=1.0)
    ds = sd.run(base, X0, 3000, n_steps=4, vary=grid, seed=2)
    assert set(grid) <= set(ds.dims)
    first = {name: values[0] for name, values in grid.items()}
    alone = sd.HeavyTailedSGD(objective(), first["lr"], 2, 1, sd.Pareto(first["alpha"]), clip=first["clip"])
    np.testing.assert_array_equal(ds.sel(first).final_state, sd.run(alone, X0, 3000, n_steps=4, seed=2).final_state)
    spread = ds.final_state.std("path")
    assert (spread.sel(clip=1.0) > spread.sel(clip=0.5)).all()


def test_a_diverged_path_spoils_no_other():
    chain = sd.HeavyTailedSGD(objective(torch.float32), 1e25, 2, 1, noise=sd.Pareto(0.2))
    ds = sd.run(chain, X0, 64, n_steps=3)
    assert set(np.unique(ds.status)) <= {int(sd.Status.DIVERGED), int(sd.Status.CENSORED)}
    assert (ds.status == sd.Status.DIVERGED).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.HeavyTailedSGD(sd.Landscape("x**2"), 0.1, 2, 1), "runs on an Objective, got Landscape"),
        (lambda: sd.HeavyTailedSGD(objective(), -0.1, 2, 1), "lr must be positive"),
        (lambda: sd.HeavyTailedSGD(objective(), 0.1, 1, 2), "small=2 is more than large=1: exchange them"),
        (lambda: sd.HeavyTailedSGD(objective(), 0.1, 5, 1), "batch_size must be from 1 to 4"),
        (lambda: sd.HeavyTailedSGD(objective(), 0.1, 2, 1, clip=0.0), "clip must be positive"),
        (lambda: sd.HeavyTailedSGD(objective(), 0.1, 2, 1, noise=1.2), "noise must be a law, got 1.2"),
        (lambda: sd.HeavyTailedSGD(objective(), 0.1, 2, 1, sampling="epochs"), "each step draws two batches"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
