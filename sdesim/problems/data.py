"""Data: examples to learn from and examples held back; made here, shipped with scikit-learn, or kept in a cache."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from sdesim.core.checks import count, near, positive

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Name on OpenML and version, shape of an input, number of test examples: by custom the last ones.
OPENML = {
    "mnist": ("mnist_784", 1, (1, 28, 28), 10_000),
    "fashion-mnist": ("Fashion-MNIST", 1, (1, 28, 28), 10_000),
    "cifar-10": ("CIFAR_10", 1, (3, 32, 32), 10_000),
}


@dataclass(frozen=True, eq=False)
class Data:
    """Examples to learn from and examples held back for tests; the first axis is the example.

    Parameters
    ----------
    inputs, targets : tensors, shapes (n, ...) and (n, ...)
    test_inputs, test_targets : tensors, shapes (m, ...) and (m, ...)
    name : str
    """

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    name: str = "data"

    def __post_init__(self) -> None:
        same_examples("", self.inputs, self.targets)
        same_examples("test_", self.test_inputs, self.test_targets)

    def __repr__(self) -> str:
        shape = tuple(self.inputs.shape)
        return f"Data({self.name!r}, inputs {shape}, {len(self.test_inputs)} test examples, {self.inputs.dtype})"

    def __len__(self) -> int:
        return len(self.inputs)

    def head(self, n: int) -> Data:
        """The first n examples to learn from, with all test examples.

        Raises
        ------
        ValueError
            If there are fewer.
        """
        if count("n", n, least=1) > len(self):
            raise ValueError(f"{self.name} has {len(self)} examples to learn from, {n} were asked for")
        return replace(self, inputs=self.inputs[:n], targets=self.targets[:n])

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Data:
        """The same data on another device or in another floating type; class numbers stay integers."""
        place = self.inputs.device if device is None else present(device)
        parts = ("inputs", "targets", "test_inputs", "test_targets")
        old = {part: getattr(self, part) for part in parts}
        return replace(self, **{k: v.to(place, dtype if v.is_floating_point() else None) for k, v in old.items()})


def same_examples(which: str, inputs: Any, targets: Any) -> None:
    """Refuse inputs and targets that are not tensors of the same examples on one device."""
    import torch

    for name, value in ((f"{which}inputs", inputs), (f"{which}targets", targets)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}; write torch.as_tensor(...)")
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets) or not len(inputs):
        raise ValueError(
            f"{which}inputs have shape {tuple(inputs.shape)}, {which}targets {tuple(targets.shape)}: "
            "both need the same number of examples, at least one, along the first axis"
        )
    if inputs.device != targets.device:
        raise ValueError(f"{which}inputs are on {inputs.device}, {which}targets on {targets.device}; use one device")


def pair(data: Any, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets of Data, a pair or a torch Dataset as tensors; floating ones in this type."""
    import torch

    if isinstance(data, Data):
        parts: Any = (data.inputs, data.targets)
    elif isinstance(data, tuple | list) and len(data) == 2:
        parts = data
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, torch.Tensor | np.ndarray):
        examples = [data[i] for i in range(len(data))]
        if not all(isinstance(e, tuple | list) and len(e) == 2 for e in examples):
            raise TypeError("the dataset must give pairs (input, target)")
        parts = [torch.stack([torch.as_tensor(e[i]) for e in examples]) for i in (0, 1)]
    else:
        raise TypeError(f"data must be (inputs, targets), a torch Dataset or Data, got {type(data).__name__}")
    inputs, targets = (torch.as_tensor(part).to(device) for part in parts)
    return tuple(t.to(dtype) if t.is_floating_point() else t for t in (inputs, targets))  # type: ignore[return-value]


def present(device: Any) -> torch.device:
    """The device, or a `ValueError` that names those that are there."""
    import torch

    try:
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise ValueError(f"device {str(device)!r} is not there; use one of {there}") from error


def _data(inputs: np.ndarray, targets: np.ndarray, order: np.ndarray, n_test: int, name: str) -> Data:
    """Arrays as float32 (class numbers as int64); the last `n_test` in `order` are held back."""
    import torch

    def tensor(values: np.ndarray, at: np.ndarray) -> Tensor:
        floating = np.issubdtype(values.dtype, np.floating)
        return torch.tensor(values[at], dtype=torch.float32 if floating else torch.int64)

    train, test = order[: len(order) - n_test], order[len(order) - n_test :]
    return Data(tensor(inputs, train), tensor(targets, train), tensor(inputs, test), tensor(targets, test), name)


def _share(test_share: float, n: int) -> int:
    """How many of n examples are held back: at least one, and at least one is left."""
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must be between 0 and 1, got {test_share}")
    return min(max(round(test_share * n), 1), n - 1)


