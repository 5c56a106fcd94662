"""Layers that a set cannot describe are refused with the names of those it can."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import sdesim as sd
from sdesim.observe.invariant.neurons import places


def problem(module: nn.Module, shape: tuple[int, ...] = (3,), n_out: int = 2) -> Any:
    return sd.network(module, "mse", (torch.randn(4, *shape), torch.randn(4, n_out)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.first(x))
        return self.last(x + torch.relu(self.second(x)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.first, self.last = nn.Linear(2, 2), nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        for _ in range(2):
            x = torch.tanh(self.cell(x))
        return self.last(x)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.last(self.first(x) if x.sum() > 0 else x)


class TwoHeads(nn.Module):
    """A next layer that also hears another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.last = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x))) * self.last(torch.tanh(self.other(x)))


class Penalized(nn.Module):
    """A forward that uses a weight outside of its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.last(torch.relu(self.first(x))) + self.first.weight[0].sum()


def tied_far() -> nn.Module:
    module = sd.mlp(3, 3, 3, 2)
    module = nn.Sequential(*module[:4], nn.Linear(3, 3), nn.ReLU(), module[4])
    module[4].weight = module[0].weight
    return module


def tied() -> nn.Module:
    module = sd.mlp(3, 3, 3, 2)
    module[2].weight = module[0].weight
    return module


def frozen() -> nn.Module:
    module = sd.mlp(3, 3, 3, 2)
    module[0].bias.requires_grad_(False)
    return module


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def batch_normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4).eval(), nn.ReLU(), nn.Linear(4, 2))


def pooled_neurons() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 4, 1), nn.Flatten(), nn.AdaptiveAvgPool1d(6), nn.Linear(6, 2))


def unflattened() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 4, 1), nn.ReLU(), nn.Linear(3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2))


def grouped() -> nn.Module:
    return nn.Sequential(nn.Conv1d(1, 4, 1), nn.Conv1d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(12, 2))


ROW = (1, 3)


@pytest.mark.parametrize(
    ("module", "shape", "layer", "message"),
    [
        (sd.mlp(3, 4, 2), (3,), "2", r"layer '2' \(Linear\) is the last one .* possible here: 0"),
        (sd.mlp(3, 4, 2), (3,), 1, "layer '1' .ReLU. is neither linear nor a convolution"),
        (sd.mlp(3, 4, 2), (3,), "hidden", "no layer 'hidden': known: 0"),
        (Residual(), (3,), "first", "feeds second and add through relu: branches and sums .* has no layer that can be"),
        (Residual(), (3,), "second", "feeds add .* has no layer that can be"),
        (Recurrent(), (3,), "cell", "is called 2 times in one pass"),
        (normed(), (3,), "0", "feeds LayerNorm, .* possible here: 3"),
        (batch_normed(), (3,), "0", "feeds BatchNorm1d, "),
        (tied(), (3,), "0", "feeds layer '2', whose weight is frozen, shared or derived"),
        (TwoHeads(), (3,), "first", "feeds layer 'last', which is called 2 times in one pass"),
        (Penalized(), (3,), "first", "forward uses first.weight outside of its layer"),
        (tied_far(), (3,), "0", "0.weight is shared with 4.weight"),
        (frozen(), (3,), "0", "has no bias of its own among the trained parameters"),
        (pooled_neurons(), ROW, "0", "feeds AdaptiveAvgPool1d, which would pool over its neurons"),
        (unflattened(), ROW, "0", "feeds the linear layer '2' without a Flatten"),
        (unflattened(), ROW, "2", "a Flatten that mixes its neurons with another axis"),
        (grouped(), ROW, "0", "feeds layer '1', a convolution in groups"),
        (Branching(), (3,), "first", "cannot be traced"),
    ],
)
def test_layers_without_neurons_of_their_own_are_refused(module: Any, shape: Any, layer: Any, message: str) -> None:
    if isinstance(module, Branching):  # a batch of one path is a number to it only outside vmap
        objective = sd.network(module, "mse", (torch.ones(4, 3), torch.ones(4, 2)), method="loop")
    else:
        objective = problem(module, shape)
    for make in (
        lambda: sd.invariant.VanishingNeurons(objective, layer, 0),
        lambda: sd.invariant.DuplicateNeurons(objective, layer, 0, 1),
        lambda: sd.invariant.LowRank(objective, layer, 1, joint=True),
        lambda: sd.invariant.independent_neurons(objective, torch.zeros(1, objective.dim), layer),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_channels_of_different_groups_are_not_exchanged_or_mixed() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv1d(2, 4, 1, groups=2), nn.Conv1d(4, 3, 1), nn.Flatten(), nn.Linear(9, 2))
    objective = problem(module, (2, 3))
    inside = sd.invariant.DuplicateNeurons(objective, 0, 2, 3)
    x = inside.project(torch.randn(2, objective.dim))
    gradient = objective.gradient(x)
    assert (inside.normal(x, gradient).norm(dim=1) < 1e-5 * gradient.norm(dim=1)).all()
    at = places(objective, 0)
    x[:, at[2]] = x[:, at[1]]
    gradient = objective.gradient(x)
    assert (gradient[:, at[1]] - gradient[:, at[2]]).norm(dim=1).min() > 1e-3  # equal weights do not stay equal
    with pytest.raises(ValueError, match="channels 1 and 2 of layer 0 hear different inputs"):
        sd.invariant.DuplicateNeurons(objective, 0, 1, 2)
    with pytest.raises(ValueError, match="convolution in groups, whose channels hear different inputs"):
        sd.invariant.LowRank(objective, 0, 2, joint=True)


@pytest.mark.parametrize("module", [TwoHeads(), Penalized()])
def test_refused_modules_do_leave_the_set(module: nn.Module) -> None:
    torch.manual_seed(1)
    objective, of = problem(module), problem(sd.mlp(3, 4, 2))
    at = objective.layout.unflatten(torch.arange(objective.dim))
    silent = torch.cat([at["first.weight"][0], at["first.bias"][:1], at["last.weight"][:, 0]])
    x = torch.randn(2, objective.dim)
    x[:, silent] = 0
    assert (objective.gradient(x)[:, silent].norm(dim=1) > 1e-3).all()
    plain = sd.invariant.VanishingNeurons(of, 0, 0)
    y = plain.project(torch.randn(2, of.dim))
    assert (plain.normal(y, of.gradient(y)) == 0).all()


@pytest.mark.parametrize(("activation", "value"), [("softplus", "0.6931"), ("sigmoid", "0.5")])
def test_neurons_that_speak_without_hearing_do_not_vanish(activation: str, value: str) -> None:
    objective = problem(sd.mlp(3, 4, 2, activation=activation))
    with pytest.raises(ValueError, match=rf"σ\(0\) = {value}, so the gradient leaves the set"):
        sd.invariant.VanishingNeurons(objective, "0", 1)
    assert sd.invariant.DuplicateNeurons(objective, "0", 1, 2).invariant


def test_refused_activation_does_leave_the_set() -> None:
    module = sd.mlp(3, 4, 2, activation="softplus")
    objective, same = problem(module), sd.mlp(3, 4, 2, activation="tanh")
    of = sd.invariant.VanishingNeurons(problem(same), "0", 1)
    x = of.project(torch.randn(2, objective.dim))
    assert (of.normal(x, objective.gradient(x)).norm(dim=1) > 1e-3).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: sd.invariant.VanishingNeurons(o, 0, 4), "neurons has 4, the layer has 4 neurons: 0 to 3"),
        (lambda o: sd.invariant.VanishingNeurons(o, 0, []), "at least one"),
        (lambda o: sd.invariant.VanishingNeurons(o, 0, -1), "at least 0"),
        (lambda o: sd.invariant.VanishingNeurons(o, 0, 1.0), "neurons must be an integer, got 1.0"),
        (lambda o: sd.invariant.DuplicateNeurons(o, 0, 1, 1), "i, j must be different"),
        (lambda o: sd.invariant.LowRank(o, 0, 3), r"rank 3 is no restriction of a matrix \(4, 3\): use 0 to 2"),
        (lambda o: sd.invariant.LowRank(o, 1, 1), "layer '1' .ReLU. has no weight matrix; layers that have: 0, 2"),
        (lambda o: sd.invariant.LowRank(o, "first", 1), "no layer 'first': known: 0, 2"),
        (lambda o: sd.invariant.LowRank(o, 0, 1, joint=True), "feeds an activation or a maximum"),
        (lambda o: sd.invariant.counter(o, vanishing=1.5), r"vanishing must be in \(0, 1\]"),
        (lambda o: sd.invariant.counter(o, identical=0), "identical must be positive"),
        (lambda o: sd.invariant.srank(torch.eye(2), delta=1.0), r"delta must be in \(0, 1\)"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(problem(sd.mlp(3, 4, 2)))


def test_objectives_without_layers_are_refused() -> None:
    plain = sd.Objective(lambda x, a, b: (a @ x - b) ** 2, torch.ones(3, 2), torch.ones(3), dim=2)
    with pytest.raises(TypeError, match="need an objective with named layers, got Objective: build it by network"):
        sd.invariant.VanishingNeurons(plain, 0, 0)
    with pytest.raises(TypeError, match="got Landscape"):
        sd.invariant.counter(sd.Landscape("x**2"))
    with pytest.raises(ValueError, match="has no layer whose neurons"):
        sd.invariant.counter(problem(Residual()))


def test_rows_of_another_network_are_refused() -> None:
    small = problem(sd.mlp(3, 4, 2))
    for measure in (
        sd.invariant.VanishingNeurons(small, 0, 3).distance,
        sd.invariant.DuplicateNeurons(small, 0, 1, 3).project,
        sd.invariant.counter(small),
    ):
        with pytest.raises(ValueError, match=r"x has shape \(2, 5\), expected \(paths, parameters\)"):
            measure(torch.zeros(2, 5))
