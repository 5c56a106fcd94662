"""Networks: gradients against torch's own backward, path by path; weights in and out; what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

from sdesim.problems.architectures import cnn, mlp
from sdesim.problems.data import Data, digits, teacher_student
from sdesim.problems.network import network
from sdesim.problems.weights import Layout, flat, initial, state_dict

PATHS = 3


class Scale(nn.Module):
    """A layer with a scalar parameter, a constant buffer and nothing that resets it."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("shift", torch.tensor([1.0, -1.0]))

    def forward(self, x):
        return self.factor * x + self.shift


class Counter(nn.Linear):
    """A layer that counts its calls in a buffer."""

    def __init__(self, in_place):
        super().__init__(2, 2)
        self.in_place = in_place
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.in_place:
            self.calls += 1
        else:
            self.calls = self.calls + 1
        return super().forward(x)


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(F.dropout(x, 0.5, training=True))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.b = nn.Linear(2, 2)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def points(n=10, d=2, classes=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator), torch.arange(n) % classes


def images(shape, n=12):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, *shape, generator=generator), torch.arange(n) % 10


def dataset(x, objective):
    """A result as `run` returns it, with labels of a part of the ensemble."""
    variables = {"final_state": (("path", "component"), x.numpy())}
    return xr.Dataset(variables, {"path": range(5, 5 + len(x))}, {"layout": objective.layout.to_json()})


def by_backward(module, x, layout, inputs, targets, loss):
    """Gradient of one path by torch's own means."""
    module.load_state_dict(dict(layout.unflatten(x)), strict=False)
    module.zero_grad()
    loss(module(inputs), targets).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters()])


