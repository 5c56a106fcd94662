"""Splitting on the tensor engine: branches of all runs share one block of lanes, on a CPU or a GPU.

As in the native engine a parent is followed again to find the state where its copy sets out, so that no trajectory is
kept and the memory is that of the clones. A lane whose copy sets out waits for the next round of draws.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sdesim.core.philox import MASK
from sdesim.core.torch_ops import TORCH
from sdesim.engine import tensor
from sdesim.engine.draws import Draws
from sdesim.engine.native import Progress
from sdesim.engine.rare.draws import Between, KnownDraws
from sdesim.engine.rare.levels import (
    CUT,
    DIVERGED,
    HUGE,
    LOST,
    N_CUT,
    N_DIVERGED,
    NEW_STEPS,
    OLD_STEPS,
    REACHED,
    RETURNED,
    RUNNING,
    STATUS,
    branch_ended,
    next_slot,
)
from sdesim.engine.rare.runs import Clones, Report, SplittingPlan, Stop
from sdesim.engine.tensor import LANES, Device, Interrupt, all_positive

SMALL = 16_384  # lanes below which threads cost more than they save


def device_for(plan: SplittingPlan, device: str | None, dtype: str | None, block: int | None, threads: int) -> Device:
    """The device of a study, checked.

    Raises
    ------
    ValueError
        For a device that is not there, a type that is none, or steps that depend on more than the state.
    """
    inner = plan.dynamics
    while hasattr(inner, "dynamics"):
        inner = inner.dynamics
    if getattr(inner, "sampling", "") == "epochs":
        raise ValueError(
            "a batch of reshuffled epochs depends on the batches before it, which a copy of a path does not share: "
            "use sampling='replacement' or 'fresh'"
        )
    return tensor.device_for(plan.dynamics, device, dtype, block, threads)


def seen(plan: SplittingPlan, where: Device) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of paths at the starts (see `levels`), 0 if they go on, and their coordinates.

    Raises
    ------
    ValueError
        If the coordinate is not one number a path.
    """
    with torch.no_grad():
        code, height = _seen(plan, torch.as_tensor(plan.starts, dtype=where.dtype, device=where.device))
    if height.shape != code.shape:
        raise ValueError(
            f"the coordinate must give one number a path, shape {tuple(code.shape)}, got {tuple(height.shape)}"
        )
    return code.cpu().numpy(), height.cpu().numpy()


