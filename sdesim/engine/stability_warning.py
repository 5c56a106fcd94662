"""A warning where the learning rate is too large for the curvature at the start: gradient descent would leave."""

from __future__ import annotations

import math
import warnings

import numpy as np

from sdesim.dynamics.sgd import SGD
from sdesim.engine.plan import Plan
from sdesim.engine.trace import bind

STEPS = 200  # runs shorter than this on an objective are not looked at
PRODUCTS = 15  # Hessian-vector products that are spent on an objective
SHARE = 0.05  # of the run's work, at most
COST = 2  # gradients that a product costs
STARTS = 64  # different starts that are looked at, in each cell
CELLS = 256


class StabilityWarning(UserWarning):
    """The learning rate exceeds 2/λ_max at the start: gradient descent without noise would move away from there."""


def warn_if_unstable(plan: Plan) -> None:
    """Warn once if a path of SGD or Momentum starts where its learning rate is above the stable one.

        η λ_max ≤ 2 (1 + β),    λ_max the largest eigenvalue of the Hessian at the start, β the momentum

    (2(1 + β), since v⁺ = βv + g; with weight decay λ_max + weight_decay). On a landscape the Hessian is exact, at the
    first 64 starts of each cell. On an objective it is estimated from below for the first path, and only where that
    costs less than a few per cent of the run.
    """
    if type(plan.dynamics).__name__ in ("MinibatchSGD", "Momentum"):
        found = _of_objective(plan)
    elif isinstance(plan.dynamics, SGD):
        found = _of_landscape(plan)
    else:
        return
    if found is None:
        return
    lr, sharpness, limit, start = found
    if lr > limit:
        warnings.warn(
            f"lr={lr:g} is above {limit:.4g} = {'2(1 + momentum)' if limit * sharpness > 2.0001 else '2'}/λ_max, with "
            f"λ_max={sharpness:.4g} the largest eigenvalue of the Hessian at {start}: gradient descent would move away "
            "from there at first; use a smaller lr unless that is meant",
            StabilityWarning,
            stacklevel=3,
        )


def _of_landscape(plan: Plan) -> tuple[float, float, float, str] | None:
    """Learning rate, λ_max, largest stable learning rate and start, where they are furthest apart."""
    worst: tuple[float, float, float, str] | None = None
    if plan.dynamics.random and not plan.dynamics.linear_in_noise:
        return None  # the mean loss has no formula
    for cell in range(min(plan.cells, CELLS)):
        dynamics, _, _ = bind(plan.dynamics, plan.watch, plan.in_cell(cell))
        first = cell * plan.n_paths
        rows = np.unique(plan.x0[first : first + min(STARTS, plan.n_paths)], axis=0)
        numbers = {name: float(value) for name, value in dynamics.params.items()} | dict.fromkeys(dynamics.random, 0.0)
        landscape = dynamics.landscape.with_params(**numbers) if numbers else dynamics.landscape
        d = landscape.dim
        matrices = np.asarray(landscape.hessian(rows if d > 1 else rows[:, 0]), dtype=float).reshape(-1, d, d)
        finite = np.isfinite(matrices).all((1, 2))
        if not finite.any():
            continue
        largest = np.linalg.eigvalsh(matrices[finite])[:, -1]
        i, lr = int(largest.argmax()), float(plan.clock[cell])
        if largest[i] > 0 and (worst is None or lr * largest[i] > worst[0] * worst[1]):
            where = ", ".join(f"{v:.4g}" for v in rows[finite][i])
            worst = lr, float(largest[i]), 2 / float(largest[i]), f"x0={where}" if d == 1 else f"x0=({where})"
    return worst


def _of_objective(plan: Plan) -> tuple[float, float, float, str] | None:
    """The same for the first path of the cell with the largest learning rate, if it costs little."""
    import torch

    cell = int(np.argmax(plan.clock))
    dynamics, _, _ = bind(plan.dynamics, plan.watch, plan.in_cell(cell))
    objective = dynamics.objective
    work = float(plan.n_steps.sum()) * plan.n_paths * dynamics.batch_size
    if plan.n_steps.max() < STEPS or PRODUCTS * COST * objective.n_examples > SHARE * work:
        return None
    from sdesim.problems.curvature.eigen import eigenvalues
    from sdesim.problems.curvature.operators import hessian

    state = torch.as_tensor(plan.x0[cell * plan.n_paths][None], dtype=objective.dtype, device=objective.device)
    try:
        found = eigenvalues(hessian(objective, dynamics.position(state)), max_products=min(PRODUCTS, objective.dim))
    except (ValueError, RuntimeError):  # a loss without second derivatives may be trained all the same
        return None
    sharpness = float(found.values[0, 0]) + float(dynamics.weight_decay)
    if not (math.isfinite(sharpness) and sharpness > 0):
        return None
    limit = 2 * (1 + float(getattr(dynamics, "momentum", 0.0))) / sharpness
    return float(dynamics.lr), sharpness, limit, "the start of the first path"
