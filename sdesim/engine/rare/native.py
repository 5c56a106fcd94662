"""Splitting on the native engine: compiled runs on every core, fed from one queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sdesim.core.philox import MASK
from sdesim.dynamics.parameters import parameters, structure
from sdesim.engine.cache import load_kernel
from sdesim.engine.native import FIRST_ROUNDS, MOST_ROUNDS, SECONDS_PER_CALL, Progress, work_until
from sdesim.engine.rare.events import Branches
from sdesim.engine.rare.levels import NEW_STEPS, OLD_STEPS, RUNNING, STATUS
from sdesim.engine.rare.runs import Clones, Report, SplittingPlan, Stop
from sdesim.engine.rare.source import splitting_program, splitting_source
from sdesim.engine.source import LANES
from sdesim.engine.trace import Program

BRANCHES = 4 * LANES  # of all slots of a thread at one level, so that the lanes stay full
MOST_SLOTS = 256


def simulate(plan: SplittingPlan, clones: Clones, rows: np.ndarray, threads: int, stop: Stop, report: Report) -> bool:
    """Make the runs in `rows`, which are in order; returns True unless it was stopped.

    Runs that were under way when it was stopped have the status RUNNING and must be started again.
    """
    program, kernel = _kernel(plan)
    values = parameters(plan.excursion)
    par = program.parameter_values(values, 1)
    queue, halt = _Queue(rows, threads), threading.Event()
    workers = [_Worker(plan, program, kernel, par, clones, queue, halt) for _ in range(max(1, min(threads, len(rows))))]

    progress = Progress(len(rows))

    def ask() -> bool:
        numbers = clones.numbers[rows]
        progress.finished = int((numbers[:, STATUS] != RUNNING).sum())
        progress.path_steps = int(numbers[:, [NEW_STEPS, OLD_STEPS]].sum())
        report(progress)
        return stop()

    if not work_until(workers, threads, halt, ask):
        return False
    ask()
    return bool((clones.numbers[rows, STATUS] != RUNNING).all())


_kernels: dict[Any, tuple[Program, Callable[..., None]]] = {}


def _kernel(plan: SplittingPlan) -> tuple[Program, Callable[..., None]]:
    """The program of an excursion and its compiled kernel, kept for the next one of the same structure."""
    key = (structure(plan.excursion), plan.reveal, plan.from_a)
    if key not in _kernels:
        program = splitting_program(plan.excursion, plan.reveal)
        text = splitting_source(program, plan.reveal, outside=plan.excursion.outside, from_a=plan.from_a)
        _kernels[key] = program, load_kernel(text).split
    return _kernels[key]


class _Queue:
    """Runs still to be made, handed out a few at a time as ranges of neighbours."""

    def __init__(self, rows: np.ndarray, threads: int) -> None:
        self.pieces = [] if not len(rows) else np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        self.left, self.threads, self.lock = len(rows), threads, threading.Lock()

    def take(self, most: int) -> tuple[int, int]:
        with self.lock:
            if not self.left:
                return 0, 0
            piece = self.pieces[0]
            size = min(len(piece), most, -(-self.left // self.threads))
            self.left -= size
            self.pieces = ([piece[size:]] if size < len(piece) else []) + self.pieces[1:]
            return int(piece[0]), int(piece[0]) + size


class _Worker:
    """Lanes and slots of one thread, which persist between calls of the kernel."""

    def __init__(
        self,
        plan: SplittingPlan,
        program: Program,
        kernel: Callable[..., None],
        par: np.ndarray,
        clones: Clones,
        queue: _Queue,
        halt: threading.Event,
    ) -> None:
        self.plan, self.kernel, self.par, self.clones, self.queue, self.halt = plan, kernel, par, clones, queue, halt
        floats, ints = Branches(program, plan.reveal, from_a=plan.from_a).lanes()
        self.floats, self.ints = np.zeros((len(floats), LANES)), np.zeros((len(ints), LANES), np.int64)
        n, room = plan.n_clones, max(2, min(MOST_SLOTS, -(-BRANCHES // plan.kill), plan.n_runs))
        self.slots = np.full((room, 4), -1, np.int64)
        self.slot_level = np.zeros(room)
        self.todo, self.parent = np.zeros((room, n), np.int64), np.zeros((room, n), np.int64)
        self.scratch, self.alive = np.zeros(n), np.zeros(n, np.int64)
        self.bounds = np.zeros(0, np.int64) if plan.reveal is None else plan.reveal.bounds
        self.cursor, self.counters = np.zeros(2, np.int64), np.zeros(2, np.int64)

    def work(self) -> None:
        """Make runs until none are left or the study is stopped."""
        rounds = FIRST_ROUNDS
        while not self.halt.is_set():
            free = int((self.slots[:, 0] < 0).sum())
            if self.cursor[0] >= self.cursor[1] and free:
                self.cursor[:] = self.queue.take(free)
            began = time.perf_counter()
            self._call(rounds)
            took = time.perf_counter() - began
            rounds = int(min(MOST_ROUNDS, max(1, rounds * min(4.0, SECONDS_PER_CALL / max(took, 1e-9)))))
            idle = bool((self.slots[:, 0] < 0).all()) and self.cursor[0] >= self.cursor[1]
            if idle and not self.queue.left:
                return

    def _call(self, rounds: int) -> None:
        plan, c = self.plan, self.clones
        self.kernel(
            np.uint64(plan.key & MASK),
            np.uint64(plan.key >> 32),
            plan.kill,
            plan.smallest,
            plan.max_steps,
            plan.first_run,
            self.cursor,
            rounds,
            self.floats,
            self.ints,
            self.counters,
            self.par,
            c.start,
            c.start_top,
            c.base_steps,
            c.pids,
            c.kept,
            c.tops,
            c.last,
            c.length,
            c.outcome,
            c.numbers,
            c.weight,
            c.levels,
            self.slots,
            self.slot_level,
            self.todo,
            self.parent,
            self.scratch,
            self.alive,
            self.bounds,
        )
