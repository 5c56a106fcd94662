"""Small networks to try things on, fully connected and convolutional."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from sdesim.core.checks import count, near

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus, "linear": nn.Identity,
}  # fmt: skip


def _activation(name: str) -> type[nn.Module]:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is unknown; {near(str(name), ACTIVATIONS)}")
    return ACTIVATIONS[name]


def mlp(*widths: int, activation: str = "relu", bias: bool = True) -> nn.Sequential:
    """A fully connected network: `mlp(64, 32, 10)` takes 64 inputs to 10 outputs through 32 hidden neurons."""
    kind = _activation(activation)
    if len(widths) < 2:
        raise ValueError(f"mlp got {len(widths)} widths, it needs those of inputs and outputs; write mlp(64, 32, 10)")
    for width in widths:
        count("width", width, least=1)
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b, bias=bias), kind()]
    return nn.Sequential(*parts[:-1])


def cnn(
    image: tuple[int, int, int] = (1, 8, 8),
    channels: Sequence[int] = (32, 64),
    hidden: int = 256,
    n_classes: int = 10,
    activation: str = "relu",
) -> nn.Sequential:
    """A small convolutional network without batch norm: 3×3 convolutions, each halving the image, then two layers.

    87,178 parameters for images of 1×8×8; larger images have many more, unless `hidden` is smaller.
    """
    kind = _activation(activation)
    depth, height, width = image
    for name, value in {"channels": min(channels, default=0), "hidden": hidden, "n_classes": n_classes}.items():
        count(name, value, least=1)
    if min(height, width) < 2 ** len(channels):
        raise ValueError(
            f"an image of {height}×{width} cannot be halved {len(channels)} times; give fewer channels than {channels}"
        )
    parts: list[nn.Module] = []
    for a, b in pairwise((depth, *channels)):
        parts += [nn.Conv2d(a, b, 3, padding=1), kind(), nn.MaxPool2d(2)]
        height, width = height // 2, width // 2
    return nn.Sequential(
        *parts, nn.Flatten(), nn.Linear(channels[-1] * height * width, hidden), kind(), nn.Linear(hidden, n_classes)
    )
