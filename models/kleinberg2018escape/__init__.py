"""SGD descends the loss convolved with the noise of its steps, and leaves minima narrower than the noise.

`line`: a wave on a parabola, where everything has a formula; `network`: one-point convexity along SGD on the digits.

    sdesim run kleinberg2018escape --experiment network

Kleinberg, Li and Yuan, arXiv 1802.06175.
"""

from __future__ import annotations

import sdesim as sd

from . import line, network

PARTS = {"line": line, "network": network}
PAPER = sd.Paper(
    authors="Kleinberg, Robert and Li, Yuanzhi and Yuan, Yang",
    title="An Alternative View: When Does SGD Escape Local Minima?",
    year=2018,
    arxiv="1802.06175",
)
model = sd.from_parts("kleinberg2018escape", PAPER, PARTS)
