import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from sdesim.study.model import Experiment, Model, Paper, compare


@dataclasses.dataclass(frozen=True)
class Params:
    lr: float = 0.1
    depth: int = 2


PAPER = Paper("Doe, Jane and Roe, Richard", "On the Escape of Things", 2020, arxiv="2001.00001")


def test_paper_has_a_bibtex_entry() -> None:
    assert PAPER.bibtex.startswith("@misc{doe2020escape,\n  author = {Doe, Jane and Roe, Richard},")
    assert "eprint = {2001.00001}" in PAPER.bibtex
    assert json.loads(PAPER.to_json())["bibtex"] == PAPER.bibtex


def test_parameters_by_name_and_near_names_for_unknown_ones() -> None:
    model = Model("doe2020escape", PAPER, Params, lambda p: Experiment(None, 0, 1, n_steps=1))
    assert model.params(lr=0.5) == Params(lr=0.5)
    with pytest.raises(ValueError, match=r"no parameter 'dept': did you mean depth\?"):
        model.params(dept=3)


def test_ill_formed_models_and_experiments_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a word"):
        Model("doe 2020", PAPER, Params, lambda p: Experiment(None, 0, 1, n_steps=1))
    with pytest.raises(TypeError, match="must be a dataclass"):
        Model("doe2020", PAPER, dict, lambda p: Experiment(None, 0, 1, n_steps=1))
    for lengths in ({}, {"t_max": 1.0, "n_steps": 3}):
        with pytest.raises(ValueError, match="exactly one"):
            Experiment(None, 0, 1, **lengths)


def test_comparison_adds_a_dimension() -> None:
    def run(value: float) -> xr.Dataset:
        return xr.Dataset(
            {
                "exit_time": ("path", np.full(3, value), {"units": "time"}),
                "clock": ((), value),
            },
            coords={"path": np.arange(3)},
            attrs={"seed": 1, "wall_time": 2.0},
        )

    ds = compare({"one": run(1.0), "two": run(2.0)})
    assert ds.sizes == {"dynamics": 2, "path": 3}
    assert list(ds["dynamics"].values) == ["one", "two"]
    assert (ds["exit_time"].sel(dynamics="two") == 2.0).all()
    assert ds["clock"].dims == ("dynamics",)
    assert ds["exit_time"].attrs == {"units": "time"}
    assert ds.attrs["wall_time"] == 4.0
    assert list(ds.data_vars) == ["exit_time", "clock"]
