"""The benchmarks of sdesim: ``python benchmarks/run.py [--small] [--now] [section ...]``.

Each section waits for a quiet machine, measures in a process of its own (one section would else find the memory and
the threads of another), and is merged into results.json and RESULTS.md.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

import machine
import table

SECTIONS = {
    "fixed": "fixed_horizon",
    "exit": "well_exit",
    "accuracy": "equal_accuracy",
    "stable": "stable_noise",
    "recursion": "clipped_recursion",
    "muller_brown": "muller_brown",
    "start": "start_up",
    "memory": "resident_memory",
    "order": "exit_order",
    "networks": "networks",
    "devices": "devices",
    "plane_exit": "plane_exit",
    "rare_exits": "rare_exits",
    "exit_scaling": "exit_scaling",
    "weak_order": "weak_order",
    "stationary": "stationary",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Benchmarks; without names, all sections.")
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--small", action="store_true", help="small sizes; figures go to out/, no results are kept")
    parser.add_argument("--now", action="store_true", help="do not wait for a quiet machine")
    options = parser.parse_args(argv)
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}: possible are {', '.join(SECTIONS)}")
    if len(options.sections) != 1:
        flags = [flag for flag in ("--small", "--now") if getattr(options, flag[2:])]
        commands = [[sys.executable, __file__, *flags, name] for name in options.sections or SECTIONS]
        return max(subprocess.run(command, check=False).returncode for command in commands)
    machine.use_cores()
    if options.small:
        table.FIGURES = table.HERE.parent / "out"
    table.FIGURES.mkdir(exist_ok=True)
    return 0 if _section(options.sections[0], options) else 1


def _section(name: str, options: argparse.Namespace) -> bool:
    """Measure one section; True when every bar is met."""
    before = machine.wait_until_quiet(patience=0.0 if options.now or options.small else 300.0)
    load_meter, began = machine.Load.start(), time.perf_counter()
    rows, detail = importlib.import_module(SECTIONS[name]).measure(options.small)
    conditions = {
        "others_before": before,
        "others_during": load_meter.others(),
        "wall_s": time.perf_counter() - began,
    }
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}x {row.peer}"
        ours = f"{row.ours:.4g} {row.unit}"
        print(f"{name:12s} {row.work:64s} {ours:24s} {ratio:34s} {row.bar} {row.met}", flush=True)
    print(f"{name:12s} {conditions}", flush=True)
    if not options.small:
        results = table.load()
        results["machine"] = machine.describe()
        known = {**results["sections"], name: {}}
        results["sections"] = {key: results["sections"].get(key, {}) for key in SECTIONS if key in known}
        table.store(results, name, rows, detail, conditions)
    return all(row.met is not False for row in rows)


if __name__ == "__main__":
    sys.exit(main())
