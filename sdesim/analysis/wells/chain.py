"""The Markov chain of wells as a value: its generator, what is known of its error, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from sdesim.analysis.estimate import Estimate, Reference
from sdesim.analysis.wells import matrix
from sdesim.analysis.wells.names import well_names, well_numbers

AXES = ("well", "to_well")


@dataclass(frozen=True, repr=False)
class WellChain:
    """A continuous-time Markov chain on the wells of a landscape.

    What follows from the generator is an `Estimate` where the rates were estimated: its interval holds the middle
    part of the values of the sampled generators in `draws` (posterior sampling; see `chain.generator` for how they
    are drawn). It is a `Reference` where they were calculated: its error adds the changes that the error of each
    rate makes. Wells are numbered as positions in `landscape.minima`, from 0, in arguments; messages say both the
    place, counted from 1, and the minimum.

    Parameters
    ----------
    rates : Estimate or Reference of DataArrays
        The generator Q over (swept dims,) well and to_well: rates q_ij off the diagonal, minus their sum on it;
        units 1/time.
    draws : ndarray, shape (draw, ..., well, well), optional
        Generators sampled from what is known of Q.
    counts : DataArray, optional
        Passages seen, over the dims of the rates.
    exposure : DataArray, optional
        Time spent in each well.
    sampling : str
        How the draws were made, in words.
    warnings : tuple of str
        What to doubt.
    """

    rates: Any
    draws: np.ndarray | None = None
    counts: xr.DataArray | None = None
    exposure: xr.DataArray | None = None
    sampling: str = ""
    warnings: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        m = self.n_wells
        kind = f"from {int(self.counts.sum())} passages" if self.counts is not None else f"({self.rates.method})"
        swept = "".join(f", {d}={s}" for d, s in self.matrix.sizes.items() if d not in AXES)
        doubts = "".join(f"; {w}" for w in self.warnings)
        return f"<chain of {m} wells{swept} {kind}{doubts}>"

    @property
    def matrix(self) -> xr.DataArray:
        """The generator Q, without its uncertainty."""
        return self.rates.value

    @property
    def n_wells(self) -> int:
        """Number of wells."""
        return int(self.matrix.sizes["well"])

    @property
    def wells(self) -> np.ndarray:
        """Minimum of each well, or its place from 0 where the landscape has several dimensions."""
        return np.asarray(self.matrix["well"])

    def exit_rates(self) -> Any:
        """Rate of leaving each well, -q_ii, 1/time."""
        return self._derived(lambda q: -np.einsum("...ii->...i", q), ["well"], "exit rate", "1/time")

    def jump_probabilities(self) -> Any:
        """Probability q_ij / -q_ii that the next well after i is j; NaN where i is never left."""
        return self._derived(_jumps, list(AXES), "probability of the next well", "1")

    def stationary(self) -> Any:
        """Long-run share of time in each well, π Q = 0.

        Raises
        ------
        ValueError
            If some well is never entered or never left: by its name.
        """
        self._irreducible("the stationary law")
        return self._derived(matrix.stationary, ["well"], "stationary share", "1")

    def mean_first_passage_times(self) -> Any:
        """Mean time from each well to the first entry of each other; infinite where it is never reached."""
        return self._derived(matrix.first_passage, list(AXES), "mean first-passage time", "time")

    def committor(self, a: Sequence[int], b: Sequence[int]) -> Any:
        """Probability, from each well, of entering one of the wells `b` before one of `a`.

        Raises
        ------
        ValueError
            If the two share a well, or one is empty or names a well there is not.
        """
        one, two = well_numbers("a", a, self.n_wells), well_numbers("b", b, self.n_wells)
        if set(one) & set(two):
            raise ValueError(f"a committor needs two sets without a common well, got a={one} and b={two}")
        return self._derived(lambda q: matrix.committor(q, one, two), ["well"], "committor", "1")

    def relaxation_times(self) -> Any:
        """Times -1/Re λ in which the chain forgets where it started, longest first."""
        self._irreducible("the relaxation times")
        return self._derived(matrix.relaxation, ["mode"], "relaxation time", "time")

    def transition_matrix(self, lag: float) -> Any:
        """Probabilities exp(Q lag) of each well at a time `lag` after each well."""
        return self._derived(lambda q: matrix.propagator(q, lag), list(AXES), "transition probability", "1")

    def only(self, wells: Sequence[int]) -> WellChain:
        """The chain without the rates to and from the other wells."""
        return self._mapped(lambda q, k: matrix.with_diagonal(q[..., k, :][..., :, k]), wells)

    def watched_on(self, wells: Sequence[int]) -> WellChain:
        """The chain seen only while it is in these wells: ways through the others become direct, their time none."""
        return self._mapped(lambda q, k: matrix.over_finite(lambda x: matrix.watched(x, k), q), wells)

    def _mapped(self, f: Callable[[np.ndarray, list[int]], np.ndarray], wells: Sequence[int]) -> WellChain:
        keep = well_numbers("wells", wells, self.n_wells)
        if len(keep) < 2:
            raise ValueError(f"a chain needs at least two wells, got {keep}")
        if isinstance(self.rates, Reference):
            base = np.asarray(self.matrix)
            value, error = self._changes(base, lambda q: f(q, keep))
            place = {"well": keep, "to_well": keep}
            part = self.matrix.isel(place)
            return WellChain(Reference(part.copy(data=value), part.copy(data=error), self.rates.method))
        shape = self.matrix.isel(well=keep, to_well=keep)
        assert self.draws is not None
        q, draws = f(np.asarray(self.matrix), keep), f(self.draws, keep)
        low, high = _middle(draws, self.rates.level)
        seen = None if self.counts is None else self.counts.isel(well=keep, to_well=keep)
        spent = None if self.exposure is None else self.exposure.isel(well=keep)
        parts = [shape.copy(data=x) for x in (q, low, high)]
        method = f"from the chain of all wells; middle of {len(draws)} {self.sampling}"
        estimate = Estimate(parts[0], parts[1], parts[2], self.rates.level, seen, method)
        return WellChain(estimate, draws, seen, spent, self.sampling)

    def _derived(self, f: Callable[[np.ndarray], np.ndarray], dims: list[str], name: str, units: str) -> Any:
        """f(Q) with its interval or error."""
        q = np.asarray(self.matrix, dtype=float)
        value = matrix.over_finite(f, q)
        swept = [d for d in self.matrix.dims if d not in AXES]
        coords = {d: c for d, c in self.matrix.coords.items() if set(c.dims) <= {*swept, *dims}}
        attrs = {"long_name": name, "units": units}

        def labelled(x: np.ndarray) -> xr.DataArray:
            return xr.DataArray(x, dims=[*swept, *dims], coords=coords, attrs=attrs)

        if isinstance(self.rates, Reference):
            value, error = self._changes(q, f)
            return Reference(labelled(value), labelled(error), f"from the generator: {self.rates.method}")
        assert self.draws is not None
        low, high = _middle(matrix.over_finite(f, self.draws), self.rates.level)
        low, high = np.fmin(low, value), np.fmax(high, value)
        n = 0 if self.counts is None else self.counts.sum(AXES)
        n = int(n) if np.ndim(n) == 0 else n
        method = f"from the estimated generator; middle of {len(self.draws)} {self.sampling}"
        return Estimate(labelled(value), labelled(low), labelled(high), self.rates.level, n, method)

    def _changes(self, q: np.ndarray, f: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """f(Q), and the sum over the rates of what their numerical errors change in it."""
        value = matrix.over_finite(f, q)
        errors = np.broadcast_to(np.asarray(self.rates.error, dtype=float), q.shape)
        total = np.zeros(value.shape)
        for i, j in np.argwhere(~np.eye(q.shape[-1], dtype=bool)):
            other = q.copy()
            other[..., i, j] += errors[..., i, j]
            with np.errstate(invalid="ignore"):
                moved = np.abs(matrix.over_finite(f, matrix.with_diagonal(other)) - value)
            total += np.where(np.isfinite(moved), moved, 0.0)
        return value, total

    def _irreducible(self, what: str) -> None:
        """Refuse a chain in which some well is not reached from all others, if there is no cell where it is."""
        fault = reducible(self)
        if fault:
            raise ValueError(f"{what} needs a chain that goes from every well to every other: {fault}")


def reducible(chain: WellChain) -> str:
    """Why some well is not reached from every other, wells by name; "" if it is, in one cell at least."""
    q = np.asarray(chain.matrix, dtype=float).reshape(-1, chain.n_wells, chain.n_wells)
    faults = [_fault(one, well_names(chain.matrix)) for one in q]
    return faults[0] if all(faults) else ""


def _jumps(q: np.ndarray) -> np.ndarray:
    total = -np.einsum("...ii->...i", q)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        out = q / total
    i = np.arange(q.shape[-1])
    out[..., i, i] = np.where(total[..., 0] > 0, 0.0, np.nan)
    return np.asarray(out)


def _middle(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the middle part of the draws, which may be infinite; NaN where some are NaN."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    return low, high


def _fault(q: np.ndarray, names: list[str]) -> str:
    """Why a chain is not irreducible, "" if it is."""
    from scipy.sparse.csgraph import connected_components

    if not np.isfinite(q).all():
        bad = [n for n, row in zip(names, q, strict=True) if not np.isfinite(row).all()]
        return f"{' and '.join(bad)} was never entered, its rates are unknown; start paths there or drop it with only()"
    off = q - np.diag(np.diag(q))
    stuck = [n for n, row in zip(names, off, strict=True) if not row.any()]
    if stuck:
        return f"{' and '.join(stuck)} was never left, absorbing as far as seen: simulate longer or drop it with only()"
    unreached = [n for n, column in zip(names, off.T, strict=True) if not column.any()]
    if unreached:
        return f"{' and '.join(unreached)} is entered from no other well: simulate longer or drop it with only()"
    parts, label = connected_components(off > 0, connection="strong")
    if parts > 1:
        sets = [[n for n, k in zip(names, label, strict=True) if k == p] for p in range(parts)]
        return f"it falls apart into {' | '.join(', '.join(s) for s in sets)}; take one of these sets with only()"
    return ""
