"""The text of a splitting kernel: adaptive multilevel splitting of one excursion, all of it compiled.

Several runs are under way at once in the slots of one thread, so that the lanes stay full although a run has only as
many branches at a time as clones were killed. Everything that happens in a run depends on its number alone: the noise
of a branch on the branch's number, the choice of parents on theirs. So no result depends on lanes, slots or threads.

A path has to be followed twice with the same result, bit for bit. Every decision is therefore computed in the vector
loops and only read by the code that handles single lanes.
"""

from __future__ import annotations

import inspect
import re

import sympy as sp

from sdesim.core.ops import SYMBOLIC
from sdesim.core.printing import cheaper, native_lines
from sdesim.dynamics.parameters import rebind
from sdesim.engine.kernel_names import indent, used
from sdesim.engine.rare import levels
from sdesim.engine.rare.events import NOISE, SIDE, Branches
from sdesim.engine.rare.excursion import Excursion
from sdesim.engine.rare.levels import HUGE
from sdesim.engine.rare.reveal import Reveal, landing
from sdesim.engine.source import GROUP, LANES, function_text, helper_texts
from sdesim.engine.trace import Function, Program, Watch, trace

ARGUMENTS = (
    "k0, k1, kth, smallest, max_steps, first_run, cursor, max_rounds, lane_floats, lane_ints, counters, par, "
    "start, start_top, base_steps, pids, kept, tops, last, length, outcome, numbers, weight, levels, "
    "slots, slot_level, todo, parent, scratch, alive, bounds"
)


def splitting_program(excursion: Excursion, reveal: Reveal | None) -> Program:
    """The step, the two sets and the coordinate, traced with symbols."""
    program = trace(excursion, Watch())
    moved = rebind(excursion, program.symbols)
    x = [sp.Symbol(f"x{c}", real=True) for c in range(program.dim)]
    k = sp.Symbol("k", real=True)
    words = [sp.Symbol(f"w{i}", real=True) for i in range(2 * program.blocks)]
    wanted = {
        "core_a": (x, moved.a.margins(SYMBOLIC, x)),
        "core_b": (x, moved.b.margins(SYMBOLIC, x)),
        "level": (x, [moved.coordinate(SYMBOLIC, x)]),
    }
    if reveal is not None:
        wanted["landing"] = ([*x, *words[: reveal.per_step], k], [landing(SYMBOLIC, moved, x, words, k)])
    for name, (args, exprs) in wanted.items():
        lines, results = native_lines(cheaper([program.hoister(sp.sympify(e)) for e in exprs]))
        program.functions[name] = Function(name, tuple(a.name for a in args), tuple(lines), tuple(results))
    return program


def splitting_source(program: Program, reveal: Reveal | None, *, outside: bool, from_a: bool) -> str:
    """The module text of the kernel.

    With `outside` B is the complement of its region; with `from_a` excursions start in A and end there once they have
    been away.
    """
    text = re.sub(r"^from sdesim.*\n", "", inspect.getsource(levels), flags=re.MULTILINE).replace(", cache=True", "")
    staged = [f for stages in program.stages.values() for f in stages]
    functions = [function_text(f, used(f)) for f in [*program.functions.values(), *staged]]
    return "\n\n".join(
        [helper_texts(moments=False), text, *functions, _Kernel(program, reveal, outside=outside, from_a=from_a).text()]
    )


