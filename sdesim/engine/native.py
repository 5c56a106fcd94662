"""The native engine: compiled lanes on every core, fed from one queue of paths."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from sdesim.core.philox import MASK
from sdesim.engine.cache import load_kernel
from sdesim.engine.ensemble import Ensemble
from sdesim.engine.plan import Plan
from sdesim.engine.source import GROUP, LANES, kernel_source
from sdesim.engine.trace import Program

SECONDS_PER_CALL = 0.05
FIRST_ROUNDS, MOST_ROUNDS = 64, 1 << 40


@dataclass
class Progress:
    """How far a run has come; read while it goes on."""

    total: int
    path_steps: int = 0
    finished: int = 0


@dataclass
class _Queue:
    """Rows still to be simulated, handed out in pieces that shrink towards the end."""

    end: int
    threads: int
    least: int
    next: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> tuple[int, int]:
        with self.lock:
            first = self.next
            self.next = min(self.end, first + max(self.least, (self.end - first) // (8 * self.threads)))
            return first, self.next

    @property
    def empty(self) -> bool:
        return self.next >= self.end


def default_threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def simulate(
    plan: Plan,
    program: Program,
    ensemble: Ensemble,
    todo: np.ndarray | None,
    threads: int,
    stop: Callable[[], bool],
    report: Callable[[Progress], None],
) -> bool:
    """Run the rows in `todo` (all, if None) to their ends; returns True unless it was stopped.

    Parameters
    ----------
    stop : callable
        Asked often; True ends the run, with unfinished paths marked interrupted and their states kept.
    report : callable
        Told how far the run has come.
    """
    varied = program.varied(set(plan.varied))
    kernel = _kernel(program, varied, plan.watch.record is not None, plan.watch.moments is not None)
    rows = np.empty(0, np.int64) if todo is None else np.ascontiguousarray(todo, dtype=np.int64)
    n = plan.total if todo is None else len(rows)
    threads = max(1, min(threads, n))
    width = min(LANES, -(-n // threads))
    queue = _Queue(n, threads, width)
    progress = Progress(n)
    par = program.parameter_values(plan.values, plan.cells)
    halt = threading.Event()
    workers = [
        _Worker(plan, program, ensemble, kernel, rows, queue, width, halt, par, _lane_rows(program, varied, plan))
        for _ in range(threads)
    ]

    def ask() -> bool:
        progress.path_steps = sum(int(w.counters[1]) for w in workers)
        active = sum(int(w.counters[0]) + int(w.cursor[1] - w.cursor[0]) for w in workers)
        progress.finished = min(queue.next, n) - active
        report(progress)
        return stop()

    if not work_until(workers, threads, halt, ask):
        _collect(workers, ensemble)
        return False
    finished = queue.empty and all(w.counters[0] == 0 and w.cursor[0] >= w.cursor[1] for w in workers)
    ask()
    _collect(workers, ensemble)
    return finished


def _kernel(program: Program, varied: list[bool], record: bool, moments: bool) -> Callable[..., None]:
    """The compiled loop of a program, which keeps it."""
    key = (tuple(varied), record, moments)
    if key not in program.kernels:
        program.kernels[key] = load_kernel(kernel_source(program, varied, record, moments)).advance
    return program.kernels[key]


@lru_cache(maxsize=4)
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for the next run: starting them takes as long as a short run."""
    return ThreadPoolExecutor(threads, thread_name_prefix="sdesim")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # threads do not survive a fork


def _lane_rows(program: Program, varied: list[bool], plan: Plan) -> tuple[int, int]:
    """Rows of the lane arrays: states and varied numbers; round, row, path, due, and the observers' places."""
    ints = 4 + (plan.watch.record is not None) + (plan.watch.moments is not None) + (program.wells > 0)
    return program.dim + sum(varied), ints



