"""Rows of the benchmark table, the JSON they are kept in, and the page made from it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, PAGE, FIGURES = HERE / "results.json", HERE / "RESULTS.md", HERE / "figures"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    ours, peers : float
        In `unit`; `peers` is None where a limit is to be kept.
    bar : float or None
        Least ratio peers/ours; without a peer the largest (with `least`, the smallest) value of ours.
    """

    work: str
    unit: str
    ours: float
    peer: str = ""
    peers: float | None = None
    bar: float | None = None
    least: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer takes."""
        return None if self.peers is None else self.peers / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without a bar."""
        if self.bar is None:
            return None
        if self.ratio is not None:
            return bool(self.ratio >= self.bar)
        return bool(self.ours >= self.bar if self.least else self.ours <= self.bar)


def load() -> dict[str, Any]:
    if RESULTS.exists():
        return json.loads(RESULTS.read_text(encoding="utf-8"))
    return {"machine": {}, "sections": {}}


def store(
    results: dict[str, Any], name: str, rows: Sequence[Row], detail: dict[str, Any], conditions: dict[str, Any]
) -> None:
    """Put one section in its place in the results and write the JSON and the page."""
    results["sections"].setdefault(name, {})
    results["sections"][name] |= {
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "conditions": conditions,
        "rows": [{**asdict(r), "ratio": r.ratio, "met": r.met} for r in rows],
        "detail": detail,
    }
    RESULTS.write_text(json.dumps(results, indent=1, default=_plain) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def _plain(value: Any) -> Any:
    """A number or list for one of NumPy's."""
    return value.tolist()


def page(results: dict[str, Any]) -> str:
    """The page in Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python benchmarks/run.py [section ...]`), each section in a process of its own. "
        "float64; competitors take turns in one process on the same cores, compiled and warmed up before; medians of "
        "at least three repetitions. "
        "Before a time counts, the means that both sides compute must agree within five standard errors.",
        "",
        "| work | ours | peer | ratio | bar | met |",
        "|---|---:|---:|---:|---:|:---:|",
    ]
    for section in results["sections"].values():
        lines += [_line(row) for row in section["rows"]]
    lines += ["", "## Remarks", ""]
    for section in results["sections"].values():
        lines += [f"- {remark}" for remark in section["detail"].get("remarks", ())]
    lines += ["", "## Figures", ""]
    for section in results["sections"].values():
        lines += [f"![{text}](figures/{file})\n" for file, text in section["detail"].get("figures", {}).items()]
    lines += ["## Machine", ""]
    lines += [f"- {key}: {value}" for key, value in results["machine"].items()]
    lines += ["", "| section | measured (UTC) | cores taken by other processes |", "|---|---|---:|"]
    for name, section in results["sections"].items():
        busy = section["conditions"]["others_during"]
        lines += [f"| {name} | {section['measured_at'][:19].replace('T', ' ')} | {100 * busy:.1f} % |"]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    unit, bar = row["unit"], row["bar"]
    ours = f"{row['ours']:.3g} {unit}"
    peer = f"{row['peer']}: {row['peers']:.3g} {unit}" if row["peers"] is not None else row["peer"]
    ratio = "" if row["ratio"] is None else f"{_short(row['ratio'])}×"
    if bar is None:
        wanted = ""
    elif row["ratio"] is not None:
        wanted = f"≥ {_short(bar)}×"
    else:
        wanted = f"{'≥' if row['least'] else '≤'} {_short(bar)} {unit}"
    met = {None: "", True: "yes", False: "**no**"}[row["met"]]
    return f"| {row['work']} | {ours} | {peer} | {ratio} | {wanted} | {met} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