def _seen(plan: SplittingPlan, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where states lie, 0 if in neither set, and their coordinates."""
    e = plan.excursion
    place = e.position(x)
    in_b = all_positive(e.b.margins(TORCH, place))
    code = torch.where(all_positive(e.a.margins(TORCH, place)), RETURNED, 0)
    code = torch.where(~in_b if e.outside else in_b, REACHED, code)
    code = torch.where(torch.isfinite(x).all(dim=-1), code, DIVERGED)
    return code, e.coordinate(TORCH, place).to(torch.float64).clamp(max=HUGE)


def simulate(plan: SplittingPlan, clones: Clones, rows: np.ndarray, where: Device, stop: Stop, report: Report) -> bool:
    """Make the runs in `rows`; returns True unless it was stopped, with the runs under way left RUNNING."""
    before = torch.get_num_threads()
    small = getattr(plan.dynamics, "objective", None) is None and _width(plan, len(rows), where) < SMALL
    torch.set_num_threads(1 if small else where.threads)
    try:
        with torch.no_grad(), Interrupt() as interrupt:
            for piece in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
                block = _Block(plan, clones, piece, where, len(rows))
                if not block.run(lambda: interrupt.asked or stop(), report):
                    return False
    finally:
        torch.set_num_threads(before)
    return True


def _width(plan: SplittingPlan, n_runs: int, where: Device) -> int:
    """Lanes of a block: as many as branches are under way at a level, but for an objective always the same."""
    if getattr(plan.dynamics, "objective", None) is not None:
        return where.block
    return min(where.block, -(-n_runs * plan.kill * 2 // LANES) * LANES)


class _Block:
    """Lanes that make a range of neighbouring runs."""

    def __init__(self, plan: SplittingPlan, clones: Clones, rows: np.ndarray, where: Device, total: int) -> None:
        self.plan, self.clones, self.where, self.dynamics = plan, clones, where, plan.dynamics
        self.cursor = np.array([rows[0], rows[-1] + 1])
        width = _width(plan, len(rows), where)
        room = max(1, min(len(rows), -(-4 * width // plan.kill)))
        self.slots, self.slot_level = np.full((room, 4), -1, np.int64), np.zeros(room)
        n = plan.n_clones
        self.todo, self.parent = np.zeros((room, n), np.int64), np.zeros((room, n), np.int64)
        self.scratch, self.alive = np.zeros(n), np.zeros(n, np.int64)
        self.x = torch.zeros(width, self.dynamics.dim, dtype=where.dtype, device=where.device)
        self.k, self.base, self.ids = (torch.zeros(width, dtype=torch.int64, device=where.device) for _ in range(3))
        self.top, self.target = (torch.zeros(width, dtype=torch.float64, device=where.device) for _ in range(2))
        self.away = torch.ones(width, dtype=torch.bool, device=where.device)
        self.active = torch.zeros(width, dtype=torch.bool, device=where.device)
        self.slot, self.clone = np.full(width, -1), np.zeros(width, np.int64)
        self.waiting = np.zeros(width, dtype=bool)  # copies that set out with the next round
        self.progress, self.total, self.rows = Progress(total), total, rows
        self.key = np.uint64(plan.key & MASK), np.uint64(plan.key >> 32)
        self.between: Between | None = None
        self.height_within = torch.zeros_like(self.top)
        if plan.reveal is None:
            self.draws = Draws(self.dynamics, plan.key, where.dtype)
        else:
            self.kept = torch.zeros(width, plan.reveal.columns, dtype=torch.int64, device=where.device)
            self.draws = KnownDraws(self.dynamics, plan.key, where.dtype, plan.reveal, self.kept)

    def run(self, stop: Stop, report: Report) -> bool:
        """Turn until every run has ended or the study is stopped."""
        while True:
            if self.draws.phase == 0:
                self._fill()
                if not (self.slot >= 0).any():
                    return True
                self.progress.finished = int((self.clones.numbers[self.rows, STATUS] != RUNNING).sum())
                report(self.progress)
                if stop():
                    return False
            self._turn()

    # Loading

    def _fill(self) -> None:
        """Send waiting copies on their way and give free lanes the next branches."""
        loads = [(i, self.slots[self.slot[i], 0], self.clone[i], math.inf) for i in np.flatnonzero(self.waiting)]
        self.waiting[:] = False
        for lane in np.flatnonzero(self.slot < 0):
            found = self._next()
            if found is None:
                break
            slot, self.clone[lane], who, target = found
            self.slot[lane] = slot
            loads.append((lane, self.slots[slot, 0], who, target))
        if loads:
            self._load(*(np.array(column) for column in zip(*loads, strict=True)))

    def _next(self) -> tuple[int, int, int, float] | None:
        """Slot, clone, whom to follow and to which height, of the next branch."""
        c = self.clones
        while True:
            slot = next_slot(self.slots, self.slot_level, self.todo, self.parent, self.cursor)
            if slot < 0:
                return None
            row, j = self.slots[slot, 0], self.slots[slot, 2]
            self.slots[slot, 2] += 1
            self.slots[slot, 3] += 1
            clone, of = self.todo[slot, j], self.parent[slot, j]
            if of < 0:
                return slot, clone, clone, math.inf
            if c.start_top[row, of] <= self.slot_level[slot]:
                return slot, clone, of, self.slot_level[slot]
            for array in (c.start, c.start_top, c.base_steps, c.kept):
                array[row, clone] = array[row, of]
            if c.start_top[row, of] < math.inf:
                return slot, clone, clone, math.inf
            for array in (c.last, c.length, c.outcome, c.tops):
                array[row, clone] = array[row, of]
            self._ended(slot)

    def _load(self, lanes: np.ndarray, rows: np.ndarray, who: np.ndarray, targets: np.ndarray) -> None:
        c, at = self.clones, self._on_device(lanes)
        self.x[at] = self._on_device(c.start[rows, who]).to(self.where.dtype)
        self.k[at] = 0
        self.base[at], self.ids[at] = self._on_device(c.base_steps[rows, who]), self._on_device(c.pids[rows, who])
        self.top[at], self.target[at] = self._on_device(c.start_top[rows, who]), self._on_device(targets)
        self.active[at] = True
        if self.plan.reveal is not None:
            self.kept[at] = self._on_device(c.kept[rows, who, : self.plan.reveal.columns])
        if self.plan.from_a:
            self.away[at] = self._on_device(c.kept[rows, who, -1] != 0)

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, device=self.where.device)

    # One step

    def _turn(self) -> None:
        phase = self.draws.phase
        z = self.draws(self.ids, self.k)
        step = self.base + self.k
        new = self.dynamics.step(TORCH, self.x, z, step.to(self.where.dtype))
        code, height = _seen(self.plan, new)
        away = self.away
        if self.plan.from_a:
            self.away = away | (code != RETURNED)
            code = torch.where((code == RETURNED) & ~away, 0, code)
        code = torch.where((code == 0) & (step + 1 >= self.plan.max_steps) & ~(height > self.target), CUT, code)
        height = torch.where(code == REACHED, math.inf, height)
        self.progress.path_steps += int(self.active.sum())
        bounds = self._within(phase, step)
        rises = (code <= REACHED) & (height > self.top) & (bounds == 0)
        self.top = torch.where(rises, height, self.top)
        flag = self.active & ((code != 0) | (height > self.target) | (bounds != 0))
        before, self.x = self.x, new
        self.k += 1
        if bool(flag.any()):
            at = flag.nonzero()[:, 0]
            away = torch.where(bounds != 0, away, self.away)
            self._handle(at, before[at], code[at], height[at], bounds[at], step[at], away[at])

    def _within(self, phase: int, step: torch.Tensor) -> torch.Tensor:
        """Bounds of the states in between from which copies set out, 0 for the other lanes."""
        bounds = torch.zeros_like(self.k)
        if not isinstance(self.draws, KnownDraws) or self.plan.reveal is None:
            return bounds
        self.between = Between(self.plan.excursion, self.plan.reveal, self.draws.words(phase))
        at = (self.between.large & self.active).nonzero()[:, 0]
        if len(at):
            k = step[at].to(self.where.dtype)
            found = self.between.first_above(at, self.x[at], k, self.top[at], self.target[at])
            self.top[at], bounds[at], self.height_within[at] = found
        return bounds

    # What happened

    def _handle(
        self,
        at: torch.Tensor,
        before: torch.Tensor,
        code: torch.Tensor,
        height: torch.Tensor,
        bounds: torch.Tensor,
        step: torch.Tensor,
        away: torch.Tensor,
    ) -> None:
        """Make copies that set out, and end what has ended."""
        c, lanes = self.clones, at.cpu().numpy()
        rows, who = self.slots[self.slot[lanes], 0], self.clone[lanes]
        inner = (bounds != 0).cpu().numpy()
        codes, heights = code.cpu().numpy(), height.cpu().numpy()
        steps, base = step.cpu().numpy(), self.base[at].cpu().numpy()
        target, top = self.target[at].cpu().numpy(), self.top[at].cpu().numpy()
        state = self.x[at].to(torch.float64).cpu().numpy()
        codes[inner] = 0
        branched = inner | ((codes <= REACHED) & (heights > target))
        after = steps + 1 - inner
        if inner.any():
            self._keep_within(at[bounds != 0], before[bounds != 0], bounds[bounds != 0], (rows[inner], who[inner]))
        landed = branched & ~inner
        c.start[rows[landed], who[landed]], c.start_top[rows[landed], who[landed]] = state[landed], heights[landed]
        columns = self.plan.reveal.columns if self.plan.reveal else 0
        if columns:
            c.kept[rows[landed], who[landed], :columns] = [0, 0] + [-1, 0] * (columns // 2 - 1)
        if self.plan.from_a:
            c.kept[rows[branched], who[branched], columns] = away.cpu().numpy()[branched]
        c.base_steps[rows[branched], who[branched]] = after[branched]
        np.add.at(c.numbers[:, OLD_STEPS], rows[branched], (after - base)[branched])
        self.active[at] = False
        self.waiting[lanes[branched & (codes == 0)]] = True
        new = ~branched
        np.add.at(c.numbers[:, NEW_STEPS], rows[new], (after - base)[new])
        np.add.at(c.numbers[:, LOST], rows[new & (target < math.inf)], 1)
        for kind, column in ((DIVERGED, N_DIVERGED), (CUT, N_CUT)):
            np.add.at(c.numbers[:, column], rows[codes == kind], 1)
        done = np.flatnonzero(codes != 0)
        c.last[rows[done], who[done]], c.length[rows[done], who[done]] = state[done], after[done]
        c.outcome[rows[done], who[done]] = codes[done]
        c.tops[rows[done], who[done]] = np.where(codes[done] == REACHED, math.inf, top[done])
        for lane in lanes[done]:
            slot, self.slot[lane] = self.slot[lane], -1
            self._ended(slot)

    def _keep_within(
        self, at: torch.Tensor, before: torch.Tensor, bounds: torch.Tensor, spot: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Copies that set out within a jump start before the step, with what is known of its noise."""
        reveal, between, c = self.plan.reveal, self.between, self.clones
        assert reveal is not None
        assert between is not None
        c.start[spot] = before.to(torch.float64).cpu().numpy()
        c.start_top[spot] = self.height_within[at].cpu().numpy()
        columns = [bounds, between.side[at]]
        for w in reveal.known:
            columns += [torch.zeros_like(bounds), between.words[at, w]]
        c.kept[(*spot, slice(len(columns)))] = torch.stack(columns, dim=1).cpu().numpy()

    def _ended(self, slot: int) -> None:
        plan, c = self.plan, self.clones
        branch_ended(
            *self.key, slot, plan.first_run, plan.kill, plan.smallest,
            c.tops, c.pids, c.numbers, c.weight, c.levels,
            self.slots, self.slot_level, self.todo, self.parent, self.scratch, self.alive,
        )  # fmt: skip