class _Kernel(Branches):
    """The loop around rounds."""

    def __init__(self, program: Program, reveal: Reveal | None, *, outside: bool, from_a: bool) -> None:
        super().__init__(program, reveal, from_a=from_a)
        self.outside = outside

    def text(self) -> str:
        floats, ints = self.lanes()
        substeps = range(1, self.n_sub + 1)
        scratch = [x for s in range(0 if self.keep_start else 1, self.n_sub) for x in self.state(s)]
        scratch += [w for w in self.p.words if w.startswith("u")] + [f"level_{s}" for s in substeps] + ["tip"]
        scratch += [f"z{i}" for i in range(self.p.noise_dim * self.n_sub)]
        scratch += [name for stages in self.p.stages.values() for f in stages for name in f.outputs]
        raw = [w for w in self.p.words if w.startswith("w")] + [f"code_{s}" for s in substeps] + ["flag"]
        raw += [f"away_{s}" for s in range(self.n_sub + 1)] if self.from_a else []
        lines = ['@njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)']
        lines += [f"def split({ARGUMENTS}):", "    full_width()"]
        lines += [f"    {name} = float_lanes({LANES})" for name in [*floats, *scratch]]
        lines += [f"    {name} = int_lanes({LANES})" for name in [*ints, *raw]]
        lines += [f"    p{i} = par[{i}, 0]" for i in range(len(self.varied))]
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        put({name}, i, lane_floats[{r}, i])" for r, name in enumerate(floats)]
        lines += [f"        put({name}, i, lane_ints[{r}, i])" for r, name in enumerate(ints)]
        lines += ["        put(flag, i, I64(0))"]
        lines += ["    active, rounds, work, holes = counters[0], I64(0), True, I64(0)", "    while True:"]
        lines += ["        if holes > 0 or work:", *indent(self.fill(), 3), "            holes = I64(0)"]
        lines += ["        if active == 0 or rounds >= max_rounds:", "            break", "        rounds += 1"]
        lines += ["        hot = I64(0)", f"        full = ((active + {GROUP - 1}) // {GROUP}) * {GROUP}"]
        lines += indent(self.loops(), 2)
        lines += [
            "        if hot != 0:",
            "            for i in range(active):",
            "                if get(flag, i) != 0:",
        ]
        lines += indent(self.handle(), 5)
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        lane_floats[{r}, i] = get({name}, i)" for r, name in enumerate(floats)]
        lines += [f"        lane_ints[{r}, i] = get({name}, i)" for r, name in enumerate(ints)]
        return "\n".join([*lines, "    counters[0] = active", "    counters[1] += rounds"]) + "\n"

    def word_loop(self) -> list[str]:
        """Words of the round; what a copy knows of its first step replaces them. Large variates flag the lane."""
        r = self.reveal
        if r is None:
            return super().word_loop()
        lines = ["turn, path, hold = get(it, i), get(pid, i), I64(0)"]
        for block in range(self.p.blocks):
            lines += [f"a, b = block_words(k0, k1, U64({NOISE}), turn * {self.p.blocks} + {block}, path)"]
            for w, word in ((2 * block, "a"), (2 * block + 1, "b")):
                if w < r.per_step:
                    lines += [f"{word} = {self.as_known(w, word, r)}"]
                if w % r.per_step == r.graded:
                    lines += [f"hold |= I64(1) if {large(r, word)} else I64(0)"]
                name = self.p.words[w]
                if name:
                    lines += [f"put({name}, i, {word if name.startswith('w') else f'unit({word})'})"]
        return [*lines, "put(flag, i, hold)", "put(it, i, turn + 1)"]

    def step_values(self, s: int, states: list[str]) -> dict[str, str]:
        """What the arguments of the step are in substep s."""
        k = f"F64(get(base, i) + {self.n_sub} * (get(it, i) - 1) + {s - 1})"
        return super().step_values(s, states) | {"k": k}

    def step_loop(self, substeps: list[int], staged: dict[str, str]) -> list[str]:
        """Move every lane by the substeps and flag it where something may have happened."""
        first, last = substeps[0], substeps[-1]
        fresh = first == 1
        before = self.state(self.n_sub if fresh else first - 1)
        ys = [f"y{c}" for c in range(self.d)]
        lines = [f"{y} = get({name}, i)" for y, name in zip(ys, before, strict=True)]
        lines += ["ok = get(flag, i) == 0" if self.reveal or not fresh else "ok = True"]
        lines += [f"m, z = get({'top' if fresh else 'tip'}, i), get(target, i)"]
        if self.keep_start and fresh:
            lines += [f"put({name}, i, {y})" for y, name in zip(ys, self.state(0), strict=True)]
        if self.from_a:
            lines += [f"far = get({'away' if fresh else f'away_{first - 1}'}, i)"]
            lines += ["put(away_0, i, far)"] if fresh else []
        step = self.p.functions["step"]
        for s in substeps:
            values = staged | self.step_values(s, ys)
            lines += [f"v = {self.apply(step, [values[a] for a in step.args], 'i')}"]
            lines += [f"{y} = v[{c}]" for c, y in enumerate(ys)]
            lines += [f"put({name}, i, {y})" for y, name in zip(ys, self.state(s), strict=True)]
            lines += self.watched(s, ys)
        lines += ["put(tip, i, m)"]
        if last == self.n_sub:
            lines += ["ok = ok & (get(it, i) < get(due, i))", "put(top, i, m if ok else get(top, i))"]
            lines += ["put(away, i, far)"] if self.from_a else []
        return [*lines, "f = I64(0) if ok else I64(1)", "put(flag, i, f)", "hot |= f"]

    def watched(self, s: int, ys: list[str]) -> list[str]:
        """The coordinate after a substep, and in which set the state lies: 1 in B, 2 in A, 3 not finite."""
        in_b = self.call("core_b", ys, "i")
        finite = " & ".join(f"(abs({y}) < math.inf)" for y in ys)
        lines = [f"home = {self.call('core_a', ys, 'i')}"]
        if self.from_a:
            lines += [
                "gone = far != 0",
                "far = far if home else I64(1)",
                "home = home & gone",
                f"put(away_{s}, i, far)",
            ]
        return [
            *lines,
            f"e = {self.call('level', ys, 'i')}[0]",
            f"e = {HUGE} if e > {HUGE} else e",
            f"there = {f'not ({in_b})' if self.outside else in_b}",
            f"finite = {finite}",
            "code = I64(3) if not finite else (I64(1) if there else (I64(2) if home else I64(0)))",
            f"put(level_{s}, i, e)",
            f"put(code_{s}, i, code)",
            "ok = ok & (code == 0) & (not (e > z))",
            "m = e if e > m else m",
        ]


def large(r: Reveal, word: str) -> str:
    """The test of a word for a variate that is revealed step by step."""
    far = f"{word} ^ ({SIDE[r.end].format(word)})"
    return f"U64({far}) < U64({int(r.bounds[0])})"
