"""The command line: `sdesim list | run | exit | compare | plot | check | info`, a thin shell over the library."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sdesim.core.checks import near
from sdesim.options import Output, UsageError, named_values, parse, repeated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

USAGE = """usage: sdesim COMMAND ...

  list                       the models there are
  run MODEL|FILE.py          simulate a model: writes a dataset and a figure, prints estimates and theory
  exit FORMULA               exit times of a landscape without a model file
  compare FILE [FILE]        hold the dynamics of a dataset, or two datasets, against each other
  plot FILE                  the figure of a dataset
  check MODEL|--all          hold models against the claims of their papers
  info FILE                  what is in a dataset and how to make it again

sdesim COMMAND --help explains the options of a command.
"""
INTERRUPTED = 130
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 done, 1 a claim does not agree, 2 the user asked for something that is not there,
        130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        if not _deliberate(error):
            raise
        print(f"sdesim: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdesim: interrupted, nothing written", file=sys.stderr)
        return INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in HELP:
        print(USAGE, end="")
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}: {near(name, COMMANDS)}")
    return COMMANDS[name](rest)


def _list(arguments: list[str]) -> int:
    """Print the models there are."""
    from sdesim.study import catalogue

    parse(lambda: None, arguments, "sdesim list", _list.__doc__)
    for name in catalogue.names():
        try:
            print(f"{name:<24} {catalogue.summary(name)}")
        except ValueError as error:
            print(f"{name:<24} broken: {error}")
    return 0


def _run(arguments: list[str]) -> int:
    """Simulate a model: `sdesim run MODEL|FILE.py [--param value ...] [options]`."""
    from sdesim.study import catalogue

    name, rest = _first(arguments, "run", "MODEL|FILE.py")
    if rest == arguments:
        parse(Output, rest, "sdesim run MODEL [--param value ...]", _run.__doc__)
    model = catalogue.find(name)

    def command(params: Any, output: Output) -> tuple[Any, Output]:
        return params, output

    command.__annotations__ = {"params": model.Params, "output": Output}
    params, output = parse(command, rest, f"sdesim run {name}", model.paper.title)
    target = _targets(output, model.name)
    ds = model.run(params, n_paths=output.paths, **output.run_options())
    return _finish(ds, target, output, ["run", *arguments], model.figure)


@dataclasses.dataclass(frozen=True)
class ExitOptions:
    """How a path moves and when it stops.

    Parameters
    ----------
    x0 : numbers
        Start of every path: one number for each variable.
    until : text
        A path stops when this holds, such as "x>0"; more than one may be given.
    noise : text
        Law of the increments: gaussian, stable, pareto, student, uniform or rademacher.
    sigma : number
        Size of the noise: the factor in front of dW, or the scale of a recursion's noise.
    alpha : number
        Index of a stable or Pareto law, degrees of freedom of a Student law.
    isotropic : bool
        Stable noise in several dimensions: the isotropic law, or one for each coordinate.
    dt : number
        Time step (the learning rate of a recursion: pareto, student, uniform, rademacher).
    t_max : number
        Time at which a path that is still inside is censored.
    correction : text
        Exits between steps: auto, bridge or none.
    param : text
        Value of a parameter of the formula, as name=value.
    """

    x0: tuple[float, ...]
    until: Annotated[tuple[str, ...], repeated()]
    noise: str = "gaussian"
    sigma: float = 1.0
    alpha: float | None = None
    isotropic: bool | None = None
    dt: float = 0.01
    t_max: float = 1e4
    correction: str = "auto"
    param: Annotated[tuple[str, ...], repeated()] = ()


def _exit(arguments: list[str]) -> int:
    """First exit times of a landscape: `sdesim exit FORMULA --x0 X --until CONDITION [options]`."""
    from sdesim.study.one_off import exit_experiment

    formula, rest = _first(arguments, "exit", "FORMULA")

    def command(options: ExitOptions, output: Output) -> tuple[ExitOptions, Output]:
        return options, output

    options, output = parse(command, rest, "sdesim exit FORMULA", _exit.__doc__)
    target = _targets(output, "exit")
    asked = vars(options) | {"param": named_values(options.param)}
    experiment = exit_experiment(formula, **asked)
    ds = experiment.run(output.paths, **output.run_options())
    ds.attrs |= {"model": f"exit of {formula}", "parameters": json.dumps(asked)}
    return _finish(ds, target, output, ["exit", *arguments], None)


def _plot(arguments: list[str]) -> int:
    """Draw the figure of a dataset: `sdesim plot FILE [--out PNG] [--overwrite]`."""
    from sdesim.engine import results

    name, rest = _first(arguments, "plot", "FILE")

    def command(out: Path | None = None, overwrite: bool = False) -> tuple[Path | None, bool]:
        return out, overwrite

    out, overwrite = parse(command, rest, "sdesim plot FILE", _plot.__doc__)
    target = _check_figure(Path(name).with_suffix(".png") if out is None else out, overwrite)
    _write_figure(results.load(name), target, None)
    print(f"figure   {target}")
    return 0


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """What is compared and how sure the answer is.

    Parameters
    ----------
    reference : text
        Name of the dynamics that the others are held against; the first one by default.
    observables : text
        Names of variables; all that were recorded by default.
    within : number
        Relative difference of means that still counts as agreement, such as 0.05.
    level : number
        Confidence level.
    permutations : count
        Permutations that p-values rest on.
    paired : text
        Pairs of paths with the same number: auto (where the seeds are the same), yes or no.
    seed : count
        Seed of the permutations.
    """

    reference: str | None = None
    observables: Annotated[tuple[str, ...], repeated()] = ()
    within: float | None = None
    level: float = 0.95
    permutations: int = 999
    paired: str = "auto"
    seed: int = 0


def _compare(arguments: list[str]) -> int:
    """Hold ensembles against each other: `sdesim compare FILE [FILE] [options]`."""
    from sdesim import plot
    from sdesim.analysis.compare.ensembles import compare
    from sdesim.engine import results

    name, rest = _first(arguments, "compare", "FILE")
    more = [a for a in rest[:1] if not a.startswith("-")] if rest != arguments else []

    def command(
        options: CompareOptions, out: Path | None = None, overwrite: bool = False
    ) -> tuple[CompareOptions, Path | None, bool]:
        return options, out, overwrite

    options, out, overwrite = parse(command, rest[len(more) :], "sdesim compare FILE [FILE]", _compare.__doc__)
    ways = {"auto": "auto", "yes": True, "no": False}
    if options.paired not in ways:
        raise UsageError(f"unknown --paired {options.paired!r}: {near(options.paired, ways)}")
    first = Path(name)
    target = _check_figure(first.with_name(f"{first.stem}-compare.png") if out is None else out, overwrite)
    asked = vars(options) | {"paired": ways[options.paired], "observables": options.observables or None}
    data: Any = results.load(name)
    if more:
        if more == [name]:
            raise UsageError(f"{name} is named twice: a dataset agrees with itself, give another one")
        data = {_stem(f, [name, *more]): results.load(f) for f in [name, *more]}
    found = compare(data, **asked)
    print("\n".join([str(found), *_orders(data, options, ways[options.paired])]))
    plot.write(plot.compare(found), target)
    print(f"figure   {target}")
    return 0


def _orders(data: Any, options: Any, paired: Any) -> list[str]:
    """The weak order of each other dynamics in the learning rate, of the first observable, where that is swept."""
    if isinstance(data, dict) or "lr" not in data.dims or data.sizes["lr"] < 2:
        return []
    from sdesim.analysis.compare.order import weak_order

    names = [str(name) for name in data["dynamics"].values]
    first = options.reference or names[0]
    look = {"observable": next(iter(options.observables), None), "level": options.level, "reference": first}
    lines = []
    for name in (name for name in names if name != first):
        try:
            order = weak_order(data, other=name, paired=paired, **look)
            said = f"{order}{f': {order.warning}' if order.warning else ''}"
        except ValueError as error:  # such as a second swept parameter: the comparison stands without an order
            said = f"none: {error}"
        lines.append(f"{name} against {first}: order in lr {said}")
    return lines


def _check(arguments: list[str]) -> int:
    """Hold a model, or all of them, against its paper: `sdesim check MODEL|--all [--seed S] [--json]`."""
    from sdesim.study import catalogue
    from sdesim.study.check import Finding, check

    def command(all: bool = False, json: bool = False, seed: int = 0) -> tuple[bool, bool, int]:
        return all, json, seed

    names = [a for a in arguments[:1] if not a.startswith("-")]
    everything, as_json, seed = parse(command, arguments[len(names) :], "sdesim check MODEL", _check.__doc__)
    if bool(names) == everything:
        raise UsageError("sdesim check needs a model, or --all: " + ", ".join(catalogue.names()))
    models = [catalogue.find(name) for name in (catalogue.names() if everything else names)]

    def report(finding: Finding) -> None:
        if not as_json:
            print(_finding_line(finding), flush=True)

    findings = check(models, seed=seed, report=report)
    if as_json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2))
    return 0 if all(finding.verdict == "agrees" for finding in findings) else 1


def _info(arguments: list[str]) -> int:
    """Say what is in a dataset and how to make it again: `sdesim info FILE`."""
    from sdesim.engine import results

    name, rest = _first(arguments, "info", "FILE")
    parse(lambda: None, rest, "sdesim info FILE", _info.__doc__)
    print(results.describe(results.load(name)))
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "list": _list,
    "run": _run,
    "exit": _exit,
    "compare": _compare,
    "plot": _plot,
    "check": _check,
    "info": _info,
}


def _finish(
    ds: xr.Dataset,
    target: Path,
    output: Output,
    command: list[str],
    figure: Callable[[xr.Dataset], Figure] | None,
) -> int:
    """Write what was simulated, whole or interrupted, and print it."""
    from sdesim.engine import results
    from sdesim.study.table import table

    ds.attrs["command"] = shlex.join(["sdesim", *command])
    results.save(ds, target, overwrite=output.overwrite)
    print(table(ds))
    print(f"dataset  {target}")
    interrupted = "interrupted" in results.status_counts(ds)
    try:
        _write_figure(ds, target.with_suffix(".png"), None if interrupted else figure)
        print(f"figure   {target.with_suffix('.png')}")
    except ValueError as error:  # nothing that can be drawn, every path having diverged: the dataset stays
        print(f"figure   none: {error}")
    return INTERRUPTED if interrupted else 0


def _write_figure(ds: xr.Dataset, target: Path, draw: Callable[[xr.Dataset], Figure] | None) -> None:
    """The model's own figure where it has one, else the standard one."""
    from sdesim import plot
    from sdesim.study import catalogue

    name = str(ds.attrs.get("model", ""))
    if draw is None and name in catalogue.names():
        draw = catalogue.find(name).figure
    plot.write((draw or plot.figure)(ds), target)


