"""The compiled test of a basin in several dimensions: follow the gradient flow until a minimum captures it."""

from __future__ import annotations

from sdesim.observe.basin import MAX_STRIDES, FlowBasin


def flow_source(basin: FlowBasin, numbers: list[str]) -> str:
    """The function `in_basin(y0, y1, ..., p..)` of a kernel; `slope` stands above it."""
    d = range(basin.dim)
    ys, tail = [f"y{c}" for c in d], "".join(f", {n}" for n in numbers)
    lines = [f"@exact\ndef direction({', '.join(ys)}{tail}):", f"    g = slope({', '.join(ys)}{tail})"]
    lines += [f"    size = -np.sqrt({' + '.join(f'g[{c}] * g[{c}]' for c in d)})"]
    lines += [f"    return ({', '.join(f'g[{c}] / size' for c in d)},)", "", ""]
    lines += [f"@exact\ndef in_basin({', '.join(ys)}{tail}):", f"    for _ in range({MAX_STRIDES}):"]
    for j, (center, radius) in enumerate(basin.balls):
        distance = " + ".join(f"square(y{c} - ({v!r}))" for c, v in enumerate(center))
        lines += [f"        if {distance} < {radius**2!r}:", f"            return {j == basin.index}"]
    h = repr(basin.stride)
    lines += [f"        a = direction({', '.join(ys)}{tail})"]
    for name, before, part in (("b", "a", "0.5 * "), ("c", "b", "0.5 * "), ("e", "c", "")):
        point = ", ".join(f"y{c} + {part}{h} * {before}[{c}]" for c in d)
        lines += [f"        {name} = direction({point}{tail})"]
    for c in d:
        lines += [f"        y{c} = y{c} + {h} / 6.0 * (a[{c}] + 2.0 * b[{c}] + 2.0 * c[{c}] + e[{c}])"]
    return "\n".join([*lines, "    return False"])
