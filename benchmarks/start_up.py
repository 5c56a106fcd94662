"""From nothing to the first result: import, compiling a kernel, and loading one in a new process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from muller_brown import FORMULA
from table import Row

WELL = """
import time
began = time.perf_counter()
import sdesim as sd
well = sd.Landscape("x**4/4 - x**2/2")
dynamics = sd.EulerMaruyama(sd.SDE(drift=-well.gradient, diffusion=0.7), dt=1e-2)
given = dict(x0=-1.0, n_paths=1024, t_max=1e4, observers=[sd.FirstExit(sd.Interval(high=0.0))])
"""
PAPER = """
import time
began = time.perf_counter()
import sdesim as sd
from sdesim.models import wang2021truncated as paper
dynamics = paper.dynamics(paper.Params(), truncated=True)
given = dict(x0=0.3, n_paths=64, n_steps=1000, observers=[sd.Passages(paper.landscape(paper.Params()))])
"""
MULLER_BROWN = f"""
import time
began = time.perf_counter()
import sdesim as sd
landscape = sd.Landscape("{FORMULA}")
dynamics = sd.EulerMaruyama(sd.SDE(drift=-landscape.gradient, diffusion=8.0), dt=1e-4)
region = sd.Ball((-0.558, 1.442), 0.6)
given = dict(x0=(-0.558, 1.442), n_paths=64, t_max=1e3, observers=[sd.FirstExit(region)])
"""
RUN = """
ready = time.perf_counter()
ds = sd.run(dynamics, threads=2, progress=False, **given)
print(time.perf_counter() - ready)
"""
PROBLEMS = {"double well": WELL, "paper 11": PAPER, "Müller–Brown": MULLER_BROWN}
REPEATS = 3


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    repeats = 1 if small else REPEATS
    rows: list[Row] = []
    detail: dict[str, Any] = {"remarks": [REMARK], "timings": {}}
    for name, program in PROBLEMS.items():
        seen = [_first_and_second(program + RUN) for _ in range(repeats)]
        detail["timings"][name] = seen
        compiled = statistics.median(s["compile_run"] for s in seen)
        second = statistics.median(s["cached_process"] for s in seen)
        rows.append(Row(f"{name}: first run, kernel compiled", "s", compiled, bar=6.0))
        rows.append(Row(f"{name}: new process to first result, kernel from cache", "s", second, bar=2.5))
    bare, imported, all_names = (_median_wall(code, repeats) for code in ("pass", "import sdesim", ALL_NAMES))
    detail["timings"]["python -c pass"] = bare
    rows.append(Row("python -c 'import sdesim'", "s", imported, bar=1.0))
    rows.append(Row("the same with every public name used", "s", all_names))
    return rows, detail


ALL_NAMES = "import sdesim; [getattr(sdesim, name) for name in sdesim.__all__]"
REMARK = (
    "Start: a first run is timed from the call of `sd.run` to its dataset in a fresh process with an empty "
    "SDESIM_CACHE_DIR; a new process from its launch to its end, interpreter and import included. The formulas "
    "with their gradients are made before the call of `sd.run`, and inside the time of the new process."
)


def _first_and_second(program: str) -> dict[str, float]:
    """A process with an empty cache, and one after it."""
    with tempfile.TemporaryDirectory() as cache:
        first_wall, first_run = _process(program, cache)
        second_wall, second_run = _process(program, cache)
    return {
        "compile_process": first_wall,
        "compile_run": first_run,
        "cached_process": second_wall,
        "cached_run": second_run,
    }


def _process(program: str, cache: str) -> tuple[float, float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SDESIM_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, float(done.stdout)


def _median_wall(code: str, repeats: int) -> float:
    walls = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        walls.append(time.perf_counter() - began)
    return statistics.median(walls[1:])
