"""One model of several parts: a paper whose experiments have parameters, figures and claims of their own."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from typing import Any

from sdesim.core.checks import near
from sdesim.study.model import Model, Paper


def from_parts(name: str, paper: Paper, parts: Mapping[str, Any]) -> Model:
    """One model of several parts, one of which `experiment` names.

    `sdesim run NAME --experiment PART` runs a part, `sdesim check NAME` holds the claims of all of them. A parameter
    that is not given (None) is the part's own default; a name that two parts share is one option for both.

    Parameters
    ----------
    name : str
        Of the model.
    paper : Paper
        Where it comes from.
    parts : mapping of name to module
        Each has `Params` (a frozen dataclass), `build(p)` (its experiments), `figure(ds, p)` and `CLAIMS`
        (a sequence of `Claim`); the first is the default.

    Returns
    -------
    Model
        With the claims of all parts, one after the other.

    Raises
    ------
    TypeError
        If two parts give one parameter different types, or one is named `experiment`.
    """

    def build(p: Any) -> Any:
        part, own = _chosen(name, parts, p)
        return part.build(own)

    def figure(ds: Any) -> Any:
        part, own = _chosen(name, parts, model.params_of(ds))
        return part.figure(ds, own)

    claims = tuple(claim for part in parts.values() for claim in part.CLAIMS)
    model = Model(name, paper, _union(parts), build, figure, claims)
    return model


def _chosen(name: str, parts: Mapping[str, Any], p: Any) -> tuple[Any, Any]:
    """The part that `p.experiment` names, and its parameters."""
    if p.experiment not in parts:
        raise ValueError(f"unknown experiment {p.experiment!r} of {name}: {near(p.experiment, parts)}")
    part = parts[p.experiment]
    given = {key: value for key, value in vars(p).items() if key != "experiment" and value is not None}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}  # out of JSON
    known = [field.name for field in dataclasses.fields(part.Params)]
    for key in given:
        if key not in known:
            raise ValueError(f"experiment {p.experiment!r} of {name} has no parameter {key!r}: {near(key, known)}")
    return part, part.Params(**given)


def _union(parts: Mapping[str, Any]) -> type:
    """The parameters of all parts, each None unless given, with the parts' meanings and defaults as its help."""
    types: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for part_name, part in parts.items():
        hints, meanings = typing.get_type_hints(part.Params), _meanings(part.Params)
        for field in dataclasses.fields(part.Params):
            if types.setdefault(field.name, hints[field.name]) != hints[field.name] or field.name == "experiment":
                raise TypeError(f"part {part_name!r}: the parameter {field.name!r} needs another name or type")
            meaning = meanings.get(field.name, "")
            texts.setdefault(field.name, []).append(f"{part_name}: {meaning} [{field.default}]")
    fields: list[Any] = [("experiment", str, dataclasses.field(default=next(iter(parts))))]
    fields += [(key, kind | None, dataclasses.field(default=None)) for key, kind in types.items()]
    made = dataclasses.make_dataclass("Params", fields, frozen=True)
    lines = [
        f"experiment : str\n    One of: {', '.join(parts)}.",
        *(f"{k} : x\n    {' '.join(v)}" for k, v in texts.items()),
    ]
    made.__doc__ = "Parameters of the experiment.\n\nParameters\n----------\n" + "\n".join(lines) + "\n"
    return made


def _meanings(params: type) -> dict[str, str]:
    """What the docstring says of each parameter."""
    found: dict[str, str] = {}
    for names, text in re.findall(r"^    (\w[\w, ]*) : .*\n((?: {8}.*\n?)+)", params.__doc__ or "", re.MULTILINE):
        found |= {one.strip(): " ".join(text.split()) for one in names.split(",")}
    return found
