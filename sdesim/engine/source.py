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

from sdesim.core import elementary, exactsum, lanes, normals, trigonometric
from sdesim.engine.flow import flow_source
from sdesim.engine.kernel_events import Events
from sdesim.engine.kernel_names import indent, used
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
    return "\n\n".join([helper_texts(moments), *_functions(program), _Kernel(program, varied, record, moments).text()])


def helper_texts(moments: bool) -> str:
    """The texts of the helper modules, without their imports of each other."""
    modules = [elementary, trigonometric, normals, lanes] + ([exactsum] if moments else [])
    text = "\n".join(inspect.getsource(m) for m in modules)
    text = re.sub(r"^from sdesim.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^from __future__.*\n", "", text, flags=re.MULTILINE)


def _functions(program: Program) -> list[str]:
    staged = [f for stages in program.stages.values() for f in stages]
    texts = [function_text(f, used(f)) for f in [*program.functions.values(), *staged]]
    return texts if program.basin is None else [*texts, flow_source(program.basin, used(program.functions["slope"]))]


def function_text(function: Function, numbers: list[str]) -> str:
    """The text of one compiled function; those called inside or core_... are tests."""
    head = f"@lane\ndef {function.name}({', '.join([*function.args, *numbers])}):"
    body = "".join(f"\n    {line}" for line in function.lines)
    if function.name == "inside" or function.name.startswith("core_"):
        test = " & ".join(f"({r} > 0.0)" for r in function.results)
        return f"{head}{body}\n    return {test}"
    return f"{head}{body}\n    return ({', '.join(function.results)},)"


class _Kernel(Events):
    """The loop around rounds."""

    def text(self) -> str:
        floats, ints = self.persistent()
        scratch = [n for s in range(0 if self.keep_start else 1, self.n_sub) for n in self.state(s)]
        scratch += [n for n in self.p.words if n.startswith("u")]
        scratch += [f"z{i}" for i in range(self.p.noise_dim * self.n_sub)]
        scratch += [n for stages in self.p.stages.values() for f in stages for n in f.outputs]
        raw = [n for n in self.p.words if n.startswith("w")]
        lines = ['@njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)']
        lines += [f"def advance({ARGUMENTS}):", "    full_width()"]
        lines += [f"    {n} = float_lanes({LANES})" for n in [*floats, *scratch]]
        lines += [f"    {n} = int_lanes({LANES})" for n in [*ints, *raw, "flag"]]
        lines += [f"    p{i} = par[{i}, 0]" for i, v in enumerate(self.varied) if not v]
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        put({n}, i, lane_floats[{r}, i])" for r, n in enumerate(floats)]
        lines += [f"        put({n}, i, lane_ints[{r}, i])" for r, n in enumerate(ints)]
        lines += ["        put(flag, i, I64(0))"]
        lines += ["    active, free, rounds, worked = counters[0], I64(0), I64(0), I64(0)"]
        lines += ["    while True:"]
        lines += indent(self.refill(floats, ints), 2)
        lines += [
            "        if active == 0 or (active < width and not drain) or rounds >= max_rounds:",
            "            break",
        ]
        lines += ["        rounds += 1", f"        worked += active * {self.n_sub}", "        hot = I64(0)"]
        lines += [f"        full = ((active + {GROUP - 1}) // {GROUP}) * {GROUP}"]
        lines += indent(self.loops(), 2)
        lines += [
            "        if hot != 0:",
            "            for i in range(active):",
            "                if get(flag, i) != 0:",
        ]
        lines += indent(self.handle(), 5)
        lines += [f"    for i in range({LANES}):"]
        lines += [f"        lane_floats[{r}, i] = get({n}, i)" for r, n in enumerate(floats)]
        lines += [f"        lane_ints[{r}, i] = get({n}, i)" for r, n in enumerate(ints)]
        lines += ["    counters[0] = active", "    counters[1] += worked"]
        return "\n".join(lines) + "\n"
