"""Which losses have a curvature: those with a second derivative to measure."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from sdesim.problems.landscape import Landscape
from sdesim.problems.objective import Objective
from sdesim.problems.second_order import hessian_vector

EXAMPLES = 64  # looked at
SCALES = (0.1, 1.0, 3.0)  # of the points that are tried

_checked: WeakSet[Objective] = WeakSet()


def check_smooth(problem: Any) -> None:
    """Refuse losses without a second derivative, by trying some points.

    A ReLU inside a smooth loss is let through: the Hessian exists almost everywhere, and is that of the smooth pieces.
    A loss that is piecewise constant (accuracy) or piecewise linear in the outputs (hinge, L1) is refused: all of its
    curvature sits in kinks, which no derivative sees. Kinks hidden inside a hand-written `example_losses` that is
    curved elsewhere cannot be seen from outside.

    Raises
    ------
    TypeError
        If the problem is neither an Objective nor a Landscape.
    ValueError
        If no second derivative is found at any point tried.
    """
    if isinstance(problem, Landscape):
        if problem._kinks and all(e == 0 for row in problem.hessian_exprs for e in row):
            raise ValueError(
                f"{problem!r} is piecewise linear: its curvature sits in kinks; smooth them, sqrt(x**2 + 1e-6) for |x|"
            )
        return
    if not isinstance(problem, Objective):
        raise TypeError(
            f"curvature is that of an Objective or a Landscape, got {type(problem).__name__}: "
            "write network(module, loss, data) or Landscape(formula)"
        )
    if problem in _checked:
        return
    _check_in_outputs(problem)
    _check_in_parameters(problem)
    _checked.add(problem)


def _points(objective: Objective) -> list[Tensor]:
    """Parameters to try, each of shape (p,)."""
    shared = torch.Generator().manual_seed(0)
    draws = [scale * torch.randn(objective.dim, generator=shared) for scale in SCALES]
    if objective.fresh is not None:
        draws.insert(0, objective.fresh_states(1, 0)[0])
    return [torch.as_tensor(d).to(objective.device, objective.dtype) for d in draws]


def _check_in_outputs(objective: Objective) -> None:
    """For networks: the loss as a function of the outputs must bend somewhere."""
    losses = objective.example_losses
    if not (hasattr(losses, "outputs") and hasattr(losses, "loss")):
        return
    targets, name = objective.targets[:EXAMPLES], getattr(losses.loss, "__name__", "the loss").strip("_")
    for x in _points(objective):
        with torch.no_grad():
            outputs = losses.outputs(x, objective.inputs[:EXAMPLES])
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            total = losses.loss(leaf, targets).sum()
            if not total.requires_grad:
                raise ValueError(_flat(name))
            try:
                (slope,) = torch.autograd.grad(total, leaf, create_graph=True)
                bend = _along(slope, leaf)
            except (RuntimeError, NotImplementedError) as error:
                raise ValueError(f"{name} has no second derivative in torch: {error}") from error
        if bool((bend != 0).any()):
            return
    raise ValueError(
        f"{name} is piecewise linear in the outputs: its curvature sits in kinks, where no second derivative is; "
        "use a smooth loss such as 'cross_entropy', 'mse' or torch.nn.functional.smooth_l1_loss"
    )


def _along(slope: Tensor, leaf: Tensor) -> Tensor:
    """Derivative of a slope along a fixed direction; zero where the slope is constant."""
    if not slope.requires_grad:
        return torch.zeros_like(leaf)
    direction = torch.linspace(0.5, 1.5, leaf.numel(), dtype=leaf.dtype, device=leaf.device).view_as(leaf)
    return torch.autograd.grad(slope, leaf, direction, materialize_grads=True)[0]


def _check_in_parameters(objective: Objective) -> None:
    """The loss as a function of x must bend somewhere."""
    rows = torch.arange(min(EXAMPLES, objective.n_examples), device=objective.device)[None]
    for x in _points(objective):
        direction = torch.linspace(0.5, 1.5, objective.dim, dtype=x.dtype, device=x.device)
        try:
            product = hessian_vector(objective, x[None], direction[None], rows)
        except ValueError as error:
            if "does not depend on x" in str(error):
                raise ValueError(_flat("the loss")) from error
            raise
        if bool((product != 0).any()):
            return
    raise ValueError(
        "the loss has no second derivative at any point tried: it is linear in x up to kinks, "
        "and has no curvature to measure; use a smooth loss"
    )


def _flat(name: str) -> str:
    return (
        f"{name} does not depend on x through torch operations, or is piecewise constant, like an accuracy: "
        "it has no curvature; use a smooth loss such as 'cross_entropy' or 'mse'"
    )
