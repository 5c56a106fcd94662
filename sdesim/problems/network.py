"""network: a torch.nn.Module as an Objective, all paths of the ensemble at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdesim.core.checks import near
from sdesim.problems.data import Data, pair
from sdesim.problems.objective import Objective
from sdesim.problems.weights import Fresh, Layout

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class _Outputs:
    """Outputs of the module as a function of flat parameters."""

    module: nn.Module
    layout: Layout
    constants: dict[str, Tensor]

    def __call__(self, x: Tensor, inputs: Tensor) -> Tensor:
        return torch.func.functional_call(self.module, {**self.layout.unflatten(x), **self.constants}, (inputs,))

    def to(self, device: Any, dtype: torch.dtype | None) -> _Outputs:
        moved = {k: v.to(device, dtype if v.is_floating_point() else None) for k, v in self.constants.items()}
        return replace(self, constants=moved)


@dataclass(frozen=True, eq=False)
class _ExampleLosses:
    outputs: _Outputs
    loss: Loss
    dtype: torch.dtype

    def __call__(self, x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.outputs(x, inputs), targets)

    def to(self, device: Any, dtype: torch.dtype | None) -> _ExampleLosses:
        return replace(self, outputs=self.outputs.to(device, dtype), dtype=dtype or self.dtype)


def network(
    module: nn.Module,
    loss: str | Loss,
    data: Any,
    test: Any = None,
    init: Callable[[nn.Module], Any] | None = None,
    method: str = "auto",
) -> Objective:
    """A module and data as an `Objective` of the module's trained parameters, flat.

    The module is copied; its own weights are never changed. Frozen parameters and buffers are constants.

    Parameters
    ----------
    module : torch.nn.Module
        From inputs (B, ...) to outputs (B, ...).
    loss : "cross_entropy", "mse" or callable (outputs (B, ...), targets (B, ...)) -> losses (B,)
        The named ones are those of torch, with the mean over all axes of an example.
    data : Data, (inputs, targets) or torch Dataset of such pairs
        Floating inputs and targets take the module's floating type.
    test : like data, optional
        Examples held back; by default those of a `Data`.
    init : callable (module) -> None, optional
        Draws new weights in place from torch's generator, see `initial`; by default every part's reset_parameters.
    method : "auto", "vmap" or "loop"
        See `Objective`.

    Raises
    ------
    ValueError
        If the module mixes the examples of a batch (batch norm), draws random numbers (dropout) or changes its
        buffers; if shapes of outputs and targets do not fit.
    """
    function = _loss(loss)
    _refuse_parts(module)
    layout = Layout.of(module)
    module = copy.deepcopy(module)
    values = dict(module.named_parameters())
    dtype, device = values[layout.names[0]].dtype, values[layout.names[0]].device
    inputs, targets = pair(data, dtype, device)
    if test is None and isinstance(data, Data):
        test = (data.test_inputs, data.test_targets)
    held_back = None if test is None else pair(test, dtype, device)
    _try(module, inputs[:3])
    constants = {k: p.detach() for k, p in values.items() if not p.requires_grad} | dict(module.named_buffers())
    outputs = _Outputs(module, layout, constants)
    losses = _ExampleLosses(outputs, function, dtype)
    fresh = Fresh(copy.deepcopy(module).cpu(), layout, init)
    return Objective(losses, inputs, targets, layout.dim, held_back, outputs, layout, fresh, method)


def _loss(loss: str | Loss) -> Loss:
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is unknown; {near(str(loss), LOSSES)}, or give a function of outputs, targets")
    return LOSSES[loss]


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    classes = not targets.is_floating_point()
    expected = (outputs.shape[0], *outputs.shape[2:]) if classes else outputs.shape
    if outputs.ndim < 2 or targets.shape != expected:
        given = f"outputs {tuple(outputs.shape)}, targets {tuple(targets.shape)} ({targets.dtype})"
        raise ValueError(f"cross_entropy got {given}; use outputs (n, classes) and class numbers (n,)")
    if classes and outputs.ndim == 2:  # classes before examples: a softmax over a short last axis is many times slower
        return F.cross_entropy(outputs.mT[None], targets[None], reduction="none")[0]
    return _mean(F.cross_entropy(outputs, targets, reduction="none"))


def _mse(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape != targets.shape:
        hint = "; write targets[:, None]" if outputs.shape == (*targets.shape, 1) else "; make the shapes equal"
        raise ValueError(f"mse got outputs {tuple(outputs.shape)}, targets {tuple(targets.shape)}{hint}")
    return _mean(F.mse_loss(outputs, targets, reduction="none"))


def _mean(losses: Tensor) -> Tensor:
    return losses.flatten(1).mean(1) if losses.ndim > 1 else losses


LOSSES: dict[str, Loss] = {"cross_entropy": _cross_entropy, "mse": _mse}


def _refuse_parts(module: nn.Module) -> None:
    """Refuse parts that have no loss per example or draw numbers of their own."""
    for name, part in module.named_modules():
        if not part.training:
            continue
        where = f"{type(part).__name__} ({name or 'the module'})"
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"{where} mixes the examples of a batch and keeps running statistics, which are no function of the "
                "parameters; use nn.GroupNorm or nn.LayerNorm, or call eval() on it to keep its statistics fixed"
            )
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise ValueError(
                f"{where} with p={part.p:g} draws random numbers that no seed of the run controls; "
                "use p=0 or call eval() on it, and put noise into the dynamics"
            )


def _try(module: nn.Module, inputs: Tensor) -> None:
    """One forward pass of a copy: refuse a module that changes buffers, draws numbers or does not fit the inputs."""
    trial = copy.deepcopy(module)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        try:
            trial(inputs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            given = f"{tuple(inputs.shape)} {inputs.dtype}"
            raise ValueError(f"{type(module).__name__} cannot take inputs of shape {given}: {error}") from error
        drew = not torch.equal(state, torch.get_rng_state())
    if drew:
        raise ValueError(
            f"{type(module).__name__} draws random numbers in forward, which no seed of the run controls; "
            "leave them out (eval() turns dropout off) and put noise into the dynamics"
        )
    after = dict(trial.named_buffers())
    for name, before in module.named_buffers():
        if not torch.equal(before, after[name]):
            raise ValueError(
                f"forward changes the buffer {name}, so the loss is no function of the parameters; "
                "keep it constant, or call eval() on the module if that stops it"
            )
