"""The reaction coordinate of rare exits: a formula, a function of tensors, or found from the set to be reached."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sdesim.core.checks import near
from sdesim.core.formula import expression
from sdesim.core.ops import NUMPY
from sdesim.engine.rare.excursion import FormulaCoordinate, MarginCoordinate, TensorCoordinate


def chosen_coordinate(dynamics: Any, region: Any, given: Any, *, outside: bool) -> Any:
    """The coordinate of an excursion.

    Parameters
    ----------
    region : region
        B, or with `outside` the region whose complement B is.
    given : text, SymPy expression, callable or None
        None: how far the margins of the region say that B is, see `MarginCoordinate`.

    Raises
    ------
    ValueError, TypeError
        If the formula has an unknown symbol or no variable at all.
    """
    if given is None:
        return MarginCoordinate(region, outside)
    if isinstance(given, FormulaCoordinate | MarginCoordinate | TensorCoordinate):
        return given
    if callable(given) and not hasattr(given, "free_symbols"):
        return TensorCoordinate(given)
    expr, params = expression(given), dict(getattr(dynamics, "params", {}))
    variables = tuple(getattr(dynamics, "variables", ()) or ())
    if not variables:
        raise ValueError(f"{type(dynamics).__name__} has no named variables: give a function of tensors as coordinate")
    names = {s.name for s in expr.free_symbols}
    for name in sorted(names):
        if name not in {*variables, *params}:
            raise ValueError(f"coordinate {given}: unknown symbol {name!r}: {near(name, [*variables, *params])}")
    if not names & set(variables):
        raise ValueError(
            f"the coordinate {given} is constant: it must grow on the way to B; write a formula in "
            f"{', '.join(variables)}, or leave it out"
        )
    return FormulaCoordinate(expr, variables, {n: params[n] for n in sorted(names & set(params))})


def edge(coordinate: Any, region: Any) -> float | None:
    """The smallest coordinate on the edge of a region, as far as it is known."""
    if isinstance(coordinate, MarginCoordinate):
        return 0.0
    if isinstance(coordinate, FormulaCoordinate) and region.dim == 1 and hasattr(region, "low"):
        ends = np.array([e for e in (region.low, region.high) if math.isfinite(e)])
        if ends.size:
            with np.errstate(all="ignore"):
                smallest = float(np.min(coordinate(NUMPY, ends[:, None])))
            return smallest if math.isfinite(smallest) else None
    return None
