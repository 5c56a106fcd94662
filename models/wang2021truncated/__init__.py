"""Truncated heavy-tailed SGD leaves sharp minima and stays out of them.

`recursion`: the paper's function of one variable, against the transfer operator of the recursion; `networks`: heavy
tails made from batches, on the digits.

    sdesim run wang2021truncated --experiment networks

Wang, Oh and Rhee, "Eliminating sharp minima from SGD with truncated heavy-tailed noise", arXiv 2102.04297;
limits: Wang and Rhee, arXiv 2307.03479.
"""

from __future__ import annotations

import sdesim as sd

from . import networks, recursion
from .recursion import Params, dynamics, exit_from, landscape

__all__ = ["Params", "dynamics", "exit_from", "landscape", "model"]

PARTS = {"recursion": recursion, "networks": networks}
PAPER = sd.Paper(
    authors="Wang, Xingyu and Oh, Sewoong and Rhee, Chang-Han",
    title="Eliminating Sharp Minima from SGD with Truncated Heavy-Tailed Noise",
    year=2021,
    arxiv="2102.04297",
)
model = sd.from_parts("wang2021truncated", PAPER, PARTS)
