"""Exit of the well at equal accuracy: every program with the largest step that keeps the mean within 1 %."""

from __future__ import annotations

from typing import Any

import peers_jax
from table import Row
from timing import alternate, within
from well import LEFT, SIGMA, START, chain, exits, sde

import sdesim as sd

BIAS = 0.01
N, N_PEER, N_SEARCH = 65_536, 4_096, 4_000_000
GROWTH, SMALLEST_DT = 1.08, 0.012


def measure(small: bool = False) -> tuple[list[Row], dict[str, Any]]:
    exact = float(sd.theory.mean_exit_time(sde(), START, LEFT))
    plain_dt, plain_mean = euler_dt(exact)
    corrected_dt, tried = largest_corrected_dt(exact, N_SEARCH // 40 if small else N_SEARCH)
    n_peer = N_PEER // 16 if small else N_PEER
    dynamics = chain(corrected_dt)
    peer = peers_jax.exit_steps_vmapped(n_peer, plain_dt, SIGMA)
    timed = alternate({"sdesim": lambda: exits(dynamics, N, "bridge"), "jax": peer})
    time = timed["jax"].result * plain_dt
    z = within("JAX against the operator", time.mean() - plain_mean, time.std() / n_peer**0.5)
    scale = N / n_peer
    detail = {
        "exact_mean": exact, "euler_dt": plain_dt, "euler_mean": plain_mean, "corrected_dt": corrected_dt,
        "corrected_tried": tried, "peer_paths": n_peer, "peer_scale": scale, "agreement": {"JAX": z},
        "timings": {name: t.summary() for name, t in timed.items()},
        "remarks": [
            f"Equal accuracy: without correction the mean exit time is {100 * BIAS:g} % too long at "
            f"dt = {plain_dt:.3g} (transfer operator of the Euler chain against quadrature); with correction its "
            f"95 % interval from {N_SEARCH:,} paths stays within {100 * BIAS:g} % up to dt = {corrected_dt:.3g}. "
            f"JAX's time is that of {n_peer:,} paths times {scale:g}, which favours it: more paths also have a "
            "longer longest path."
        ],
    }  # fmt: skip
    work = f"exit of the well at {100 * BIAS:g} % bias, {N:,} paths, corrected against plain"
    jax = timed["jax"].median * scale
    return [Row(work, "s", timed["sdesim"].median, "JAX vmapped while_loop (scaled)", jax, 1000)], detail


def euler_dt(exact: float) -> tuple[float, float]:
    """The step at which the Euler chain is BIAS too slow, and its mean; the bias goes as sqrt(dt)."""
    dt = 1e-3
    while True:
        mean = float(sd.theory.chain_exit_time(chain(dt), START, LEFT))
        bias = mean / exact - 1
        if abs(bias / BIAS - 1) < 0.01:
            return dt, mean
        dt *= (BIAS / bias) ** 2


def largest_corrected_dt(exact: float, n: int) -> tuple[float, list[dict[str, float]]]:
    """The largest of a ladder of steps up to which the interval of the mean stays within BIAS."""
    dt, best, tried = SMALLEST_DT, 0.0, []
    while True:
        found = sd.exits.mean_exit_time(exits(chain(dt), n, "bridge", seed=1))
        low, high = found.low / exact - 1, found.high / exact - 1
        tried.append({"dt": dt, "bias": found.value / exact - 1, "low": low, "high": high})
        if max(abs(low), abs(high)) > BIAS:
            return best or dt, tried
        best, dt = dt, dt * GROWTH
