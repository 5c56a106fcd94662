"""Exit times, rates and places from a dataset of `run`, each with an interval, censored paths included."""

from __future__ import annotations

from sdesim.analysis.exit_times.exponentiality import Exponentiality, exponentiality
from sdesim.analysis.exit_times.location import ExitLocation, exit_location
from sdesim.analysis.exit_times.mean import ExitTimeEstimate, mean_exit_time
from sdesim.analysis.exit_times.planning import Plan, plan
from sdesim.analysis.exit_times.rate import ExitRate, exit_rate
from sdesim.analysis.exit_times.restricted import RestrictedMean, restricted_mean
from sdesim.analysis.exit_times.scaling import ScalingExponent, scaling_exponent
from sdesim.analysis.exit_times.side import ExitSide, exit_side
from sdesim.analysis.exit_times.survival import survival

__all__ = [
    "ExitLocation",
    "ExitRate",
    "ExitSide",
    "ExitTimeEstimate",
    "Exponentiality",
    "Plan",
    "RestrictedMean",
    "ScalingExponent",
    "exit_location",
    "exit_rate",
    "exit_side",
    "exponentiality",
    "mean_exit_time",
    "plan",
    "restricted_mean",
    "scaling_exponent",
    "survival",
]