def work_until(workers: Sequence[Any], threads: int, halt: threading.Event, ask: Callable[[], bool]) -> bool:
    """Let the workers work until they are done or `ask`, called ten times a second, says stop; False after Ctrl-C."""
    futures = [pool(threads).submit(w.work) for w in workers]
    try:
        while True:
            _, waiting = wait(futures, timeout=0.1)
            if not waiting or ask():
                break
    except KeyboardInterrupt:
        halt.set()
        wait(futures)
        return False
    halt.set()
    for future in futures:
        future.result()
    return True

class _Worker:
    """Lanes of one thread, which persist between calls of the kernel."""

    def __init__(
        self,
        plan: Plan,
        program: Program,
        ensemble: Ensemble,
        kernel: Callable[..., None],
        rows: np.ndarray,
        queue: _Queue,
        width: int,
        halt: threading.Event,
        par: np.ndarray,
        lane_rows: tuple[int, int],
    ) -> None:
        self.plan, self.program, self.ensemble, self.kernel, self.rows = plan, program, ensemble, kernel, rows
        self.queue, self.width, self.halt, self.par = queue, width, halt, par
        self.floats, self.ints = np.zeros((lane_rows[0], LANES)), np.zeros((lane_rows[1], LANES), np.int64)
        self.cursor, self.counters = np.zeros(2, np.int64), np.zeros(2, np.int64)
        self.moment_sums = np.zeros_like(ensemble.moment_sums)
        self.moment_count = np.zeros_like(ensemble.moment_count)

    def work(self) -> None:
        """Take paths until none are left or the run is stopped."""
        rounds = FIRST_ROUNDS
        while not self.halt.is_set():
            if self.cursor[0] >= self.cursor[1]:
                self.cursor[:] = self.queue.take()
            began = time.perf_counter()
            self._call(rounds, drain=self.queue.empty)
            took = time.perf_counter() - began
            rounds = int(min(MOST_ROUNDS, max(1, rounds * min(4.0, SECONDS_PER_CALL / max(took, 1e-9)))))
            if self.counters[0] == 0 and self.queue.empty and self.cursor[0] >= self.cursor[1]:
                return
        self._settle()

    def _call(self, rounds: int, *, drain: bool) -> None:
        plan, e = self.plan, self.ensemble
        about = plan.watch.moments.about if plan.watch.moments else 0.0
        self.kernel(
            np.uint64(plan.seed & MASK),
            np.uint64(plan.seed >> 32),
            plan.n_paths,
            plan.start_path,
            self.rows,
            self.cursor,
            self.width,
            drain,
            rounds,
            self.floats,
            self.ints,
            self.counters,
            self.par,
            plan.n_steps,
            e.state,
            e.steps,
            e.status,
            e.exit_time,
            plan.clock,
            plan.record_steps,
            e.record,
            plan.moment_steps,
            self.moment_sums,
            self.moment_count,
            about,
            e.well,
            e.since,
            e.occupancy,
            e.transitions,
            e.passed,
            e.passage_step,
            e.passage_to,
        )

    def _settle(self) -> None:
        """Move every lane on by a round: observers have seen the start of a path just loaded, which must not recur."""
        waiting = self.cursor.copy()
        self.cursor[:] = 0
        if self.counters[0]:
            self._call(1, drain=True)
        self.cursor[:] = waiting

    def write_back(self) -> None:
        """Keep the state of paths that were under way."""
        e, steps = self.ensemble, self.program.steps
        for i in range(int(self.counters[0])):
            row = self.ints[1, i]
            if row >= 0:
                e.state[row] = self.floats[: self.program.dim, i]
                e.steps[row] = self.ints[0, i] * steps


def _collect(workers: list[_Worker], ensemble: Ensemble) -> None:
    from sdesim.core.exactsum import merge

    for worker in workers:
        worker.write_back()
    if ensemble.moment_sums.size:
        ensemble.moment_sums[:] = merge([ensemble.moment_sums, *(w.moment_sums for w in workers)])
        ensemble.moment_count += sum(w.moment_count for w in workers)


assert LANES % GROUP == 0
