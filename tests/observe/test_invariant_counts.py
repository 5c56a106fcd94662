"""Counts of neurons and directions against slow loops over definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import sdesim as sd
from sdesim.observe.invariant.neurons import places, put


def counted_slowly(rows: list[np.ndarray], vanishing: float, identical: float) -> int:
    """The count by its definition, one neuron after the other."""
    largest = max(float(np.linalg.norm(row)) for row in rows)
    kept: list[np.ndarray] = []
    for row in rows:
        if np.linalg.norm(row) < vanishing * largest or largest == 0:
            continue
        shares = [2 * np.sum((row - other) ** 2) / (np.sum(row**2) + np.sum(other**2)) for other in kept]
        if not any(share < identical for share in shares):
            kept.append(row)
    return len(kept)


def rows_of(weights: dict[str, Any], layer: str, after: str) -> list[np.ndarray]:
    """Weights of each neuron by name."""
    incoming, bias, outgoing = (weights[k].numpy() for k in (f"{layer}.weight", f"{layer}.bias", f"{after}.weight"))
    n = len(incoming)
    out = outgoing.reshape(len(outgoing), n, -1)
    return [np.concatenate([incoming[j].ravel(), [bias[j]], out[:, j].ravel()]) for j in range(n)]


@pytest.fixture(scope="module")
def objective() -> Any:
    """A convolution, its pool and two linear layers, in float32."""
    data = (torch.randn(4, 1, 4, 4), torch.zeros(4, 2))
    return sd.network(sd.cnn((1, 4, 4), channels=(12,), hidden=9, n_classes=2), "mse", data)


def crowd(objective: Any, layer: str, n_paths: int) -> torch.Tensor:
    """Weights whose neurons have few directions and very different lengths, so that all cases occur."""
    make, at = np.random.default_rng(5), places(objective, layer)
    centres = make.normal(size=(n_paths, 4, at.shape[1]))
    chosen = centres[np.arange(n_paths)[:, None], make.integers(0, 4, (n_paths, len(at)))]
    noisy = chosen + make.uniform(0, 0.45, (n_paths, len(at), 1)) * make.normal(size=chosen.shape)
    lengths = make.choice([0.03, 0.2, 0.9, 1.0, 1.1], (n_paths, len(at), 1))
    return put(torch.zeros(n_paths, objective.dim), at, torch.as_tensor(noisy * lengths, dtype=torch.float32))


@pytest.mark.parametrize(("layer", "after"), [("0", "4"), ("4", "6")])
@pytest.mark.parametrize(("vanishing", "identical"), [(0.1, 0.1), (0.3, 0.4), (0.1, 0.02)])
def test_independent_neurons_match_the_definition_one_by_one(
    objective: Any, layer: str, after: str, vanishing: float, identical: float
) -> None:
    x = crowd(objective, layer, 40)
    found = sd.invariant.independent_neurons(objective, x, layer, vanishing, identical)
    for i, row in enumerate(x.double()):
        rows = rows_of(objective.layout.unflatten(row), layer, after)
        assert int(found[i]) == counted_slowly(rows, vanishing, identical)
    assert len(found.unique()) > 1


def test_layers_are_counted_together(objective: Any) -> None:
    x = crowd(objective, "4", 10)
    both = [sd.invariant.independent_neurons(objective, x, layer) for layer in ("0", "4")]
    torch.testing.assert_close(sd.invariant.counter(objective)(x), both[0] + both[1])


def test_counts_of_special_weights_are_those_one_would_say(objective: Any) -> None:
    x = torch.randn(5, objective.dim)
    x[1] = 0
    x[2] = torch.nan
    x[3] = sd.invariant.VanishingNeurons(objective, 4, [0, 1, 2]).project(x[3:4])[0]
    x[4] = sd.invariant.DuplicateNeurons(objective, 4, 7, 3).project(x[4:5])[0]
    found = sd.invariant.independent_neurons(objective, x, 4)
    assert found[[0, 1, 3, 4]].tolist() == [9, 0, 6, 8]
    assert found[2].isnan()


def test_counter_is_recorded_along_a_run() -> None:
    data = sd.data.digits().head(64)
    objective = sd.network(sd.mlp(64, 8, 10), "cross_entropy", data)
    names = {"neurons": sd.invariant.counter(objective), "norm": lambda x: x.norm(dim=1)}
    watched = sd.Record(times=[0, 1], values=names)
    ds = sd.run(sd.SGD(objective, 0.5, batch_size=8), objective, 3, n_steps=2, seed=2, observers=[watched], threads=1)
    fresh = objective.fresh_states(3, 2)
    assert ds["neurons"].sizes == {"path": 3, "time": 2}
    np.testing.assert_array_equal(ds["neurons"].isel(time=0), sd.invariant.independent_neurons(objective, fresh))


def test_effective_rank_is_the_entropy_of_the_singular_values() -> None:
    m = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    m[1, :, 2:] = 0
    found = sd.invariant.effective_rank(m)
    for each, value in zip(m, found, strict=True):
        share = np.linalg.svd(each.numpy(), compute_uv=False)
        share = share[share > 1e-14] / share.sum()
        assert float(value) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)), rel=1e-12)
    assert float(sd.invariant.effective_rank(3 * torch.eye(7))) == pytest.approx(7)
    assert float(sd.invariant.effective_rank(torch.ones(3, 4))) == pytest.approx(1, abs=1e-4)
    assert float(sd.invariant.effective_rank(torch.zeros(3, 4))) == 0
    assert sd.invariant.effective_rank(torch.full((3, 4), torch.nan)).isnan()


def test_srank_is_the_smallest_number_of_directions_that_hold_the_share() -> None:
    make = torch.Generator().manual_seed(1)
    m = torch.randn(30, 8, 6, generator=make, dtype=torch.float64) * torch.logspace(0, -4, 6, dtype=torch.float64)
    for delta in (0.5, 0.1, 0.01):
        for each, value in zip(m, sd.invariant.srank(m, delta), strict=True):
            s = np.linalg.svd(each.numpy(), compute_uv=False)
            assert int(value) == min(k for k in range(1, 7) if s[:k].sum() / s.sum() >= 1 - delta)
    assert int(sd.invariant.srank(torch.zeros(3, 3))) == 0
    assert sd.invariant.srank(torch.full((2, 2), torch.inf)).isnan()


def test_features_are_what_the_next_layer_receives(objective: Any) -> None:
    x = torch.randn(2, objective.dim)
    module = sd.cnn((1, 4, 4), channels=(12,), hidden=9, n_classes=2)
    for i in range(2):
        module.load_state_dict(objective.layout.unflatten(x[i]))
        for layer, stop in ((0, 4), ("4", 6)):
            expected = module[:stop](objective.inputs).flatten(1)
            found = sd.invariant.features(objective, x, layer)[i]
            torch.testing.assert_close(found, expected.detach())
    other = torch.ones(7, 1, 4, 4)
    assert sd.invariant.features(objective, x, 4, other).shape == (2, 7, 9)
    assert (sd.invariant.srank(sd.invariant.features(objective, x, 4, other)) == 1).all()


def test_features_see_frozen_weights_as_constants() -> None:
    module = sd.mlp(3, 4, 2)
    module[0].weight.requires_grad_(False)
    module[0].bias.requires_grad_(False)
    deep = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), *module)
    objective = sd.network(deep, "mse", (torch.randn(5, 3), torch.zeros(5, 2)))
    with pytest.raises(ValueError, match="frozen"):
        sd.invariant.features(objective, objective.fresh_states(1, 0), 0)


def test_matrix_of_a_layer_is_its_weight(objective: Any) -> None:
    x = torch.randn(2, objective.dim)
    assert sd.invariant.matrix(objective, x, 0).shape == (2, 12, 9)
    torch.testing.assert_close(sd.invariant.matrix(objective, x, "6")[1], objective.layout.unflatten(x[1])["6.weight"])
    assert sd.invariant.neurons(objective, x, 0).shape == (2, 12, 9 + 1 + 9 * 4)