CASES = {
    "mlp": (lambda: mlp(64, 16, 10), "cross_entropy", F.cross_entropy, lambda: digits().head(40)),
    "cnn": (
        lambda: cnn(channels=(4, 8), hidden=16), "cross_entropy", F.cross_entropy, lambda: digits(image=True).head(40)
    ),
    "regression": (lambda: mlp(10, 8, 1, activation="tanh"), "mse", F.mse_loss, lambda: teacher_student(n=40)),
    "tied": (Tied, "cross_entropy", F.cross_entropy, lambda: points(40)),
    "own loss": (
        lambda: mlp(2, 5, 2), lambda o, t: F.cross_entropy(o, t, reduction="none"), F.cross_entropy, lambda: points(40)
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["vmap", "loop"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_backward_path_by_path(case, method):
    make, loss, reference, data = CASES[case]
    module = make().double()
    objective = network(module, loss, data(), method=method)
    x = initial(objective, PATHS, seed=0)
    batch = torch.tensor([[0, 3, 5, 3], [1, 2, 7, 9], [39, 4, 6, 8]])
    expected, full = [], []
    for row, b in zip(x, batch, strict=True):
        pair = objective.inputs[b], objective.targets[b]
        expected.append(by_backward(module, row, objective.layout, *pair, reference))
        full.append(by_backward(module, row, objective.layout, objective.inputs, objective.targets, reference))
    torch.testing.assert_close(objective.gradient(x, batch), torch.stack(expected), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(objective.gradient(x), torch.stack(full), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(objective.gradient(x, batch.roll(1, 0)), torch.stack(expected), rtol=1e-3)
    examples = objective.example_gradients(x, batch)
    torch.testing.assert_close(examples.mean(1), torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_the_users_module_is_left_alone():
    module = mlp(2, 3, 2)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = torch.get_rng_state()
    objective = network(module, "cross_entropy", points())
    objective.gradient(initial(objective, 2, 0))
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_a_larger_ensemble_begins_with_the_smaller_one():
    objective = network(mlp(4, 3, 2), "cross_entropy", points(d=4))
    many = initial(objective, 6, seed=1)
    assert torch.equal(initial(objective, 2, seed=1), many[:2])
    assert torch.equal(initial(objective, 2, seed=1, start_path=3), many[3:5])
    assert not torch.equal(initial(objective, 6, seed=2), many)
    assert len(torch.unique(many, dim=0)) == 6


def test_fresh_weights_follow_the_modules_own_law():
    # nn.Linear draws weights and biases uniformly on ±1/√fan_in.
    objective = network(nn.Linear(16, 4), "cross_entropy", points(d=16))
    x = initial(objective, 200, seed=0)
    assert x.abs().max() <= 0.25
    assert abs(float(x.var()) - 0.25**2 / 3) < 0.001
    assert abs(float(x.mean())) < 0.005

    def ones(module):
        for p in module.parameters():
            nn.init.ones_(p)

    assert torch.all(initial(network(nn.Linear(16, 4), "cross_entropy", points(d=16), init=ones), 2, 0) == 1)


def test_final_weights_load_into_the_module_and_give_the_same_outputs():
    data = digits().head(20)
    objective = network(mlp(64, 8, 10), "cross_entropy", data)
    x = initial(objective, PATHS, seed=3)
    ds = dataset(x, objective)
    module = mlp(64, 8, 10)
    outputs = torch.stack([objective.predict(row, data.inputs) for row in x])
    for i in range(PATHS):
        module.load_state_dict(state_dict(ds, path=5 + i))
        torch.testing.assert_close(module(data.inputs).detach(), outputs[i])
        assert not torch.allclose(module(data.inputs), outputs[(i + 1) % PATHS])
        assert torch.equal(flat(module.state_dict(), objective.layout), x[i])
    with pytest.raises(ValueError, match="no path 0; there are 3, from 5 to 7"):
        state_dict(ds, path=0)
    with pytest.raises(ValueError, match="has no layout"):
        state_dict(ds.drop_attrs(), path=5)
    with pytest.raises(ValueError, match="dims path and component"):
        state_dict(ds.expand_dims("lr"), path=5)


@pytest.mark.parametrize("make", [Tied, lambda: nn.Sequential(nn.Linear(2, 2), Scale())])
def test_entries_that_were_not_trained_come_from_the_module(make):
    module = make()
    objective = network(module, "cross_entropy", points(), init=lambda m: [nn.init.normal_(p) for p in m.parameters()])
    x = initial(objective, 2, seed=0)
    state = state_dict(dataset(x, objective), path=6, module=module)
    other = make()
    other.load_state_dict(state)
    torch.testing.assert_close(other(objective.inputs).detach(), objective.predict(x[1], objective.inputs))


def test_frozen_parameters_are_constants():
    module = mlp(2, 3, 2)
    module[0].requires_grad_(False)
    objective = network(module, "cross_entropy", points())
    assert objective.layout.names == ("2.weight", "2.bias")
    x = flat(module.state_dict(), objective.layout)
    torch.testing.assert_close(objective.predict(x, objective.inputs), module(objective.inputs).detach())
    assert objective.to(dtype=torch.float64).gradient(x[None].double()).dtype == torch.float64


def test_a_layout_gives_views_and_goes_through_json():
    module = nn.Sequential(nn.Linear(2, 3), Scale())
    layout = Layout.of(module)
    assert layout.names == ("0.weight", "0.bias", "1.factor")
    assert Layout.from_json(layout.to_json()) == layout
    x = torch.arange(2.0 * layout.dim).reshape(2, -1)
    both, one = layout.unflatten(x), layout.unflatten(x[1])
    assert {k: tuple(v.shape) for k, v in both.items()} == {"0.weight": (2, 3, 2), "0.bias": (2, 3), "1.factor": (2,)}
    assert all(torch.equal(both[k][1], one[k]) for k in layout.names)
    assert all(v.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for v in both.values())
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\), expected \(..., 10\)"):
        layout.unflatten(x[:, :5])
    with pytest.raises(ValueError, match=r"the state has no 0.bias"):
        flat({"0.weight": torch.ones(3, 2)}, layout)
    with pytest.raises(ValueError, match=r"0.weight has shape \(2, 3\) in the state, \(3, 2\) in the layout"):
        flat({"0.weight": torch.ones(2, 3)}, layout)


def test_data_come_as_a_pair_a_dataset_or_data():
    inputs, labels = points()
    objectives = [
        network(mlp(2, 2), "cross_entropy", given)
        for given in (
            (inputs, labels),
            (inputs.double().numpy(), labels.numpy()),
            torch.utils.data.TensorDataset(inputs, labels),
            [(a, int(b)) for a, b in zip(inputs, labels, strict=True)],
            Data(inputs, labels, inputs, labels),
        )
    ]
    assert all(torch.equal(o.inputs, inputs) and torch.equal(o.targets, labels) for o in objectives)
    assert [o.test is not None for o in objectives] == [False, False, False, False, True]
    x = torch.zeros(1, 6)
    x[0, 4] = 1.0  # class 0 everywhere, half of the examples
    assert objectives[-1].accuracy(x).item() == 0.5
    with pytest.raises(TypeError, match=r"data must be \(inputs, targets\), a torch Dataset or Data, got Tensor"):
        network(mlp(2, 2), "cross_entropy", inputs)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"BatchNorm1d \(1\) mixes.*use nn.GroupNorm or"),
        (nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)), r"Dropout \(0\) with p=0.5 draws random numbers.*p=0"),
        (Noisy(2, 2), "Noisy draws random numbers in forward"),
        (Counter(True), "forward changes the buffer calls"),
        (Counter(False), "forward changes the buffer calls"),
        (nn.Linear(3, 2), r"Linear cannot take inputs of shape \(3, 2\) torch.float32"),
        (nn.ReLU(), "ReLU has no parameters to train"),
    ],
)
def test_modules_without_a_loss_per_example_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        network(module, "cross_entropy", points())


