"""Network ensembles on the CPU and, where there is one, on a GPU: paths × steps a second of the same call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from machine import THREADS
from table import Row

import sdesim as sd

LR, BATCH = 0.1, 32
Work = tuple[Callable[[], Any], Callable[[Any], Any], int, int]


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    place = "cuda" if torch.cuda.is_available() else None
    rows, detail = [], {"timings": {}, "device": "none" if place is None else torch.cuda.get_device_name(0)}
    for name, (make, chain, paths, steps) in _works(small).items():
        objective = make()
        here = _rate(chain(objective), objective, paths, steps, threads=THREADS)
        detail["timings"][name] = {"cpu": here}
        if place is None:
            rows.append(Row(f"{name}, {paths} paths", "paths × steps a second on the CPU", here))
            continue
        there = objective.to(place)
        found = _rate(chain(there), there, paths, steps * 4, threads=1)
        detail["timings"][name][place] = found
        # Rows hold times: of a million steps of a path.
        rows.append(Row(f"{name}, {paths} paths, {place}", "s for 10⁶ steps", 1e6 / found, "CPU", 1e6 / here))
    detail["remarks"] = [
        f"Digits, float32, batch {BATCH}; from the call of `sd.run` to its dataset. "
        + ("No GPU was at hand: rates of the CPU alone." if place is None else f"GPU: {detail['device']}.")
    ]
    return rows, detail


def _works(small: bool) -> dict[str, Work]:
    """Objective, dynamics, paths and steps by what is timed."""
    few = 10 if small else 1
    return {
        "SGD of networks 64–32–10": (_mlp, lambda o: sd.SGD(o, LR, batch_size=BATCH), 512 // few, 400 // few),
        "SGD of convolutional networks": (_cnn, lambda o: sd.SGD(o, LR, batch_size=BATCH), 32, 40 // few),
        "SDE of networks 64–32–10, full data a step": (
            _mlp, lambda o: sd.EulerMaruyama(sd.minibatch_sde(o, LR, BATCH), LR / 10), 64, 40 // few,
        ),
        "tangent of SGD, networks 64–32–10": (
            _mlp, lambda o: sd.Tangent(sd.SGD(o, LR, batch_size=BATCH)), 64, 100 // few,
        ),
    }  # fmt: skip


def _mlp() -> Any:
    return sd.network(sd.mlp(64, 32, 10), "cross_entropy", sd.data.digits())


def _cnn() -> Any:
    return sd.network(sd.cnn(), "cross_entropy", sd.data.digits(image=True))


def _rate(dynamics: Any, objective: Any, paths: int, steps: int, threads: int) -> float:
    """Paths × steps a second, the best of three runs after a first."""
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        sd.run(dynamics, objective, paths, n_steps=steps, threads=threads, block=paths, progress=False)
        seconds.append(time.perf_counter() - began)
    return paths * steps / min(seconds[1:])
