"""What a run prints at its end."""

import numpy as np
import xarray as xr

import sdesim as sd
from sdesim.study.table import table


def recorded(values: np.ndarray) -> xr.Dataset:
    paths, times = values.shape
    status = np.full(paths, sd.Status.CENSORED, dtype=np.int8)
    variables = {"test_loss": (("path", "time"), values), "status": ("path", status)}
    return xr.Dataset(variables, coords={"time": np.arange(times, dtype=float)})


def test_recorded_values_stand_with_their_mean_and_interval() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    mean = sd.sample.mean(x[:, 2])
    (line,) = [row for row in table(recorded(x)).splitlines() if "test loss" in row]
    assert line.split()[:5] == ["test", "loss", "at", "time", "2"]
    assert f"{mean.value:.5g}" in line and f"[{mean.low:.5g}, {mean.high:.5g}]" in line


def test_the_time_is_the_last_that_all_paths_reached() -> None:
    x = np.ones((5, 3))
    x[2, 2] = np.nan
    assert "test loss at time 1" in table(recorded(x))
    assert "no mean  test loss at time 2: 5 of 5 values are not finite" in table(recorded(x * np.nan))


def test_exponents_of_a_tangent_are_printed() -> None:
    chain = sd.EulerMaruyama(sd.SDE("-x", 0.5), 0.01)
    ds = sd.run(sd.Tangent(chain), 0.0, 2, n_steps=10, engine="reference")
    (line,) = [row for row in table(ds).splitlines() if "Lyapunov exponent" in row]
    assert "-1.005" in line
    swept = sd.run(sd.Tangent(chain), 0.0, 2, n_steps=2, engine="reference", vary={"dt": np.linspace(0.01, 0.1, 50)})
    assert "dataset  has Lyapunov exponent in 50 cells" in table(swept)
