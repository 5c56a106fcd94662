"""The vector loops of one round: words, variates, steps with flags, and possible crossings."""

from __future__ import annotations

from sdesim.engine.kernel_names import Names, indent
from sdesim.engine.trace import Function


class Loops(Names):
    """Writes loops over lanes; every method returns lines at its own indentation."""

    def loops(self) -> list[str]:
        """The vector loops of one round: uniforms, variates, steps with flags, and crossings."""
        lines: list[str] = []
        bodies = [self.word_loop(), *self.draw_loops(), *self.step_loops()]
        if self.p.bridge:
            bodies.append(self.bridge_loop())
        for body in bodies:
            lines += ["for i in range(full):", *indent(body, 1)]
        return lines

    def word_loop(self) -> list[str]:
        """Words of all blocks of the round, made uniforms where the draws want them so."""
        lines = ["n = get(it, i)", "path = get(pid, i)"]
        for b in range(self.p.blocks):
            block = "n" if self.p.blocks == 1 else f"n * {self.p.blocks} + {b}"
            lines += [f"a, b = block_words(k0, k1, U64({1 << 16}), {block}, path)"]
            for name, word in zip(self.p.words[2 * b : 2 * b + 2], "ab", strict=True):
                if name:
                    lines += [f"put({name}, i, {word if name.startswith('w') else f'unit({word})'})"]
        return [*lines, "put(it, i, n + 1)"]

    def draw_loops(self) -> list[list[str]]:
        """One loop for the draws of each set of words."""
        values = {n: f"get({n}, i)" for n in self.p.words}
        bodies = []
        for name, draw in self.p.functions.items():
            if name.startswith("draw"):
                bodies += self.stage_loops(name, values)
                bodies.append(self.stage_loop(draw, values))
        return bodies

    def stage_loops(self, name: str, values: dict[str, str]) -> list[list[str]]:
        """Loops that fill the lane arrays of the stages before `name`; `values` learns where to find them."""
        bodies = []
        for stage in self.p.stages[name]:
            bodies.append(self.stage_loop(stage, values))
            values.update({n: f"get({n}, i)" for n in stage.outputs})
        return bodies

    def stage_loop(self, stage: Function, values: dict[str, str]) -> list[str]:
        """A loop that calls one function and keeps its results in lane arrays."""
        body = [f"v = {self.apply(stage, [values[a] for a in stage.args], 'i')}"]
        return [*body, *(f"put({n}, i, v[{j}])" for j, n in enumerate(stage.outputs))]

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
        """Move every lane by the substeps and flag it where something may have happened."""
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
            lines += self.watch_lines(ys, last=s == self.n_sub)
        if last == self.n_sub:
            lines += ["ok = ok & (get(it, i) < get(due, i))"]
        return [*lines, "f = I64(0) if ok else I64(1)", "put(flag, i, f)", "hot |= f"]

    def watch_lines(self, ys: list[str], *, last: bool) -> list[str]:
        """Conditions under which nothing has happened in a substep; a state that is not finite stays so to the last."""
        lines = [f"ok = ok & {self.call('inside', ys, 'i')}"] if "inside" in self.p.functions else []
        for j in range(self.p.wells):
            lines += [f"ok = ok & ((here == {j}) | (not {self.call(f'core_{j}', ys, 'i')}))"]
        if self.p.check_finite and last:
            lines += [f"ok = ok & (abs({y}) < math.inf)" for y in ys]
        return lines

    def bridge_loop(self) -> list[str]:
        """Flag the substeps where the upper bits of the uniform allow a crossing."""
        lines = [
            *self.bridge_words("get(it, i) - 1"),
            "kf = F64(get(it, i) - 1)" + (f" * {self.n_sub}.0" if self.n_sub > 1 else ""),
            "f = get(flag, i)",
        ]
        for s in range(1, self.n_sub + 1):
            args = [f"get({n}, i)" for n in [*self.state(s - 1), *self.state(s)]]
            lines += [f"v = {self.call('rarity', [*args, f'kf + {s - 1}.0'], 'i')}"]
            lines += [f"f |= I64({1 << s}) if {self.upper(s)} * TWO_TO_MINUS_32 * v[0] < 1.0 else I64(0)"]
        return [*lines, "put(flag, i, f)", "hot |= f"]

    def bridge_words(self, turn: str) -> list[str]:
        """The block with the upper bits of the uniforms of one round."""
        return [f"a, b = block_words(k0, k1, U64({3 << 16}), {turn}, get(pid, i))"]

    def upper(self, s: int) -> str:
        """The upper 32 bits of the uniform of substep s."""
        word, shift = "ab"[(s - 1) // 2], ">> U64(32)" if s % 2 == 1 else "& LOW"
        return f"F64(I64(U64({word}) {shift}))"
