"""Every model uses public names of sdesim only, is short, and runs."""

import ast
from pathlib import Path

import pytest

import sdesim as sd
from sdesim.study import catalogue

ROOT = Path(__file__).parents[1] / "models"
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")
ALLOWED = {
    "__future__", "dataclasses", "functools", "math", "statistics", "typing", "collections.abc", "numpy", "sdesim",
}  # fmt: skip
LIBRARIES = {"scipy", "torch"}  # whose modules have names of their own


def allowed(module: str | None) -> bool:
    """Whether a model may import a module."""
    return module in ALLOWED or (module or "").split(".")[0] in LIBRARIES


def chains(tree: ast.AST) -> list[list[str]]:
    """Attribute chains that start at sd: sd.theory.mean_exit_time is ["theory", "mean_exit_time"]."""
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if names and isinstance(node, ast.Name) and node.id == "sd":
            found.append(names)
    return found


def named(path: Path) -> str:
    """Name of a file of a model."""
    return path.relative_to(ROOT).as_posix()


def problems(source: str, in_package: bool = False) -> list[str]:
    """What a model's text does that it may not; files of one model may use each other."""
    tree = ast.parse(source)
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(a.name, a.asname) for a in node.names]
            wrong += [
                f"import {n} as {alias}" for n, alias in names if not allowed(n) or (n == "sdesim") != (alias == "sd")
            ]
        if isinstance(node, ast.ImportFrom) and (not allowed(node.module) or node.module == "sdesim"):
            beside = in_package and node.level == 1 and "." not in (node.module or "")
            wrong += [] if beside else [f"from {'.' * node.level}{node.module} import ..."]
    for chain in chains(tree):
        if chain[0] not in sd.__all__ or any(name.startswith("_") for name in chain):
            wrong.append("sd." + ".".join(chain))
    return wrong


@pytest.mark.parametrize("path", FILES, ids=named)
def test_model_uses_public_names_only(path: Path) -> None:
    assert problems(path.read_text(), in_package=path.parent != ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "import sdesim.engine.run",
        "from sdesim.engine import run",
        "import sdesim",
        "import pandas",
        "from ..digits import norm",
        "from .digits.inner import norm",
        "import sdesim as sd\nsd._private()",
        "import sdesim as sd\nsd.exits._sample(1)",
        "import sdesim as sd\nsd.nothing_of_the_kind()",
    ],
)
def test_private_names_would_be_found(text: str) -> None:
    assert problems(text, in_package=True)


def test_models_of_one_file_use_no_other_file() -> None:
    assert problems("from .digits import norm")
    assert not problems("from .quartic import norm\nfrom . import neuron", in_package=True)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_files_of_models_are_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 330
    assert any(line.startswith("import sdesim as sd") for line in lines)


@pytest.mark.parametrize("name", catalogue.names())
def test_claims_name_their_source(name: str) -> None:
    model = catalogue.find(name)
    assert model.claims
    assert all(claim.statement and claim.source for claim in model.claims)
    assert model.paper.bibtex.startswith("@misc{")


def test_truncated_model_runs_and_draws_its_figure(tmp_path: Path) -> None:
    model = catalogue.find("wang2021truncated")
    params = model.params(lr=0.004, n_steps=20_000)
    ds = model.run(params, n_paths=4, seed=1)
    assert list(ds["dynamics"].values) == ["untruncated", "truncated"]
    assert ds.sizes["path"] == 4
    watched = ds["occupancy_time"].sum("well") / (0.004 * 20_000)
    assert (watched > 0.95).all() and (watched <= 1).all()
    jumps = abs(ds["state"].diff("time"))
    assert model.params_of(ds) == params
    drawn = model.figure(ds)
    assert drawn.axes[0].get_title() == "landscape and its wells"
    sd.plot.write(drawn, tmp_path / "figure.png")
    assert jumps.notnull().all()
