"""Figures of a dataset: all that is drawn comes from the dataset."""

from __future__ import annotations

from sdesim.plot.canvas import axis_label, canvas, cells, label, swept_dims, write
from sdesim.plot.compare import compare
from sdesim.plot.exits import exit_law, histogram, mean_exit_times, scaling, survival
from sdesim.plot.phases import phase_diagram
from sdesim.plot.standard import figure
from sdesim.plot.states import landscape, moments, occupancy, paths
from sdesim.plot.wells import chain, chain_graph, chain_rates

__all__ = [
    "axis_label", "canvas", "cells", "chain", "chain_graph", "chain_rates", "compare", "exit_law", "figure",
    "histogram", "label", "landscape", "mean_exit_times", "moments", "occupancy", "paths", "phase_diagram", "scaling",
    "survival", "swept_dims", "write",
]  # fmt: skip
