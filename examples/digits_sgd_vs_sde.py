"""SGD and its SDE on the same network and data: how they train, and when they pass 90 % of the test set.

Writes a figure: python examples/digits_sgd_vs_sde.py [FILE.png]
"""

import sys
import time

import matplotlib.pyplot as plt
import numpy as np

import sdesim as sd

LR, BATCH, PATHS, T_MAX = 0.5, 32, 16, 30.0
TIMES = np.linspace(0.0, T_MAX, 41)

objective = sd.network(sd.mlp(64, 16, 10), "cross_entropy", sd.data.digits())
sde = sd.minibatch_sde(objective, LR, BATCH)
dynamics = {
    "SGD": sd.SGD(objective, LR, batch_size=BATCH),
    "SDE, h = η/10": sd.EulerMaruyama(sde, LR / 10),
    "SDE, h = η/5": sd.EulerMaruyama(sde, LR / 5),
}
values = {
    "loss": objective.test_loss,
    "accuracy": objective.accuracy,
    "weight_norm": lambda x: x.norm(dim=1),
}


def interval(ensemble):
    """Mean over paths and its 95 % Student interval."""
    mean = ensemble.mean("path")
    half = 2.13 * ensemble.std("path", ddof=1) / np.sqrt(ensemble.sizes["path"])  # t quantile of 15 degrees of freedom
    return mean, half


began = time.perf_counter()
runs, exits = {}, {}
for name, chain in dynamics.items():
    looks = [sd.Record(TIMES, values=values)]
    runs[name] = sd.run(chain, objective, PATHS, t_max=T_MAX, seed=1, observers=looks)
    every = round(LR / chain.clock)  # looked at once in the time of an SGD step
    trained = sd.FirstExit(sd.Below(objective.accuracy, 0.9, every=every))
    exits[name] = sd.exits.mean_exit_time(
        sd.run(chain, objective, PATHS, t_max=10 * T_MAX, seed=1, observers=[trained])
    )
    print(f"{name:14s} test accuracy passes 90 % at {exits[name]}")
print(f"{time.perf_counter() - began:.0f} s")

figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
for name, ds in runs.items():
    for ax, quantity in zip(axes, values, strict=False):
        mean, half = interval(ds[quantity])
        (line,) = ax.plot(ds.time, mean, label=name)
        ax.fill_between(ds.time, mean - half, mean + half, color=line.get_color(), alpha=0.25)
for ax, label in zip(axes, ("test loss", "test accuracy", "weight norm"), strict=False):
    ax.set(xlabel="time [η × steps]", ylabel=label)
    ax.grid(alpha=0.3)
axes[0].legend(fontsize="small")
for i, estimate in enumerate(exits.values()):
    value, low, high = (float(v) for v in (estimate.value, estimate.low, estimate.high))
    axes[3].errorbar(value, i, xerr=[[value - low], [high - value]], fmt="o", capsize=4)
axes[3].set(yticks=range(len(exits)), yticklabels=list(exits), xlabel="mean time to 90 % [η × steps]", ylim=(-0.5, 2.5))
axes[3].grid(alpha=0.3)
figure.suptitle(f"digits, 64–16–10 network, η = {LR}, B = {BATCH}, {PATHS} paths each (bands: 95 % intervals)")
path = sys.argv[1] if len(sys.argv) > 1 else "digits_sgd_vs_sde.png"
figure.savefig(path, dpi=150)
print("figure   ", path)
