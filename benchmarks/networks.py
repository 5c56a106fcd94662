"""Ensembles of networks on the digits; what ended paths cost; formulas on both engines."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import peers_networks as peers
import torch
from machine import THREADS
from table import Row
from timing import alternate
from well import START, chain

import sdesim as sd

LR, BATCH = 0.1, 32
MLPS, CNNS = 64, 16


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    detail: dict[str, Any] = {"timings": {}}
    rows = [*_mlps(5 if small else 400, detail), *_cnns(2 if small else 60, detail), *_sde(2 if small else 10, detail)]
    rows += [_retirement(small), _engines(small)]
    detail["remarks"] = [
        "Networks: float32 on scikit-learn's digits; a step is drawn, computed and taken, the time is that of `sd.run` "
        "from start to dataset divided by its steps. The SDE's step has the exact minibatch covariance; its memory is "
        "the peak of a process of its own, above that of a process that takes no step. Ended paths: a double well as "
        "functions of tensors, without correction, in blocks of 256 lanes; lane-steps computed for each step of a path."
    ]
    return rows, detail


def _mlps(steps: int, detail: dict[str, Any]) -> list[Row]:
    data = sd.data.digits()
    objective = sd.network(sd.mlp(64, 32, 10), "cross_entropy", data)
    dynamics = sd.SGD(objective, LR, batch_size=BATCH)
    given = (lambda: sd.mlp(64, 32, 10), MLPS, objective.inputs, objective.targets, BATCH, LR, steps)
    return _against(
        f"{MLPS} networks 64–32–10, batch {BATCH}, a step of all",
        dynamics,
        objective,
        MLPS,
        steps,
        given,
        (6, 0.9),
        detail,
    )


def _cnns(steps: int, detail: dict[str, Any]) -> list[Row]:
    objective = sd.network(sd.cnn(), "cross_entropy", sd.data.digits(image=True))
    dynamics = sd.SGD(objective, LR, batch_size=BATCH)
    given = (sd.cnn, CNNS, objective.inputs, objective.targets, BATCH, LR, steps)
    work = f"{CNNS} convolutional networks of {objective.dim:,} parameters, batch {BATCH}, a step of all"
    return _against(work, dynamics, objective, CNNS, steps, given, (0.9, None), detail)


def _against(
    work: str, dynamics: Any, objective: Any, n: int, steps: int, given: Any, bars: Any, detail: dict[str, Any]
) -> list[Row]:
    x0 = objective.fresh_states(n, 0).double().numpy()
    timed = alternate(
        {
            "sdesim": lambda: sd.run(dynamics, x0, n, n_steps=steps, threads=THREADS, progress=False),
            f"{n} torch.optim.SGD": peers.optimizers(*given),
            "torch.func by hand": peers.by_hand(*given),
        },
        rounds=5,
    )
    ms = {name: t.median / steps * 1e3 for name, t in timed.items()}
    detail["timings"][work] = {name: t.summary() for name, t in timed.items()}
    names = [name for name in ms if name != "sdesim"]
    return [Row(work, "ms", ms["sdesim"], name, ms[name], bar) for name, bar in zip(names, bars, strict=True)]


def _sde(steps: int, detail: dict[str, Any]) -> list[Row]:
    objective = sd.network(sd.mlp(64, 32, 10), "cross_entropy", sd.data.digits())
    x0 = objective.fresh_states(MLPS, 0)
    sde = sd.minibatch_sde(objective, LR, BATCH)
    dw = torch.randn(MLPS, objective.n_examples)

    def full_batch() -> Any:
        x = x0
        for _ in range(steps):
            x = x - LR / 10 * objective.gradient(x)
        return x

    def exact() -> Any:
        x = x0
        for _ in range(steps):
            x = sde.move(None, x, LR / 10, [dw])
        return x

    def through_examples() -> Any:
        for part in x0.split(8):  # all at once do not fit
            gradients = objective.example_gradients(part)
            xi = torch.randn(len(part), 1, objective.n_examples)
            part - LR / 10 * gradients.mean(1) + (xi @ (gradients - gradients.mean(1, keepdim=True)))[:, 0]

    timed = alternate({"ours": exact, "full": full_batch, "examples": through_examples}, rounds=5)
    detail["timings"]["SDE"] = {name: t.summary() for name, t in timed.items()}
    ms = {n: t.median * 1e3 / (1 if n == "examples" else steps) for n, t in timed.items()}
    work = f"SDE step with the exact covariance, {MLPS} networks 64–32–10"
    memory = {kind: _peak(kind) for kind in ("none", "full", "sde")}
    ratio = (memory["sde"] - memory["none"]) / (memory["full"] - memory["none"])
    detail["memory_mib"] = memory
    return [
        Row(f"{work}: times the time of a full-batch gradient step", "×", ms["ours"] / ms["full"], bar=1.3),
        Row(f"{work}: times its memory", "×", ratio, bar=1.3),
        Row(work, "ms", ms["ours"], "through per-example gradients", ms["examples"], 3),
    ]


MEMORY = """
import torch, sdesim as sd
torch.set_num_threads({threads})
objective = sd.network(sd.mlp(64, 32, 10), "cross_entropy", sd.data.digits(), method="vmap")
x, dw = objective.fresh_states({n}, 0), torch.randn({n}, objective.n_examples)
sde = sd.minibatch_sde(objective, {lr}, {batch})
sde.move(None, x[:1], {lr} / 10, [dw[:1]])
for _ in range(3):
    if {kind!r} == "full":
        objective.gradient(x)
    if {kind!r} == "sde":
        sde.move(None, x, {lr} / 10, [dw])
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def _peak(kind: str) -> float:
    """Peak resident memory in MiB of a process that takes three steps of a kind; median of five."""
    script = MEMORY.format(threads=THREADS, n=MLPS, kind=kind, lr=LR, batch=BATCH)
    command = [sys.executable, "-c", script]
    return float(
        np.median([float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5)])
    )


def _retirement(small: bool) -> Row:
    """Lane-steps computed for each step that a path takes until its exit."""
    from sdesim.engine import tensor

    well = sd.from_torchsde(sd.to_torchsde(sd.SDE("x - x**3", 0.9)), 1, autonomous=True)
    computed = []
    turn = tensor._Block._turn

    def counted(self: Any) -> None:
        computed.append(len(self.row))
        turn(self)

    tensor._Block._turn = counted
    try:
        watched = [sd.FirstExit(sd.Interval(high=0.0), correction=None)]
        n = 512 if small else 8192
        ds = sd.run(sd.EulerMaruyama(well, 0.01), -1.0, n, t_max=1e5, observers=watched, block=256, progress=False)
    finally:
        tensor._Block._turn = turn
    steps = ds["n_steps"].values
    longest = float(n * steps.max() / steps.sum())
    work = f"exits of {n:,} paths by retirement: cost against the sum of the exit times (masked: {longest:.0f})"
    return Row(work, "×", float(np.sum(computed) / steps.sum()), bar=1.3)


def _engines(small: bool) -> Row:
    n, steps = 65_536, 20 if small else 200

    def run(engine: str) -> Any:
        return lambda: sd.run(chain(), START, n, n_steps=steps, engine=engine, threads=THREADS, progress=False)

    timed = alternate({engine: run(engine) for engine in ("native", "tensor")}, rounds=5)
    ns = {engine: t.median / n / steps * 1e9 for engine, t in timed.items()}
    return Row(f"double well, {n:,} paths × {steps} steps", "ns/path-step", ns["native"], "tensor engine", ns["tensor"])
