"""Where label noise kills a neuron: the transverse exponent of SGD on a network, measured and predicted.

A network of one tanh neuron learns y = x; without noise its death is a saddle, and training leaves it. Noise of the
labels makes it attractive (Chen and others 2023, arXiv 2306.04251); too much of it, or too large a learning rate, does
not: the exponent of the steps themselves comes back above zero, and that of the SDE cannot.

Usage: python examples/network_collapse.py [FIGURE.png]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

import sdesim as sd

RATES, NOISES = np.linspace(0.02, 0.2, 8), np.linspace(0.0, 12.0, 8)
BATCH, STEPS, PATHS = 1, 400, 64


def problem() -> object:
    """The network, its loss and its data."""
    x = torch.randn(32, 1, generator=torch.Generator().manual_seed(0))
    return sd.network(sd.mlp(1, 1, 1, activation="tanh", bias=False), "mse", (x, x), method="vmap")


def predicted(objective: object, lr: float, noise: float) -> object:
    """Curvature, noise and exponents at the dead neuron along w1 = w2, where the loss falls away."""
    sgd = sd.SGD(objective, lr, batch_size=BATCH, label_noise=noise)
    return sd.attractivity(sgd, [0.0, 0.0], [1.0, 1.0])


def boundary(objective: object, rates: np.ndarray) -> np.ndarray:
    """Label noise at which the exponent of the SDE is zero: it is a - b noise²."""
    at = [(predicted(objective, lr, 0.0).exponent, predicted(objective, lr, 1.0).exponent) for lr in rates]
    return np.array([np.sqrt(max(a, 0.0) / (a - one)) for a, one in at])


def main(target: Path) -> None:
    objective = problem()
    dead = sd.invariant.VanishingNeurons(objective, "0", 0)
    tangent = sd.Tangent(sd.SGD(objective, 0.1, batch_size=BATCH), normal_to=dead)
    grid = {"lr": RATES, "label_noise": NOISES}
    ds = sd.run(tangent, [0.0, 0.0], PATHS, n_steps=STEPS, vary=grid, block=PATHS, seed=1)
    found = sd.lyapunov(ds)
    print(f"{(found.high < 0).sum().item()} of {found.value.size} cells attract, {(found.low > 0).sum().item()} repel")
    figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    sd.plot.phase_diagram(
        ax, ds, "lr", "label_noise", boundary=lambda lr: boundary(objective, lr), label="SDE: L'' + D''/2 = 0"
    )
    rates, noises = (np.linspace(v[0], v[-1], 25) for v in (RATES, NOISES))
    steps = [[predicted(objective, lr, noise).discrete for lr in rates] for noise in noises]
    ax.contour(rates, noises, steps, levels=[0.0], colors="C2", linestyles=":", linewidths=2.5)
    ax.plot([], [], "C2:", linewidth=2.5, label="steps: E log|factor| = 0")
    ax.legend(fontsize="small")
    ax.set(xlabel="learning rate", ylabel="label noise", title="one tanh neuron at its death, single examples")
    figure.savefig(target, dpi=150)
    print(f"figure: {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("network_collapse.png"))
