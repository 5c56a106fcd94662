"""The exponent of an exit under truncated heavy-tailed noise climbs in steps, and so does what clipping selects.

`wells`: exit times of a wide and a sharp well, against the transfer operator of the recursion, and the clipping that
selects the wide one; `network`: the same choice of a clipping for a network on the digits.

    sdesim run staircase --experiment network

The recursion and its limit: Wang, Oh and Rhee, arXiv 2102.04297; the experiments are ours.
"""

from __future__ import annotations

import sdesim as sd

from . import network, wells

PARTS = {"wells": wells, "network": network}
PAPER = sd.Paper(
    authors="Wang, Xingyu and Oh, Sewoong and Rhee, Chang-Han",
    title="Eliminating Sharp Minima from SGD with Truncated Heavy-Tailed Noise",
    year=2021,
    arxiv="2102.04297",
)
model = sd.from_parts("staircase", PAPER, PARTS)
