"""Curvature and noise of minibatches along a normal direction, from the Hessian of every example."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch

from sdesim.analysis.attractivity.local import Attractivity, check_stays, is_eigenvector
from sdesim.analysis.attractivity.mean_log import mean_log
from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.minibatch import MinibatchSGD
from sdesim.dynamics.minibatch_sde import MinibatchSDE
from sdesim.problems.finite_population import finite_population
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector

MOST_BATCHES = 100_000
NUMBERS = 2**22  # held at once


def of_batches(dynamics: Any, x: np.ndarray, n: np.ndarray) -> Attractivity:
    """See `attractivity`."""
    sgd: Any
    if type(dynamics) is MinibatchSGD:
        sgd, decay, label_noise = dynamics, float(dynamics.weight_decay), float(dynamics.label_noise)
    elif type(dynamics) is EulerMaruyama and isinstance(dynamics.sde, MinibatchSDE):
        sgd, decay, label_noise = dynamics.sde, float(dynamics.sde.weight_decay), 0.0
        if sgd.covariance != "exact":
            raise ValueError(f"attractivity needs covariance='exact', got {sgd.covariance!r}")
        if sgd.order != 1:
            raise ValueError("the curvature of the equation of order 2 needs third derivatives: write order=1")
    else:
        raise TypeError(
            f"attractivity has no factor of {type(dynamics).__name__}: use SGD(objective, lr, batch_size) or its SDE, "
            "or run Tangent(dynamics) and take lyapunov"
        )
    objective, eta, b = sgd.objective, float(sgd.lr), int(sgd.batch_size)
    at, along = (torch.as_tensor(a, dtype=objective.dtype, device=objective.device) for a in (x, n))
    there = _gradients(objective, at)
    check_stays(there, n.astype(_kind(objective)))
    h, turns = _curvatures(objective, at, along)
    _check_smooth(objective, at, along, there, h)
    spread, turns_too = _label_slopes(objective, at, along, label_noise) if label_noise else (np.zeros_like(h), True)
    rate = eta / b * finite_population(len(h), b, sgd.sampling)  # epochs have the batches of "fresh"
    curvature = float(h.mean()) + decay
    noise = (rate * float(h.var()) + eta / b * float((spread**2).mean())) / 2
    if sgd is dynamics:
        discrete = _mean_log_of_batches(h + decay, spread, eta, b, sgd.sampling) / eta
    else:
        dt = float(dynamics.dt)
        discrete = mean_log(1 - curvature * dt, math.sqrt(2 * noise * dt)) / dt
    return Attractivity(curvature, noise, -curvature - noise, discrete, turns and turns_too)


def _kind(objective: Objective) -> Any:
    return np.float32 if objective.dtype == torch.float32 else np.float64


def _gradients(objective: Objective, x: torch.Tensor) -> np.ndarray:
    """Gradient of every example, (n, p)."""
    return objective.example_gradients(x[None])[0].cpu().numpy()


def _check_smooth(objective: Objective, x: torch.Tensor, v: torch.Tensor, there: np.ndarray, h: np.ndarray) -> None:
    """Refuse a kink at x: slopes to a side differ from the second derivative, by as much for shorter steps."""
    kind = _kind(objective)
    step, along = 1e-3 if kind is np.float32 else 1e-5, v.cpu().numpy()
    rounding = 400 * float(np.finfo(kind).eps) / step * float(np.abs(there).max(initial=0.0))
    for side in (step, -step):
        slopes = [(_gradients(objective, x + s * v) - there) @ along / s for s in (side, side / 4)]
        far, close = (float(np.abs(slope - h).max()) for slope in slopes)
        if close > max(0.5 * far, 0.1 * float(np.abs(slopes[1]).max())) + rounding:
            raise ValueError(
                "the loss has a kink at x along the normal, as relu has, so it has no curvature there: use a smooth "
                "activation (tanh, gelu, silu), or record the distance and take lyapunov(distance=...)"
            )


def _curvatures(
    objective: Objective, x: torch.Tensor, v: torch.Tensor, shift: torch.Tensor | None = None
) -> tuple[np.ndarray, bool]:
    """vᵀ H_i v of every example, with its target shifted, and whether v is an eigenvector of every H_i."""
    n, p = objective.n_examples, len(x)
    found, exact = [], True
    for some in torch.arange(n, device=x.device).split(max(1, NUMBERS // p)):
        at, along, batch = x.expand(len(some), p), v.expand(len(some), p), some[:, None]
        targets = None if shift is None else objective.targets[batch] + shift
        w = hessian_vector(objective, at, along, batch, targets)
        found.append((w @ v).cpu().numpy().astype(float))
        exact = exact and is_eigenvector(w.cpu().numpy(), v.cpu().numpy())
    return np.concatenate(found), exact


def _label_slopes(
    objective: Objective, x: torch.Tensor, v: torch.Tensor, label_noise: float
) -> tuple[np.ndarray, bool]:
    """Standard deviation of vᵀ H_i v under noise of the targets, for a Hessian that is linear in them."""
    shape, total, exact = objective.targets.shape[1:], np.zeros(objective.n_examples), True
    plain, _ = _curvatures(objective, x, v)
    for place in range(math.prod(shape)):
        shift = torch.zeros(math.prod(shape), dtype=objective.targets.dtype, device=x.device)
        shift[place] = label_noise
        up, one = _curvatures(objective, x, v, shift.view(shape))
        down, two = _curvatures(objective, x, v, -shift.view(shape))
        size = max(float(np.abs(up - down).max()), float(np.abs(plain).max()), 1e-300)
        if np.abs(up + down - 2 * plain).max() > (1e-3 if _kind(objective) is np.float32 else 1e-8) * size:
            raise ValueError(
                "label noise changes the curvature by more than a linear term for this loss: use a squared loss, or "
                "run Tangent(dynamics) and take lyapunov"
            )
        total += ((up - down) / 2) ** 2
        exact = exact and one and two
    return np.sqrt(total), exact


def _mean_log_of_batches(h: np.ndarray, spread: np.ndarray, eta: float, b: int, sampling: str) -> float:
    """E log|1 - η h_B| over all batches, if there are not too many.

    One direction multiplies, so an epoch's log is the sum of those of its batches: it has the mean of "fresh".
    """
    n = len(h)
    if sampling == "epochs" and n % b:
        return math.nan
    replaced = sampling == "replacement"
    if (n**b if replaced else math.comb(n, b)) > MOST_BATCHES:
        return math.nan
    batches = itertools.product(range(n), repeat=b) if replaced else itertools.combinations(range(n), b)
    which = np.array(list(batches))
    variance = (spread[which] ** 2).sum(1) / b**2
    return float(np.mean(mean_log(1 - eta * h[which].mean(1), eta * np.sqrt(variance))))
