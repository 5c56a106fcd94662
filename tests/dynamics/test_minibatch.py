"""Minibatch SGD and its SDE on least squares, against the exact recursions of their second moments."""

import itertools

import numpy as np
import pytest
import torch

import sdesim as sd
from tests import chance

RNG = np.random.default_rng(3)
A = RNG.normal(size=(6, 2)) * [1.0, 0.6]
Y = A @ [0.5, -1.0] + RNG.normal(size=6)
BEST = np.linalg.lstsq(A, Y, rcond=None)[0]
H_EACH = np.einsum("ni,nj->nij", A, A)
H = H_EACH.mean(0)
RESIDUAL = A @ BEST - Y
SIGMA = np.einsum("n,nij->ij", RESIDUAL**2, H_EACH) / len(A)
LR, PATHS = 0.2, 8192


def half_square(x, inputs, targets):
    return (inputs @ x - targets) ** 2 / 2


def objective():
    return sd.Objective(half_square, torch.tensor(A), torch.tensor(Y), dim=2, method="vmap")


def start(x0, **more):
    return sd.run(sd.SGD(objective(), LR, batch_size=2), x0, 4, n_steps=3, **more)


def final(dynamics, n_steps, seed=1, **more):
    x0 = np.zeros(dynamics.dim)
    x0[:2] = BEST
    return sd.run(dynamics, x0, PATHS, n_steps=n_steps, seed=seed, block=PATHS, **more).final_state.values


def fluctuation(m):
    """E (H_i - H) m (H_i - H)."""
    return np.einsum("nij,jk,nkl->il", H_EACH, m, H_EACH) / len(A) - H @ m @ H


def stationary(step, size):
    """The fixed point of an affine map of matrices, by solving for its matrix."""
    zero = step(np.zeros((size, size)))
    units = np.eye(size * size).reshape(-1, size, size)
    linear = np.array([(step(u) - zero).ravel() for u in units]).T
    return np.linalg.solve(np.eye(size * size) - linear, zero.ravel()).reshape(size, size)


def sgd_moment(batch_size, factor=1.0, lr=LR, label=0.0):
    """E e eᵀ of SGD: m⁺ = (1 - ηH) m (1 - ηH) + (η²/B) factor (E(H_i m H_i) - H m H + Σ) + (η²/B) label² H."""
    a = np.eye(2) - lr * H

    def step(m):
        return a @ m @ a + lr**2 / batch_size * (factor * (fluctuation(m) + SIGMA) + label**2 * H)

    return stationary(step, 2)


