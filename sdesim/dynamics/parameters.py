"""Numeric parameters of a dynamics, by name: learning rate, dt, law scale, clip level, symbols of a formula.

A dynamics is a tree of frozen dataclasses. Its numbers are addressed by dotted paths ("sde.noise.alpha") and, where
that is unambiguous, by the last part alone ("alpha"). Rebinding returns a copy of the tree with other values in place:
numbers for a sweep, symbols for tracing, arrays over paths for the reference engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sdesim.core.checks import is_number, near


def parameters(node: Any, prefix: str = "") -> dict[str, Any]:
    """Every numeric parameter below `node`, keyed by dotted path."""
    found: dict[str, Any] = {}
    for name, value in _children(node):
        path = f"{prefix}{name}"
        if is_number(value):
            found[path] = value
        elif isinstance(value, Mapping):
            found.update({f"{prefix}{key}": entry for key, entry in value.items()})
        elif dataclasses.is_dataclass(value) or isinstance(value, tuple):
            found.update(parameters(value, f"{path}."))
    return found


def formula_parameters(node: Any, prefix: str = "") -> list[str]:
    """Dotted paths of the parameters that are symbols of a formula."""
    found: list[str] = []
    for name, value in _children(node):
        if isinstance(value, Mapping):
            found += [f"{prefix}{key}" for key in value]
        elif not is_number(value) and (dataclasses.is_dataclass(value) or isinstance(value, tuple)):
            found += formula_parameters(value, f"{prefix}{name}.")
    return found


def rebind(node: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """A copy of the tree in which the parameters named by dotted path hold the given values."""
    changes: dict[str, Any] = {}
    for name, value in _children(node):
        path = f"{prefix}{name}"
        if path in values and is_number(value):
            changes[name] = values[path]
        elif isinstance(value, Mapping):
            new = {key: values.get(f"{prefix}{key}", entry) for key, entry in value.items()}
            if any(new[key] is not value[key] for key in value):
                changes[name] = new
        elif dataclasses.is_dataclass(value) or isinstance(value, tuple):
            below = rebind(value, values, f"{path}.")
            if below is not value:
                changes[name] = below
    if not changes:
        return node
    if isinstance(node, tuple):
        return tuple(changes.get(str(i), entry) for i, entry in enumerate(node))
    return dataclasses.replace(node, **changes)


def resolve(name: str, known: Mapping[str, Any], what: str = "parameter") -> str:
    """The dotted path that `name` stands for.

    Raises
    ------
    ValueError
        If no parameter has that name, or several do.
    """
    if name in known:
        return name
    hits = [path for path in known if path.rsplit(".", 1)[-1] == name]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise ValueError(f"{what} {name!r} is ambiguous: write one of {', '.join(sorted(hits))}")
    raise ValueError(f"unknown {what} {name!r}: {near(name, short_names(known))}")


def short_names(known: Mapping[str, Any]) -> dict[str, str]:
    """Dotted path by the shortest unambiguous name."""
    last = [path.rsplit(".", 1)[-1] for path in known]
    return {end if last.count(end) == 1 else path: path for path, end in zip(known, last, strict=True)}


def structure(node: Any) -> Any:
    """Everything about a tree but the values of its parameters, as something hashable."""
    if dataclasses.is_dataclass(node) or isinstance(node, tuple):
        inner = tuple((name, "#" if is_number(value) else structure(value)) for name, value in _children(node))
        inner += tuple((name, repr(getattr(node, name))) for name in getattr(node, "structure", ()))
        return type(node).__name__, inner
    if isinstance(node, Mapping):
        return tuple(node)
    if hasattr(node, "expr"):
        return type(node).__name__, node.expr, node.variables, tuple(node.params)
    return node


def _children(node: Any) -> list[tuple[str, Any]]:
    if isinstance(node, tuple):
        return [(str(i), entry) for i, entry in enumerate(node)]
    fixed = getattr(node, "structure", ())
    return [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node) if f.init and f.name not in fixed]
