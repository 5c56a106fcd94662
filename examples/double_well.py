"""Exit times of a double well in ten lines: the code of the README and its figure.

Usage: python examples/double_well.py [FIGURE.png]
"""

import sys
import time
from pathlib import Path

import sdesim as sd


def main(target: Path) -> None:
    well = sd.Landscape("x**4/4 - x**2/2")
    sde = sd.SDE(drift=-well.gradient, diffusion=0.5)
    left = sd.Interval(-float("inf"), 0.0)
    start = time.perf_counter()
    ds = sd.run(
        sd.EulerMaruyama(sde, dt=1e-2),
        x0=-1.0,
        n_paths=65_536,
        t_max=1e4,
        seed=0,
        observers=[sd.FirstExit(left)],
    )
    seconds = time.perf_counter() - start
    theory = sd.theory.mean_exit_time(sde, x0=-1.0, region=left)
    print(f"simulated {sd.exits.mean_exit_time(ds)}")
    print(f"theory    {theory}")
    steps = int(ds["n_steps"].sum())
    print(f"{steps:.3g} path-steps in {seconds:.2f} s, kernel compiled or loaded included")
    target.parent.mkdir(parents=True, exist_ok=True)
    sd.plot.figure(ds, theory=theory).savefig(target, dpi=150)
    print(f"figure    {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "double_well.png"))
