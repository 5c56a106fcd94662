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
        assert command in {"list", "run", "exit", "check", "compare", "plot", "info", "as"}, command


def test_models_of_the_readme_are_those_of_the_tree() -> None:
    files = {p.stem for p in (ROOT / "models").glob("*.py") if p.stem != "__init__"}
    files |= {p.parent.name for p in (ROOT / "models").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)) == files


def test_code_of_the_guide_runs() -> None:
    import numpy as np

    import sdesim as sd

    names = {"sd": sd, "np": np}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/guide.md").read_text(), flags=re.DOTALL):
        exec(compile(code, "guide.md", "exec"), names)
    together = sd.run(
        names["chain"], -1.0, 20_000, t_max=1e4, observers=[sd.FirstExit(sd.Interval(high=0.0))]
    )
    assert np.array_equal(names["both"]["exit_time"], together["exit_time"])
    estimate = sd.exits.mean_exit_time(names["fine"])
    assert estimate.high - estimate.low <= 0.0201 * estimate.value
    assert dict(sd.exits.mean_exit_time(names["grid"]).value.sizes) == {"diffusion": 9, "a": 2}
