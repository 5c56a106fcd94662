"""Simulating until an answer is as precise as asked."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import xarray as xr

from sdesim.core.checks import count, is_number

FIRST_PATHS = 4096
MAX_PATHS = 1 << 26
# A round adds a little more than predicted, and never more than the prediction can be trusted for.
MARGIN, GROWTH = 1.05, 16


def run_to_precision(
    dynamics: Any,
    x0: Any,
    *,
    rel: float = 0.01,
    level: float = 0.95,
    n_paths: int = FIRST_PATHS,
    max_paths: int = MAX_PATHS,
    wall_time: float | None = None,
    **options: Any,
) -> xr.Dataset:
    """Add paths until the interval of the mean exit time is as narrow as asked.

    The half-width of the interval falls like one over the square root of the number of exits; each round adds
    the paths that this predicts. The number of paths depends on the data, which shifts the coverage of the
    last interval by O(1/n_exited).

    Parameters
    ----------
    dynamics, x0, options
        As for `run`; `observers` must hold a `FirstExit`. With `vary`, every cell gets the same paths and the
        widest interval counts.
    rel : float
        Half-width of the interval over its value.
    level : float
        Of the interval.
    n_paths : int
        Paths of the first round.
    max_paths : int
        Never more than these.
    wall_time : float, optional
        Seconds for all rounds together.

    Returns
    -------
    Dataset
        As one `run` of all the paths. Interrupted by Ctrl-C or the time limit, it holds what is finished.

    Raises
    ------
    ValueError
        If `rel` is not in (0, 1), nothing exits within the simulated time, or more than `max_paths` paths
        would be needed: it says how many.
    """
    from sdesim.analysis import exits
    from sdesim.analysis.exit_times.planning import relative_half_width
    from sdesim.engine.results import concat, status_counts
    from sdesim.engine.run import run

    _check(rel, n_paths, max_paths, options)
    deadline = math.inf if wall_time is None else time.monotonic() + wall_time
    first = int(options.pop("start_path", 0))
    n_paths = total = min(n_paths, max_paths)
    ds = run(dynamics, x0, total, start_path=first, wall_time=wall_time, **options)
    try:
        while "interrupted" not in status_counts(ds):
            width = float(relative_half_width(exits.mean_exit_time(ds, level=level)).max())
            left = None if wall_time is None else deadline - time.monotonic()
            if width <= rel or (left is not None and left <= 0):
                return ds
            if total == n_paths:
                _refuse_impossible(width, rel, total, max_paths)
            if total >= max_paths:
                warnings.warn(
                    f"reached {total} paths at a precision of {width:.3g}, asked {rel:g}", stacklevel=2
                )
                return ds
            needed = min(math.ceil(MARGIN * total * (width / rel) ** 2), GROWTH * total, max_paths)
            more = run(dynamics, x0, needed - total, start_path=first + total, wall_time=left, **options)
            ds, total = concat([ds, more]), needed
    except KeyboardInterrupt:
        pass
    return ds


def _refuse_impossible(width: float, rel: float, total: int, max_paths: int) -> None:
    """Raise if the first round shows that the wish is out of reach."""
    if not math.isfinite(width):
        raise ValueError(f"too few of {total} paths exited for an interval: simulate longer (t_max, n_steps)")
    predicted = total * (width / rel) ** 2
    if predicted > 2 * max_paths:
        raise ValueError(
            f"rel={rel:g} needs about {predicted:.2g} paths, max_paths is {max_paths}: ask for rel="
            f"{width * math.sqrt(total / max_paths):.1g} or raise max_paths"
        )


def _check(rel: Any, n_paths: int, max_paths: int, options: dict[str, Any]) -> None:
    if not is_number(rel) or not 0 < rel < 1:
        raise ValueError(f"rel must be in (0, 1), got {rel!r}: 0.01 asks for one per cent")
    count("n_paths", n_paths, least=2)
    count("max_paths", max_paths, least=2)
    if not any(hasattr(observer, "region") for observer in options.get("observers", ())):
        raise ValueError(
            "run_to_precision needs observers=[FirstExit(region)]: it narrows the mean exit time"
        )
