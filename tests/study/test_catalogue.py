from pathlib import Path

import pytest

from sdesim.study import catalogue

GOOD = """
import dataclasses
import sdesim.study.model as m

@dataclasses.dataclass(frozen=True)
class Params:
    lr: float = 0.1

paper = m.Paper("Me, Myself", "Mine", 2020)
model = m.Model("mine", paper, Params, lambda p: m.Experiment(None, 0.0, 1, n_steps=1))
"""


def test_shipped_models_are_found_by_name() -> None:
    assert "wang2021truncated" in catalogue.names()
    assert catalogue.find("wang2021truncated").name == "wang2021truncated"


def test_every_model_found_bears_its_own_name() -> None:
    for name in catalogue.names():
        assert catalogue.find(name).name == name


def test_a_file_is_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    assert catalogue.find(str(path)).name == "mine"


def test_a_folder_with_parts_is_a_model_too(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "part.py").write_text(GOOD)
    (folder / "__init__.py").write_text("from .part import model\n")
    assert catalogue.find(f"{folder}/").name == "mine"
    assert catalogue.find(str(folder / "__init__.py")).name == "mine"
    with pytest.raises(ValueError, match="unknown model 'mine'"):
        catalogue.find("mine")


def test_unknown_names_list_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean wang2021truncated"):
        catalogue.find("wang2021truncatd")
    with pytest.raises(FileNotFoundError, match="no such file"):
        catalogue.find(str(tmp_path / "absent.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines no model"),
        ("x = 1\ny = z\n", "line 2: NameError"),
        ("x = (\n", "SyntaxError"),
        ("import nosuchpackage\n", "ModuleNotFoundError"),
    ],
)
def test_files_that_fail_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        catalogue.find(str(path))
    assert "\n" not in str(caught.value)
