"""network: a torch.nn.Module as an Objective, all paths of the ensemble at once; its weights in and out."""

from __future__ import annotations

import copy
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdesim.core import philox
from sdesim.core.checks import count, near
from sdesim.problems.data import Data, pair
from sdesim.problems.objective import Objective

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of a module's trained parameters, in the order in which they lie in a flat row.

    Examples
    --------
    >>> layout = Layout(("weight", "bias"), ((1, 2), (1,)))
    >>> layout.dim, layout.unflatten(torch.tensor([1.0, 2.0, 3.0]))["bias"]
    (3, tensor([3.]))
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> list[int]:
        """Numbers of entries, one for each name."""
        return [math.prod(shape) for shape in self.shapes]

    @cached_property
    def dim(self) -> int:
        """Length p of a row."""
        return sum(self.sizes)

    def unflatten(self, x: Tensor) -> dict[str, Tensor]:
        """Parameters by name, as views of `x` (p,) or of all paths' `x` (paths, p)."""
        if x.shape[-1] != self.dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (..., {self.dim})")
        # The derivative of a split is one concatenation; that of a slice, a row of zeros for each parameter.
        parts = zip(self.names, self.shapes, x.split(self.sizes, -1), strict=True)
        return {name: part.unflatten(-1, shape) if shape else part.squeeze(-1) for name, shape, part in parts}

    def to_json(self) -> str:
        """The layout as text, for the attributes of a dataset."""
        return json.dumps({"names": self.names, "shapes": self.shapes})

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The layout of `to_json`."""
        given = json.loads(text)
        return cls(tuple(given["names"]), tuple(tuple(shape) for shape in given["shapes"]))

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Trained parameters of a module; frozen ones (requires_grad=False) are constants."""
        trained = [(name, tuple(p.shape)) for name, p in module.named_parameters() if p.requires_grad]
        if not trained:
            raise ValueError(f"{type(module).__name__} has no parameters to train; set requires_grad=True on some")
        return cls(tuple(name for name, _ in trained), tuple(shape for _, shape in trained))


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
    fresh = _Fresh(copy.deepcopy(module).cpu(), layout, init)
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


@dataclass(frozen=True, eq=False)
class _Fresh:
    """New parameters of one path from a seed."""

    module: nn.Module
    layout: Layout
    init: Callable[[nn.Module], Any] | None

    def __call__(self, seed: int) -> Tensor:
        # A copy each time: init may depend on the weights there are, and a path never on another path.
        module = copy.deepcopy(self.module)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            (self.init or _reset)(module)
        return flat(dict(module.named_parameters()), self.layout)


def _reset(module: nn.Module) -> None:
    """New weights by each part's own reset_parameters, the innermost parts first."""

    def part(m: nn.Module) -> None:
        own = getattr(m, "reset_parameters", None) or getattr(m, "_reset_parameters", None)
        if own is not None:
            own()
        elif any(p.requires_grad for p in m.parameters(recurse=False)):
            raise ValueError(
                f"{type(m).__name__} has parameters but no reset_parameters(); add one, or give network(init=...), "
                "a function that draws the module's weights in place"
            )

    module.apply(part)


def initial(objective: Objective, n_paths: int, seed: int, start_path: int = 0) -> Tensor:
    """Fresh parameters of paths start_path, ..., start_path + n_paths - 1, shape (n_paths, p).

    A path's depend on the seed and its number only: a larger ensemble begins with the smaller one.

    Raises
    ------
    ValueError
        If the objective was not made by `network`.
    """
    count("n_paths", n_paths, least=1)
    count("start_path", start_path)
    if not 0 <= count("seed", seed) < 2**64:
        raise ValueError(f"seed must be below 2**64, got {seed}")
    if objective.fresh is None:
        raise ValueError("the objective cannot draw parameters; build it by network(), or give x0 as a tensor")
    rows = [objective.fresh(_path_seed(seed, start_path + i)) for i in range(n_paths)]
    return torch.stack(rows).to(objective.device, objective.dtype)


def _path_seed(seed: int, path: int) -> int:
    """A seed for torch, which keeps 32 bits of it: a bijection of the path number, so that no two paths share one."""
    low, mask = int(philox.words(seed, 0, philox.START, 2**32 - 1)[0]), 0xFFFFFFFF
    z = (path + (low >> 32)) & mask
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the finalizer of MurmurHash3
        z = ((z ^ (z >> shift)) * factor) & mask
    return (z ^ (z >> 16)) ^ (low & mask)


