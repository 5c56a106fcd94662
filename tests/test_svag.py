"""The ladder of SVAG on digits: what its dynamics are, and one short run."""

import importlib

import numpy as np
import pytest

import sdesim as sd
from sdesim.study import catalogue

model = catalogue.find("svag")
part = importlib.import_module("sdesim.models.svag")
SMALL = model.params(width=2, n_examples=32, t_max=2.0)


def test_the_first_rung_is_sgd_and_every_rung_has_its_clock():
    p, chains = SMALL, part.dynamics(SMALL)
    sgd = sd.SGD(part.objective(p), p.lr, batch_size=p.batch_size)
    one, two = (sd.run(d, part.objective(p), 3, t_max=p.t_max, seed=4, threads=1).final_state.values
                for d in (sgd, chains[part.rung(1)]))  # fmt: skip
    assert np.array_equal(one, two)
    assert [chains[part.rung(l)].clock for l in part.LADDER] == [p.lr / l for l in part.LADDER]  # noqa: E741
    assert [chains[name].clock for name in (part.SDE, part.FINER)] == [p.lr / 10, p.lr / 20]


def test_model_runs_from_the_same_weights_and_draws_its_figure():
    ds = model.run(SMALL, n_paths=4, seed=1, threads=1)
    assert dict(ds.sizes)["dynamics"] == 6
    start = ds["weight_norm"].isel(time=0)
    assert (start == start.isel(dynamics=0)).all() and len(np.unique(start.values)) == 4
    end = ds["test_loss"].isel(time=-1).squeeze()
    assert len(np.unique(end.values)) == 24
    found = part.gap(ds.isel(time=-1), "test_loss", part.rung(2))
    differences = (end.sel(dynamics=part.rung(2)) - end.sel(dynamics=part.FINER)).values
    assert float(found.value) == pytest.approx(differences.mean(), rel=1e-12)
    assert len(model.figure(ds).axes) == 3
