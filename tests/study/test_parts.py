import dataclasses
import types
from typing import Any

import pytest

import sdesim as sd

PAPER = sd.Paper("Me, Myself", "Parts", 2020)


@dataclasses.dataclass(frozen=True)
class Decay:
    """Decay.

    Parameters
    ----------
    dt, t_max : float
        Step and length.
    rate : float
        Of the decay.
    """

    dt: float = 0.1
    t_max: float = 1.0
    rate: float = 1.0


@dataclasses.dataclass(frozen=True)
class Walk:
    """Walk.

    Parameters
    ----------
    dt : float
        Time between steps.
    n_steps : int
        Of a path.
    """

    dt: float = 0.5
    n_steps: int = 4


@dataclasses.dataclass(frozen=True)
class Clash:
    """A parameter of another type."""

    dt: int = 1


def part(params: Any, statement: str) -> Any:
    """A module that returns the parameters it was called with."""
    claim = sd.Claim(statement, "", lambda seed, level: None, 0.0, "above")
    return types.SimpleNamespace(Params=params, build=lambda p: p, figure=lambda ds, p: p, CLAIMS=(claim,))


model = sd.from_parts("both", PAPER, {"decay": part(Decay, "falls"), "walk": part(Walk, "spreads")})


def test_each_part_gets_its_own_parameters_and_defaults() -> None:
    assert model.build(model.params()) == Decay()
    assert model.build(model.params(experiment="decay", dt=0.2)) == Decay(dt=0.2)
    assert model.build(model.params(experiment="walk", n_steps=7)) == Walk(n_steps=7)


def test_claims_of_all_parts_stand_one_after_the_other() -> None:
    assert [claim.statement for claim in model.claims] == ["falls", "spreads"]


def test_figure_is_that_of_the_part_that_made_the_dataset() -> None:
    import xarray as xr

    ds = xr.Dataset(attrs={"parameters": '{"experiment": "walk", "dt": 0.25, "t_max": null}'})
    assert model.figure is not None
    assert model.figure(ds) == Walk(dt=0.25)


def test_help_tells_each_part_its_meaning_and_default() -> None:
    text = model.Params.__doc__ or ""
    assert "One of: decay, walk." in text
    assert "decay: Step and length. [0.1] walk: Time between steps. [0.5]" in text
    assert "decay: Step and length. [1.0]" in text


def test_bad_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown experiment 'wolk' of both: did you mean walk"):
        model.build(model.params(experiment="wolk"))
    with pytest.raises(ValueError, match="experiment 'walk' of both has no parameter 'rate': known: dt, n_steps"):
        model.build(model.params(experiment="walk", rate=2.0))
    with pytest.raises(TypeError, match="part 'clash': the parameter 'dt' needs another name or type"):
        sd.from_parts("clashing", PAPER, {"decay": part(Decay, ""), "clash": part(Clash, "")})
