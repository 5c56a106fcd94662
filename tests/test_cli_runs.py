"""Commands that simulate: what they write, print and leave behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sdesim.cli import main
from sdesim.engine import results

WELL = ("exit", "x**4/4 - x**2/2", "--x0", "-1", "--until", "x>0", "--sigma", "0.7", "--dt", "0.05")

PAIR = """
import dataclasses
import sdesim as sd

@dataclasses.dataclass(frozen=True)
class Params:
    half_width: float = 1.0

def build(p):
    def one(sigma):
        chain = sd.EulerMaruyama(sd.SDE("0", sigma, variables=["x"]), dt=0.05)
        watched = [sd.FirstExit(sd.Interval(-p.half_width, p.half_width))]
        return sd.Experiment(chain, 0.0, 200, t_max=1000.0, observers=watched)
    return {"quiet": one(0.5), "loud": one(1.0)}

model = sd.Model("pair2020", sd.Paper("Doe, Jane", "A Pair", 2020), Params, build)
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_exit_writes_dataset_and_figure_and_prints_the_theory(capsys, ending: str) -> None:
    assert main([*WELL, "--paths", "500", "--seed", "7", "--out", f"a{ending}"]) == 0
    out = capsys.readouterr().out
    assert "mean exit time" in out and "95 % interval" in out and "theory" in out
    ds = results.load(f"a{ending}")
    assert ds.sizes["path"] == 500
    assert float(ds["exit_time_theory"]) == pytest.approx(5.905, abs=1e-3)
    assert ds.attrs["seed"] == "7"
    assert Path("a.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_in_the_dataset_makes_it_again() -> None:
    import shlex

    assert main([*WELL, "--paths", "100", "--out", "a.zarr"]) == 0
    first = results.load("a.zarr")
    again = shlex.split(first.attrs["command"])
    assert again[0] == "sdesim"
    assert main([*again[1:], "--overwrite"]) == 0
    xr.testing.assert_equal(results.load("a.zarr"), first)


def test_model_file_with_two_dynamics_and_a_parameter(capsys) -> None:
    Path("pair.py").write_text(PAIR)
    assert main(["run", "pair.py", "--half-width", "2", "--paths", "300"]) == 0
    out = capsys.readouterr().out
    assert "mean exit time (quiet)" in out and "mean exit time (loud)" in out
    ds = results.load("pair2020.zarr")
    np.testing.assert_allclose(ds["exit_time_theory"], [16.0, 4.0])
    assert results.read_attribute(ds, "parameters") == {"half_width": 2.0}
    assert ds.attrs["model"] == "pair2020"
    assert "doe2020" in results.read_attribute(ds, "paper")["bibtex"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--dt", "-1"], "dt must be positive"),
        (["--x0", "1"], "outside"),
        (["--noise", "stable", "--alpha", "2.5"], "(0, 2]"),
        (
            ["--noise", "stable", "--alpha", "1.5", "--correction", "bridge"],
            "correction='bridge' is not defined here",
        ),
        (["--noise", "gausian"], "did you mean gaussian?"),
        (["--until", "x>"], "x>"),
        (["--until", "__import__('os').system('true')>0"], "sdesim:"),
        (["--param", "c"], "--param needs name=value"),
        (["--sgma", "1"], "did you mean --sigma"),
        (["--t-max", "0"], "t_max"),
    ],
)
def test_impossible_exits_are_one_line(capsys, elsewhere: Path, change: list[str], message: str) -> None:
    arguments = [*WELL[:2], "--paths", "10"]
    given = dict(zip(WELL[2::2], WELL[3::2], strict=True)) | dict(zip(change[::2], change[1::2], strict=True))
    assert main([*arguments, *(part for pair in given.items() for part in pair)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("formula", ["import os", "x**", "open('a')", "x.real", "lambda: x", "9**9**9**9"])
def test_text_that_is_no_formula_is_one_line(capsys, elsewhere: Path, formula: str) -> None:
    assert main(["exit", formula, *WELL[2:], "--paths", "10"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("start", "some_exit"), [("0.01", True), ("2", False)])
def test_diverging_paths_are_a_status_not_a_failure(capsys, start: str, some_exit: bool) -> None:
    common = ["--until", "x<-1", "--dt", "0.1", "--t-max", "5", "--paths", "200", "--out", "a.nc"]
    assert main(["exit", "-x**4", "--x0", start, *common]) == 0
    out = capsys.readouterr().out
    assert "diverged" in out
    counts = results.status_counts(results.load("a.nc"))
    assert counts["diverged"] > 0
    assert ("exited" in counts) == some_exit == Path("a.png").exists()


def test_interrupted_run_keeps_what_is_finished(elsewhere: Path) -> None:
    endless = [*WELL, "--dt", "1e-5", "--paths", "200000", "--out", "a.zarr"]
    for delay in (4, 10, 25, 60):  # the longer ones for a machine that needs them to start
        process = subprocess.Popen(
            [sys.executable, "-m", "sdesim.cli", *endless],
            cwd=elsewhere,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert "interrupted" in out + err
        if (elsewhere / "a.zarr").exists():
            break
    assert process.returncode == 130, err
    assert "Traceback" not in err
    counts = results.status_counts(results.load(elsewhere / "a.zarr"))
    assert counts["interrupted"] > 0
    assert (elsewhere / "a.png").exists()


NET = """
import dataclasses
import sdesim as sd

@dataclasses.dataclass(frozen=True)
class Params:
    lr: float = 0.1

def build(p):
    objective = sd.network(sd.mlp(3, 4, 1), "mse", sd.data.teacher_student(n=40, d=3, n_test=20))
    watched = [sd.Record([0.0, 1.0], values={"test_loss": objective.test_loss})]
    return sd.Experiment(sd.SGD(objective, p.lr, batch_size=4), objective, 4, n_steps=10, observers=watched)

model = sd.Model("net2020", sd.Paper("Doe, Jane", "A Net", 2020), Params, build)
"""


def test_a_network_runs_on_the_device_and_in_the_type_that_are_asked_for() -> None:
    import torch

    Path("net.py").write_text(NET)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for dtype in ("float32", "float64"):
            where = ["--device", device, "--dtype", dtype, "--overwrite"]
            assert main(["run", "net.py", *where]) == 0
            ds = results.load("net2020.zarr")
            assert ds.attrs["dtype"] == dtype and str(ds.attrs["device"]).startswith(device)
            assert f"--device {device} --dtype {dtype}" in ds.attrs["command"]
            assert np.isfinite(ds["test_loss"]).all()


def test_a_formula_on_a_device_runs_on_the_tensor_engine_and_agrees_with_compiled_code() -> None:
    assert main([*WELL, "--paths", "50", "--out", "a.zarr"]) == 0
    assert main([*WELL, "--paths", "50", "--out", "b.zarr", "--device", "cpu"]) == 0
    compiled, tensor = results.load("a.zarr"), results.load("b.zarr")
    assert (compiled.attrs["engine"], tensor.attrs["engine"]) == ("native", "tensor")
    np.testing.assert_allclose(tensor["exit_time"], compiled["exit_time"])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["--device", "cuda:99"], "device 'cuda:99' is not there; use one of cpu"),
        (["--device", "gpu"], "device 'gpu' is not there; use one of cpu"),
        (["--dtype", "float46"], "unknown dtype 'float46': did you mean float64"),
    ],
)
@pytest.mark.parametrize("command", [("run", "net.py"), WELL], ids=["network", "formula"])
def test_devices_and_types_that_are_not_there_are_one_line(
    capsys, elsewhere: Path, command: tuple[str, ...], where: list[str], message: str
) -> None:
    Path("net.py").write_text(NET)
    assert main([*command, *where]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert [path.name for path in elsewhere.iterdir() if path.name != "__pycache__"] == ["net.py"]
