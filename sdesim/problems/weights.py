"""Weights of networks: their names and shapes in a flat row, fresh ones from a seed, and those of a result."""

from __future__ import annotations

import copy
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdesim.core import philox
from sdesim.core.checks import count, near

if TYPE_CHECKING:
    from sdesim.problems.objective import Objective


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
class Fresh:
    """New parameters of one path from a seed."""

    module: nn.Module
    layout: Layout
    init: Callable[[nn.Module], Any] | None

    def __call__(self, seed: int) -> Tensor:
        """Parameters (p,) that depend on the seed alone."""
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
