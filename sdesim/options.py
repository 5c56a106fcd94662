"""Options of the command line: declared as functions and dataclasses, refused in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdesim.core.checks import near


class UsageError(ValueError):
    """A command line that asks for something that is not there."""


@dataclasses.dataclass(frozen=True)
class Output:
    """How much to simulate and where to put it.

    Parameters
    ----------
    paths : int
        Number of paths (default: what the model says).
    seed : int
        Seed of all random numbers.
    threads : int
        Threads (default: all cores).
    device : text
        Where to compute, such as cpu, cuda or cuda:1 (default: where the model's data are; formulas in compiled code).
    dtype : text
        Floating type on a device: float32 or float64 (default: that of the model, float64 for formulas).
    out : path
        Dataset to write, ending in .zarr or .nc; the figure stands beside it as .png.
    overwrite : bool
        Replace an earlier result of the same name.
    """

    paths: int | None = None
    seed: int = 0
    threads: int | None = None
    device: str | None = None
    dtype: str | None = None
    out: Path | None = None
    overwrite: bool = False

    def run_options(self) -> dict[str, Any]:
        """What `run` is called with."""
        return {
            "seed": self.seed,
            "threads": self.threads,
            "device": self.device,
            "dtype": self.dtype,
            "progress": sys.stderr.isatty(),
        }


def repeated() -> Any:
    """Mark of an option that may be given more than once."""
    import tyro

    return tyro.conf.UseAppendAction


def parse(command: Callable[..., Any], arguments: list[str], prog: str, description: str | None) -> Any:
    """Call `command` with its options; errors are one line, unknown options list near ones."""
    import tyro

    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    options = {f"--{name.replace('_', '-')}" for name in _option_names(command)}
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if argument.startswith("--") and name not in options | {"--help"}:
            raise UsageError(f"unknown option {argument.partition('=')[0]}: {near(name, options)}")
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            value, unknown = tyro.cli(
                command,
                prog=prog,
                description=description,
                args=arguments,
                config=config,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_condensed(errors.getvalue())) from None
    if unknown:
        raise UsageError(f"do not know what to do with {unknown[0]!r}: see {prog} --help")
    return value


def _option_names(command: Callable[..., Any]) -> list[str]:
    names: list[str] = []
    for name, kind in typing.get_type_hints(command).items():
        if dataclasses.is_dataclass(kind):
            names += [field.name for field in dataclasses.fields(kind)]
        elif name != "return":
            names.append(name)
    return names


def _condensed(box: str) -> str:
    """The message in an error box of the option parser, as one line."""
    lines = [line.strip("│ ").strip() for line in box.splitlines() if not re.match(r"\s*[╭╰]", line)]
    until_rule = lines[: next((i for i, line in enumerate(lines) if line.startswith("──")), len(lines))]
    return " ".join(until_rule) or box.strip()


def named_values(items: Sequence[str]) -> dict[str, float]:
    """Values given as name=value."""
    values = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            values[name.strip()] = float(text)
        except ValueError as error:
            raise UsageError(f"--param needs name=value with a number, got {item!r}") from error
    return values
