"""run: the one way to simulate anything."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sdesim.core.checks import count, near, positive
from sdesim.dynamics.parameters import structure
from sdesim.engine import native, reference
from sdesim.engine.dataset import attributes, dataset
from sdesim.engine.ensemble import Ensemble, check_memory, new_ensemble
from sdesim.engine.native import Progress, default_threads
from sdesim.engine.plan import Plan, make_plan, with_start
from sdesim.engine.progress import progress_bar
from sdesim.engine.resume import check_resumable, restore
from sdesim.engine.stability_warning import warn_if_unstable
from sdesim.engine.trace import Program, Watch, trace, watch

ENGINES = ("auto", "native", "tensor", "reference")


def run(
    dynamics: Any,
    x0: Any,
    n_paths: int = 1024,
    *,
    t_max: float | None = None,
    n_steps: int | None = None,
    observers: Sequence[Any] = (),
    seed: int = 0,
    start_path: int = 0,
    vary: Mapping[str, Any] | None = None,
    engine: str = "auto",
    device: str | None = None,
    dtype: str | None = None,
    block: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    wall_time: float | None = None,
    resume: xr.Dataset | None = None,
) -> xr.Dataset:
    """Simulate an ensemble of paths and return a labelled dataset.

    Path p of a seed is the same path whatever else is simulated with it: the result does not depend on threads,
    batches or interruptions, and a larger ensemble begins with the smaller one.

    Parameters
    ----------
    dynamics : EulerMaruyama, Heun, Milstein, SGD, Momentum, Truncated or Projected
        How a path moves.
    x0 : float, array (d,), array (n_paths, d), law, or objective
        Where paths start; an objective made by `network` gives each path fresh weights of its own.
    n_paths : int
        Paths in each cell of the grid.
    t_max, n_steps : float, int
        Where paths end that nothing has stopped; one of them.
    observers : sequence
        FirstExit, Record, Moments, Passages, at most one of each.
    seed : int
        In [0, 2**64).
    start_path : int
        Number of the first path: a run from 1000 appends to one of 1000 paths (see `concat`).
    vary : dict of name -> list of values
        Parameters to vary: a grid of cells, each with its own paths; adds one dimension per name.
    engine : "auto", "native", "tensor" or "reference"
        "auto": native for formulas, tensor for everything else and on a device. "reference" is plain NumPy over the
        same random numbers, slow and easy to read.
    device : str, optional
        Where the tensor engine computes: "cpu", "cuda", "cuda:1", ...; default: where the objective is, else the CPU.
        Objectives in the dynamics and in what observers watch follow, in the dtype as well.
    dtype : "float32" or "float64", optional
        Of the tensor engine's states; default: that of the objective, float64 for formulas.
    block : int, optional
        Paths that the tensor engine moves at once.
    threads : int, optional
        Default: the cores this process may use.
    progress : bool, optional
        Show a progress line; default: when standard error is a terminal.
    wall_time : float, optional
        Seconds after which the run is stopped; it returns what it has.
    resume : Dataset, optional
        An interrupted result of the same call, to be completed.

    Returns
    -------
    xarray.Dataset
        Dims: the varied parameters, path, time, component (when d > 1). Variables: status, n_steps, final_state,
        clock, and those of the observers. Ctrl-C or the time limit returns it with the unfinished paths marked
        `interrupted`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        Before any work: one line that says what was given, what is possible and what to write instead.
    """
    began = time.perf_counter()
    seen = watch(observers)
    engine = _chosen(engine, dynamics, seen, {"device": device, "dtype": dtype, "block": block})
    if engine == "reference" and resume is not None:
        raise ValueError("the reference engine cannot resume: use engine='native'")
    threads = default_threads() if threads is None else count("threads", threads, least=1)
    if engine == "tensor" and (device is not None or dtype is not None):
        dynamics, observers = _placed(dynamics, observers, device, dtype)
        seen = watch(observers)
    if wall_time is not None:
        positive("wall_time", wall_time)
    plan = make_plan(dynamics, seen, n_paths, t_max, n_steps, seed, start_path, vary)
    describe = {
        "dynamics": repr(dynamics),
        "observers": repr(tuple(observers)),
        "fingerprint": _fingerprint(plan, x0),
    }
    todo = None if resume is None else check_resumable(resume, plan, describe["fingerprint"])
    need = check_memory(plan)
    plan = with_start(plan, x0)
    if resume is None:
        warn_if_unstable(plan)
    move, bridge, more = _prepared(engine, plan, threads, device, dtype, block)
    ensemble = new_ensemble(plan, bridge=bridge)
    objective = getattr(plan.dynamics, "objective", None)
    if resume is not None:
        restore(ensemble, plan, resume)
        if objective is not None:
            objective.use_forms(resume.attrs.get("forms", "[]"))
    limit = None if wall_time is None else began + wall_time
    shown = sys.stderr.isatty() if progress is None else progress
    with progress_bar(plan.total if todo is None else len(todo), need, shown) as report:
        if todo is None or len(todo):
            move(ensemble, todo, _stopper(limit), report)
    placed: dict[str, Any] = {"engine": engine} if engine != "native" else {}
    placed |= {k: v for k, v in {"device": device, "dtype": dtype, "block": block}.items() if v is not None}
    command = _command(plan, dynamics, x0, observers, placed)
    attrs = attributes(plan, describe, engine=engine, threads=threads, command=command)
    attrs |= more
    attrs |= {} if objective is None else _of_objective(objective)
    attrs["wall_time"] = time.perf_counter() - began
    attrs["creation_library"] = _library()
    return dataset(plan, ensemble, attrs)


def _chosen(engine: str, dynamics: Any, seen: Watch, tensor_options: dict[str, Any]) -> str:
    """The engine that runs, "auto" resolved."""
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: {near(engine, ENGINES)}")
    given = [f"{name}={value!r}" for name, value in tensor_options.items() if value is not None]
    region = None if seen.exit is None else seen.exit.region
    parts = {type(dynamics).__name__: dynamics, type(region).__name__: region}
    foreign = [name for name, part in parts.items() if not getattr(part, "formulas", True)]
    foreign += ["Record(values=...)"] if seen.record is not None and seen.record.values else []
    if engine == "auto":
        engine = "tensor" if given or foreign else "native"
    if engine != "tensor" and given:
        raise ValueError(f"{given[0]} is for engine='tensor', got engine={engine!r}")
    if engine != "tensor" and foreign:
        raise ValueError(f"engine={engine!r} runs formulas alone: use engine='tensor' for {foreign[0]}")
    return engine


def _placed(dynamics: Any, observers: Sequence[Any], device: str | None, dtype: str | None) -> tuple[Any, Any]:
    """Dynamics and observers with their objectives on the device, both checked."""
    from sdesim.engine import tensor
    from sdesim.engine.moving import Mover

    where = tensor.device_for(dynamics, device, dtype, None, 1)
    mover = Mover(None if device is None else where.device, None if dtype is None else where.dtype)
    return mover(dynamics), mover(tuple(observers))


Move = Callable[[Ensemble, np.ndarray | None, Callable[[], bool], Callable[[Progress], None]], Any]


def _prepared(
    engine: str, plan: Plan, threads: int, device: str | None, dtype: str | None, block: int | None
) -> tuple[Move, bool, dict[str, Any]]:
    """What moves an ensemble, whether it corrects exits, and what to note in the dataset."""
    if engine == "native":
        program = _traced(plan.dynamics, plan.watch)

        def native_move(e: Ensemble, todo: Any, stop: Any, report: Any) -> bool:
            return native.simulate(plan, program, e, todo, threads, stop, report)

        return native_move, program.bridge, {}
    bridge = plan.watch.exit is not None and plan.watch.exit.uses_bridge(plan.dynamics)
    if engine == "reference":
        return lambda e, todo, stop, report: reference.simulate(plan, e, stop, report), bridge, {}
    from sdesim.engine import tensor

    where = tensor.device_for(plan.dynamics, device, dtype, block, threads)

    def tensor_move(e: Ensemble, todo: Any, stop: Any, report: Any) -> bool:
        return tensor.simulate(plan, e, todo, where, stop, report)

    return tensor_move, bridge, where.attributes()


def _of_objective(objective: Any) -> dict[str, Any]:
    """What reading and resuming a run of an objective needs: the forms it was computed in, the names of its weights."""
    layout = {} if objective.layout is None else {"layout": objective.layout.to_json()}
    return {"forms": objective.forms()} | layout


def _traced(dynamics: Any, seen: Watch) -> Program:
    """The traced program, kept for the next run of the same structure."""
    wells = len(seen.passages.cores()) if seen.passages else 0
    key = (structure(dynamics), structure(seen.exit), seen.record is None, seen.moments is None, wells)
    if key not in _programs:
        _programs[key] = trace(dynamics, seen)
    return _programs[key]


_programs: dict[Any, Program] = {}


def _stopper(limit: float | None) -> Callable[[], bool]:
    return (lambda: False) if limit is None else (lambda: time.perf_counter() > limit)


def _fingerprint(plan: Plan, x0: Any) -> str:
    """What decides the law and the numbers of every path, as a short hash."""
    start = "array" if isinstance(x0, np.ndarray) and x0.size > plan.dynamics.dim else repr(x0)
    grid = {name: values.tolist() for name, values in plan.grid.items()}
    what = (repr(plan.dynamics), repr(plan.watch), start, plan.seed, grid, plan.n_steps.tolist())
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _command(plan: Plan, dynamics: Any, x0: Any, observers: Sequence[Any], placed: dict[str, Any]) -> str:
    """The call that makes the dataset again; `placed` are the options of where it is computed."""
    vary = {name: values.tolist() for name, values in plan.grid.items()}
    options = ({"vary": vary} if vary else {}) | placed
    steps = sorted(set(plan.n_steps.tolist()))
    horizon = f"n_steps={steps[0]}" if len(steps) == 1 else f"t_max={steps[0] * plan.clock.max():.17g}"
    return (
        f"sd.run({dynamics!r}, x0={x0!r}, n_paths={plan.n_paths}, {horizon}, observers={tuple(observers)!r}, "
        f"seed={plan.seed}, start_path={plan.start_path}"
        + "".join(f", {name}={value!r}" for name, value in options.items())
        + ")"
    )


def _library() -> str:
    from sdesim import __version__

    return f"sdesim {__version__}"
