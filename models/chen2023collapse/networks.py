"""Networks on digits lose neurons to noise: large learning rates, label noise, and a late drop of the rate.

A GELU network with one hidden layer tells 3 from 8 on scikit-learn's digits, with targets ±1 and the mean square error:
label noise is then Gaussian noise added to the targets of a batch, and the loss has a curvature that does not vanish at
interpolation. Neurons are counted as in the paper (`sd.invariant.independent_neurons`): those that have vanished and
those that repeat another do not count.

Inputs are the first 8 principal components of the training images, scaled to variance one. With raw pixels the weights
of pixels that are always empty never move, and no neuron's norm can fall. There is no weight decay: it removes neurons
by itself, and what remains here is the work of noise. Where all neurons are needed (ten classes, or odd against even),
label noise removed none in as many steps, nor does it in the convolution network of this size. Runs of different rates
take equally many steps, not equal times. Fewer neurons alone do not mean fewer errors: with lr = 0.01 none is lost, and
the errors are those of lr = 0.1 with label noise.

A lower rate after `drop` steps is a second run from where the first one ends.

Chen, Kunin, Yamamura and Ganguli, arXiv 2306.04251, section 5: count, thresholds and momentum are the paper's; data,
network, rates and noise are ours (the paper trains VGG-16 on CIFAR-10 at learning rate 0.1 and ResNet-18 on CIFAR-100
at 0.5).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

import sdesim as sd

SHOWN = {"neurons": "independent neurons", "error": "share of test images told wrong", "test_loss": "test loss"}


@dataclasses.dataclass(frozen=True)
class Params:
    """Label noise and learning rates side by side.

    Parameters
    ----------
    lr_max : float
        Largest learning rate; the smallest is a tenth of it.
    width : int
        Hidden neurons; channels of a convolution.
    network : str
        "mlp" on principal components, or "cnn" on images.
    n_steps : int
        Steps at the largest rate; smaller rates take as many.
    batch_size : int
        B, drawn with replacement.
    """

    lr_max: float = 0.1
    width: int = 32
    network: str = "mlp"
    n_steps: int = 4000
    batch_size: int = 16


def pair() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Images of 3 and 8 with targets -1 and 1, to learn from and held back: 120 and 237."""
    digits = sd.data.digits(test_share=0.7)

    def chosen(images: Any, labels: Any) -> tuple[Any, Any]:
        these = (labels == 3) | (labels == 8)
        return images[these].numpy(), np.where(labels[these] == 3, -1.0, 1.0)[:, None].astype(np.float32)

    return chosen(digits.inputs, digits.targets), chosen(digits.test_inputs, digits.test_targets)


def components(images: Any, others: Any, k: int = 8) -> tuple[Any, Any]:
    """The first k principal components of images, of variance one, and those of others in the same units."""
    mean = images.mean(0)
    _, size, axes = np.linalg.svd(images - mean, full_matrices=False)
    to = axes[:k].T * len(images) ** 0.5 / size[:k]
    return (images - mean) @ to, (others - mean) @ to


def wrong(outputs: Any, targets: Any) -> Any:
    """1 where the sign is wrong, else 0."""
    return (outputs * targets <= 0).to(outputs.dtype).squeeze(1)


@functools.lru_cache(maxsize=2)
def objectives(network: str, width: int) -> tuple[Any, Any]:
    """The loss that is minimised, and the share of errors as an objective of the same weights."""
    (x, y), (u, v) = pair()
    if network == "mlp":
        module = sd.mlp(8, width, 1, activation="gelu")
        x, u = components(x, u)
    elif network == "cnn":
        module = sd.cnn(channels=(width,), hidden=width, n_classes=1, activation="gelu")
        x, u = ((images.reshape(-1, 1, 8, 8) - x.mean()) / x.std() for images in (x, u))
    else:
        raise ValueError(f"unknown network {network!r}: write 'mlp' or 'cnn'")
    x, u = x.astype(np.float32), u.astype(np.float32)
    loss, error = (sd.network(module, kind, (x, y), test=(u, v)) for kind in ("mse", wrong))
    return loss, error


def chain(p: Params, lr: float, noise: float) -> sd.Momentum:
    """SGD with momentum and label noise."""
    return sd.Momentum(objectives(p.network, p.width)[0], lr, p.batch_size, label_noise=noise, momentum=0.9)


def watched(p: Params, times: Any) -> tuple[sd.Record]:
    """Neurons, errors and test loss at some times."""
    loss, error = objectives(p.network, p.width)
    values = {"neurons": sd.invariant.counter(loss), "error": error.test_loss, "test_loss": loss.test_loss}
    return (sd.Record(times=times, values=values),)