def digits(test_share: float = 0.2, seed: int = 0, image: bool = False) -> Data:
    """The 1,797 handwritten digits of scikit-learn: 8×8 pixels in [0, 1], ten classes.

    Parameters
    ----------
    test_share : float
        Share of the examples held back.
    seed : int
        Which ones.
    image : bool
        Inputs of shape (1, 8, 8) instead of (64,).
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    n_test = _share(test_share, len(pixels))
    inputs = (pixels / 16.0).reshape((-1, 1, 8, 8) if image else (-1, 64))
    return _data(inputs, labels, np.random.default_rng(seed).permutation(len(pixels)), n_test, "digits")


def blobs(
    n: int = 1000, d: int = 2, n_classes: int = 3, spread: float = 1.0, test_share: float = 0.2, seed: int = 0
) -> Data:
    """Gaussian clouds of standard deviation `spread` in d dimensions, one a class, centres uniform in [-5, 5]ᵈ."""
    count("n", n, least=2)
    count("d", d, least=1)
    count("n_classes", n_classes, least=1)
    positive("spread", spread)
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-5, 5, (n_classes, d))
    labels = rng.integers(n_classes, size=n)
    inputs = centres[labels] + spread * rng.standard_normal((n, d))
    return _data(inputs, labels, np.arange(n), _share(test_share, n), "blobs")


def teacher_student(
    n: int = 1000, d: int = 10, width: int = 4, noise: float = 0.0, n_test: int = 1000, seed: int = 0
) -> Data:
    r"""Gaussian inputs labelled by a random teacher: y = Σⱼ aⱼ max(0, wⱼ·x)/√m + noise·N(0, 1).

    Teacher weights wⱼ ~ N(0, I/d) and aⱼ ~ N(0, 1), j = 1..m. Test targets carry no noise.

    Parameters
    ----------
    n, n_test : int
        Examples to learn from and held back.
    d, width : int
        Dimension of the inputs; number m of the teacher's neurons.
    noise : float
        Standard deviation of the label noise.
    seed : int
        Of the teacher, the inputs and the noise.

    Returns
    -------
    Data
        Inputs (n, d), targets (n, 1).
    """
    for name, value in {"n": n, "d": d, "width": width, "n_test": n_test}.items():
        count(name, value, least=1)
    _noise(noise)
    rng = np.random.default_rng(seed)
    hidden, out = rng.standard_normal((width, d)) / math.sqrt(d), rng.standard_normal(width) / math.sqrt(width)
    inputs = rng.standard_normal((n + n_test, d))
    targets = np.maximum(inputs @ hidden.T, 0) @ out
    targets[:n] += noise * rng.standard_normal(n)
    return _data(inputs, targets[:, None], np.arange(n + n_test), n_test, "teacher_student")


def least_squares(n: int = 100, d: int = 10, seed: int = 0, noise: float = 0.1, n_test: int = 1000) -> Data:
    """Gaussian inputs x ~ N(0, I) and y = w·x + noise·N(0, 1) with w ~ N(0, I/d): inputs (n, d), targets (n, 1).

    Test targets carry no noise.
    """
    for name, value in {"n": n, "d": d, "n_test": n_test}.items():
        count(name, value, least=1)
    _noise(noise)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(d) / math.sqrt(d)
    inputs = rng.standard_normal((n + n_test, d))
    targets = inputs @ w
    targets[:n] += noise * rng.standard_normal(n)
    return _data(inputs, targets[:, None], np.arange(n + n_test), n_test, "least_squares")


def _noise(noise: float) -> None:
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is a standard deviation, 0 or more; got {noise}")


def openml(name: str, cache: str | os.PathLike[str] | None = None) -> Data:
    """A set of images from OpenML, kept in a local folder: pixels in [0, 1], inputs (n, channels, height, width).

    The last 10,000 examples are held back, as is the custom with these sets.

    Parameters
    ----------
    name : "mnist", "fashion-mnist" or "cifar-10"
    cache : path, optional
        Folder of the files `NAME.npz`; by default $SDESIM_DATA_DIR or ~/.cache/sdesim/data. Such a file holds
        `inputs` (n, pixels), integers 0 to 255, and `targets` (n,), class numbers.

    Raises
    ------
    ValueError
        If the name is unknown or the file is not such a set.
    FileNotFoundError
        If the set is neither in the folder nor to be had; says which file to put where.
    """
    if name not in OPENML:
        raise ValueError(f"OpenML set {name!r} is unknown; {near(str(name), OPENML)}")
    default = os.environ.get("SDESIM_DATA_DIR") or Path.home() / ".cache" / "sdesim" / "data"
    file = Path(default if cache is None else cache) / f"{name}.npz"
    if not file.is_file():
        _fetch(name, file)
    _, _, shape, n_test = OPENML[name]
    inputs, targets = _stored(file, math.prod(shape))
    # From a smaller file of one's own the share of MNIST is held back, one in seven.
    n_test = min(n_test, _share(1 / 7, len(inputs)))
    images = inputs.reshape(-1, *shape).astype(np.float32) / np.float32(255)
    return _data(images, targets.astype(np.int64), np.arange(len(images)), n_test, name)


def _stored(file: Path, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrays `inputs` and `targets` of a file in the cache."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            inputs, targets = arrays["inputs"], arrays["targets"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{file} cannot be read ({error}); remove it to fetch it again") from error
    if inputs.ndim != 2 or inputs.shape[1] != pixels or targets.shape != inputs.shape[:1] or len(inputs) < 2:
        raise ValueError(
            f"{file} has inputs {inputs.shape} and targets {targets.shape}, expected (n, {pixels}) and (n,) with n > 1"
        )
    return inputs, targets


def _fetch(name: str, file: Path) -> None:
    """Get a set by scikit-learn's client and store it; the file appears only when it is whole."""
    from sklearn.datasets import fetch_openml

    set_name, version, _, _ = OPENML[name]
    try:
        inputs, targets = fetch_openml(set_name, version=version, return_X_y=True, as_frame=False)
    except Exception as error:
        raise FileNotFoundError(
            f"{name} is not at {file} and cannot be fetched ({type(error).__name__}: {error}). "
            f"Put it there from a machine that is online: call openml({name!r}) on it and copy its {file.name}; "
            "or write it by numpy.savez_compressed, with inputs (n, pixels) of 0 to 255 and targets (n,)"
        ) from error
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_name(f"{file.stem}.{os.getpid()}.part.npz")
    np.savez_compressed(whole, inputs=np.asarray(inputs).astype(np.uint8), targets=np.asarray(targets).astype(np.int64))
    os.replace(whole, file)
