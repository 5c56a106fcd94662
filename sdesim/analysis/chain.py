"""The Markov chain of wells: estimated from passages, examined, predicted, compared.

The transfer operators of recursions, which give exact exit times, are in `theory`.
"""

from __future__ import annotations

from sdesim.analysis.wells.chain import WellChain
from sdesim.analysis.wells.distance import ChainDistance, KnownDistance, distance, rate_ratios
from sdesim.analysis.wells.fairness import Fairness, fairness
from sdesim.analysis.wells.generator import generator
from sdesim.analysis.wells.prediction import jumps, known, kramers

__all__ = [
    "ChainDistance",
    "Fairness",
    "KnownDistance",
    "WellChain",
    "distance",
    "fairness",
    "generator",
    "jumps",
    "known",
    "kramers",
    "rate_ratios",
]