def test_eval_mode_makes_batch_norm_and_dropout_constants():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
    objective = network(module, "cross_entropy", points())
    x = flat(module.state_dict(), objective.layout)
    torch.testing.assert_close(objective.predict(x, objective.inputs), module(objective.inputs).detach())
    assert network(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)), "cross_entropy", points()).dim == 6


def test_losses_that_do_not_fit_are_refused():
    inputs, labels = points()
    with pytest.raises(ValueError, match=r"loss 'cross_entorpy' is unknown.*cross_entropy"):
        network(mlp(2, 2), "cross_entorpy", points())
    with pytest.raises(ValueError, match=r"mse got outputs \(3, 1\), targets \(3,\); write targets\[:, None\]"):
        network(mlp(2, 1), "mse", (inputs, labels.float()))
    with pytest.raises(ValueError, match=r"cross_entropy got outputs \(3, 2\), targets \(3, 1\)"):
        network(mlp(2, 2), "cross_entropy", (inputs, labels[:, None]))
    with pytest.raises(ValueError, match="return a loss for each example: reduction='none'"):
        network(mlp(2, 2), F.cross_entropy, points())
    with pytest.raises(ValueError, match=r"Scale has parameters but no reset_parameters.*init="):
        initial(network(Scale(), "cross_entropy", points()), 1, 0)
    objective = network(mlp(2, 2), "cross_entropy", points())
    with pytest.raises(ValueError, match="build it by network"):
        initial(type(objective)(lambda x, a, b: (a @ x) ** 2, inputs, labels.float(), 2), 1, 0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_a_cnn_takes_its_images(shape):
    objective = network(cnn(shape, hidden=16), "cross_entropy", images(shape))
    assert objective.gradient(initial(objective, 2, 0)).shape == (2, objective.dim)


def test_builders_have_the_sizes_they_say():
    assert sum(p.numel() for p in mlp(64, 32, 10).parameters()) == 64 * 32 + 32 + 32 * 10 + 10
    assert 80_000 < sum(p.numel() for p in cnn().parameters()) < 120_000
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in cnn().modules())
    with pytest.raises(ValueError, match=r"activation 'rleu' is unknown.*relu"):
        mlp(2, 2, activation="rleu")
    with pytest.raises(ValueError, match=r"write mlp\(64, 32, 10\)"):
        mlp(2)
    with pytest.raises(ValueError, match=r"an image of 8×8 cannot be halved 4 times"):
        cnn(channels=(2, 2, 2, 2))
