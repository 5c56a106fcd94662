"""Numbers that are exact only in a limit."""
from __future__ import annotations

from dataclasses import dataclass

from sdesim.analysis.estimate import Reference


@dataclass(frozen=True, repr=False)
class Asymptotic(Reference):
    """A number that is exact in a limit, with the order of what the limit leaves out as its error.

    The error is an order of magnitude, not a bound: nobody knows the constant without solving the problem exactly.

    Attributes
    ----------
    limit : str
        The limit, in words.
    """

    limit: str
