"""The tail index α of samples, P(|X| > x) ~ x^-α, by several estimators with intervals and a Gaussian null.

No estimator is right for all data. Hill and moments look at the largest values alone and know any power law; sums
(Mohammadi), the characteristic function and quantiles read α off a symmetric stable law, and what they say of other
laws is no tail index. Agreement of several, against their own law under Gaussian data, is evidence; one number is not.
"""

from __future__ import annotations

from sdesim.analysis.tail_index.estimate import AnisotropyWarning, TailIndex, estimate, estimates
from sdesim.analysis.tail_index.estimators import METHODS

__all__ = ["METHODS", "AnisotropyWarning", "TailIndex", "estimate", "estimates"]
