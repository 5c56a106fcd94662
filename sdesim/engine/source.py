"""The text of a kernel: one self-contained module for one program.

A kernel holds lanes of paths. Each round it draws the uniforms of all lanes, turns them into variates, moves every lane
by the steps of the round, and flags the lanes where something happens: an exit, a time to look at, a passage, the
horizon, a state that is not finite. Only flagged lanes are handled one by one. A lane whose path has ended takes the
next path; when none is left the last lane moves into its place, so the cost follows the sum of the path lengths.

Loops over lanes have a multiple of GROUP as their length: the same vector code runs for every lane, so no result
depends on where a path sits.
"""

from __future__ import annotations

import inspect
import re

from sdesim.core import elementary, exactsum, lanes, trigonometric
from sdesim.engine.flow import flow_source
from sdesim.engine.trace import Function, Program

LANES, GROUP = 64, 16

ARGUMENTS = (
    "k0, k1, n_paths, start_path, todo, cursor, width, drain, max_rounds, lane_floats, lane_ints, counters, "
    "par, n_steps, state, steps, status, exit_time, clock, "
    "record_steps, record, moment_steps, moment_sums, moment_count, about, "
    "well, since, occupancy, transitions, passed, passage_step, passage_to"
)


def kernel_source(program: Program, varied: list[bool], record: bool, moments: bool) -> str:
    """The module text of the kernel for one program, with numbers that vary over cells held by lane."""
    return "\n\n".join([_helpers(moments), *_functions(program), _Kernel(program, varied, record, moments).text()])


def _helpers(moments: bool) -> str:
    """The texts of the helper modules, without their imports of each other."""
    modules = [elementary, trigonometric, lanes] + ([exactsum] if moments else [])
    text = "\n".join(inspect.getsource(m) for m in modules)
    text = re.sub(r"^from sdesim.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^from __future__.*\n", "", text, flags=re.MULTILINE)


def _functions(program: Program) -> list[str]:
    staged = [f for stages in program.stages.values() for f in stages]
    texts = [_function(f, _used(f)) for f in [*program.functions.values(), *staged]]
    return texts if program.basin is None else [*texts, flow_source(program.basin, _used(program.functions["slope"]))]


def _used(function: Function) -> list[str]:
    """Kernel numbers p0, p1, ... that a function needs, in order."""
    words = set(re.findall(r"\bp\d+\b", " ".join([*function.lines, *function.results])))
    return sorted(words, key=lambda w: int(w[1:]))


def _function(function: Function, numbers: list[str]) -> str:
    head = f"@lane\ndef {function.name}({', '.join([*function.args, *numbers])}):"
    body = "".join(f"\n    {line}" for line in function.lines)
    if function.name == "inside" or function.name.startswith("core_"):
        test = " & ".join(f"({r} > 0.0)" for r in function.results)
        return f"{head}{body}\n    return {test}"
    return f"{head}{body}\n    return ({', '.join(function.results)},)"


