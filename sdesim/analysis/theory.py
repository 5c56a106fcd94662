"""What theory says about exit times and stationary laws: closed forms, quadrature and transfer operators."""
from __future__ import annotations

from sdesim.analysis.chain_exit import ChainExitTime, QuasiStationaryLaw, chain_exit_time
from sdesim.analysis.chain_stationary import StationaryLaw, chain_stationary_law
from sdesim.analysis.diffusion_exit import exit_time_variance, mean_exit_time
from sdesim.analysis.diffusion_law import ExitLaw, exit_law
from sdesim.analysis.diffusion_side import exit_side
from sdesim.analysis.estimate import Reference
from sdesim.analysis.stable_exit import stable_exit_time, stable_interval_exit_time

__all__ = [
    "ChainExitTime",
    "ExitLaw",
    "QuasiStationaryLaw",
    "Reference",
    "StationaryLaw",
    "chain_exit_time",
    "chain_stationary_law",
    "exit_law",
    "exit_side",
    "exit_time_variance",
    "mean_exit_time",
    "stable_exit_time",
    "stable_interval_exit_time",
]
