"""Stochastic modified equations: the SDEs that SGD approximates, of weak order 1 and 2 in its learning rate η.

SGD with the mean gradient ∇f and the covariance Σ(x) of its stochastic gradient has the equations

    order 1    dX = -∇f dt + sqrt(η) Σ^{1/2} dW
    order 2    dX = -∇(f + η/4 |∇f|²) dt + sqrt(η) Σ^{1/2} dW = -(∇f + η/2 H ∇f) dt + sqrt(η) Σ^{1/2} dW

Over a time η the first moves by -η ∇f + η²/2 H ∇f + O(η³) on average, a step of SGD by -η ∇f: the second takes the
difference away. Second moments agree up to O(η³) for both, third ones are O(η³). So means at a fixed time are within
O(η) and O(η²).

A loss that is linear in its random parameters, f(x; ξ) = f(x) + Σ_j ξ_j g_j(x) with independent ξ_j of variance σ², has
Σ = σ² G Gᵀ for the matrix G with columns ∇g_j; added noise has G = 1. G is a formula, and so is the equation.

Li, Tai and E 2017, arXiv 1511.06251.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from sdesim.core.checks import is_number
from sdesim.core.formula import differentiate
from sdesim.dynamics.sde import SDE
from sdesim.dynamics.sgd import SGD

LR, STD = "lr", "noise_std"


def modified_equation(dynamics: Any, order: int = 1) -> Any:
    """The SDE that stands for SGD, of weak order 1 or 2.

        dX = -∇f dt + sqrt(η) Σ^{1/2} dW,    with order=2    -∇(f + η/4 |∇f|²) dt + ...

    Parameters
    ----------
    dynamics : SGD or MinibatchSGD
        On a landscape: with added noise, or random parameters that the loss is linear in; noise of finite variance.
        On an objective: without momentum, label noise and reshuffled epochs.
    order : 1 or 2

    Returns
    -------
    SDE or MinibatchSDE
        In the time of SGD, η × steps. The SDE of formulas has the parameters of the loss, the learning rate `lr` and
        the standard deviation `noise_std` of the noise. Integrate it with steps of at most η/10, and see that smaller
        ones give the same: Euler steps of length η at order 1 are SGD itself with normal noise. The weak order 2 is
        that of smooth losses; where gradients jump, as with ReLU, H is that of the smooth pieces.

    Raises
    ------
    TypeError, ValueError
        For what has no such equation, or none that is known here.

    References
    ----------
    Li, Tai and E 2017, arXiv 1511.06251.

    Examples
    --------
    >>> from sdesim.problems.landscape import Landscape
    >>> noisy = SGD(Landscape("(a + xi)*x**2/2", params={"a": 1.0, "xi": 0.0}), 0.1, random="xi")
    >>> sde = modified_equation(noisy, order=2)
    >>> sde.drift, sde.diffusion
    ((-a**2*lr*x/2 - a*x,), ((sqrt(lr)*noise_std*x,),))
    """
    if order not in (1, 2) or isinstance(order, bool):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    if isinstance(dynamics, SGD):
        return _of_formulas(dynamics, order)
    if hasattr(dynamics, "objective") and hasattr(dynamics, "batch_size") and hasattr(dynamics, "step"):
        return _of_objective(dynamics, order)
    raise TypeError(
        f"modified_equation is for SGD(landscape, lr, ...) and SGD(objective, lr, batch_size), got {dynamics!r}"
    )


def _of_formulas(sgd: SGD, order: int) -> SDE:
    f, params = sgd.landscape, sgd.params
    taken = sorted({*f.variables, *params, *sgd.random} & {LR, STD})
    if taken:
        raise ValueError(f"the loss has a symbol {taken[0]}, which the equation needs: give it another name")
    variance = sgd.noise.variance
    if not (is_number(variance) and np.isfinite(variance)):
        raise ValueError(
            f"{sgd.noise!r} has no finite variance, so no equation with Brownian noise: write the Lévy-driven one, "
            "SDE(-landscape.gradient, size, noise=Stable(alpha))"
        )
    if not sgd.linear_in_noise:
        raise ValueError(
            f"the gradient of {f.expr} is not linear in {', '.join(sgd.random)}: its covariance is no formula"
        )
    noise_free = {sp.Symbol(name, real=True): 0 for name in sgd.random}
    slope = [sp.expand(g.subs(noise_free)) if noise_free else g for g in f.gradient.exprs]
    drift = [-g for g in (slope if order == 1 else _bent(slope, f.variables))]
    size = sp.sqrt(sp.Symbol(LR, real=True)) * sp.Symbol(STD, real=True)
    columns = [[differentiate(g, s) for s in noise_free] for g in f.gradient.exprs]
    diffusion: Any = [[size * entry for entry in row] for row in columns] if noise_free else size
    values = {**params, LR: sgd.lr, STD: float(np.sqrt(variance))}
    used = {s.name for e in (*drift, size, *(e for row in columns for e in row)) for s in e.free_symbols}
    return SDE(drift, diffusion, variables=f.variables, params={n: v for n, v in values.items() if n in used})


def _bent(slope: list[sp.Expr], variables: tuple[str, ...]) -> list[sp.Expr]:
    """∇f + η/2 H ∇f."""
    half = sp.Symbol(LR, real=True) / 2
    symbols = [sp.Symbol(v, real=True) for v in variables]
    return [g + half * sum(differentiate(g, s) * other for s, other in zip(symbols, slope, strict=True)) for g in slope]


def _of_objective(sgd: Any, order: int) -> Any:
    from sdesim.dynamics.minibatch import MinibatchSGD
    from sdesim.dynamics.minibatch_sde import minibatch_sde

    if type(sgd) is not MinibatchSGD:
        raise ValueError(
            f"the equation of {type(sgd).__name__} is not known here: it is that of SGD(objective, lr, batch_size), "
            "without momentum"
        )
    if sgd.label_noise:
        raise ValueError(
            f"label_noise={sgd.label_noise:g} adds noise that the equation does not have: leave it out, or write the "
            "equation of the loss as formulas"
        )
    if sgd.sampling == "epochs":
        raise ValueError("reshuffled epochs have no such SDE: use sampling='replacement' or 'fresh'")
    return minibatch_sde(
        sgd.objective, sgd.lr, sgd.batch_size, sampling=sgd.sampling, order=order, weight_decay=sgd.weight_decay
    )
