"""The standard figure of a dataset: a panel for each thing that was watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import xarray as xr

from sdesim.plot.canvas import canvas, swept_dims
from sdesim.plot.exits import histogram, mean_exit_times, survival
from sdesim.plot.states import moments, occupancy, paths
from sdesim.study.reference import THEORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Callable[["Axes", xr.Dataset], None]


def figure(ds: xr.Dataset, theory: Any = None) -> Figure:
    """The standard figure of a dataset: a panel for each thing that was watched.

    Exit times: survival and histogram with theory, or their mean against the swept parameter. Passages: share
    of time in each well. Records: some paths. Moments: mean and standard deviation over time.

    Parameters
    ----------
    ds : Dataset
        A result of `run`.
    theory : number or Reference, optional
        Mean exit time to draw beside the simulated one, where the dataset holds none.

    Raises
    ------
    ValueError
        If there is nothing in it that can be drawn.
    """
    if theory is not None:
        ds = ds.assign({THEORY: ((), float(theory))})
    panels = list(_panels(ds))
    if not panels:
        raise ValueError("nothing to draw: no exit_time, occupancy_time, state or moment_mean in the dataset")
    drawn, axes = canvas(len(panels))
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax, ds)
    if ds.attrs.get("model"):
        drawn.suptitle(str(ds.attrs["model"]))
    return drawn


def _panels(ds: xr.Dataset) -> Iterator[Panel]:
    if "exit_time" in ds:
        swept = swept_dims(ds["exit_time"])
        if not swept:
            yield survival
            yield histogram
        else:
            yield mean_exit_times
            yield survival
    if "occupancy_time" in ds:
        yield occupancy
    if "state" in ds:
        yield paths
    if "moment_mean" in ds:
        yield moments
