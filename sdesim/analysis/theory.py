"""What theory says about exit times and stationary laws: closed forms, quadrature and transfer operators."""
from __future__ import annotations

from sdesim.analysis.diffusion.exit import exit_time_variance, mean_exit_time
from sdesim.analysis.diffusion.law import ExitLaw, exit_law
from sdesim.analysis.diffusion.side import exit_side
from sdesim.analysis.estimate import Reference
from sdesim.analysis.limits.asymptotic import Asymptotic
from sdesim.analysis.limits.eyring_kramers import eyring_kramers, kramers_generator
from sdesim.analysis.limits.sgd_escape import sgd_escape_time
from sdesim.analysis.limits.stable_exit import stable_exit_time, stable_interval_exit_time, stable_jump_rate
from sdesim.analysis.limits.stable_small_noise import small_noise_stable_exit_time
from sdesim.analysis.limits.truncated_hierarchy import TruncatedHierarchy, truncated_hierarchy
from sdesim.analysis.plane.exit import (
    PlaneQuasiStationaryLaw,
    plane_committor,
    plane_exit_time,
    plane_quasi_stationary_law,
)
from sdesim.analysis.plane.law import PlaneStationaryLaw, plane_stationary_law
from sdesim.analysis.recursion.committor import chain_committor, chain_exit_side
from sdesim.analysis.recursion.exit import ChainExitTime, QuasiStationaryLaw, chain_exit_time
from sdesim.analysis.recursion.generator import ChainGenerator, chain_generator
from sdesim.analysis.recursion.stationary import StationaryLaw, chain_stationary_law

__all__ = [
    "Asymptotic",
    "ChainExitTime",
    "ChainGenerator",
    "ExitLaw",
    "PlaneQuasiStationaryLaw",
    "PlaneStationaryLaw",
    "QuasiStationaryLaw",
    "Reference",
    "StationaryLaw",
    "TruncatedHierarchy",
    "chain_committor",
    "chain_exit_side",
    "chain_exit_time",
    "chain_generator",
    "chain_stationary_law",
    "exit_law",
    "exit_side",
    "exit_time_variance",
    "eyring_kramers",
    "kramers_generator",
    "mean_exit_time",
    "plane_committor",
    "plane_exit_time",
    "plane_quasi_stationary_law",
    "plane_stationary_law",
    "sgd_escape_time",
    "small_noise_stable_exit_time",
    "stable_exit_time",
    "stable_interval_exit_time",
    "stable_jump_rate",
    "truncated_hierarchy",
]
