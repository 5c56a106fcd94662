"""The wheel holds what the tree holds, and the tree names all of its packages."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tree() -> set[str]:
    """Files of the package by the names they have when installed."""
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "sdesim").rglob("*") if p.is_file()}
    models = {f"sdesim/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "models").rglob("*.py")}
    return {name for name in ours | models if "__pycache__" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from a copy of the tree."""
    import shutil

    copy = tmp_path_factory.mktemp("tree") / "copy"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("sdesim", "models"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (built,) = (copy / "dist").glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_wheel_holds_exactly_the_tree(wheel: set[str]) -> None:
    assert {name for name in wheel if ".dist-info/" not in name} == tree()


def test_wheel_has_licence_script_and_models(wheel: set[str]) -> None:
    inside = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= inside


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = {p.relative_to(ROOT) for p in (ROOT / "sdesim").rglob("*.py")}
    files |= {"sdesim" / p.relative_to(ROOT) for p in (ROOT / "models").rglob("*.py")}
    assert sorted(listed) == sorted({p.parent.as_posix().replace("/", ".") for p in files})


def test_every_model_has_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    files = {p.stem for p in (ROOT / "models").glob("*.py") if p.stem != "__init__"}
    files |= {p.parent.name for p in (ROOT / "models").glob("*/__init__.py")}
    points = project["entry-points"]["sdesim.models"]
    assert points == {name: f"sdesim.models.{name}:model" for name in sorted(files)}


def test_constraints_pin_every_dependency() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            pins[canonicalize_name(pin.name)] = specifier.version
    for text in asked:
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_import_is_light() -> None:
    code = (
        "import sys, sdesim; heavy = {'torch', 'scipy.stats', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
