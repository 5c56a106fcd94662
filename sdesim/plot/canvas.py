"""Empty figures, and the names of what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.6, 3.5)


def canvas(n_panels: int) -> tuple[Figure, list[Axes]]:
    """An empty figure with panels side by side, three to a row, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(n_panels, 3)
    rows = -(-n_panels // columns)
    drawn = Figure(figsize=(SIZE[0] * columns, SIZE[1] * rows), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = [drawn.add_subplot(rows, columns, i + 1) for i in range(n_panels)]
    return drawn, axes


def write(drawn: Figure, path: Path) -> None:
    """Write a figure as PNG, all of it or nothing."""
    from sdesim.engine.results import replace

    replace(Path(path), lambda temporary: drawn.savefig(temporary, dpi=150, format="png"))


def swept_dims(array: xr.DataArray) -> list[str]:
    """Dimensions that are neither paths nor inside one: swept parameters and dynamics."""
    own = {"path", "time", "component", "well", "to_well", "passage"}
    return [str(d) for d in array.dims if d not in own]


def cells(
    array: xr.DataArray, keep: Sequence[str] = ("path",)
) -> Iterator[tuple[dict[str, Any], xr.DataArray]]:
    """The array at each value of its dimensions but `keep`, with those values by name."""
    dims = [str(d) for d in array.dims if d not in keep]
    for index in np.ndindex(*(array.sizes[d] for d in dims)):
        one = array.isel(dict(zip(dims, index, strict=True)))
        yield {d: one[d].item() if d in one.coords else i for d, i in zip(dims, index, strict=True)}, one


def label(where: dict[str, Any]) -> str:
    """A cell's name in a legend."""
    named = (f"{d} = {v:.4g}" if isinstance(v, float) else str(v) for d, v in where.items())
    return ", ".join(named)


def axis_label(array: xr.DataArray, default: str) -> str:
    """An axis' name with its unit."""
    name, units = array.attrs.get("long_name", default), array.attrs.get("units", "")
    said = units in ("", "1") or units in str(name)  # "first exit time" needs no "[time]"
    return str(name) if said else f"{name} [{units}]"