def _targets(output: Output, name: str) -> Path:
    """The dataset to write; it and its figure are checked before anything is simulated."""
    from sdesim.engine import results

    if output.paths is not None and output.paths < 1:
        raise UsageError(f"--paths must be at least 1, got {output.paths}")
    if output.seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {output.seed}")
    target = output.out or Path(f"{name}.zarr")
    target = results.check_output(target, overwrite=output.overwrite)
    _check_figure(target.with_suffix(".png"), output.overwrite)
    return target


def _check_figure(target: Path, overwrite: bool) -> Path:
    if target.suffix != ".png":
        raise UsageError(f"a figure must end in .png, got {target}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {target}: the folder {target.parent} does not exist")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists: choose another name or ask to overwrite it with --overwrite")
    return target


def _finding_line(finding: Any) -> str:
    signs = {"equals": "=", "within": "≈", "below": "<", "above": ">"}
    return (
        f"{finding.verdict:<12} {finding.model}: {finding.statement} [{finding.source}]\n"
        f"{'':<12} {finding.value:.6g} in [{finding.low:.6g}, {finding.high:.6g}], expected "
        f"{signs[finding.relation]} {finding.expected:.6g} ({finding.seconds:.1f} s)"
    )


def _stem(name: str, names: list[str]) -> str:
    """A file's name in short, whole where two are alike in short."""
    stems = [Path(other).stem for other in names]
    return Path(name).stem if stems.count(Path(name).stem) == 1 else name


def _first(arguments: list[str], command: str, what: str) -> tuple[str, list[str]]:
    """The argument that a command starts with, and the rest."""
    if arguments and arguments[0] in HELP:
        return what, arguments
    if not arguments or arguments[0].startswith("--"):
        raise UsageError(f"sdesim {command} needs {what} first: sdesim {command} {what} ...")
    return arguments[0], arguments[1:]


def _deliberate(error: Exception) -> bool:
    """True for a refusal (a raise statement, or the system's word on a file), False for a fault."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, OSError) or (frames[-1].line or "").startswith("raise ")


if __name__ == "__main__":
    sys.exit(main())
