"""What a comparison found, as plain data and in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

STATISTICS = ("p_mean", "p_wasserstein", "p_energy")
# Observables that a verdict names one by one.
NAMED = 6
HEADER = (
    "observable", "time", "reference", "other", "difference", "simultaneous band", "p", "Wasserstein-1",
    "interval", "p", "energy", "interval", "p",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Comparison:
    """One dynamics held against another.

    Attributes
    ----------
    reference, other : str
        Names of the two.
    where : dict
        Values of swept parameters.
    table : Dataset over `look` (coordinates observable, component, time)
        n_, mean_ and sd_ of both; difference (other - reference), its standard error, t interval (low, high) and
        simultaneous band; wasserstein and energy with _low and _high; wasserstein_if_equal, the mean that equal laws
        would show; p_mean, p_wasserstein and p_energy, corrected for all looks.
    diverged : dict
        Shares of diverged paths, "reference" and "other", and "p", corrected likewise.
    level : float
    paired : bool
        Whether paths were compared in pairs.
    permutations : int
    within : float or None
        Relative difference of means that counts as agreement.
    notes : tuple of str
        What was left out or is to be known.
    """

    reference: str
    other: str
    where: dict[str, Any]
    table: xr.Dataset
    diverged: dict[str, float]
    level: float
    paired: bool
    permutations: int
    within: float | None
    notes: tuple[str, ...]

    @property
    def p_value(self) -> float:
        """The smallest of all corrected p-values: that of equal laws."""
        values = [self.table[name].values for name in STATISTICS]
        return float(min(np.nanmin(np.append(np.concatenate(values), 1.0)), self.diverged["p"]))

    @property
    def parts(self) -> bool:
        """Whether a difference was found."""
        return self.p_value <= 1 - self.level + 1e-12

    @property
    def relative(self) -> xr.Dataset:
        """Difference of means and its simultaneous band in units of the reference.

        The unit of a look is |mean| of the reference, or its standard deviation where that is larger (a mean of zero
        is no unit).
        """
        t = self.table
        unit = np.maximum(np.abs(t["mean_reference"]), t["sd_reference"])
        names = {"difference": "difference", "low": "band_low", "high": "band_high"}
        with np.errstate(all="ignore"):
            return xr.Dataset({k: xr.where(t[v] == 0, 0.0, t[v] / unit) for k, v in names.items()})

    @property
    def agreement(self) -> float:
        """The x of "means agree within x": the largest relative difference that the band leaves possible."""
        ends = np.abs([self.relative["low"].values, self.relative["high"].values])
        return float(np.max(ends)) if np.isfinite(ends).all() else math.inf

    @property
    def title(self) -> str:
        """The two names and where they were compared."""
        place = "".join(f", {k} = {v:.4g}" if isinstance(v, float) else f", {k} = {v}" for k, v in self.where.items())
        return f"{self.other} and {self.reference}{place}"

    @property
    def verdict(self) -> tuple[str, ...]:
        """Plain lines: agreement within x %, or where, when and by how much they part."""
        percent = f"{100 * self.level:g} %"
        if not self.parts:
            most = f"means agree within {_percent(self.agreement)} ({percent}, all looks at once)"
            lines = [f"{self.title}: {most}; no difference of laws found, p = {self.p_value:.2g}"]
        else:
            lines = [f"{self.title}: part, p = {self.p_value:.2g} ({percent})", *self._departures()]
            lines.append(f"  means are nowhere further apart than {_percent(self.agreement)} of the reference")
        if self.within is not None:
            lines.append(f"  {self._asked(self.within)}")
        return tuple(lines)

    def records(self) -> list[dict[str, Any]]:
        """The table as plain rows."""
        names = {"reference": self.reference, "other": self.other, **self.where}
        columns = {str(k): v.values.tolist() for k, v in self.table.variables.items()}
        return [names | dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def __str__(self) -> str:
        n = int(self.table["n_reference"].max()), int(self.table["n_other"].max())
        paths = f"{n[0]} pairs of paths" if self.paired else f"{n[0]} and {n[1]} paths"
        looks = f"{self.table.sizes['look']} looks, {self.permutations} permutations"
        rows = [HEADER, *(self._row(g) for g in self._groups()[:NAMED])]
        lines = [f"{self.other} against {self.title.partition(' and ')[2]} ({paths}, {looks})", *_aligned(rows)]
        if len(self._groups()) > NAMED:
            lines.append(f"... and {len(self._groups()) - NAMED} more in the table")
        return "\n".join([*lines, *self.verdict, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<Comparison: {self.verdict[0]}>"

    def _groups(self) -> list[np.ndarray]:
        """Looks of each observable and component, those with the clearest difference first."""
        names = [*zip(self.table["observable"].values, self.table["component"].values, strict=True)]
        groups = [np.array([i for i, n in enumerate(names) if n == name]) for name in dict.fromkeys(names)]
        return sorted(groups, key=lambda g: self._clearest(g)[1:])

    def _clearest(self, group: np.ndarray) -> tuple[int, float, float]:
        """The look of a group with the smallest p-value (of means, then any), the largest difference among equals."""
        t = self.table.isel(look=group)
        p = np.min([np.nan_to_num(t[name].values, nan=2.0) for name in STATISTICS], axis=0)
        with np.errstate(all="ignore"):
            size = np.nan_to_num(np.abs(t["difference"].values / t["error"].values), nan=0.0, posinf=np.inf)
        best = min(range(len(group)), key=lambda i: (p[i], -size[i]))
        return int(group[best]), float(p[best]), -float(size[best])

    def _row(self, group: np.ndarray) -> tuple[str, ...]:
        one = self._look(self._clearest(group)[0])
        cells = [_name(one), _time(one), f"{one['mean_reference']:.4g}", f"{one['mean_other']:.4g}"]
        for what, ends in (("difference", "band"), ("wasserstein", "wasserstein"), ("energy", "energy")):
            p = one["p_mean" if what == "difference" else f"p_{what}"]
            cells += [f"{one[what]:.3g}", f"[{one[f'{ends}_low']:.3g}, {one[f'{ends}_high']:.3g}]", f"{p:.2g}"]
        return tuple(cells)

    def _look(self, i: int) -> dict[str, Any]:
        return {str(k): v.values[i].item() for k, v in self.table.variables.items()}

    def _departures(self) -> Iterator[str]:
        """One line for each observable that parts."""
        alpha = 1 - self.level + 1e-12
        if self.diverged["p"] <= alpha:
            shares = [f"{100 * self.diverged[k]:.3g} %" for k in ("other", "reference")]
            yield f"  diverged paths: {shares[0]} against {shares[1]}, p = {self.diverged['p']:.2g}"
        groups = [g for g in self._groups() if self._clearest(g)[1] <= alpha]
        for g in groups[:NAMED]:
            means = g[self.table["p_mean"].values[g] <= alpha]
            yield f"  {self._by_means(g, means) if means.size else self._by_laws(g)}"
        if len(groups) > NAMED:
            yield f"  and {len(groups) - NAMED} observables more"

    def _by_means(self, group: np.ndarray, differ: np.ndarray) -> str:
        t, r = self.table, self.relative
        most = differ[np.argmax(np.abs(r["difference"].values[differ]))]
        one = self._look(int(most))
        ends = [_percent(float(r[k].values[most]), sign=True) for k in ("difference", "low", "high")]
        most_of = "most " if differ.size > 1 else ""
        return (
            f"{_name(one)}: {_span(t['time'].values[differ], group.size)}{most_of}{one['mean_other']:.4g} against "
            f"{one['mean_reference']:.4g}, {ends[0]} [{ends[1]}, {ends[2]}], p = {one['p_mean']:.2g}"
        )

    def _by_laws(self, group: np.ndarray) -> str:
        t = self.table
        p = np.fmin(t["p_wasserstein"].values, t["p_energy"].values)[group]
        differ = group[p <= 1 - self.level + 1e-12]
        most = group[int(np.nanargmin(p))]
        one = self._look(int(most))
        return (
            f"{_name(one)}: {_span(t['time'].values[differ], group.size)}laws differ, means are not known to: standard "
            f"deviation {one['sd_other']:.4g} against {one['sd_reference']:.4g}, Wasserstein-1 "
            f"{one['wasserstein']:.3g} ({one['wasserstein_if_equal']:.2g} if equal), p = {float(np.nanmin(p)):.2g}"
        )

    def _asked(self, within: float) -> str:
        """Whether the means agree within what was asked, and how many paths would tell if nobody knows."""
        r, asked = self.relative, _percent(within)
        if self.agreement <= within:
            return f"agree within the {asked} asked for"
        if bool(((r["low"] > within) | (r["high"] < -within)).any()):
            return f"do not agree within the {asked} asked for"
        half, off = ((r["high"] - r["low"]) / 2).values, np.abs(r["difference"].values)
        open_ = ~((np.abs(r["low"].values) <= within) & (np.abs(r["high"].values) <= within))
        if not np.isfinite(half).all() or np.any(off[open_] >= within):
            return f"not known whether they agree within the {asked} asked for: the difference is about as large"
        more = float(np.max((half[open_] / (within - off[open_])) ** 2))
        need = math.ceil(more * int(self.table["n_other"].max()))
        return f"not known whether they agree within the {asked} asked for: about {need} paths each would tell"


@dataclass(frozen=True, repr=False)
class Comparisons:
    """Comparisons with one reference: each other dynamics, each cell of a sweep.

    Attributes
    ----------
    each : tuple of Comparison
    """

    each: tuple[Comparison, ...]

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.each)

    def __len__(self) -> int:
        return len(self.each)

    def __getitem__(self, i: int) -> Comparison:
        return self.each[i]

    @property
    def verdict(self) -> tuple[str, ...]:
        """The lines of all of them."""
        return tuple(line for one in self.each for line in one.verdict)

    def records(self) -> list[dict[str, Any]]:
        """The tables of all of them as plain rows."""
        return [row for one in self.each for row in one.records()]

    def __str__(self) -> str:
        return "\n\n".join(str(one) for one in self.each)

    def __repr__(self) -> str:
        return f"<Comparisons: {'; '.join(line for line in self.verdict)}>"


def _percent(x: float, sign: bool = False) -> str:
    if not math.isfinite(x):
        return "no known share" if math.isinf(x) else "nan %"
    digits = ".0f" if abs(x) >= 1 else ".2g"
    return f"{100 * x:{'+' if sign else ''}{digits}} %"


def _name(one: dict[str, Any]) -> str:
    return " ".join(part for part in (str(one["observable"]), str(one["component"])) if part).replace("_", " ")


def _time(one: dict[str, Any]) -> str:
    return "" if math.isnan(one["time"]) else f"{one['time']:.4g}"


def _span(times: np.ndarray, of: int) -> str:
    """When, in words that a value follows."""
    if np.isnan(times).any():
        return ""
    if times.size == 1:
        return f"at time {times[0]:.4g}{f' of {of} times' if of > 1 else ''}, "
    return f"from time {times.min():.4g} to {times.max():.4g} ({times.size} of {of} times), "


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{r[0]:<{widths[0]}}" + "".join(f"  {c:>{w}}" for c, w in zip(r[1:], widths[1:], strict=True)) for r in rows
    ]
