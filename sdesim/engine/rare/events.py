"""What is done lane by lane in a splitting kernel: a branch is loaded, made, followed, or ends.

A copy of a path needs the state at which its parent first exceeded the level. No trajectory is kept for that: the
parent is followed again from its own start, bit for bit the same by its counters, until it exceeds the level there.
"""

from __future__ import annotations

from sdesim.engine.kernel_loops import Loops
from sdesim.engine.kernel_names import indent
from sdesim.engine.rare.levels import DIVERGED, HUGE, LOST, N_DIVERGED, NEW_STEPS, OLD_STEPS
from sdesim.engine.rare.reveal import Reveal
from sdesim.engine.source import LANES
from sdesim.engine.trace import Program

# By the end where large variates come from: what turns a word into its distance D from that end, and back.
SIDE = {"both": "{} >> I64(63)", "zeros": "I64(0)", "ones": "I64(-1)"}
MIDDLE = "(I64(1) << I64(63))"
NOISE = 1 << 16
ENDED = (
    "branch_ended(k0, k1, slot, first_run, kth, smallest, tops, pids, numbers, weight, levels, "
    "slots, slot_level, todo, parent, scratch, alive)"
)


class Branches(Loops):
    """Writes the handling of single lanes; every method returns lines at its own indentation."""

    def __init__(self, program: Program, reveal: Reveal | None, *, from_a: bool) -> None:
        super().__init__(program, [False] * len(program.hoister.names), record=False, moments=False)
        self.reveal = reveal
        self.kept = ["bound", "side"] if reveal else []
        for j, _ in enumerate(reveal.known if reveal else ()):
            self.kept += [f"mask{j}", f"known{j}"]
        self.unknown = [-1 if name.startswith("mask") else 0 for name in self.kept]
        self.noise_known = list(self.kept)
        self.from_a = from_a
        if from_a:
            self.kept.append("away")
        self.keep_start = reveal is not None

    def lanes(self) -> tuple[list[str], list[str]]:
        """Names of the float and integer lane arrays that outlive a call."""
        return [*self.state(self.n_sub), "top", "target"], ["it", "q", "clone", "pid", "base", "due", *self.kept]

    def fill(self) -> list[str]:
        """Give free lanes the next branch, or close the gap with the last lane."""
        floats, ints = self.lanes()
        lines = [
            "i = I64(0)",
            f"while i < active or (i < {LANES} and work):",
            "    if i < active and get(q, i) >= 0:",
            "        i += 1",
            "        continue",
            "    slot = next_slot(slots, slot_level, todo, parent, cursor) if work else -1",
            "    if slot < 0:",
            "        work = False",
            "        if i < active:",
            "            active -= 1",
        ]
        lines += [f"            put({n}, i, get({n}, active))" for n in [*floats, *ints]]
        lines += ["        continue", "    row, j = slots[slot, 0], slots[slot, 2]", "    slots[slot, 2] += 1"]
        lines += ["    slots[slot, 3] += 1", "    c, of = todo[slot, j], parent[slot, j]"]
        lines += ["    put(q, i, slot)", "    put(clone, i, c)", "    who, z = c, math.inf"]
        lines += ["    if of >= 0:", "        if start_top[row, of] > slot_level[slot]:"]
        lines += indent(self.same_start(), 3)
        lines += ["            if start_top[row, of] == math.inf:", *indent(self.same_end(), 4)]
        lines += ["        else:", "            who, z = of, slot_level[slot]", *indent(self.load(), 1)]
        return [*lines, "    if i == active:", "        active += 1", "    i += 1"]

    def same_start(self) -> list[str]:
        """A copy that begins where its parent began."""
        lines = [f"start[row, c, {r}] = start[row, of, {r}]" for r in range(self.d)]
        lines += ["start_top[row, c] = start_top[row, of]", "base_steps[row, c] = base_steps[row, of]"]
        return [*lines, *(f"kept[row, c, {r}] = kept[row, of, {r}]" for r in range(len(self.kept)))]

    def same_end(self) -> list[str]:
        """A copy of a path that was in B where it began."""
        lines = [f"last[row, c, {r}] = last[row, of, {r}]" for r in range(self.d)]
        lines += ["tops[row, c], outcome[row, c], length[row, c] = math.inf, I64(1), length[row, of]", ENDED]
        return [*lines, "put(q, i, I64(-1))", "continue"]

    def load(self) -> list[str]:
        """Put clone `who` into lane i at its start, to be followed until its coordinate exceeds z."""
        lines = [f"put({n}, i, start[row, who, {r}])" for r, n in enumerate(self.state(self.n_sub))]
        lines += ["put(top, i, start_top[row, who])", "put(target, i, z)", "put(it, i, I64(0))"]
        lines += ["put(pid, i, pids[row, who])", "put(base, i, base_steps[row, who])"]
        lines += [f"put({name}, i, kept[row, who, {r}])" for r, name in enumerate(self.kept)]
        return [*lines, *self.set_due()]

    def set_due(self) -> list[str]:
        """The round in which an excursion has become too long, or what was known of its first noise has been used."""
        lines = [f"put(due, i, (max_steps - get(base, i) + {self.n_sub - 1}) // {self.n_sub})"]
        if self.reveal:
            lines += ["if get(bound, i) > 0:", "    put(due, i, I64(1))"]
        return lines

    def handle(self) -> list[str]:
        """Go through the steps of a flagged lane."""
        lines = ["slot, c = get(q, i), get(clone, i)", "row = slots[slot, 0]", "code, branched = I64(0), False"]
        lines += [f"t, z, kk = get(top, i), get(target, i), get(base, i) + (get(it, i) - 1) * {self.n_sub}"]
        for s in range(1, self.n_sub + 1):
            body = self.landed(s)
            if self.reveal:
                body = [*self.between(s, self.reveal), "if not branched:", *indent(body, 1)]
            lines += ["if code == 0 and not branched:", *indent(body, 1)]
        return [*lines, *self.conclude()]

    def landed(self, s: int) -> list[str]:
        """A state after a step: a new maximum, a branch, or the end; `kk` is the step of the excursion."""
        ys = list(enumerate(self.state(s)))
        lines = ["kk += 1", f"code, high = get(code_{s}, i), get(level_{s}, i)", "if code == 1:"]
        lines += [
            "    high = math.inf",
            "if code <= 1 and high > t:",
            "    t = high",
            "branched = code <= 1 and high > z",
        ]
        lines += ["if branched:", *(f"    start[row, c, {r}] = get({n}, i)" for r, n in ys)]
        lines += [f"    kept[row, c, {r}] = {v}" for r, v in enumerate(self.unknown)]
        lines += self.keep_away(s)
        lines += ["    start_top[row, c], base_steps[row, c] = high, kk"]
        lines += ["elif code == 0 and kk >= max_steps:", "    code = I64(4)"]
        return [*lines, "if code != 0:", *(f"    last[row, c, {r}] = get({n}, i)" for r, n in ys)]

    def between(self, s: int, r: Reveal) -> list[str]:
        """The states in between of step s, if its variate is large."""
        at = [f"get({n}, i)" for n in self.state(s - 1)]
        known = {r.graded: "edge"} | {w: f"g{w}" for w in r.known}
        values = dict(zip((f"x{c}" for c in range(self.d)), at, strict=True)) | {"k": "F64(kk)"}
        values |= {f"w{w}": known.get(w, MIDDLE) for w in range(r.per_step)}
        landing = self.p.functions["landing"]
        loop = ["limit = bounds[g]", "edge = (limit - 1) ^ where"]
        loop += [f"high = {self.apply(landing, [values[a] for a in landing.args], 'i')}[0]"]
        loop += [
            f"high = {HUGE} if high > {HUGE} else high",
            "if high > t:",
            "    t = high",
            "if high > z:",
            "    branched = True",
        ]
        loop += [f"    start[row, c, {j}] = {n}" for j, n in enumerate(at)]
        loop += ["    kept[row, c, 0], kept[row, c, 1] = limit, where"]
        for j, w in enumerate(r.known, start=1):
            loop += [f"    kept[row, c, {2 * j}], kept[row, c, {2 * j + 1}] = 0, g{w}"]
        loop += self.keep_away(s - 1)
        loop += ["    start_top[row, c], base_steps[row, c] = high, kk", "    break", "g += 1"]
        lines = [*self.raw_words(s, r), f"where = {SIDE[r.end].format(f'g{r.graded}')}", f"far = g{r.graded} ^ where"]
        lines += ["g = I64(0)", "while far >= 0 and g < bounds.size and far < bounds[g]:"]
        return [*lines, *indent(loop, 1)]

    def keep_away(self, s: int) -> list[str]:
        """Whether the path has left A by the end of step s goes with a copy."""
        return [f"    kept[row, c, {len(self.noise_known)}] = get(away_{s}, i)"] if self.from_a else []

    def raw_words(self, s: int, r: Reveal) -> list[str]:
        """The words of step s that are revealed one after the other, as g0, g1, ..."""
        lines, first = [], (s - 1) * r.per_step
        for block in sorted({(first + w) // 2 for w in (r.graded, *r.known)}):
            turn = f"(get(it, i) - 1) * {self.p.blocks} + {block}"
            lines += [f"a, b = block_words(k0, k1, U64({NOISE}), {turn}, get(pid, i))"]
            for half, word in enumerate("ab"):
                w = 2 * block + half - first
                if w in (r.graded, *r.known):
                    lines += [f"g{w} = {self.as_known(w, word, r) if s == 1 else word}"]
        return lines

    def as_known(self, w: int, word: str, r: Reveal) -> str:
        """A word of a lane's step, given what is known of it: nothing but in the first step of some copies."""
        if w == r.graded:
            return f"(below({word}, get(bound, i)) ^ get(side, i)) if get(bound, i) > 0 else {word}"
        if w in r.known:
            j = r.known.index(w)
            return f"({word} & get(mask{j}, i)) | get(known{j}, i)"
        return word

    def conclude(self) -> list[str]:
        """What follows from the steps of a flagged lane: a copy sets out, a clone ends, or the lane goes on."""
        whole = [f"put({name}, i, I64({v}))" for name, v in zip(self.noise_known, self.unknown, strict=True)]
        return [
            "moved = kk - get(base, i)",
            "put(top, i, t)",
            "if branched:",
            f"    numbers[row, {OLD_STEPS}] += moved",
            "    who, z = c, math.inf",
            "    if code == 0:",
            *indent(self.load(), 2),
            "elif code == 0:",
            *indent([*whole, *self.set_due()], 1),
            "else:",
            f"    numbers[row, {NEW_STEPS}] += moved",
            "    if z < math.inf:",
            f"        numbers[row, {LOST}] += 1",
            "if code != 0:",
            "    tops[row, c], outcome[row, c], length[row, c] = t, code, kk",
            f"    if code >= {DIVERGED}:",
            f"        numbers[row, {N_DIVERGED - DIVERGED} + code] += 1",
            "    put(q, i, I64(-1))",
            "    holes += 1",
            f"    {ENDED}",
            "    work = True",
        ]
