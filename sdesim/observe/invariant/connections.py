"""Which layer of a network feeds which, and through what: read from the traced graph of its module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from sdesim.core.checks import near
from sdesim.problems.objective import Objective

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONVOLUTIONS = LAYERS[1:]
# Parts that act on each number alone, and parts that treat every channel alike; the latter keep zero at zero.
ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink,
    nn.LogSigmoid,
)  # fmt: skip
MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
SAME = (nn.Identity, nn.Dropout)
FUNCTIONS = {
    "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus", "softsign",
    "hardtanh", "hardswish", "sin", "cos", "erf",
}  # fmt: skip


# A silent neuron and its neighbours, and the jump of a slope between them that is no curvature.
NEAR_ZERO, BEND = torch.tensor([-1e-5, 0.0, 1e-5], dtype=torch.float64), 1e-3


@dataclass(frozen=True, eq=False)
class Connection:
    """A layer, the layer it feeds, and what lies between.

    Parameters
    ----------
    name, after : str
        Names of the two layers in the module.
    here, there : torch.nn.Module
        The layers.
    at_zero : float
        Activation of a neuron whose incoming weights and bias are zero.
    kinked : bool
        Whether the way to the next layer has a kink there, as a ReLU or a maximum over positions has.
    linear : bool
        Whether nothing but linear maps that treat all neurons alike lies between.
    source : torch.fx.Node
        What `there` receives: the features of the layer.
    """

    name: str
    after: str
    here: nn.Module
    there: nn.Module
    at_zero: float
    kinked: bool
    linear: bool
    source: torch.fx.Node


def module_of(objective: Any) -> nn.Module:
    """The module of an objective that `network` made.

    Raises
    ------
    TypeError
        If the objective has none.
    """
    module = getattr(getattr(objective, "predict", None), "module", None)
    if not isinstance(objective, Objective) or module is None:
        raise TypeError(
            f"sets of neurons need an objective with named layers, got {type(objective).__name__}: "
            "build it by network(module, loss, data); for formulas write Subspace(normals)"
        )
    return module


def connection(objective: Objective, layer: str | int) -> Connection:
    """The connection of a hidden layer to the next one.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    layer : str or int
        Name of the layer in the module (`named_modules`); in a Sequential also its number.

    Raises
    ------
    ValueError
        If the layer has no neurons with incoming and outgoing weights that are parameters of the objective; names
        the layers that have.
    """
    module, name = module_of(objective), str(layer)
    parts = dict(module.named_modules())
    if name not in parts:
        raise ValueError(f"the network has no layer {layer!r}: {near(name, hidden_layers(objective))}")
    try:
        return _follow(objective, module, name)
    except _NotDescribed as error:
        raise ValueError(f"{_title(name, parts[name])} {error}; {_possible(objective)}") from None


def hidden_layers(objective: Objective) -> list[str]:
    """Names of the layers whose neurons have incoming and outgoing weights, in the order of the module."""
    return list(_described(objective))


def weight_layer(objective: Objective, layer: str | int) -> str:
    """Name of a linear or convolution layer with a trained weight, the last one included.

    Raises
    ------
    ValueError
        If it is none.
    """
    name, parts = str(layer), dict(module_of(objective).named_modules())
    names = [n for n, part in parts.items() if isinstance(part, LAYERS) and f"{n}.weight" in objective.layout.names]
    if name in parts and name not in names:
        raise ValueError(f"{_title(name, parts[name])} has no weight matrix; layers that have: {', '.join(names)}")
    if name not in names:
        raise ValueError(f"the network has no layer {layer!r}: {near(name, names)}")
    return name


class _NotDescribed(Exception):
    """Why a layer has no such neurons."""


def _described(objective: Objective) -> Iterator[str]:
    module = module_of(objective)
    for name, part in module.named_modules():
        if isinstance(part, LAYERS):
            try:
                yield _follow(objective, module, name).name
            except _NotDescribed:
                continue


def _possible(objective: Objective) -> str:
    names = hidden_layers(objective)
    return f"possible here: {', '.join(names)}" if names else "this network has no layer that can be"


def _title(name: str, part: nn.Module) -> str:
    return f"layer {name!r} ({type(part).__name__})"


def _follow(objective: Objective, module: nn.Module, name: str) -> Connection:
    """From a layer along the graph to the next one."""
    parts, graph = dict(module.named_modules()), traced(module)
    if not isinstance(parts[name], LAYERS):
        raise _NotDescribed("is neither linear nor a convolution")
    uses = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(uses) != 1:
        raise _NotDescribed(f"is called {len(uses)} times in one pass, it must be once")
    _check_trained(objective, parts[name], name)
    node, between, mixed, linear, maxima = uses[0], "", False, True, False
    values = NEAR_ZERO
    while True:
        users = list(node.users)
        if len(users) != 1 or len(users[0].all_input_nodes) != 1:
            reached = " and ".join(str(user) for user in users) or "nothing"
            raise _NotDescribed(f"feeds {reached}{between}: branches and sums are not described")
        source, node = node, users[0]
        if node.op == "output":
            raise _NotDescribed("is the last one and has no outgoing weights")
        part = parts.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, LAYERS):
            break
        if isinstance(part, MAXIMA + AVERAGES) and (mixed or isinstance(parts[name], nn.Linear)):
            raise _NotDescribed(f"feeds {type(part).__name__}, which would pool over its neurons")
        values, keeps = _through(node, part, values)
        linear &= keeps
        maxima |= isinstance(part, MAXIMA)
        mixed |= _flattens(node, part)
        between = f" through {node}"
    after = str(node.target)
    _check_next(objective, parts[name], part, after, mixed)
    _check_alone(module, graph, name, after)
    left, at_zero, right = values.tolist()
    bend = (right + left - 2 * at_zero) / float(NEAR_ZERO[2])  # difference of the slopes on both sides
    return Connection(name, after, parts[name], part, at_zero, maxima or abs(bend) > BEND, linear, source)


def traced(module: nn.Module) -> torch.fx.Graph:
    """The graph of a module's forward.

    Raises
    ------
    ValueError
        If it depends on values and cannot be traced.
    """
    try:
        return torch.fx.Tracer().trace(module)
    except Exception as error:
        raise ValueError(
            f"the forward of {type(module).__name__} cannot be traced ({error}): its layers have no fixed connections; "
            "write it without branches that depend on values"
        ) from error


def _through(node: torch.fx.Node, part: nn.Module | None, value: Tensor) -> tuple[Tensor, bool]:
    """The values of a neuron that is silent, or nearly, after a part, and whether the part is linear."""
    if isinstance(part, ELEMENTWISE):
        return part(value), False
    if isinstance(part, MAXIMA):
        return value, False
    if isinstance(part, AVERAGES + SAME) or _flattens(node, part):
        return value, True
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    if part is None and name in FUNCTIONS:
        function = getattr(Tensor, str(name)) if node.op == "call_method" else node.target
        return function(value, *node.args[1:], **node.kwargs), False  # type: ignore[operator]
    what = type(part).__name__ if part is not None else name
    raise _NotDescribed(f"feeds {what}, through which its neurons cannot be followed")


def _flattens(node: torch.fx.Node, part: nn.Module | None) -> bool:
    """Whether a part puts all numbers of an example in one row, channel by channel."""
    if isinstance(part, nn.Flatten):
        return part.start_dim == 1 and part.end_dim == -1
    if part is None and (node.target is torch.flatten or node.target == "flatten"):
        return (*node.args[1:], *node.kwargs.items()) in ((1,), (("start_dim", 1),))
    return False


def _check_trained(objective: Objective, part: nn.Module, name: str) -> None:
    for kind, value in (("weight", part.weight), ("bias", part.bias)):
        if value is not None and f"{name}.{kind}" not in objective.layout.names:
            raise _NotDescribed(
                f"has no {kind} of its own among the trained parameters: it is frozen, shared or derived"
            )


def _check_alone(module: nn.Module, graph: torch.fx.Graph, *names: str) -> None:
    """Refuse layers whose weights act in other places too: their gradients would come from there as well."""
    values = dict(module.named_parameters(remove_duplicate=False))
    for name in names:
        calls = sum(node.op == "call_module" and node.target == name for node in graph.nodes)
        if calls > 1:
            raise _NotDescribed(f"feeds layer {name!r}, which is called {calls} times in one pass: it must be once")
        for key in (f"{name}.weight", f"{name}.bias"):
            if any(node.op == "get_attr" and node.target == key for node in graph.nodes):
                raise _NotDescribed(f"is not described: forward uses {key} outside of its layer as well")
            others = [k for k, v in values.items() if k != key and v is values.get(key)]
            if others:
                raise _NotDescribed(f"is not described: {key} is shared with {others[0]}")


def _check_next(objective: Objective, here: nn.Module, there: Any, after: str, mixed: bool) -> None:
    """Refuse a next layer whose columns are not those of single neurons."""
    if f"{after}.weight" not in objective.layout.names:
        raise _NotDescribed(f"feeds layer {after!r}, whose weight is frozen, shared or derived")
    if getattr(there, "groups", 1) != 1:
        raise _NotDescribed(f"feeds layer {after!r}, a convolution in groups")
    if isinstance(here, nn.Linear) and mixed and there.in_features != here.out_features:
        raise _NotDescribed(f"feeds layer {after!r} through a Flatten that mixes its neurons with another axis")
    if isinstance(here, CONVOLUTIONS) and isinstance(there, nn.Linear) and not mixed:
        raise _NotDescribed(f"feeds the linear layer {after!r} without a Flatten between them")
    if isinstance(there, CONVOLUTIONS) and (mixed or isinstance(here, nn.Linear)):
        raise _NotDescribed(f"feeds the convolution {after!r}, whose channels are not its neurons")
