"""What the first screen promises works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_code_of_the_readme_makes_its_figure(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (tmp_path / "double_well.png").read_bytes()[:4] == b"\x89PNG"
    assert "0.95 interval" in done.stdout and "quadrature" in done.stdout


def test_files_the_readme_names_are_there() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / name).is_file(), name
    for command in re.findall(r"sdesim (\w+)", README):
        assert command in {"list", "run", "exit", "check", "plot", "info", "as"}, command


def test_models_of_the_readme_are_those_of_the_tree() -> None:
    files = {p.stem for p in (ROOT / "models").glob("*.py") if p.stem != "__init__"}
    assert set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)) == files