class _Kernel:
    """Writes the loop; every method returns lines at its own indentation."""

    def __init__(self, program: Program, varied: list[bool], record: bool, moments: bool) -> None:
        self.p = program
        self.varied = varied
        self.record, self.moments = record, moments
        self.d, self.n_sub = program.dim, program.steps
        self.keep_start = program.bridge
        self.n_u = 2 * program.blocks

    def state(self, s: int) -> list[str]:
        """Lane arrays of the state after substep s; the last one persists between rounds."""
        return [f"x{c}_{s}" for c in range(self.d)]

    def call(self, name: str, args: list[str], lane: str) -> str:
        """A call with the kernel numbers appended, those that vary read from their lanes."""
        return self.apply(self.p.functions[name], args, lane)

    def apply(self, function: Function, args: list[str], lane: str) -> str:
        numbers = [self.number(int(w[1:]), lane) for w in _used(function)]
        return f"{function.name}({', '.join([*args, *numbers])})"

    def number(self, i: int, lane: str) -> str:
        return f"get(P{i}, {lane})" if self.varied[i] else f"p{i}"

    def persistent(self) -> tuple[list[str], list[str]]:
        """Names of the float and integer lane arrays that outlive a call."""
        floats = self.state(self.n_sub) + [f"P{i}" for i, v in enumerate(self.varied) if v]
        ints = ["it", "q", "pid", "due"]
        if self.record:
            ints.append("rj")
        if self.moments:
            ints.append("mj")
        if self.p.wells:
            ints.append("cur")
        return floats, ints

    def text(self) -> str:
        floats, ints = self.persistent()
        scratch = [n for s in range(0 if self.keep_start else 1, self.n_sub) for n in self.state(s)]
        scratch += [f"u{i}" for i in range(self.n_u)]
        scratch += [f"z{i}" for i in range(self.p.noise_dim * self.n_sub)]
        scratch += [n for stages in self.p.stages.values() for f in stages for n in f.outputs]
        lines = ['@njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)']
        lines += [f"def advance({ARGUMENTS}):", "    full_width()"]
        lines += [f"    {n} = float_lanes({LANES})" for n in [*floats, *scratch]]
        lines += [f"    {n} = int_lanes({LANES})" for n in [*ints, "flag"]]
        lines += [f"    p{i} = par[{i}, 0]" for i, v in enumerate(self.varied) if not v]
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        put({n}, i, lane_floats[{r}, i])" for r, n in enumerate(floats)]
        lines += [f"        put({n}, i, lane_ints[{r}, i])" for r, n in enumerate(ints)]
        lines += ["        put(flag, i, I64(0))"]
        lines += ["    active, free, rounds, worked = counters[0], I64(0), I64(0), I64(0)"]
        lines += ["    while True:"]
        lines += _indent(self.refill(floats, ints), 2)
        lines += [
            "        if active == 0 or (active < width and not drain) or rounds >= max_rounds:",
            "            break",
        ]
        lines += ["        rounds += 1", f"        worked += active * {self.n_sub}", "        hot = I64(0)"]
        lines += [f"        full = ((active + {GROUP - 1}) // {GROUP}) * {GROUP}"]
        lines += _indent(self.loops(), 2)
        lines += [
            "        if hot != 0:",
            "            for i in range(active):",
            "                if get(flag, i) != 0:",
        ]
        lines += _indent(self.handle(), 5)
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        lane_floats[{r}, i] = get({n}, i)" for r, n in enumerate(floats)]
        lines += [f"        lane_ints[{r}, i] = get({n}, i)" for r, n in enumerate(ints)]
        lines += ["    counters[0] = active", "    counters[1] += worked"]
        return "\n".join(lines) + "\n"

    def refill(self, floats: list[str], ints: list[str]) -> list[str]:
        """Give free lanes a new path, or close the gap with the last lane."""
        lines = [
            "fresh = min(width - active, cursor[1] - cursor[0] - free)",
            "if fresh > 0:",
            "    for i in range(active, active + fresh):",
            "        put(q, i, I64(-1))",
            "    active += fresh",
            "    free += fresh",
            "if free > 0:",
            "    free = I64(0)",
            "    i = I64(0)",
            "    while i < active:",
            "        if get(q, i) < 0:",
            "            if cursor[0] >= cursor[1]:",
            "                active -= 1",
        ]
        lines += [f"                put({n}, i, get({n}, active))" for n in [*floats, *ints]]
        lines += ["                continue", "            qq = cursor[0]", "            cursor[0] += 1"]
        lines += _indent(self.load(), 3)
        return [*lines, "        i += 1"]

    def load(self) -> list[str]:
        """Put the next path into lane i."""
        lines = ["if todo.shape[0] > 0:", "    qq = todo[qq]", "cell = qq // n_paths"]
        lines += ["put(q, i, qq)", "put(pid, i, (cell << I64(40)) | (start_path + qq - cell * n_paths))"]
        lines += [f"put({n}, i, state[qq, {c}])" for c, n in enumerate(self.state(self.n_sub))]
        lines += [f"put(P{i}, i, par[{i}, cell])" for i, v in enumerate(self.varied) if v]
        lines += ["kk = steps[qq]", f"put(it, i, kk // {self.n_sub})", "due_k = n_steps[cell]"]
        values = [f"state[qq, {c}]" for c in range(self.d)]
        lines += self.schedule_at_load(values)
        if self.p.wells:
            lines += ["if kk == 0:", f"    w = {self.first_core(values)}"]
            lines += ["    well[qq] = w", "    since[qq] = 0", "put(cur, i, I64(well[qq]))"]
        return [*lines, self.set_due()]

    def schedule_at_load(self, values: list[str]) -> list[str]:
        """Find the next time to look at; a look at the start happens here."""
        lines: list[str] = []
        if self.record:
            lines += ["j = I64(0)", "while j < record_steps.shape[1] and record_steps[cell, j] <= kk:"]
            lines += ["    if kk == 0:"] + [f"        record[qq, j, {c}] = {v}" for c, v in enumerate(values)]
            lines += ["    j += 1", "put(rj, i, j)"]
            lines += ["if j < record_steps.shape[1]:", "    due_k = min(due_k, record_steps[cell, j])"]
        if self.moments:
            lines += ["j = I64(0)", "while j < moment_steps.shape[1] and moment_steps[cell, j] <= kk:"]
            lines += ["    if kk == 0:", *_indent(self.add_moments(values), 2)]
            lines += ["    j += 1", "put(mj, i, j)"]
            lines += ["if j < moment_steps.shape[1]:", "    due_k = min(due_k, moment_steps[cell, j])"]
        return lines

    def add_moments(self, values: list[str]) -> list[str]:
        lines = ["row = cell * moment_steps.shape[1] + j", "moment_count[row] += 1"]
        for c, v in enumerate(values):
            lines += [f"m1 = {v} - about", "m = m1"]
            for power in range(4):
                lines += [f"add_exact(moment_sums, row, {c}, {power}, m)"] + (["m = m * m1"] if power < 3 else [])
        return lines

    def set_due(self) -> str:
        return f"put(due, i, (due_k + {self.n_sub - 1}) // {self.n_sub})"

    def first_core(self, values: list[str]) -> str:
        """The number of the first core that holds the state, or -1."""
        text = "I64(-1)"
        for j in reversed(range(self.p.wells)):
            text = f"(I64({j}) if {self.call(f'core_{j}', values, 'i')} else {text})"
        return text

    def loops(self) -> list[str]:
        """The vector loops of one round: uniforms, variates, steps with flags, and crossings."""
        lines: list[str] = []
        bodies = [self.uniform_loop(), *self.draw_loops(), *self.step_loops()]
        if self.p.bridge:
            bodies.append(self.bridge_loop())
        for body in bodies:
            lines += ["for i in range(full):", *_indent(body, 1)]
        return lines

    def uniform_loop(self) -> list[str]:
        lines = ["n = get(it, i)", "path = get(pid, i)"]
        for b in range(self.p.blocks):
            block = "n" if self.p.blocks == 1 else f"n * {self.p.blocks} + {b}"
            lines += [f"a, b = block_uniforms(k0, k1, U64({1 << 16}), {block}, path)"]
            lines += [f"put(u{2 * b}, i, a)", f"put(u{2 * b + 1}, i, b)"]
        return [*lines, "put(it, i, n + 1)"]

    def draw_loops(self) -> list[list[str]]:
        values = {f"u_{i}": f"get(u{i}, i)" for i in range(self.n_u)}
        bodies = self.stage_loops("draw", values)
        draw = self.p.functions["draw"]
        body = [f"v = {self.apply(draw, [values[a] for a in draw.args], 'i')}"]
        body += [f"put(z{i}, i, v[{i}])" for i in range(self.p.noise_dim * self.n_sub)]
        return [*bodies, body]

    def stage_loops(self, name: str, values: dict[str, str]) -> list[list[str]]:
        """Loops that fill the lane arrays of the stages before `name`; `values` learns where to find them."""
        bodies = []
        for stage in self.p.stages[name]:
            body = [f"v = {self.apply(stage, [values[a] for a in stage.args], 'i')}"]
            bodies.append([*body, *(f"put({n}, i, v[{j}])" for j, n in enumerate(stage.outputs))])
            values.update({n: f"get({n}, i)" for n in stage.outputs})
        return bodies

    def step_loops(self) -> list[list[str]]:
        """One loop for all substeps of a short step; a long one goes through its stages in each."""
        substeps = list(range(1, self.n_sub + 1))
        if not self.p.stages["step"]:
            return [self.step_loop(substeps, {})]
        bodies = []
        for s in substeps:
            values = self.step_values(s, [f"get({n}, i)" for n in self.state(s - 1 if s > 1 else self.n_sub)])
            bodies += self.stage_loops("step", values)
            bodies.append(self.step_loop([s], values))
        return bodies

    def step_values(self, s: int, states: list[str]) -> dict[str, str]:
        """What the arguments of the step are in substep s."""
        m = self.p.noise_dim
        values = {f"x{c}": y for c, y in enumerate(states)}
        values |= {f"z{j}": f"get(z{(s - 1) * m + j}, i)" for j in range(m)}
        return values | {"k": f"F64({self.n_sub} * (get(it, i) - 1) + {s - 1})"}

    def step_loop(self, substeps: list[int], staged: dict[str, str]) -> list[str]:
        first, last = substeps[0], substeps[-1]
        before = self.state(self.n_sub if first == 1 else first - 1)
        ys = [f"y{c}" for c in range(self.d)]
        lines = [f"{y} = get({n}, i)" for y, n in zip(ys, before, strict=True)]
        lines += ["ok = True" if first == 1 else "ok = get(flag, i) == 0"]
        if self.p.wells:
            lines += ["here = get(cur, i)"]
        if self.keep_start and first == 1:
            lines += [f"put({n}, i, {y})" for y, n in zip(ys, self.state(0), strict=True)]
        step = self.p.functions["step"]
        for s in substeps:
            values = staged | self.step_values(s, ys)
            lines += [f"v = {self.apply(step, [values[a] for a in step.args], 'i')}"]
            lines += [f"{y} = v[{c}]" for c, y in enumerate(ys)]
            lines += [f"put({n}, i, {y})" for y, n in zip(ys, self.state(s), strict=True)]
            lines += self.watch_lines(ys)
        if last == self.n_sub:
            lines += ["ok = ok & (get(it, i) < get(due, i))"]
        return [*lines, "f = I64(0) if ok else I64(1)", "put(flag, i, f)", "hot |= f"]

    def watch_lines(self, ys: list[str]) -> list[str]:
        """Conditions under which nothing has happened in a substep."""
        lines = [f"ok = ok & {self.call('inside', ys, 'i')}"] if "inside" in self.p.functions else []
        for j in range(self.p.wells):
            lines += [f"ok = ok & ((here == {j}) | (not {self.call(f'core_{j}', ys, 'i')}))"]
        if self.p.check_finite:
            lines += [f"ok = ok & (abs({y}) < math.inf)" for y in ys]
        return lines

    def bridge_loop(self) -> list[str]:
        lines = [f"a, b = block_uniforms(k0, k1, U64({3 << 16}), get(it, i) - 1, get(pid, i))"]
        lines += [
            "kf = F64(get(it, i) - 1)" + (f" * {self.n_sub}.0" if self.n_sub > 1 else ""),
            "f = get(flag, i)",
        ]
        for s in range(1, self.n_sub + 1):
            args = [f"get({n}, i)" for n in [*self.state(s - 1), *self.state(s)]]
            lines += [f"v = {self.call('chance', [*args, f'kf + {s - 1}.0'], 'i')}"]
            lines += [f"f |= I64({1 << s}) if {'ab'[s - 1]} < v[0] else I64(0)"]
        return [*lines, "put(flag, i, f)", "hot |= f"]

    def handle(self) -> list[str]:
        """Go through the substeps of a flagged lane."""
        n = self.n_sub
        lines = ["qq = get(q, i)", "cell = qq // n_paths", f"kk = (get(it, i) - 1) * {n}", "ended = False"]
        for s in range(1, n + 1):
            if n > 1 and s > 1:
                lines += ["if not ended:", *_indent(self.substep(s), 1)]
            else:
                lines += self.substep(s)
        lines += ["if ended:", "    put(q, i, I64(-1))", "    free += 1"]
        lines += ["else:", "    due_k = n_steps[cell]"]
        if self.record:
            lines += ["    j = get(rj, i)", "    if j < record_steps.shape[1]:"]
            lines += ["        due_k = min(due_k, record_steps[cell, j])"]
        if self.moments:
            lines += ["    j = get(mj, i)", "    if j < moment_steps.shape[1]:"]
            lines += ["        due_k = min(due_k, moment_steps[cell, j])"]
        return [*lines, "    " + self.set_due()]

    def substep(self, s: int) -> list[str]:
        d = self.d
        ys = [f"y{c}" for c in range(d)]
        lines = [f"y{c} = get({n}, i)" for c, n in enumerate(self.state(s))] + ["kk += 1", "code = I64(0)"]
        lines += [f"if not ({' and '.join(f'abs({y}) < math.inf' for y in ys)}):", "    code = I64(3)"]
        if "inside" in self.p.functions:
            hit = f" or (get(flag, i) & {1 << s}) != 0" if self.p.bridge else ""
            outside = f"not {self.call('inside', ys, 'i')}"
            if self.p.basin is not None:
                numbers = [self.number(int(w[1:]), "i") for w in _used(self.p.functions["slope"])]
                outside += f" and not in_basin({', '.join([*ys, *numbers])})"
            lines += [f"elif {outside}{hit}:", "    code = I64(1)"]
            if self.p.bridge:
                lines += _indent(self.cross(s), 1)
        lines += ["if code == 0:"]
        looks = [*self.look(ys), "if kk >= n_steps[cell]:", "    code = I64(2)"]
        lines += _indent(looks, 1)
        lines += ["if code != 0:", "    ended = True", "    status[qq] = code", "    steps[qq] = kk"]
        lines += [f"    state[qq, {c}] = {y}" for c, y in enumerate(ys)]
        if self.p.wells:
            lines += ["    if get(cur, i) >= 0:", "        occupancy[qq, get(cur, i)] += kk - since[qq]"]
        return lines

    def cross(self, s: int) -> list[str]:
        """Draw the time and place of a crossing between two ends."""
        n = self.d
        lines = [f"a, b = block_uniforms(k0, k1, U64({4 << 16}), 2 * (kk - 1), get(pid, i))"]
        lines += [f"c, e = block_uniforms(k0, k1, U64({4 << 16}), 2 * (kk - 1) + 1, get(pid, i))"]
        lines += ["w = -2.0 * log_unit(a) * square(lane_cos_turn(b - 0.5))"]
        ends = [f"get({name}, i)" for name in [*self.state(s - 1), *self.state(s)]]
        lines += [f"v = {self.call('crossing', [*ends, 'F64(kk - 1)', 'w', 'c'], 'i')}"]
        lines += ["exit_time[qq] = (F64(kk - 1) + v[0]) * clock[cell]"]
        return lines + [f"y{c} = v[{c + 1}]" for c in range(n)]

    def look(self, ys: list[str]) -> list[str]:
        """Observers that look at a state that has neither left nor diverged."""
        lines: list[str] = []
        if self.record:
            lines += ["j = get(rj, i)", "while j < record_steps.shape[1] and record_steps[cell, j] == kk:"]
            lines += [f"    record[qq, j, {c}] = {y}" for c, y in enumerate(ys)] + [
                "    j += 1",
                "put(rj, i, j)",
            ]
        if self.moments:
            lines += ["j = get(mj, i)", "while j < moment_steps.shape[1] and moment_steps[cell, j] == kk:"]
            lines += [*_indent(self.add_moments(ys), 1), "    j += 1", "put(mj, i, j)"]
        if self.p.wells:
            lines += [f"w = {self.first_core(ys)}", "old = get(cur, i)", "if w >= 0 and w != old:"]
            lines += ["    if old >= 0:", "        occupancy[qq, old] += kk - since[qq]"]
            lines += [
                "        transitions[qq, old, w] += 1",
                "        if passed[qq] < passage_step.shape[1]:",
            ]
            lines += [
                "            passage_step[qq, passed[qq]] = kk",
                "            passage_to[qq, passed[qq]] = w",
            ]
            lines += [
                "        passed[qq] += 1",
                "    put(cur, i, w)",
                "    well[qq] = w",
                "    since[qq] = kk",
            ]
        return lines


def _indent(lines: list[str], levels: int) -> list[str]:
    return ["    " * levels + line for line in lines]
