"""What is done lane by lane: a path is loaded, looked at, or ends."""

from __future__ import annotations

from sdesim.engine.kernel_loops import Loops
from sdesim.engine.kernel_names import indent, used


class Events(Loops):
    """Writes the handling of single lanes; every method returns lines at its own indentation."""

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
        lines += indent(self.load(), 3)
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
            lines += ["    if kk == 0:", *indent(self.add_moments(values), 2)]
            lines += ["    j += 1", "put(mj, i, j)"]
            lines += ["if j < moment_steps.shape[1]:", "    due_k = min(due_k, moment_steps[cell, j])"]
        return lines

    def add_moments(self, values: list[str]) -> list[str]:
        """Add the powers of a state to the exact sums of time j."""
        lines = ["row = cell * moment_steps.shape[1] + j", "moment_count[row] += 1"]
        for c, v in enumerate(values):
            lines += [f"m1 = {v} - about", "m = m1"]
            for power in range(4):
                lines += [f"add_exact(moment_sums, row, {c}, {power}, m)"] + (["m = m * m1"] if power < 3 else [])
        return lines

    def set_due(self) -> str:
        """The round in which the next thing is due at step due_k."""
        return f"put(due, i, (due_k + {self.n_sub - 1}) // {self.n_sub})"

    def handle(self) -> list[str]:
        """Go through the substeps of a flagged lane."""
        n = self.n_sub
        lines = ["qq = get(q, i)", "cell = qq // n_paths", f"kk = (get(it, i) - 1) * {n}", "ended = False"]
        for s in range(1, n + 1):
            if n > 1 and s > 1:
                lines += ["if not ended:", *indent(self.substep(s), 1)]
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
        """What has happened in one substep, in the order: diverged, exited, looked at, horizon."""
        d = self.d
        ys = [f"y{c}" for c in range(d)]
        lines = [f"y{c} = get({n}, i)" for c, n in enumerate(self.state(s))] + ["kk += 1", "code = I64(0)"]
        if self.p.bridge:
            lines += self.hit(s)
        lines += [f"if not ({' and '.join(f'abs({y}) < math.inf' for y in ys)}):", "    code = I64(3)"]
        if "inside" in self.p.functions:
            hit = " or hit" if self.p.bridge else ""
            outside = f"not {self.call('inside', ys, 'i')}"
            if self.p.basin is not None:
                numbers = [self.number(int(w[1:]), "i") for w in used(self.p.functions["slope"])]
                outside += f" and not in_basin({', '.join([*ys, *numbers])})"
            lines += [f"elif {outside}{hit}:", "    code = I64(1)"]
            if self.p.bridge:
                lines += indent(self.cross(s), 1)
        lines += ["if code == 0:"]
        looks = [*self.look(ys), "if kk >= n_steps[cell]:", "    code = I64(2)"]
        lines += indent(looks, 1)
        lines += ["if code != 0:", "    ended = True", "    status[qq] = code", "    steps[qq] = kk"]
        lines += [f"    state[qq, {c}] = {y}" for c, y in enumerate(ys)]
        if self.p.wells:
            lines += ["    if get(cur, i) >= 0:", "        occupancy[qq, get(cur, i)] += kk - since[qq]"]
        return lines

    def hit(self, s: int) -> list[str]:
        """Whether a flagged substep crosses, by all bits of its uniform."""
        ends = [f"get({n}, i)" for n in [*self.state(s - 1), *self.state(s)]]
        return [
            f"hit = (get(flag, i) & {1 << s}) != 0",
            "if hit:",
            *indent(self.bridge_words("get(it, i) - 1"), 1),
            f"    c, e = block_words(k0, k1, U64({4 << 16}), 2 * kk - 1, get(pid, i))",
            f"    v = {self.call('chance', [*ends, 'F64(kk - 1)'], 'i')}",
            f"    hit = ({self.upper(s)} + unit(c)) * TWO_TO_MINUS_32 < v[0]",
        ]

    def cross(self, s: int) -> list[str]:
        """Draw the time and place of a crossing between two ends."""
        n = self.d
        lines = [f"a, b = block_words(k0, k1, U64({4 << 16}), 2 * kk - 2, get(pid, i))"]
        ends = [f"get({name}, i)" for name in [*self.state(s - 1), *self.state(s)]]
        lines += [f"v = {self.call('crossing', [*ends, 'F64(kk - 1)', 'square(normal_first(a))', 'unit(b)'], 'i')}"]
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
            lines += [*indent(self.add_moments(ys), 1), "    j += 1", "put(mj, i, j)"]
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
