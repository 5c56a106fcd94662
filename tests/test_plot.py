from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from sdesim import plot
from sdesim.analysis import exits as estimators
from sdesim.engine.results import Status
from sdesim.study.reference import THEORY

TIME = {"units": "time", "long_name": "first exit time"}


def exits(shape: tuple[int, ...] = (), dims: tuple[str, ...] = (), n: int = 200) -> xr.Dataset:
    """Exponential exit times, a tenth of them censored."""
    rng = np.random.default_rng(3)
    times = rng.exponential(2.0, size=(*shape, n))
    status = np.full(times.shape, Status.EXITED, dtype=np.int8)
    status[..., ::10] = Status.CENSORED
    steps = np.ceil(times / 0.01).astype(np.int64)
    times = np.where(status == Status.CENSORED, np.nan, times)
    return xr.Dataset(
        {
            "exit_time": ((*dims, "path"), times, TIME),
            "status": ((*dims, "path"), status),
            "n_steps": ((*dims, "path"), steps),
            "clock": ((), 0.01),
            THEORY: (dims, np.full(shape, 2.0), {"units": "time"}),
        },
        attrs={"model": "exponential"},
    )


def labels(drawn: Figure) -> list[tuple[str, str]]:
    return [(ax.get_xlabel(), ax.get_ylabel()) for ax in drawn.axes]


def legend(drawn: Figure, panel: int = 0) -> list[str]:
    found = drawn.axes[panel].get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_exit_times_show_survival_and_histogram_with_theory(tmp_path: Path) -> None:
    drawn = plot.figure(exits())
    assert labels(drawn) == [("time", "P(no exit yet)"), ("first exit time", "density")]
    assert "exponential, mean of the theory" in legend(drawn)
    assert "theory 2" in legend(drawn, 1)
    plot.write(drawn, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_swept_parameter_is_the_axis_of_the_mean_exit_time() -> None:
    ds = exits((4,), ("sigma",)).assign_coords(sigma=("sigma", [0.1, 0.2, 0.3, 0.4], {"units": "1"}))
    drawn = plot.figure(ds)
    assert labels(drawn)[0] == ("sigma", "first exit time")
    assert legend(drawn) == ["theory", "simulated"]
    bars = drawn.axes[0].containers[0]
    assert np.allclose(bars.lines[0].get_xdata(), ds["sigma"])
    assert legend(drawn, 1)[:2] == ["sigma = 0.1", "sigma = 0.2"]


def test_dynamics_are_lines_of_their_own() -> None:
    ds = exits((2, 3), ("dynamics", "sigma")).assign_coords(dynamics=["sgd", "sde"], sigma=[0.1, 0.2, 0.3])
    assert sorted(legend(plot.figure(ds))) == ["sde", "sgd", "theory"]


def test_two_swept_parameters_make_a_map_with_a_scale() -> None:
    ds = exits((2, 3), ("b", "sigma")).assign_coords(b=[1.0, 2.0], sigma=[0.1, 0.2, 0.3])
    drawn = plot.figure(ds)
    assert ("b", "sigma") in labels(drawn)
    assert ("", "log10 of the mean exit time") in labels(drawn)
    with pytest.raises(ValueError, match="cannot draw 3 swept parameters"):
        plot.figure(exits((2, 2, 2), ("a", "b", "c")))


def test_exponential_law_is_drawn_through_the_survival_from_the_entry_on(tmp_path: Path) -> None:
    ds = exits((2,), ("sigma",), 400).assign_coords(sigma=[0.1, 0.2])
    drawn = plot.exit_law(ds, after=1.0)
    (ax,) = drawn.axes
    assert labels(drawn) == [("time", "P(no exit yet)")] and ax.get_yscale() == "log"
    assert legend(drawn)[0].startswith("sigma = 0.1: rate ") and "p = " in legend(drawn)[0]
    assert legend(drawn)[-1] == "exponential law of that rate, from 1 on"
    curve, law = (np.asarray(line.get_xydata(), dtype=float) for line in ax.lines[:2])
    assert law[0, 0] >= 1.0 and law[0, 1] == pytest.approx(np.interp(law[0, 0], *curve.T), rel=0.02)
    rate = -np.diff(np.log(law[[0, -1], 1]))[0] / np.diff(law[[0, -1], 0])[0]
    assert rate == pytest.approx(float(estimators.exit_rate(ds, after=1.0).value[0]))
    plot.write(drawn, tmp_path / "a.png")


def test_scaling_shows_points_fit_local_slopes_and_theory(tmp_path: Path) -> None:
    lr = np.array([0.1, 0.2, 0.4])
    ds = exits((2, 3), ("b", "lr"), 100).assign_coords(b=[1.0, 2.0], lr=lr)
    fit = estimators.scaling_exponent(ds, "lr")
    drawn = plot.scaling(fit, estimators.scaling_exponent(5.0 * lr**0.5, over=lr))
    assert labels(drawn) == [("lr", "mean exit time"), ("lr", "d log value / d log lr")]
    assert [ax.get_xscale() for ax in drawn.axes] == ["log", "log"] and drawn.axes[0].get_yscale() == "log"
    assert {"b = 1", "b = 2", "theory"} <= set(legend(drawn)) and legend(drawn)[0].startswith("slope ")
    theory = [line for line in drawn.axes[1].lines if line.get_label() == "theory"]
    assert np.allclose(theory[0].get_ydata(), 0.5)
    bars = drawn.axes[0].containers[0]
    assert np.allclose(bars.lines[0].get_ydata(), fit.points.value[0])
    assert [text.get_text() for text in drawn.axes[0].get_xticklabels()] == ["0.1", "0.2", "0.4"]
    plot.write(drawn, tmp_path / "a.png")


def test_no_exit_at_all_can_be_drawn(tmp_path: Path) -> None:
    ds = exits()
    ds["status"][:] = Status.CENSORED
    ds["exit_time"][:] = np.nan
    plot.write(plot.figure(ds), tmp_path / "a.png")
    drawn = plot.exit_law(ds)
    assert "no exit" in legend(drawn)[0]
    plot.write(drawn, tmp_path / "b.png")


def test_occupancy_paths_and_moments_have_panels(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ds = xr.Dataset(
        {
            "occupancy_time": (("dynamics", "path", "well"), rng.uniform(size=(2, 9, 3))),
            "state": (("dynamics", "path", "time"), rng.normal(size=(2, 9, 50)), {"long_name": "x"}),
            "moment_mean": (("dynamics", "time"), rng.normal(size=(2, 50))),
            "moment_variance": (("dynamics", "time"), np.ones((2, 50))),
        },
        coords={"time": ("time", np.arange(50.0), {"units": "time"}), "dynamics": ["plain", "truncated"]},
    )
    drawn = plot.figure(ds)
    assert [ax.get_title() for ax in drawn.axes] == ["occupancy", "paths", "mean ± sd"]
    assert legend(drawn, 0) == legend(drawn, 1) == legend(drawn, 2) == ["plain", "truncated"]
    shares = [bar.get_height() for bar in drawn.axes[0].patches[:3]]
    assert sum(shares) == pytest.approx(1.0)
    plot.write(drawn, tmp_path / "a.png")


def test_recorded_components_are_drawn_apart() -> None:
    state = np.random.default_rng(1).normal(size=(4, 5, 2))
    ds = xr.Dataset({"state": (("path", "time", "component"), state)}, coords={"component": ["x", "y"]})
    ds = ds.assign_coords(time=np.arange(5.0))
    assert legend(plot.figure(ds)) == ["x", "y"]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.figure(xr.Dataset({"status": ("path", [1])}))