def agrees(states, moment):
    e = states[:, :2] - BEST
    return all(
        chance.has_mean(e[:, i] * e[:, j], moment[i, j]) for i, j in ((0, 0), (0, 1), (1, 1))
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_independent_examples_give_the_exact_stationary_second_moment(batch_size):
    states = final(sd.SGD(objective(), LR, batch_size=batch_size), 150)
    assert agrees(states, sgd_moment(batch_size))
    assert not agrees(states, sgd_moment(batch_size, factor=1.2))


def test_fresh_batches_without_replacement_have_the_smaller_covariance():
    states = final(sd.SGD(objective(), LR, batch_size=3, sampling="fresh"), 150)
    assert agrees(states, sgd_moment(3, factor=3 / 5))
    assert not agrees(states, sgd_moment(3))


def test_label_noise_adds_its_own_covariance():
    states = final(sd.SGD(objective(), LR, batch_size=2, label_noise=0.8), 150)
    assert agrees(states, sgd_moment(2, label=0.8))
    assert not agrees(states, sgd_moment(2, label=0.6))


def test_weight_decay_pulls_towards_zero():
    decay = 0.3
    states = final(sd.SGD(objective(), LR, batch_size=6, sampling="fresh", weight_decay=decay), 300)
    ridge = np.linalg.solve(H + decay * np.eye(2), A.T @ Y / len(A))
    np.testing.assert_allclose(states, np.broadcast_to(ridge, states.shape), rtol=1e-10)
    assert np.abs(ridge - BEST).max() > 0.01


def epoch_moment(lr, keep_order=False):
    """Second moment at the ends of reshuffled epochs of single examples, by enumeration of the 720 orders."""
    orders = [tuple(range(6))] if keep_order else list(itertools.permutations(range(6)))
    maps = []
    for order in orders:
        a, c = np.eye(2), np.zeros(2)
        for i in order:
            step = np.eye(2) - lr * H_EACH[i]
            a, c = step @ a, step @ c - lr * RESIDUAL[i] * A[i]
        maps.append((a, c))
    mean = np.linalg.solve(np.eye(2) - np.mean([a for a, _ in maps], 0), np.mean([c for _, c in maps], 0))

    def step(m):
        return np.mean(
            [a @ m @ a.T + np.outer(a @ mean, c) + np.outer(c, a @ mean) + np.outer(c, c) for a, c in maps], axis=0
        )

    return stationary(step, 2)


def test_reshuffled_epochs_have_the_moment_of_all_their_orders():
    states = final(sd.SGD(objective(), LR, batch_size=1, sampling="epochs"), 6 * 40)
    assert agrees(states, epoch_moment(LR))
    assert not agrees(states, sgd_moment(1))
    assert not agrees(states, epoch_moment(LR, keep_order=True))


def test_every_epoch_shows_every_example_once():
    from sdesim.dynamics.batches import batches
    from sdesim.engine.draws import Stream

    ids, memory = torch.arange(5), {}
    epochs = []
    for epoch in range(2):
        seen = [
            batches(Stream(4, ids, torch.full((5,), 3 * epoch + k), torch.float64, memory), 6, 2, "epochs")
            for k in range(3)
        ]
        epochs.append(torch.cat(seen, dim=1))
        assert torch.equal(epochs[-1].sort(dim=1).values, torch.arange(6).expand(5, 6))
    assert not torch.equal(*epochs)
    assert len({tuple(row) for row in epochs[0].tolist()}) > 1


def test_fresh_batches_hold_every_set_equally_often():
    from sdesim.dynamics.batches import batches
    from sdesim.engine.draws import Stream

    ids = torch.arange(20_000)
    found = batches(Stream(4, ids, torch.zeros(20_000, dtype=torch.int64), torch.float64, {}), 5, 2, "fresh")
    assert (found[:, 0] != found[:, 1]).all()
    pairs = [tuple(sorted(pair)) for pair in found.tolist()]
    for pair in itertools.combinations(range(5), 2):
        share = np.array([p == pair for p in pairs], dtype=float)
        assert chance.has_mean(share, 0.1)
        assert not chance.has_mean(share, 0.12)


def test_momentum_has_the_exact_stationary_moment_of_position_and_velocity():
    beta, lr, b = 0.6, 0.1, 2
    eye = np.eye(2)
    mean = np.block([[eye - lr * H, -lr * beta * eye], [H, beta * eye]])
    kick = np.vstack([-lr * eye, eye])

    def step(s):
        return mean @ s @ mean.T + kick @ ((fluctuation(s[:2, :2]) + SIGMA) / b) @ kick.T

    moment = stationary(step, 4)
    states = final(sd.Momentum(objective(), lr, b, momentum=beta), 300)
    assert agrees(states, moment[:2, :2])
    v = states[:, 2:]
    assert chance.has_mean(v[:, 0] ** 2, moment[2, 2])
    assert chance.has_mean(v[:, 1] * (states[:, 1] - BEST[1]), moment[3, 1])
    assert not agrees(states, sgd_moment(b, lr=lr))


def sde_moment(h, rate):
    """Second moment of Euler steps of length h (h = 0: of the SDE), by the recursion or the Lyapunov equation."""

    def step(m):
        noise = rate * (fluctuation(m) + SIGMA)
        small = h or 1e-6
        a = np.eye(2) - small * H
        return a @ m @ a + small * noise if h else m + small * (noise - H @ m - m @ H)

    return stationary(step, 2)


def test_sde_of_a_batch_of_all_examples_has_no_noise_even_if_there_is_one():
    for n in (1, 6):
        data = sd.Objective(half_square, torch.tensor(A[:n]), torch.tensor(Y[:n]), dim=2, method="vmap")
        sde = sd.minibatch_sde(data, LR, n, sampling="fresh")
        ds = sd.run(sd.EulerMaruyama(sde, 0.1), [1.0, 0.0], 2, n_steps=1, threads=1)
        gradient = A[:n].T @ (A[:n] @ [1.0, 0.0] - Y[:n]) / n
        np.testing.assert_allclose(ds.final_state.values, [np.array([1.0, 0.0]) - 0.1 * gradient] * 2, rtol=1e-12)


@pytest.mark.parametrize(("sampling", "factor"), [("replacement", 1.0), ("fresh", 4 / 5)])
def test_the_sde_has_the_moment_of_its_euler_steps_and_nearly_that_of_lyapunov(sampling, factor):
    lr, b, h = 0.4, 2, 0.04
    chain = sd.EulerMaruyama(sd.minibatch_sde(objective(), lr, b, sampling=sampling), h)
    states = final(chain, 700)
    rate = factor * lr / b
    assert agrees(states, sde_moment(h, rate))
    assert not agrees(states, sde_moment(h, 1.2 * rate))
    np.testing.assert_allclose(sde_moment(h, rate), sde_moment(0, rate), rtol=0.1)


@pytest.mark.parametrize("covariance", ["exact", "diagonal", "isotropic"])
def test_increments_of_the_sde_have_the_dense_covariance_of_the_examples(covariance):
    lr, b, h = 0.4, 2, 0.04
    start = np.array([0.9, -0.3])
    one = sd.EulerMaruyama(sd.minibatch_sde(objective(), lr, b, covariance=covariance), h)
    x = sd.run(one, start, 60_000, n_steps=1, seed=2, block=60_000).final_state.values
    gradients = A * (A @ start - Y)[:, None]
    dense = np.cov(gradients.T, bias=True)
    if covariance == "diagonal":
        dense = np.diag(np.diag(dense))
    if covariance == "isotropic":
        dense = np.eye(2) * np.trace(dense) / 2
    move = x - start + h * gradients.mean(0)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert chance.has_mean(move[:, i] * move[:, j], h * lr / b * dense[i, j])
    assert chance.has_mean(move[:, 0], 0.0)
    assert not chance.has_mean(move[:, 0] ** 2, 1.1 * h * lr / b * dense[0, 0])
    if covariance != "exact":
        assert not chance.has_mean(move[:, 0] * move[:, 1], h * lr / b * np.cov(gradients.T, bias=True)[0, 1])


def test_truncated_steps_are_no_longer_than_b():
    chain = sd.Truncated(sd.SGD(objective(), LR, batch_size=1), 0.05)
    ds = sd.run(chain, BEST, 64, n_steps=30, observers=[sd.Record(LR * np.arange(31))])
    steps = np.linalg.norm(np.diff(ds.state.values, axis=1), axis=-1)
    assert steps.max() <= 0.05 * (1 + 1e-12)
    assert np.isclose(steps, 0.05).mean() > 0.2
    free = sd.run(chain.dynamics, BEST, 64, n_steps=1).final_state.values
    assert np.linalg.norm(free - BEST, axis=-1).max() > 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.SGD(objective(), LR, batch_size=7, sampling="fresh"), "batch_size must be from 1 to 6"),
        (lambda: sd.SGD(objective(), LR, batch_size=2, sampling="epoch"), "did you mean epochs"),
        (lambda: sd.SGD(objective(), -1.0, batch_size=2), "lr must be"),
        (lambda: sd.SGD(objective(), LR), "batch_size"),
        (lambda: sd.SGD(objective(), LR, batch_size=2, label_noise=-1.0), "label_noise must be at least 0"),
        (lambda: sd.Momentum(objective(), LR, 2, momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: sd.minibatch_sde(objective(), LR, 2, sampling="epochs"), "reshuffled epochs have no such SDE"),
        (lambda: sd.minibatch_sde(objective(), LR, 2, noise=sd.Stable(1.5)), "stable noise has no covariance"),
        (lambda: start([0, 0], engine="native"), "engine='tensor'"),
        (lambda: start([0, 0, 0]), r"shape \(3,\): possible are \(2,\)"),
        (lambda: start([0, 0], device="cuda:9"), "is not there"),
        (lambda: start([0, 0], dtype="float16"), "unknown dtype"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_levy_driven_equation_has_the_characteristic_function_of_its_stable_noise():
    lr, b, h, alpha = 0.4, 2, 0.04, 1.5
    sde = sd.minibatch_sde(objective(), lr, b, covariance="isotropic", noise=sd.Stable(alpha, isotropic=True))
    at = np.array([0.9, -0.3])
    x = sd.run(sd.EulerMaruyama(sde, h), at, 60_000, n_steps=1, seed=2, block=60_000).final_state.values
    gradients = A * (A @ at - Y)[:, None]
    scale = np.sqrt(lr / b * gradients.var(axis=0).mean())
    along = (x - at + h * gradients.mean(0)) @ [0.6, 0.8]
    for xi in (2.0, 6.0):
        expected = np.exp(-h * (scale * xi) ** alpha)
        assert chance.has_mean(np.cos(xi * along), expected)
        assert not chance.has_mean(np.cos(xi * along), np.exp(-h * (1.15 * scale * xi) ** alpha))


def test_learning_rates_can_be_varied():
    ds = sd.run(sd.SGD(objective(), LR, batch_size=2), BEST, 16, n_steps=20, seed=3, vary={"lr": [0.1, 0.2]})
    assert dict(ds.sizes) == {"lr": 2, "path": 16, "component": 2}
    one = sd.run(sd.SGD(objective(), 0.1, batch_size=2), BEST, 16, n_steps=20, seed=3)
    np.testing.assert_allclose(ds.final_state.sel(lr=0.1), one.final_state, rtol=1e-12)
    assert not np.allclose(ds.final_state.sel(lr=0.2), one.final_state)
