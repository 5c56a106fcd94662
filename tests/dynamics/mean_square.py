"""Stability in mean square of minibatch SGD on the least squares of test_minibatch."""

import numpy as np

from tests.dynamics.test_minibatch import H, fluctuation


def growth(lr, batch_size):
    """Largest factor by which a step multiplies second moments, m⁺ = (1 - ηH) m (1 - ηH) + (η²/B) fluctuation(m)."""
    a, units = np.eye(2) - lr * H, np.eye(4).reshape(-1, 2, 2)
    linear = np.array([(a @ u @ a + lr**2 / batch_size * fluctuation(u)).ravel() for u in units])
    return float(np.abs(np.linalg.eigvals(linear)).max())


def largest_rate(batch_size):
    """Learning rate at which second moments cease to settle, by bisection."""
    low, high = 0.0, 2 / np.linalg.eigvalsh(H).max()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if growth(middle, batch_size) < 1 else (low, middle)
    return low
