"""Papers as models: what to simulate, what to show and what to hold against the text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from sdesim.core.checks import near
from sdesim.study.reference import with_theory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RELATIONS = ("equals", "within", "below", "above")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One ensemble: how a path moves, where it starts, what is watched and for how long.

    Parameters
    ----------
    dynamics : Dynamics
        How a path moves.
    x0 : number, array or law
        Start of every path.
    n_paths : int
        Paths of the ensemble unless the caller asks for another number.
    t_max, n_steps : float, int
        Length of a path, in time or in steps: exactly one of them.
    observers : sequence of Observer
        What is watched.
    vary : mapping of name to values, optional
        A grid of parameter values, one dimension for each name.
    """

    dynamics: Any
    x0: Any
    n_paths: int
    t_max: float | None = None
    n_steps: int | None = None
    observers: Sequence[Any] = ()
    vary: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.t_max is None) == (self.n_steps is None):
            raise ValueError("an Experiment needs t_max or n_steps, exactly one of them")

    def run(self, n_paths: int | None = None, seed: int = 0, **options: Any) -> xr.Dataset:
        """Simulate it; `options` are those of `run` (`threads`, `progress`, `wall_time`, ...)."""
        from sdesim.engine.run import run

        ds = run(
            self.dynamics,
            x0=self.x0,
            n_paths=self.n_paths if n_paths is None else n_paths,
            t_max=self.t_max,
            n_steps=self.n_steps,
            observers=tuple(self.observers),
            vary=self.vary,
            seed=seed,
            **options,
        )
        return with_theory(ds, self.dynamics, self.x0, self.observers, self.vary)


@dataclasses.dataclass(frozen=True)
class Paper:
    """Where a model comes from: authors as "Family, Given and Family, Given", arXiv number if it has one."""

    authors: str
    title: str
    year: int
    arxiv: str | None = None
    doi: str | None = None

    @property
    def key(self) -> str:
        """Citation key: first author's family name, year, first long word of the title."""
        family = self.authors.split(",")[0].split()[-1].lower()
        words = [w.strip(":,").lower() for w in self.title.split()]
        return f"{family}{self.year}{next((w for w in words if len(w) > 4), words[0])}"

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography."""
        fields = {"author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year)}
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv"}
        if self.doi:
            fields["doi"] = self.doi
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@misc{{{self.key},\n{body}\n}}"

    def to_json(self) -> str:
        """The fields and the BibTeX entry, as a dataset's attribute holds them."""
        return json.dumps(dataclasses.asdict(self) | {"bibtex": self.bibtex})


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement of a paper that can come out wrong.

    Parameters
    ----------
    statement : str
        In one sentence.
    source : str
        Theorem, equation or figure.
    measure : callable (seed, level) -> estimate
        Simulates and returns an estimate with `value`, `low`, `high`: the interval that holds the truth with
        probability `level`. A calculated `Reference` (`value`, `error`) will do as well.
    expected : number, or callable without arguments
        What it is compared with.
    relation : {"equals", "within", "below", "above"}
        `equals`: the interval must hold `expected` and be no wider than `precision` either way.
        `within`: the whole interval must lie within `precision` of `expected` (for limits).
        `below`, `above`: the whole interval must lie on that side of `expected`.
    precision : number
        Relative to `|expected|`; absolute where `expected` is 0.
    """

    statement: str
    source: str
    measure: Callable[[int, float], Any]
    expected: float | Callable[[], float]
    relation: str = "equals"
    precision: float | None = None

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"unknown relation {self.relation!r}: {near(self.relation, RELATIONS)}")
        if self.precision is None and self.relation in ("equals", "within"):
            raise ValueError(f"a claim that says {self.relation!r} needs a precision")

    def truth(self) -> float:
        """The expected value."""
        return float(self.expected() if callable(self.expected) else self.expected)


@dataclasses.dataclass(frozen=True)
class Model:
    """One paper: parameters, experiments, figure and claims; all that the command line needs.

    Parameters
    ----------
    name : str
        As in `sdesim run NAME`: author, year, keyword.
    paper : Paper
        Where it comes from.
    Params : type
        A frozen dataclass: names, types, defaults and meanings of the parameters.
    build : callable (params) -> Experiment or mapping of names to Experiment
        Several under names are a comparison: the dataset has the dimension `dynamics`.
    figure : callable (dataset) -> matplotlib Figure, optional
        Drawn from the dataset alone.
    claims : sequence of Claim
        What `sdesim check` holds against the paper.
    """

    name: str
    paper: Paper
    Params: type
    build: Callable[[Any], Experiment | Mapping[str, Experiment]]
    figure: Callable[[xr.Dataset], Figure] | None = None
    claims: Sequence[Claim] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a model's name must be a word such as author2020keyword, got {self.name!r}")
        if not dataclasses.is_dataclass(self.Params):
            raise TypeError(f"Params of model {self.name} must be a dataclass, got {self.Params!r}")

    def params(self, **values: Any) -> Any:
        """The parameters with some values changed; an unknown name lists the near ones."""
        known = [field.name for field in dataclasses.fields(self.Params)]
        for name in values:
            if name not in known:
                raise ValueError(f"model {self.name} has no parameter {name!r}: {near(name, known)}")
        return self.Params(**values)

    def params_of(self, ds: xr.Dataset) -> Any:
        """The parameters that a dataset of this model was made with."""
        return self.params(**json.loads(ds.attrs["parameters"]))

    def run(
        self, params: Any = None, *, n_paths: int | None = None, seed: int = 0, **options: Any
    ) -> xr.Dataset:
        """Simulate the model's experiments; `options` are those of `run`."""
        params = self.Params() if params is None else params
        built = self.build(params)
        if isinstance(built, Experiment):
            ds = built.run(n_paths, seed, **options)
        else:
            ds = compare(_run_each(built, n_paths, seed, options))
        ds.attrs |= {
            "model": self.name,
            "parameters": json.dumps(dataclasses.asdict(params), default=str),
            "paper": self.paper.to_json(),
        }
        return ds


def _run_each(
    experiments: Mapping[str, Experiment], n_paths: int | None, seed: int, options: dict[str, Any]
) -> dict[str, xr.Dataset]:
    """Run one after the other, up to the one that is interrupted."""
    from sdesim.engine.results import status_counts

    done = {}
    for name, experiment in experiments.items():
        done[name] = experiment.run(n_paths, seed, **options)
        if "interrupted" in status_counts(done[name]):
            break
    return done


def compare(runs: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Put datasets of different dynamics side by side.

    Parameters
    ----------
    runs : mapping of name to Dataset
        With the same number of paths and the same observers; a variable that some lack is NaN there.

    Returns
    -------
    Dataset
        With the dimension `dynamics`; the attributes are those of the first, wall times are summed.
    """
    variables = dict.fromkeys(name for run in runs.values() for name in run.data_vars)
    ds = xr.concat(
        list(runs.values()),
        dim="dynamics",
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="override",
    )
    ds = ds[list(variables)].assign_coords(dynamics=("dynamics", list(runs)))
    ds.attrs["dynamics"] = json.dumps({name: str(d.attrs.get("dynamics", "")) for name, d in runs.items()})
    ds.attrs["wall_time"] = float(sum(float(d.attrs.get("wall_time", 0.0)) for d in runs.values()))
    return ds
