"""Stationary covariance of SGD on least squares up to half the mean-square stability limit, and the SDE's error."""

import numpy as np
import pytest

import sdesim as sd
from tests.chance import slope
from tests.dynamics.mean_square import growth, largest_rate
from tests.dynamics.test_minibatch import BEST, H, agrees, final, objective, sde_moment, sgd_moment

LIMIT = largest_rate(2)


def late(dynamics, n_steps):
    return final(dynamics, n_steps, seed=4)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_exact_recursion_is_inside_the_interval_up_to_half_the_stability_limit(share):
    lr = share * LIMIT
    states = late(sd.SGD(objective(), lr, batch_size=2), int(10 / (lr * np.linalg.eigvalsh(H).min())))
    assert agrees(states, sgd_moment(2, lr=lr))
    assert not agrees(states, sde_moment(0, 1.2 * lr / 2))
    if share == 0.5:
        assert not agrees(states, sde_moment(0, lr / 2))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_additive_noise_is_exact_up_to_nine_tenths_of_the_limit(share):
    lr = share * 2 / np.linalg.eigvalsh(H).max()
    states = late(sd.SGD(objective(), lr, batch_size=6, sampling="fresh", label_noise=0.8), 30)
    assert agrees(states, sgd_moment(6, factor=0.0, lr=lr, label=0.8))
    a, units = H, np.eye(4).reshape(-1, 2, 2)
    lyapunov = np.linalg.solve(np.array([(a @ u + u @ a).ravel() for u in units]).T, (lr / 6 * 0.64 * H).ravel())
    assert not agrees(states, lyapunov.reshape(2, 2))


def test_second_moments_grow_beyond_the_limit():
    assert growth(0.99 * LIMIT, 2) < 1 < growth(1.01 * LIMIT, 2)
    x = 1.1 * LIMIT
    states = sd.run(sd.SGD(objective(), x, batch_size=2), BEST, 256, n_steps=400, seed=1).final_state.values
    settled = final(sd.SGD(objective(), 0.5 * LIMIT, batch_size=2), 20)
    assert np.square(states - BEST).max() > 100 * np.square(settled - BEST).max()


def test_relative_error_of_the_sde_is_of_first_order_in_the_learning_rate():
    rates = LIMIT * np.array([0.0125, 0.025, 0.05])
    exact = [sgd_moment(2, lr=lr) for lr in rates]
    errors = [np.abs(sde_moment(0, lr / 2) - m).max() / np.abs(m).max() for lr, m in zip(rates, exact, strict=True)]
    assert slope(rates, errors) == pytest.approx(1.0, abs=0.05)
    near = LIMIT * np.array([0.4, 0.5])
    lost = [1 - np.trace(sde_moment(0, lr / 2)) / np.trace(sgd_moment(2, lr=lr)) for lr in near]
    assert slope(near, lost) > 1.3  # near half the limit the next order is felt
