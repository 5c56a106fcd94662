"""Curvature and gradient noise of a loss: eigenvalues, traces, alignment, noise against gradient.

Everything is for all paths at once and without a p × p matrix. `hessian`, `ggn` and `noise` give operators; `trace` and
`eigenvalues` look at them; `sharpness`, `hessian_trace`, `noise_trace`, `alignment`, `noise_to_gradient` and their like
give one number a path: with x at once, without x as a function for `Record(values=...)`.
"""

from __future__ import annotations

from sdesim.problems.curvature.alignment import alignment, overlap
from sdesim.problems.curvature.bridge import to_curvlinops
from sdesim.problems.curvature.condition import Condition, sde_condition
from sdesim.problems.curvature.eigen import Eigenvalues, eigenvalues, noise_eigenvalues
from sdesim.problems.curvature.measured import Measured
from sdesim.problems.curvature.noise import (
    gradient_square,
    noise_scale,
    noise_to_gradient,
    noise_trace,
)
from sdesim.problems.curvature.operators import Operator, ggn, hessian, noise
from sdesim.problems.curvature.sharpness import ggn_trace, hessian_trace, sharpness
from sdesim.problems.curvature.trace import trace

__all__ = [
    "Condition",
    "Eigenvalues",
    "Measured",
    "Operator",
    "alignment",
    "eigenvalues",
    "ggn",
    "ggn_trace",
    "gradient_square",
    "hessian",
    "hessian_trace",
    "noise",
    "noise_eigenvalues",
    "noise_scale",
    "noise_to_gradient",
    "noise_trace",
    "overlap",
    "sde_condition",
    "sharpness",
    "to_curvlinops",
    "trace",
]
