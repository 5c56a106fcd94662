"""Names and calls that the parts of a kernel's text share."""

from __future__ import annotations

import re

from sdesim.engine.trace import Function, Program


def used(function: Function) -> list[str]:
    """Kernel numbers p0, p1, ... that a function needs, in order."""
    words = set(re.findall(r"\bp\d+\b", " ".join([*function.lines, *function.results])))
    return sorted(words, key=lambda w: int(w[1:]))


def indent(lines: list[str], levels: int) -> list[str]:
    """The lines moved to the right."""
    return ["    " * levels + line for line in lines]


class Names:
    """What the lanes of one program are called; every part of the kernel's text is written with it."""

    def __init__(self, program: Program, varied: list[bool], record: bool, moments: bool) -> None:
        self.p = program
        self.varied = varied
        self.record, self.moments = record, moments
        self.d, self.n_sub = program.dim, program.steps
        self.keep_start = program.bridge

    def state(self, s: int) -> list[str]:
        """Lane arrays of the state after substep s; the last one persists between rounds."""
        return [f"x{c}_{s}" for c in range(self.d)]

    def call(self, name: str, args: list[str], lane: str) -> str:
        """A call with the kernel numbers appended, those that vary read from their lanes."""
        return self.apply(self.p.functions[name], args, lane)

    def apply(self, function: Function, args: list[str], lane: str) -> str:
        """A call of a function, whatever it is called in the program."""
        numbers = [self.number(int(w[1:]), lane) for w in used(function)]
        return f"{function.name}({', '.join([*args, *numbers])})"

    def number(self, i: int, lane: str) -> str:
        """The text of kernel number i: an argument, or a lane where it varies."""
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

    def first_core(self, values: list[str]) -> str:
        """The number of the first core that holds the state, or -1."""
        text = "I64(-1)"
        for j in reversed(range(self.p.wells)):
            text = f"(I64({j}) if {self.call(f'core_{j}', values, 'i')} else {text})"
        return text