def flat(state: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """A state_dict as one row (p,), to start from a checkpoint; entries outside the layout are left out.

    Raises
    ------
    ValueError
        If an entry is missing or has another shape.
    """
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if name not in state:
            raise ValueError(f"the state has no {name}; {near(name, state)}")
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)} in the state, {shape} in the layout")
    return torch.cat([state[name].detach().reshape(-1) for name in layout.names])


def state_dict(ds: Any, path: int, module: nn.Module | None = None) -> OrderedDict[str, Tensor]:
    """Final weights of path `path` of a result, for `module.load_state_dict`.

    Parameters
    ----------
    ds : xarray.Dataset
        With `final_state` (path, component) and the attribute `layout`.
    path : int
        A label of the dimension `path`, or a place in it if it has no labels.
    module : torch.nn.Module, optional
        Gives the entries that were not trained: buffers, frozen and shared parameters.

    Raises
    ------
    ValueError
        If the dataset has no layout, no final states or no such path.
    """
    if "layout" not in ds.attrs:
        raise ValueError("the dataset has no layout: it is not a run of a network; read ds['final_state']")
    if "final_state" not in ds or set(ds["final_state"].dims) != {"path", "component"}:
        dims = ds["final_state"].dims if "final_state" in ds else "none"
        raise ValueError(f"final_state must have dims path and component, got {dims}; select the others by ds.sel()")
    paths = ds.indexes["path"] if "path" in ds.indexes else range(ds.sizes["path"])
    found = [i for i, label in enumerate(paths) if label == path]
    if not found:
        raise ValueError(f"there is no path {path}; there are {len(paths)}, from {min(paths)} to {max(paths)}")
    row = ds["final_state"].transpose("path", "component").values[found[0]]
    trained = Layout.from_json(ds.attrs["layout"]).unflatten(torch.tensor(row))
    if module is None:
        return OrderedDict((name, value.clone()) for name, value in trained.items())
    aliases = {id(p): name for name, p in module.named_parameters()}
    shared = {name: aliases[id(p)] for name, p in module.named_parameters(remove_duplicate=False)}
    own = module.state_dict()
    return OrderedDict((name, trained.get(shared.get(name, name), own[name]).detach().clone()) for name in own)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus, "linear": nn.Identity,
}  # fmt: skip


def _activation(name: str) -> type[nn.Module]:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is unknown; {near(str(name), ACTIVATIONS)}")
    return ACTIVATIONS[name]


def mlp(*widths: int, activation: str = "relu", bias: bool = True) -> nn.Sequential:
    """A fully connected network: `mlp(64, 32, 10)` takes 64 inputs to 10 outputs through 32 hidden neurons."""
    kind = _activation(activation)
    if len(widths) < 2:
        raise ValueError(f"mlp got {len(widths)} widths, it needs those of inputs and outputs; write mlp(64, 32, 10)")
    for width in widths:
        count("width", width, least=1)
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b, bias=bias), kind()]
    return nn.Sequential(*parts[:-1])


def cnn(
    image: tuple[int, int, int] = (1, 8, 8),
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    n_classes: int = 10,
    activation: str = "relu",
) -> nn.Sequential:
    """A small convolutional network without batch norm: 3×3 convolutions, each halving the image, then two layers.

    87,178 parameters for images of 1×8×8; larger images have many more, unless `hidden` is smaller.
    """
    kind = _activation(activation)
    depth, height, width = image
    for name, value in {"channels": min(channels, default=0), "hidden": hidden, "n_classes": n_classes}.items():
        count(name, value, least=1)
    if min(height, width) < 2 ** len(channels):
        raise ValueError(
            f"an image of {height}×{width} cannot be halved {len(channels)} times; give fewer channels than {channels}"
        )
    parts: list[nn.Module] = []
    for a, b in pairwise((depth, *channels)):
        parts += [nn.Conv2d(a, b, 3, padding=1), kind(), nn.MaxPool2d(2)]
        height, width = height // 2, width // 2
    return nn.Sequential(
        *parts, nn.Flatten(), nn.Linear(channels[-1] * height * width, hidden), kind(), nn.Linear(hidden, n_classes)
    )
