"""Stochastic collapse: gradient noise makes the invariant sets of SGD, simpler networks, attractive.

Each part of the paper is a file of this folder that does not know the others: it has `Params` (a frozen dataclass),
`build(p)` (its experiments), `figure(ds, p)` and `CLAIMS`. A new part is one file, one import and one entry of PARTS
below, and what it shares with another part is imported from there: `from .quartic import Z`. A parameter that two
parts share by name is one option of the command line, with a default of its own for each part.

    sdesim run chen2023collapse --experiment quartic --zeta-max 2

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251.
"""

from __future__ import annotations

import sdesim as sd

from . import full, modes, networks, neuron, permutation, quartic

PARTS = {
    "quartic": quartic,
    "neuron": neuron,
    "modes": modes,
    "full": full,
    "permutation": permutation,
    "networks": networks,
}
PAPER = sd.Paper(
    authors="Chen, Feng and Kunin, Daniel and Yamamura, Atsushi and Ganguli, Surya",
    title="Stochastic collapse: how gradient noise attracts SGD dynamics towards simpler subnetworks",
    year=2023,
    arxiv="2306.04251",
)
model = sd.from_parts("chen2023collapse", PAPER, PARTS)
