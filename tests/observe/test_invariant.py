"""Invariant sets of networks: gradients of every example are tangent to them, and geometry against dense algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import sympy as sp
import torch
from torch import nn

import sdesim as sd
from sdesim.core.ops import NUMPY, SYMBOLIC
from sdesim.observe.invariant.neurons import places

PATHS = 3


def problem(module: nn.Module, shape: tuple[int, ...], n_out: int = 2, seed: int = 0) -> Any:
    """A network in float64 on a few random examples."""
    make = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(6, *shape, generator=make), torch.randn(6, n_out, generator=make)
    return sd.network(module.double(), "mse", (inputs.double(), targets.double()))


def small_cnn(activation: type[nn.Module] = nn.GELU, pool: type[nn.Module] = nn.MaxPool2d) -> nn.Module:
    """Two convolutions and two linear layers; parameters under the names 0, 3, 7 and 9."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), activation(), pool(2), nn.Conv2d(4, 3, 3, padding=1), activation(), pool(2),
        nn.Flatten(), nn.Linear(12, 5), activation(), nn.Linear(5, 2),
    )  # fmt: skip


class Functional(nn.Module):
    """The same kind of network without a Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"first": nn.Conv2d(1, 4, 3), "second": nn.Conv2d(4, 3, 3)})
        self.head = nn.Linear(3 * 16, 2, bias=False)

    def forward(self, x: Any) -> Any:
        hidden = torch.tanh(self.body["first"](x))
        return self.head(torch.flatten(nn.functional.silu(self.body["second"](hidden)), 1))


def gelu_mlp(bias: bool = True) -> nn.Module:
    return sd.mlp(3, 5, 4, 2, activation="gelu", bias=bias)


def linear_mlp() -> nn.Module:
    return sd.mlp(3, 5, 4, 2, activation="linear")


def linear_cnn() -> nn.Module:
    return small_cnn(nn.Identity, nn.AvgPool2d)


FLAT, IMAGE = (3,), (1, 8, 8)
NETWORKS: dict[str, tuple[Any, tuple[int, ...], list[str]]] = {
    "mlp": (gelu_mlp, FLAT, ["0", "2"]),
    "mlp without bias": (lambda: gelu_mlp(bias=False), FLAT, ["0", "2"]),
    "relu": (lambda: sd.mlp(3, 5, 2), FLAT, ["0"]),
    "cnn": (small_cnn, IMAGE, ["0", "3", "7"]),
    "functional": (Functional, IMAGE, ["body.first", "body.second"]),
}
MADE: dict[str, Any] = {}


def objective_of(name: str) -> Any:
    if name not in MADE:
        module, shape, _ = NETWORKS[name]
        MADE[name] = problem(module(), shape)
    return MADE[name]


def random_x(objective: Any, seed: int = 1) -> torch.Tensor:
    return 0.7 * torch.randn(PATHS, objective.dim, generator=torch.Generator().manual_seed(seed)).double()


def gradients(objective: Any, x: torch.Tensor) -> torch.Tensor:
    """Gradient of each example and path, and of the mean, (paths, examples + 1, p)."""
    return torch.cat([objective.example_gradients(x), objective.gradient(x)[:, None]], dim=1)


def leaves(of: Any, x: torch.Tensor, directions: torch.Tensor) -> float:
    """Largest share of a direction that is normal to a set at x, over paths and examples."""
    parts = torch.stack([of.normal(x, directions[:, i]) for i in range(directions.shape[1])], dim=1)
    return float((parts.norm(dim=-1) / directions.norm(dim=-1)).max())


CASES = [(name, layer) for name, (_, _, layers) in NETWORKS.items() for layer in layers]


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_gradients_on_sets_of_neurons_are_tangent_for_every_example(name: str, layer: str) -> None:
    objective = objective_of(name)
    for of in (
        sd.invariant.VanishingNeurons(objective, layer, [0, 2]),
        sd.invariant.DuplicateNeurons(objective, layer, 2, 1),
    ):
        x = of.project(random_x(objective))
        assert of.invariant
        assert leaves(of, x, gradients(objective, x)) < 1e-12
        off = random_x(objective)
        assert leaves(of, off, gradients(objective, off)) > 1e-2


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_a_duplicate_neuron_can_be_exchanged_without_any_change_of_the_outputs(name: str, layer: str) -> None:
    objective, x = objective_of(name), random_x(objective_of(name))
    at = places(objective, layer)
    swapped = x.clone()
    swapped[:, at[0]], swapped[:, at[2]] = x[:, at[2]], x[:, at[0]]
    for a, b in zip(x, swapped, strict=True):
        torch.testing.assert_close(objective.predict(a, objective.inputs), objective.predict(b, objective.inputs))
    assert at.unique().numel() == at.numel()


def test_neurons_with_equal_incoming_weights_only_are_no_invariant_set() -> None:
    objective = objective_of("mlp")
    of = sd.invariant.DuplicateNeurons(objective, "0", 0, 1)
    x = random_x(objective)
    at = places(objective, "0")[:, :4]
    x[:, at[1]] = x[:, at[0]]
    assert leaves(of, of.project(x), gradients(objective, x)) > 1e-2


@pytest.mark.parametrize(
    ("module", "shape", "layer"),
    [(linear_mlp, FLAT, "0"), (linear_mlp, FLAT, "2"), (linear_cnn, IMAGE, "0"), (linear_cnn, IMAGE, "3")],
)
def test_gradients_on_joint_low_rank_sets_are_tangent_for_every_example(module: Any, shape: Any, layer: str) -> None:
    objective = problem(module(), shape)
    for rank in (0, 1, 2):
        of = sd.invariant.LowRank(objective, layer, rank, joint=True)
        x = of.project(random_x(objective))
        assert of.invariant
        # At rank 0 all gradients of these weights vanish, those of others do not.
        assert leaves(of, x, gradients(objective, x)) < 1e-10
    single = sd.invariant.LowRank(objective, layer, 1)
    x = single.project(random_x(objective))
    assert not single.invariant
    assert leaves(single, x, gradients(objective, x)) > 1e-2


def test_training_never_leaves_the_sets_and_leaves_others() -> None:
    objective = objective_of("cnn")
    sets = [sd.invariant.VanishingNeurons(objective, "3", 1), sd.invariant.DuplicateNeurons(objective, "7", 0, 4)]
    x = random_x(objective) / 2
    for of in sets:
        x = of.project(x)
    chain = sd.SGD(objective, 0.02, batch_size=2, label_noise=0.3, weight_decay=0.01)
    end = sd.run(chain, x.numpy(), PATHS, n_steps=50, seed=1, threads=1, progress=False)["final_state"]
    last = torch.as_tensor(end.values)
    for of in sets:
        assert of.contains(last, atol=1e-12).all()
    assert not sd.invariant.DuplicateNeurons(objective, "7", 0, 3).contains(last, atol=1e-3).any()


def dense_normals(objective: Any, of: Any) -> np.ndarray:
    """Rows that span the normal space of a linear set, from its definition by named weights."""
    names = objective.layout.unflatten(torch.arange(objective.dim))
    rows = []
    for j in of.neurons if hasattr(of, "neurons") else (0,):

        def forms(neuron: int) -> list[int]:
            parts = names["0.weight"][neuron], names["0.bias"][neuron], names["3.weight"][:, neuron]
            return [int(k) for part in parts for k in part.flatten()]

        for k in range(len(forms(0))):
            row = np.zeros(objective.dim)
            if hasattr(of, "neurons"):
                row[forms(j)[k]] = 1
            else:
                row[forms(of.i)[k]], row[forms(of.j)[k]] = 1, -1
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("kind", ["vanishing", "duplicate"])
def test_distance_and_projection_are_those_of_the_dense_subspace(kind: str) -> None:
    objective = objective_of("cnn")
    inv = sd.invariant
    of: Any = (
        inv.VanishingNeurons(objective, "0", (3, 1))
        if kind == "vanishing"
        else inv.DuplicateNeurons(objective, 0, 3, 1)
    )
    basis = scipy.linalg.orth(dense_normals(objective, of).T)
    x, v = random_x(objective), random_x(objective, seed=2)
    np.testing.assert_allclose(of.normal(x, v), v.numpy() @ basis @ basis.T, atol=1e-14)
    np.testing.assert_allclose(of.project(x), x.numpy() - x.numpy() @ basis @ basis.T, atol=1e-14)
    np.testing.assert_allclose(of.distance(x), np.linalg.norm(x.numpy() @ basis, axis=1), rtol=1e-13)
    assert of.contains(of.project(x)).all()
    assert not of.contains(x).any()
    lost = x.clone()
    lost[1] = torch.nan
    assert of.distance(lost).isnan().tolist() == [False, True, False]
    assert of.contains(of.project(lost)).tolist() == [True, False, True]


@pytest.mark.parametrize(("layer", "joint"), [("2", False), (0, True), ("4", False)])
def test_low_rank_projection_is_the_truncated_svd_and_its_normal_space_that_of_fixed_rank(
    layer: Any, joint: bool
) -> None:
    objective = problem(sd.mlp(3, 5, 4, 3, activation="linear"), FLAT, n_out=3)
    of = sd.invariant.LowRank(objective, layer, 2, joint=joint)
    x, v = random_x(objective), random_x(objective, seed=2)
    near, names = of.project(x), objective.layout.unflatten
    for i in range(PATHS):
        given, found = names(x[i]), names(near[i])
        if joint:
            stack = [torch.cat([w["0.weight"], w["0.bias"][:, None], w["2.weight"].T], 1) for w in (given, found)]
        else:
            stack = [w[f"{layer}.weight"] for w in (given, found)]
        left, values, right = np.linalg.svd(stack[0].numpy())
        np.testing.assert_allclose(stack[1], (left[:, :2] * values[:2]) @ right[:2], atol=1e-12)
        assert float(of.distance(x)[i]) == pytest.approx(np.linalg.norm(values[2:]), rel=1e-10)
        assert float((x[i] - near[i]).norm()) == pytest.approx(np.linalg.norm(values[2:]), rel=1e-10)
    # Tangent space by differences: curves on the set through the projection move at right angles to normal vectors.
    normal = of.normal(x, v)
    along = (of.project(near + 1e-6 * v) - near) / 1e-6
    np.testing.assert_allclose((normal * along).sum(1), 0, atol=1e-4)
    torch.testing.assert_close(v - normal, along, atol=1e-4, rtol=0)
    lost = x.clone()
    lost[1] = torch.nan
    assert of.distance(lost).isnan().tolist() == [False, True, False]
    assert torch.isfinite(of.project(lost)).all(1).tolist() == [True, False, True]


def test_subspace_agrees_on_arrays_tensors_and_symbols_with_dense_algebra() -> None:
    rows = np.array([[1.0, -2.0, 0.0, 1.0], [0.0, 1.0, 3.0, 1.0]])
    of = sd.invariant.Subspace(rows)
    basis = scipy.linalg.orth(rows.T)
    v = np.random.default_rng(0).normal(size=(5, 4))
    expected = v @ basis @ basis.T
    np.testing.assert_allclose(np.array(of.normals) @ np.array(of.normals).T, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(of.normal(None, v), expected, atol=1e-14)
    np.testing.assert_allclose(of.normal(None, v, NUMPY), expected, atol=1e-14)
    np.testing.assert_allclose(of.normal(None, torch.as_tensor(v)), expected, atol=1e-14)
    symbols = list(sp.symbols("v0:4", real=True))
    formula = sp.lambdify(symbols, of.normal(None, symbols, SYMBOLIC))
    np.testing.assert_allclose([formula(*row) for row in v], expected, atol=1e-14)
    np.testing.assert_allclose(of.distance(v), np.linalg.norm(expected, axis=1))
    assert of.contains(of.project(v)).all()
    assert not of.contains(v).any()
    assert of.dim == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [2.0, 4.0]], "independent rows, got rank 1 of 2"),
        ([[0.0, 0.0]], "independent rows"),
        ([[1.0, np.nan]], "finite rows"),
        ([], "finite rows"),
    ],
)
def test_rows_that_span_no_normal_space_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sd.invariant.Subspace(rows)
