"""Exits of a double well that no direct simulation sees: splitting beside quadrature, Kramers and direct paths.

Usage: python examples/rare_exits.py [FIGURE.png]
"""

import math
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import sdesim as sd

WELL = sd.Landscape("x**4/4 - x**2/2")
NOISE = (0.5, 0.4, 0.3, 0.25, 0.2, 0.17, 0.14, 0.12)
LEFT = sd.Interval(high=0.0)
DT = 0.01


def exit_time(sigma: float) -> dict[str, object]:
    """Mean exit time of the left well at one noise: by splitting, of the Euler chain, of the SDE, by Kramers."""
    sde = sd.SDE(drift=-WELL.gradient, diffusion=sigma)
    chain = sd.EulerMaruyama(sde, dt=DT)
    bottom = sd.Interval(-1.0 - sigma / 5, -1.0 + sigma / 5)
    return {
        "splitting": sd.rare_exit_time(chain, x0=-1.0, a=bottom, leave=LEFT, n_runs=20, seed=1),
        "chain": sd.theory.chain_exit_time(chain, -1.0, LEFT, rtol=5e-3),
        "sde": sd.theory.mean_exit_time(sde, -1.0, LEFT),
        "kramers": sd.theory.eyring_kramers(WELL, sigma, start=-1.0, until="boundary"),
    }


def direct(sigma: float) -> object:
    """The same by simulating and waiting, while that is possible."""
    chain = sd.EulerMaruyama(sd.SDE(drift=-WELL.gradient, diffusion=sigma), dt=DT)
    watched = [sd.FirstExit(LEFT, correction=None)]
    return sd.exits.mean_exit_time(sd.run(chain, -1.0, 4_000, t_max=1e6, observers=watched, progress=False))


def trusted(reference: object) -> bool:
    """Whether a calculated number is good to a tenth: beyond 1e13 steps rounding spoils the operator."""
    return reference.error < 0.1 * reference.value


def main(target: Path) -> None:
    found = []
    for sigma in NOISE:
        began = time.perf_counter()
        found.append(exit_time(sigma))
        one, seconds = found[-1], time.perf_counter() - began
        split, exact = one["splitting"], one["chain"]
        known = f"operator {exact.value:.4g}" if trusted(exact) else f"SDE {one['sde'].value:.4g}"
        print(f"σ={sigma:g}  splitting {split.value:.4g} [{split.low:.3g}, {split.high:.3g}]  {known}  {seconds:.1f} s")
    seen = [direct(sigma) for sigma in NOISE[:3]]
    figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    x = 1 / np.square(NOISE)
    exact = [float(f["chain"].value) if trusted(f["chain"]) else math.nan for f in found]
    ax.plot(x, exact, "k-", label="Euler chain, operator")
    ax.plot(x, [float(f["sde"].value) for f in found], "k:", label="SDE, quadrature")
    ax.plot(x, [float(f["kramers"].value) for f in found], "--", color="0.6", label="Kramers, leading order")
    for name, estimates, at, style in (
        ("splitting", [f["splitting"] for f in found], x, "C0o"),
        ("direct, 4,000 paths", seen, x[: len(seen)], "C1s"),
    ):
        value, low, high = (np.array([float(getattr(e, end)) for e in estimates]) for end in ("value", "low", "high"))
        ax.errorbar(at, value, [value - low, high - value], fmt=style, capsize=3, markersize=5, label=name)
    ax.set(yscale="log", xlabel="1 / σ²", ylabel="mean exit time [time]", title="left well, 95 % intervals")
    ax.legend(fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    years = float(found[-1]["sde"].value) / DT / 1e9 / math.pi / 1e7
    print(f"one path at sigma {NOISE[-1]:g} takes about {years:.2g} years at a nanosecond a step")
    print(f"figure    {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "rare_exits.png"))
