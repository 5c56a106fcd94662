"""Features: what a hidden layer says about the data, for every path."""

from __future__ import annotations

import torch
import torch.fx
from torch import Tensor

from sdesim.observe.invariant.connections import connection, module_of, traced
from sdesim.problems.objective import Objective


def features(objective: Objective, x: Tensor, layer: str | int, inputs: Tensor | None = None) -> Tensor:
    """Activations of a hidden layer, as the next layer receives them.

    Their rank is `srank(features(...))` or `effective_rank(features(...))`.

    Parameters
    ----------
    objective : Objective
        Made by `network`.
    x : tensor, shape (paths, p)
    layer : str or int
        Name in the module, or number in a Sequential.
    inputs : tensor, shape (n, ...), optional
        The examples; by default those to learn from.

    Returns
    -------
    tensor, shape (paths, n, width)
        Channels and positions of a convolution in one row.

    Raises
    ------
    ValueError
        If the layer is not a hidden one that feeds a single other layer.
    """
    found, module = connection(objective, layer), module_of(objective)
    graph = traced(module)
    (source,) = [node for node in graph.nodes if node.name == found.source.name]
    graph.erase_node(next(node for node in graph.nodes if node.op == "output"))
    graph.output(source)
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)
    cut = torch.fx.GraphModule(module, graph)
    data = objective.inputs if inputs is None else inputs
    kept = {name for name, _ in cut.named_parameters()} | {name for name, _ in cut.named_buffers()}

    def said(row: Tensor) -> Tensor:
        weights = {**objective.layout.unflatten(row), **objective.predict.constants}  # type: ignore[union-attr]
        given = {name: value for name, value in weights.items() if name in kept}
        return torch.func.functional_call(cut, given, (data,)).flatten(1)

    with torch.no_grad():
        return torch.stack([said(row) for row in x])