def build(p: Params) -> dict[str, sd.Experiment]:
    """Two learning rates, each with and without label noise, for equally many steps."""
    loss, _ = objectives(p.network, p.width)
    rates = p.lr_max, p.lr_max / 10
    times = np.unique(np.round([np.linspace(0.0, lr * p.n_steps, 21) for lr in rates], 9))
    return {
        f"lr = {lr:g}, σ = {noise:g}": sd.Experiment(
            chain(p, lr, noise), loss, 16, n_steps=p.n_steps, observers=watched(p, times)
        )
        for lr in rates
        for noise in (0.0, 0.25)
    }


def figure(ds: Any, p: Params) -> Any:
    """Neurons, errors and test loss against steps: means over networks with 95 % intervals."""
    drawn, axes = sd.plot.canvas(3)
    for i, (name, one) in enumerate(ds.groupby("dynamics", squeeze=False)):
        lr = float(str(name).split()[2].strip(","))
        for ax, quantity in zip(axes, SHOWN, strict=True):
            curve = one[quantity].squeeze("dynamics").dropna("time", how="all")  # the slow ones end early in time
            found = sd.sample.mean(curve)
            steps = curve["time"] / lr
            ax.plot(steps, found.value, f"C{i}", label=str(name))
            ax.fill_between(steps, found.low, found.high, color=f"C{i}", alpha=0.25)
    for ax, (quantity, text) in zip(axes, SHOWN.items(), strict=True):
        top = None if quantity == "neurons" else 2 * float(ds[quantity].mean("path").median(...))
        ax.set(xlabel="steps", ylabel=text, ylim=(0, top))
    axes[0].legend(fontsize="small")
    axes[1].set_title(
        f"3 against 8, {p.network} of width {p.width}, {ds.sizes['path']} networks, 95 %", fontsize="medium"
    )
    return drawn


@functools.lru_cache(maxsize=4)
def trained(lr: float, noise: float, seed: int) -> Any:
    """Many networks after LATE steps; their states after EARLY steps too."""
    looks = dataclasses.replace(watched(P, (lr * EARLY, lr * LATE))[0], state=True)
    start = objectives(P.network, P.width)[0]
    return sd.run(chain(P, lr, noise), start, MANY, n_steps=LATE, seed=seed, observers=[looks], threads=1)


@functools.lru_cache(maxsize=4)
def dropped(lr: float, noise: float, seed: int, drop: int) -> Any:
    """The same networks, with a tenth of the rate from step EARLY or LATE to step LAST."""
    x0 = trained(lr, noise, seed)["state"].isel(time=[EARLY, LATE].index(drop)).values
    steps = LAST - drop
    slow = chain(P, lr / 10, noise)
    return sd.run(slow, x0, MANY, n_steps=steps, seed=seed + 1, observers=watched(P, (lr / 10 * steps,)), threads=1)


def less(quantity: str, one: Any, other: Any) -> Any:
    """Measures the mean difference of a quantity after two trainings of the same first weights."""

    def measured(seed: int, level: float) -> Any:
        a, b = (make(seed)[quantity].isel(time=-1, drop=True) for make in (one, other))
        return sd.sample.mean(a - b, level)

    return measured


EARLY, LATE, LAST, MANY = 500, 4000, 5000, 128
P = Params()
SLOW, FAST, NOISY = (functools.partial(trained, *with_) for with_ in ((0.01, 0.0), (0.1, 0.0), (0.1, 0.25)))
SOON, THEN = (functools.partial(dropped, 0.1, 0.25, drop=drop) for drop in (EARLY, LATE))
ROWS = (
    ("σ=0, 4000 steps: neurons at lr=0.1 less those at lr=0.01", "figure", less("neurons", FAST, SLOW), 0.0, "below"),
    ("lr=0.1, 4000 steps: neurons at σ=0.25 less those at σ=0", "figure", less("neurons", NOISY, FAST), 0.0, "below"),
    ("lr=0.1, 4000 steps: errors at σ=0.25 less those at σ=0", "figure", less("error", NOISY, FAST), 0.0, "below"),
    ("lr/10 from step 4000, not 500, to 5000: fewer neurons", "figure", less("neurons", THEN, SOON), 0.0, "below"),
    ("lr/10 from step 4000, not 500, to 5000: less test loss", "figure", less("test_loss", THEN, SOON), 0.0, "below"),
)
CLAIMS = tuple(sd.Claim(*row) for row in ROWS)
