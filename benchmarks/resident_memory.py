"""Memory of ten million exit times, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from table import Row

PROGRAM = """
import json, resource, sys, time
import sdesim as sd

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

n, correction = int(sys.argv[1]), None if sys.argv[2] == "None" else sys.argv[2]
well = sd.Landscape("x**4/4 - x**2/2")
dynamics = sd.EulerMaruyama(sd.SDE(drift=-well.gradient, diffusion=0.7), dt=1e-2)
watched = [sd.FirstExit(sd.Interval(high=0.0), correction=correction)]
sd.run(dynamics, -1.0, 64, t_max=1e6, observers=watched, threads=2, progress=False)
before, began = peak(), time.perf_counter()
ds = sd.run(dynamics, -1.0, n, t_max=1e6, observers=watched, threads=2, progress=False)
seconds, ran = time.perf_counter() - began, peak()
estimate = sd.exits.mean_exit_time(ds)
found = {"before": before, "run": ran, "estimate": peak(), "seconds": seconds, "mean": str(estimate)}
found |= {"n_exited": int(estimate.n_exited), "bytes": ds.nbytes, "path_steps": int(ds["n_steps"].sum())}
print(json.dumps(found))
"""
N, LIMIT = 10_000_000, 2.0


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    n = N // 20 if small else N
    detail: dict[str, Any] = {"n_paths": n}
    rows = []
    for correction, name in (("None", "no correction"), ("auto", "bridge correction")):
        seen = detail[name] = _peak(n, correction)
        if seen["n_exited"] != n:
            raise AssertionError(f"{seen['n_exited']} of {n} paths exited")
        work = f"peak resident memory, {n:,} exit times, {name}"
        rows.append(Row(work, "GiB", seen["run"] / 2**30, bar=LIMIT))
        work = "the same with `exits.mean_exit_time` of them"
        rows.append(Row(work, "GiB", seen["estimate"] / 2**30, bar=LIMIT))
    cases = list(detail)[1:]
    runs = "; ".join(f"{name}: {detail[name]['seconds']:.1f} s, {detail[name]['mean']}" for name in cases)
    detail["remarks"] = [f"Memory: `ru_maxrss` of a process of its own, which also ran the paths: {runs}."]
    return rows, detail


def _peak(n: int, correction: str) -> dict[str, Any]:
    command = [sys.executable, "-c", PROGRAM, str(n), correction]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
