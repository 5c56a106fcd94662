"""Objectives follow a run to its device: in the dynamics, in regions, and in the functions that observers watch."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any


class Mover:
    """Puts every objective of some objects on a device and in a floating type; one objective stays one.

    An objective is found in the fields of dataclasses, in mappings, tuples and lists, in the object of a bound method
    (`objective.accuracy`), in the arguments of a `functools.partial` and in the variables that a function encloses.
    Nothing is changed in place; what holds no objective is returned as it is.

    Parameters
    ----------
    device : torch.device, optional
    dtype : torch.dtype, optional
        Where None, that of each objective.
    """

    def __init__(self, device: Any, dtype: Any) -> None:
        self.device, self.dtype = device, dtype
        self.done: dict[int, tuple[Any, Any]] = {}

    def __call__(self, part: Any) -> Any:
        """The part with its objectives moved.

        Raises
        ------
        ValueError
            If a function takes an objective from elsewhere out of its module's variables, which cannot be replaced.
        """
        if id(part) not in self.done:
            self.done[id(part)] = part, part  # kept alive, so that no other has its number; ends a circle
            self.done[id(part)] = part, self._moved(part)
        return self.done[id(part)][1]

    def _moved(self, part: Any) -> Any:
        if hasattr(part, "example_losses"):
            return part.to(self.device, self.dtype) if self._elsewhere(part) else part
        if isinstance(part, types.MethodType):
            owner = self(part.__self__)
            return part if owner is part.__self__ else types.MethodType(part.__func__, owner)
        if isinstance(part, functools.partial):
            inside = part.func, part.args, part.keywords
            new = tuple(map(self, inside))
            return part if _same(new, inside) else functools.partial(new[0], *new[1], **new[2])
        if isinstance(part, types.FunctionType):
            return self._function(part)
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part) if f.init}
            changed = {name: self(value) for name, value in fields.items() if self(value) is not value}
            return dataclasses.replace(part, **changed) if changed else part
        if isinstance(part, Mapping):
            moved = {key: self(value) for key, value in part.items()}
            return part if _same(moved.values(), part.values()) else moved
        if type(part) in (tuple, list):
            items = [self(item) for item in part]
            return part if _same(items, part) else type(part)(items)
        return part

    def _function(self, function: types.FunctionType) -> Any:
        """The function over moved objectives; its other variables stay shared with the original."""
        cells = []
        for cell in function.__closure__ or ():
            try:
                inside = cell.cell_contents
            except ValueError:  # a variable that has no value yet
                inside = None
            cells.append(cell if self(inside) is inside else types.CellType(self(inside)))
        for name in function.__code__.co_names:
            value: Any = function.__globals__.get(name)
            if hasattr(value, "example_losses") and self._elsewhere(value):
                place = [] if self.device is None else [repr(str(self.device))]
                wanted = ", ".join(place + ([] if self.dtype is None else [f"dtype={self.dtype}"]))
                raise ValueError(
                    f"{function.__qualname__} computes with {name!r}, an objective on {value.device} in {value.dtype}, "
                    f"and the run is not there: write {name} = {name}.to({wanted}), or give {name!r} as an argument"
                )
        if _same(cells, function.__closure__ or ()):
            return function
        copy = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, tuple(cells)
        )
        return functools.update_wrapper(copy, function)

    def _elsewhere(self, objective: Any) -> bool:
        device = self.device is not None and objective.device != self.device
        return device or (self.dtype is not None and objective.dtype != self.dtype)


def _same(new: Any, old: Any) -> bool:
    """Whether these are the same objects."""
    return all(a is b for a, b in zip(new, old, strict=True))
