import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sdesim.cli import main
from sdesim.engine import results

CLAIMS = '''
import dataclasses
from types import SimpleNamespace
import sdesim.study.model as m

@dataclasses.dataclass(frozen=True)
class Params:
    """Two numbers.

    Parameters
    ----------
    learning_rate : float
        Time per step.
    depth : int
        Of the well.
    """
    learning_rate: float = 0.1
    depth: int = 2

def measured(value):
    return lambda seed, level: SimpleNamespace(value=value, low=value - 0.1, high=value + 0.1)

model = m.Model(
    "wells2020", m.Paper("Doe, Jane", "Wells", 2020), Params, lambda p: m.Experiment(None, 0.0, 1, n_steps=1),
    claims=[m.Claim("first holds", "Theorem 1", measured(1.0), 1.0, "equals", 0.2),
            m.Claim("second does not", "Theorem 2", measured(3.0), 1.0, "below")],
)
'''


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model_file(elsewhere: Path) -> str:
    (elsewhere / "wells.py").write_text(CLAIMS)
    return "wells.py"


@pytest.fixture
def dataset(elsewhere: Path) -> str:
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        {
            "exit_time": ("path", rng.exponential(size=100), {"units": "time", "long_name": "exit time"}),
            "status": ("path", np.ones(100, dtype=np.int8), results.Status.attributes()),
            "n_steps": ("path", np.ones(100, dtype=np.int64)),
            "clock": ((), 1.0),
        },
        attrs={"model": "by hand", "command": "sdesim run by-hand"},
    )
    results.save(ds, "run.zarr")
    return "run.zarr"


def listing() -> list[str]:
    return sorted(name for name in os.listdir() if name != "__pycache__")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong command prints; nothing must have been written."""
    before = listing()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sdesim: ") and err.count("\n") == 1, err
    assert listing() == before
    return err


def test_list_names_the_models(capsys) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "wang2021truncated" in out
    assert "leaves sharp minima" in out and "[Wang 2021]" in out


def test_usage_is_shown_when_asked_for(capsys) -> None:
    assert main(["--help"]) == 0
    assert "run MODEL|FILE.py" in capsys.readouterr().out
    assert main([]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "unknown command 'lst': did you mean list"),
        (["run"], "needs MODEL|FILE.py first"),
        (["run", "--paths", "5"], "needs MODEL|FILE.py first"),
        (["run", "wang2021truncatd"], "did you mean wang2021truncated?"),
        (["run", "absent.py"], "no such file: absent.py"),
        (
            ["run", "wells.py", "--learning-rat", "3"],
            "unknown option --learning-rat: did you mean --learning-rate",
        ),
        (["run", "wells.py", "--learning_rat=3"], "did you mean --learning-rate"),
        (["run", "wells.py", "--depth", "x"], "--depth"),
        (["run", "wells.py", "--depth", "1.5"], "--depth"),
        (["run", "wells.py", "--paths"], "Missing value"),
        (["run", "wells.py", "--paths", "0"], "--paths must be at least 1, got 0"),
        (["run", "wells.py", "--paths", "-3"], "--paths must be at least 1, got -3"),
        (["run", "wells.py", "--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["run", "wells.py", "stray"], "do not know what to do with 'stray'"),
        (["run", "wells.py", "--out", "a.csv"], "must be .zarr or .nc"),
        (["run", "wells.py", "--out", "absent/a.nc"], "does not exist"),
        (["run", "wells.py", "--out", "run.zarr"], "run.zarr exists"),
        (["plot"], "needs FILE first"),
        (["plot", "absent.nc"], "no such file: absent.nc"),
        (["plot", "wells.py"], "not a result of sdesim"),
        (["plot", "run.zarr", "--out", "a.pdf"], "must end in .png"),
        (["info", "wells.py"], "not a result of sdesim"),
        (["info", "run.zarr", "--jsn"], "unknown option --jsn"),
        (["check"], "needs a model, or --all"),
        (["check", "wells.py", "--all"], "needs a model, or --all"),
        (["check", "wells.py", "--jsn"], "did you mean --json"),
        (["check", "absent"], "unknown model 'absent'"),
        (["list", "all"], "do not know what to do with 'all'"),
    ],
)
def test_wrong_commands_are_one_line(capsys, model_file, dataset, arguments, message) -> None:
    assert message in refused(capsys, *arguments)


def test_existing_figure_is_refused_before_the_run(capsys, model_file, elsewhere: Path) -> None:
    (elsewhere / "a.png").write_text("mine")
    assert "a.png exists" in refused(capsys, "run", model_file, "--out", "a.nc")


def test_help_of_a_model_lists_its_parameters(capsys, model_file) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", model_file, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "--learning-rate" in out and "Time per step" in out and "--paths" in out


@pytest.mark.parametrize("command", ["run", "exit", "compare", "plot", "check", "info", "list"])
def test_every_command_explains_itself(capsys, command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: sdesim" in capsys.readouterr().out


def test_check_prints_verdicts_and_fails_where_one_does_not_agree(capsys, model_file) -> None:
    assert main(["check", model_file]) == 1
    out = capsys.readouterr().out
    assert "agrees       wells2020: first holds [Theorem 1]" in out
    assert "disagrees    wells2020: second does not [Theorem 2]" in out


def test_check_speaks_json(capsys, model_file) -> None:
    assert main(["check", model_file, "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert [f["verdict"] for f in findings] == ["agrees", "disagrees"]
    assert findings[0]["level"] == pytest.approx(1 - 5e-4)


def test_info_says_how_to_make_it_again(capsys, dataset) -> None:
    assert main(["info", dataset]) == 0
    out = capsys.readouterr().out
    assert "exited=100" in out and "sdesim run by-hand" in out


def test_plot_needs_only_the_file(capsys, dataset) -> None:
    assert main(["plot", dataset]) == 0
    assert Path("run.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
    assert "run.png exists" in refused(capsys, "plot", dataset)
    assert main(["plot", dataset, "--overwrite"]) == 0
