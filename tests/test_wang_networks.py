"""Heavy-tailed SGD on networks: what the model measures, and one short run of it."""

import importlib
from pathlib import Path

import numpy as np
import torch

import sdesim as sd
from sdesim.study import catalogue

model = catalogue.find("wang2021truncated")
networks = importlib.import_module("sdesim.models.wang2021truncated.networks")
SMALL = networks.Params(examples=40, width=4, large=40, n_steps=30, cool=5)


def test_expected_sharpness_is_half_the_noise_times_the_trace_of_the_hessian():
    """E L(x + δ) - L(x) = s²/2 tr H + O(s⁴) without kinks; 16 draws leave an error of s² ‖H‖_F / √16 or so."""
    problem = sd.network(sd.mlp(64, 4, 10, activation="tanh"), "cross_entropy", sd.data.digits().head(40))
    x = problem.fresh_states(3, 0)
    found = networks.rise(problem)(x)
    matrix = sd.curvature.hessian(problem, x).dense()
    half_trace = networks.WEIGHT_NOISE**2 / 2 * matrix.diagonal(dim1=1, dim2=2).sum(1)
    error = networks.WEIGHT_NOISE**2 * matrix.norm(dim=(1, 2)) / 2
    assert (abs(found - half_trace) < error).all()
    assert not (abs(found - 2 * half_trace) < error).any()


def test_the_five_start_alike_and_only_clipped_steps_are_short():
    chains = networks.dynamics(SMALL)
    start = networks.objective(SMALL).fresh_states(4, 0).numpy()
    moved = {
        name: np.linalg.norm(sd.run(c, networks.objective(SMALL), 4, n_steps=1)["final_state"].values - start, axis=1)
        for name, c in chains.items()
    }
    longest = SMALL.lr * SMALL.clip * (1 + 1e-5)
    assert (moved[networks.HEAVY] <= longest).all() and (moved[networks.CLIPPED] <= longest).all()
    assert set(chains) == {networks.LARGE, networks.SMALL, networks.CLIPPED, networks.UNCLIPPED, networks.HEAVY}


def test_clipped_small_batches_are_small_batches_where_no_gradient_is_long():
    loose = networks.Params(examples=40, width=4, large=40, n_steps=30, clip=1e6)
    chain = networks.dynamics(loose)[networks.CLIPPED]
    ds = sd.run(chain, networks.objective(loose), 3, n_steps=20, seed=2)
    problem = networks.objective(loose)
    x = problem.fresh_states(3, 2)
    from sdesim.engine.draws import Stream

    ids = torch.arange(3)
    for k in range(20):
        large, _, _ = chain.draw(Stream(2, ids, torch.full_like(ids, k), torch.float32, {}))
        x = x - loose.lr * problem.gradient(x, large)
    np.testing.assert_allclose(ds["final_state"], x, rtol=1e-4, atol=1e-5)


def test_model_runs_and_draws_its_figure(tmp_path: Path):
    params = model.params(experiment="networks", examples=40, width=4, large=40, n_steps=30)
    ds = model.run(params, n_paths=3, seed=1)
    assert list(ds["dynamics"].values) == list(networks.dynamics(SMALL))
    assert ds["rise"].sizes["path"] == 3
    drawn = model.figure(ds)
    assert [ax.get_ylabel() for ax in drawn.axes][2] == "test accuracy"
    sd.plot.write(drawn, tmp_path / "figure.png")
