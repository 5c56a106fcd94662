"""The tensor engine: blocks of paths in torch, on a CPU or a GPU, for steps that are not formulas, or are.

A block holds a fixed number of lanes. Each turn draws the noise of every lane, moves it one step and asks the device
one question: has anything happened anywhere? A lane whose path has ended takes the next path, so the cost
follows the sum of the path lengths. When no path is left to load the block shrinks, except for an objective: there
its size never changes, because the shape of a matrix product decides its rounding.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sdesim.core import philox
from sdesim.core.checks import count, near
from sdesim.core.torch_ops import TORCH, words
from sdesim.engine.draws import Draws
from sdesim.engine.ensemble import Ensemble
from sdesim.engine.native import Progress
from sdesim.engine.plan import Plan
from sdesim.engine.results import Status
from sdesim.engine.trace import bind
from sdesim.engine.watching import Watching
from sdesim.observe import bridge
from sdesim.observe.step import Step
from sdesim.problems.data import present

LANES = 16  # blocks are multiples of it: a vector instruction never meets a ragged end
ELEMENTWISE_BLOCK, OBJECTIVE_BLOCK = 16_384, 64
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Device:
    """Where and in what type the states live, how many lanes a block has, and the threads of an operation."""

    device: torch.device
    dtype: torch.dtype
    block: int
    threads: int

    def attributes(self) -> dict[str, Any]:
        """What a dataset says of it."""
        name = str(self.device)
        if self.device.type == "cuda":
            name += f" ({torch.cuda.get_device_name(self.device)})"
        return {"device": name, "dtype": str(self.dtype).removeprefix("torch."), "block": self.block}


def device_for(dynamics: Any, device: str | None, dtype: str | None, block: int | None, threads: int) -> Device:
    """The device of a run, checked.

    Raises
    ------
    ValueError
        For a device that is not there, or a type that is none of DTYPES.
    """
    own = getattr(dynamics, "objective", None)
    place = torch.device("cpu") if own is None else own.device
    if device is not None:
        place = present(device)
    kind = torch.float64 if own is None else own.dtype
    if dtype is not None:
        if dtype not in DTYPES:
            raise ValueError(f"unknown dtype {dtype!r}: {near(dtype, DTYPES)}")
        kind = DTYPES[dtype]
    usual = ELEMENTWISE_BLOCK if own is None else OBJECTIVE_BLOCK
    return Device(place, kind, usual if block is None else count("block", block, least=1), threads)


def simulate(
    plan: Plan,
    ensemble: Ensemble,
    todo: np.ndarray | None,
    where: Device,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> bool:
    """Run the rows in `todo` (all, if None) to their ends; returns True unless it was stopped."""
    rows = np.arange(plan.total) if todo is None else np.asarray(todo)
    progress = Progress(len(rows))
    if todo is None:
        _check_inside(plan, where)
    _check_fits(plan, where)
    before = torch.get_num_threads()
    torch.set_num_threads(where.threads)
    try:
        for cell in range(plan.cells):
            mine = rows[rows // plan.n_paths == cell]
            if not len(mine):
                continue
            block = _Block(plan, cell, ensemble, mine, where, progress, fresh=todo is None)
            finished = block.run(stop, report)
            block.store()
            if not finished:
                return False
    finally:
        torch.set_num_threads(before)
    return True


def _check_fits(plan: Plan, where: Device) -> None:
    """Try one step of a block, and say how many paths fit where the memory does not suffice.

    Raises
    ------
    MemoryError
    """
    dynamics, _, _ = bind(plan.dynamics, plan.watch, plan.in_cell(0))
    wanted = size = min(where.block, -(-plan.n_paths // LANES) * LANES)
    while size:
        try:
            x = torch.as_tensor(np.resize(plan.x0[: plan.n_paths], (size, dynamics.dim))).to(where.device, where.dtype)
            k = torch.zeros(size, dtype=torch.int64, device=where.device)
            with torch.no_grad():
                dynamics.step(TORCH, x, Draws(dynamics, plan.seed, where.dtype)(k, k), k.to(where.dtype))
            break
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            size //= 2
    if size < wanted:
        raise MemoryError(f"a block of {wanted} paths does not fit on {where.device}, {size} paths fit: block={size}")


def _check_inside(plan: Plan, where: Device) -> None:
    """Refuse paths that start outside a region which is a function of tensors."""
    if plan.watch.exit is None or getattr(plan.watch.exit.region, "formulas", True):
        return
    position = getattr(plan.dynamics, "position", lambda x: x)
    for cell in range(plan.cells):
        _, region, _ = bind(plan.dynamics, plan.watch, plan.in_cell(cell))
        for first in range(cell * plan.n_paths, (cell + 1) * plan.n_paths, where.block):
            rows = slice(first, min(first + where.block, (cell + 1) * plan.n_paths))
            x = torch.as_tensor(plan.x0[rows], dtype=where.dtype, device=where.device)
            inside = all_positive(region.margins(TORCH, position(x)))
            if not bool(inside.all()):
                path = first - cell * plan.n_paths + int((~inside).nonzero()[0])
                raise ValueError(f"path {path} starts outside the region {region}: start inside it")


class _Block:
    """The lanes of one cell."""

    def __init__(
        self,
        plan: Plan,
        cell: int,
        ensemble: Ensemble,
        todo: np.ndarray,
        where: Device,
        progress: Progress,
        *,
        fresh: bool,
    ) -> None:
        self.plan, self.cell, self.e, self.where, self.progress = plan, cell, ensemble, where, progress
        self.first_row = cell * plan.n_paths
        self.dynamics, self.region, self.cores = bind(plan.dynamics, plan.watch, plan.in_cell(cell))
        self.position = getattr(self.dynamics, "position", lambda x: x)
        self.every = getattr(self.region, "every", 1)
        self.watching = Watching(plan, cell, self.dynamics, self.region)
        if not fresh:
            self.watching.restore(ensemble, self.rows())
        self.clock, self.n_steps = float(plan.clock[cell]), int(plan.n_steps[cell])
        self.draws = Draws(self.dynamics, plan.seed, where.dtype)
        self.bridge = plan.watch.exit is not None and plan.watch.exit.uses_bridge(self.dynamics)
        times = [s[cell] for s in (plan.record_steps, plan.moment_steps)]
        self.times = np.unique(np.concatenate([*times, [self.n_steps]]))
        self.queue, self.next = todo, 0
        width = min(where.block, -(-len(todo) // LANES) * LANES)
        self.x = torch.zeros(width, self.dynamics.dim, dtype=where.dtype, device=where.device)
        self.k, self.ids, self.due, self.well = (self._integers(width) for _ in range(4))
        self.row = np.full(width, -1)
        self._fill(np.arange(width))

    def rows(self) -> np.ndarray:
        """Rows of the ensemble that belong to the cell."""
        return self.first_row + np.arange(self.plan.n_paths)

    def _integers(self, n: int) -> torch.Tensor:
        return torch.zeros(n, dtype=torch.int64, device=self.where.device)

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, device=self.where.device)

    # Loading paths

    def _fill(self, lanes: np.ndarray) -> None:
        """Put the next paths into these lanes; what finds none stays empty."""
        take = self.queue[self.next : self.next + len(lanes)]
        self.next += len(take)
        self.row[lanes] = -1
        lanes = lanes[: len(take)]
        if not len(lanes):
            return
        self.row[lanes] = take
        self.same_age = self.next == len(take) and bool((self.e.steps[take] == self.e.steps[take[0]]).all())
        local = take - self.first_row
        at = self._on_device(lanes)
        k = self.e.steps[take]
        self.x[at] = self._on_device(self.e.state[take]).to(self.where.dtype)
        self.k[at] = self._on_device(k)
        self.ids[at] = self._on_device(philox.path_id(self.cell, self.plan.start_path + local))
        new = k == 0
        if new.any():
            self.watching.start(self._step(0, lanes[new], self.x[at[self._on_device(new)]]))
        self._set_due(lanes, k)
        self._set_well(lanes)

    def _set_due(self, lanes: np.ndarray, k: np.ndarray) -> None:
        """The next step after k at which somebody looks."""
        later = self.times[np.minimum(np.searchsorted(self.times, k, side="right"), len(self.times) - 1)]
        self.due[self._on_device(lanes)] = self._on_device(later)

    def _set_well(self, lanes: np.ndarray) -> None:
        if self.cores:
            acc = self.watching.acc(self.watching.seen.passages)
            self.well[self._on_device(lanes)] = self._on_device(acc["well"][self.row[lanes] - self.first_row])

    # One turn

    def run(self, stop: Callable[[], bool], report: Callable[[Progress], None]) -> bool:
        """Turn until every path has ended or the run is stopped, at the end of a round of draws."""
        with torch.no_grad(), Interrupt() as interrupt:
            while (self.row >= 0).any():
                self._turn()
                if self.draws.phase == 0:
                    report(self.progress)
                    if interrupt.asked or stop():
                        return self._interrupt()  # before paths are loaded: observers see a start once
                    self._reload()
        return True

    def _turn(self) -> None:
        z = self.draws(self.ids, self.k)
        new = self.dynamics.step(TORCH, self.x, z, self.k[0 if self.same_age else slice(None)].to(self.where.dtype))
        # A sum that is finite has finite terms; one that is not is looked at again.
        flag = ~torch.isfinite(new.sum(dim=-1)) | (self.k + 1 == self.due)
        if self.region is not None:
            flag |= self._outside(new)
        if self.bridge:
            flag |= self._may_cross(new)
        if self.cores:
            here = self._core(new)
            flag |= (here >= 0) & (here != self.well)
        self.progress.path_steps += int((self.row >= 0).sum())
        before, self.x = self.x, new
        self.k += 1
        if bool(flag.any()):
            self._handle(np.flatnonzero(flag.cpu().numpy() & (self.row >= 0)), before)

    def _outside(self, new: torch.Tensor) -> torch.Tensor:
        """Where the region is looked at and does not hold the state."""
        if self.every == 1:
            return ~all_positive(self.region.margins(TORCH, self.position(new)))
        looked = (self.k + 1) % self.every == 0
        if not bool(looked.any()):
            return looked
        return looked & ~all_positive(self.region.margins(TORCH, self.position(new)))

    def _core(self, x: torch.Tensor) -> torch.Tensor:
        """The number of the first core that holds each state, or -1."""
        here = torch.full_like(self.well, -1)
        for j in reversed(range(len(self.cores))):
            here = torch.where(all_positive(self.cores[j].margins(TORCH, x)), j, here)
        return here

    def _may_cross(self, new: torch.Tensor) -> torch.Tensor:
        """Where the upper bits of the bridge's uniform allow a crossing."""
        rarity = bridge.rarity(TORCH, self.dynamics, self.region, self.x, new, self.k)
        turn, place = self.k // self.draws.per_round, self.k % self.draws.per_round
        pair = words(self.plan.seed, self.ids, philox.BRIDGE, turn)
        word = torch.where(place // 2 == 0, pair[..., 0], pair[..., 1])
        high = torch.where(place % 2 == 0, (word >> 32) & philox.MASK, word & philox.MASK)
        return high.to(torch.float64) * 2.0**-32 * rarity < 1

    # What happened

    def _handle(self, lanes: np.ndarray, before: torch.Tensor) -> None:
        """Show the flagged lanes to the observers, step number by step number, and reload those that ended."""
        if not len(lanes):
            return
        k = self.k.cpu().numpy()[lanes]
        ended = np.zeros(len(self.row), dtype=bool)
        for number in np.unique(k):
            group = lanes[k == number]
            ended[group] = self._handle_group(int(number), group, before)
        self.row[ended] = -1
        self.progress.finished += int(ended.sum())
        going = lanes[~ended[lanes]]
        self._set_due(going, self.k.cpu().numpy()[going])
        self._set_well(going)

    def _handle_group(self, k: int, lanes: np.ndarray, before: torch.Tensor) -> np.ndarray:
        at = self._on_device(lanes)
        new, rows = self.x[at], self.row[lanes]
        status = np.zeros(len(lanes), dtype=np.int8)
        good = torch.isfinite(new).all(dim=-1).cpu().numpy()
        status[~good] = Status.DIVERGED
        state = new.to(torch.float64).cpu().numpy()
        if good.any():
            step = self._step(k, lanes[good], new[self._on_device(good)], before[at[self._on_device(good)]])
            left = self.watching.exits(step)
            status[np.flatnonzero(good)[left]] = Status.EXITED
            state[np.flatnonzero(good)[left]] = self._exit_states(step.rows[left])
            if not left.all():
                self.watching.look(step.only(~left))
        if k == self.n_steps:
            status[status == 0] = Status.CENSORED
        done = status != 0
        self.e.state[rows[done]], self.e.steps[rows[done]], self.e.status[rows[done]] = state[done], k, status[done]
        return done

    def _exit_states(self, local: np.ndarray) -> np.ndarray:
        return self.watching.exit_states(local) if len(local) else np.empty((0, self.dynamics.dim))

    def _step(self, k: int, lanes: np.ndarray, x1: torch.Tensor, x0: torch.Tensor | None = None) -> Step:
        start, end = (v.to(torch.float64).cpu().numpy() for v in (x1 if x0 is None else x0, x1))
        local = self.row[lanes] - self.first_row
        ids = philox.path_id(self.cell, self.plan.start_path + local)
        t0, t1 = max(k - 1, 0) * self.clock, k * self.clock
        return Step(k, t0, t1, start, end, local, ids, self.dynamics, self.plan.seed, self.position(x1))

    def _reload(self) -> None:
        """Give empty lanes the next paths; drop lanes for good when there are none and their number decides nothing."""
        empty = np.flatnonzero(self.row < 0)
        if self.next < len(self.queue):
            self._fill(empty)
        elif getattr(self.dynamics, "objective", None) is None:
            width = -(-(len(self.row) - len(empty)) // LANES) * LANES
            if 4 * width <= 3 * len(self.row):
                self._shrink(np.flatnonzero(self.row >= 0), width)

    def _shrink(self, kept: np.ndarray, width: int) -> None:
        lanes = np.concatenate([kept, np.setdiff1d(np.arange(len(self.row)), kept)[: width - len(kept)]])
        at = self._on_device(lanes)
        self.row = self.row[lanes]
        self.x, self.k, self.ids, self.due, self.well = (
            v[at] for v in (self.x, self.k, self.ids, self.due, self.well)
        )

    def _interrupt(self) -> bool:
        going = self.row >= 0
        rows = self.row[going]
        self.e.state[rows] = self.x.to(torch.float64).cpu().numpy()[going]
        self.e.steps[rows] = self.k.cpu().numpy()[going]
        return False

    def store(self) -> None:
        """Results of the cell go into the ensemble."""
        self.watching.store(self.e, self.rows())


class Interrupt:
    """Ctrl-C as a question to be asked between turns: a turn that is cut off would leave a path half moved."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def __exit__(self, *_: Any) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.previous)


def all_positive(margins: list[torch.Tensor]) -> torch.Tensor:
    """Where every margin is positive: inside."""
    inside = margins[0] > 0
    for margin in margins[1:]:
        inside = inside & (margin > 0)
    return inside
