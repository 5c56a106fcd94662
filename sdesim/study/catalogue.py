"""Finding models: installed ones by name, a user's own by file."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from sdesim.core.checks import near
from sdesim.study.model import Model

GROUP = "sdesim.models"


def names() -> list[str]:
    """The models that can be named: those that ship with sdesim and those of other packages, sorted."""
    return sorted(_shipped() | set(_entry_points()))


def find(name: str) -> Model:
    """A model by its name, or by the path of a Python file or of a package's folder that defines `model`.

    Raises
    ------
    ValueError
        If there is no such model, or its file holds none or fails.
    FileNotFoundError
        If the file does not exist.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if "/" in name and (Path(name) / "__init__.py").is_file():
        return _from_file(Path(name) / "__init__.py")
    if name in _shipped():
        return _model_of(importlib.import_module(f"{GROUP}.{name}"), name)
    points = _entry_points()
    if name in points:
        try:
            found = points[name].load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"model {name} of {points[name].value} cannot be loaded: {error}") from error
        return found if isinstance(found, Model) else _model_of(found, name)
    raise ValueError(f"unknown model {name!r}: {near(name, names())} (or give a file: ./mine.py, ./mine/)")


def summary(name: str) -> str:
    """What a model is about: the first line of its file, and the paper's first author and year."""
    paper = find(name).paper
    module = sys.modules.get(f"{GROUP}.{name}")
    text = (module.__doc__ or "").strip() if module else ""
    about = text.splitlines()[0].rstrip(".") if text else paper.title
    return f"{about} [{paper.authors.split(',')[0]} {paper.year}]"


def _shipped() -> set[str]:
    package = importlib.import_module(GROUP)
    return {found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_")}


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _from_file(path: Path) -> Model:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    folder = path.resolve().parent if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        f"sdesim_user_{folder.name if folder else path.stem}",
        path,
        submodule_search_locations=[str(folder)] if folder else None,
    )
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise ValueError(f"{path}{_line_in(path, error)}: {type(error).__name__}: {error}") from error
    return _model_of(module, str(path))


def _line_in(path: Path, error: Exception) -> str:
    """The line of the user's file at which it failed."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f", line {lines[-1]}" if lines else ""


def _model_of(module: ModuleType, name: str) -> Model:
    model = getattr(module, "model", None)
    if not isinstance(model, Model):
        raise ValueError(f"{name} defines no model: write `model = sdesim.Model(...)` at its end")
    return model
