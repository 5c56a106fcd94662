"""Objective: a mean loss over data as a function of flat parameters, for all paths of an ensemble at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sdesim.core.checks import count, near
from sdesim.problems.data import present, same_examples
from sdesim.problems.forms import GRADIENT, VALUE, Dims, faster

METHODS = ("auto", "vmap", "loop")
NUMBERS = 2**22  # held at once where all per-example gradients are gone through: about a cache full


@dataclass(frozen=True, eq=False)
class Objective:
    r"""A mean loss over data, L(x) = (1/n) Σᵢ ℓᵢ(x), with x the parameters of a path in one flat row.

    The first axis is the path wherever x, a batch or weights are given. Nothing here draws random numbers, and no
    result keeps a graph. Methods work under `torch.no_grad`, on any device and in any floating type.

    Parameters
    ----------
    example_losses : callable (x (p,), inputs (B, ...), targets (B, ...)) -> losses (B,)
        Losses of B examples at one x, in torch operations without side effects.
    inputs, targets : tensors, shapes (n, ...) and (n, ...)
        The data; the first axis is the example.
    dim : int
        Number of parameters p.
    test : (inputs, targets), optional
        Examples held back, for `accuracy` and `test_loss`.
    predict : callable (x (p,), inputs (B, ...)) -> outputs (B, ...), optional
        What the largest output of is taken by `accuracy`.
    layout : Layout, optional
        Names and shapes of the parameters inside x.
    fresh : callable (seed) -> x (p,), optional
        New parameters of one path, see `sdesim.problems.weights.initial`.
    method : "auto", "vmap" or "loop"
        All paths in one batch, or one after the other. "auto" times both at the first call of a size and keeps the
        faster in `chosen`: convolutions on a CPU are often quicker one by one.
    at_once : int
        Examples per pass; more are summed over several, which bounds the memory of a sum over all data.

    Raises
    ------
    ValueError
        If shapes do not fit, or `example_losses` does not return one number per example.

    Examples
    --------
    >>> half_square = lambda x, inputs, targets: (inputs @ x - targets)**2 / 2
    >>> problem = Objective(half_square, torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 1.0]), dim=1)
    >>> problem.loss(torch.zeros(1, 1)), problem.gradient(torch.zeros(1, 1))
    (tensor([0.5000]), tensor([[-1.5000]]))
    """

    example_losses: Callable[[Tensor, Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor
    dim: int
    test: tuple[Tensor, Tensor] | None = None
    predict: Callable[[Tensor, Tensor], Tensor] | None = None
    layout: Any = None
    fresh: Callable[[int], Tensor] | None = None
    method: str = "auto"
    at_once: int = 2048
    chosen: dict[tuple[Any, ...], str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        count("dim", self.dim, least=1)
        count("at_once", self.at_once, least=1)
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is unknown; {near(str(self.method), METHODS)}")
        same_examples("", self.inputs, self.targets)
        if self.test is not None:
            same_examples("test ", *self.test)
            for name, train, test in zip(("inputs", "targets"), (self.inputs, self.targets), self.test, strict=True):
                if train.shape[1:] != test.shape[1:]:
                    raise ValueError(f"{name} have shape {_shape(train)}, test {name} {_shape(test)}")
        x = torch.zeros(self.dim, dtype=self.dtype, device=self.device)
        inputs, targets = self.inputs[:3], self.targets[:3]
        try:
            with torch.no_grad():
                losses = self.example_losses(x, inputs, targets)
        except (RuntimeError, IndexError) as error:
            args = {"x": x, "inputs": inputs, "targets": targets}
            given = ", ".join(f"{name} {_shape(t)} {t.dtype}" for name, t in args.items())
            raise ValueError(f"the loss cannot be computed from {given}: {error}") from error
        _one_each(losses, inputs)

    def forms(self) -> str:
        """What "auto" chose so far, as JSON: kind of pass, paths, shape of the inputs, threads, form."""
        return json.dumps([[kind, n, shape, threads, form] for (kind, n, shape, threads), form in self.chosen.items()])

    def use_forms(self, text: str) -> None:
        """Choose as `forms` says, so that a run that goes on rounds as it began."""
        for kind, n, shape, threads, form in json.loads(text):
            self.chosen[kind, n, tuple(shape), threads] = form

    def fresh_states(self, n_paths: int, seed: int, start_path: int = 0) -> Tensor:
        """Fresh parameters of each path, (paths, p), as `sdesim.problems.weights.initial` gives them."""
        from sdesim.problems.weights import initial

        return initial(self, n_paths, seed, start_path)

    def __repr__(self) -> str:
        test = "" if self.test is None else f", {len(self.test[0])} test examples"
        return f"Objective(dim={self.dim}, {self.n_examples} examples{test}, {self.dtype}, method={self.method!r})"

    @property
    def n_examples(self) -> int:
        """Number of examples n."""
        return len(self.inputs)

    @property
    def device(self) -> torch.device:
        """Where the data are and x must be."""
        return self.inputs.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of x: that of the loss if it says one, else of the inputs or targets."""
        own = getattr(self.example_losses, "dtype", None)
        floating = [t.dtype for t in (self.inputs, self.targets) if t.is_floating_point()]
        return own or (floating or [torch.get_default_dtype()])[0]

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Objective:
        """The same objective with its data on another device or in another floating type.

        Raises
        ------
        ValueError
            If the device is not there.
        """
        place = self.device if device is None else present(device)

        def moved(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(place, dtype if value.is_floating_point() else None)
            return value.to(place, dtype) if hasattr(value, "to") else value

        names = ("example_losses", "inputs", "targets", "predict")
        test = None if self.test is None else (moved(self.test[0]), moved(self.test[1]))
        return replace(self, test=test, **{name: moved(getattr(self, name)) for name in names})

    @torch.no_grad()
    def loss(self, x: Tensor, batch: Tensor | None = None, targets: Tensor | None = None) -> Tensor:
        """Mean loss of every path.

        Parameters
        ----------
        x : tensor, shape (paths, p)
        batch : integer tensor, shape (paths, B), optional
            Example numbers; all data without it.
        targets : tensor, shape (paths, B, ...), optional
            In place of the targets of these examples, as under label noise.

        Returns
        -------
        tensor, shape (paths,)
        """
        size = self._check(x, batch, targets)
        total = x.new_zeros(len(x))
        for _, args, dims in self._parts(batch, targets):
            total += self._pass("loss", self._losses, x, args, dims).sum(1)
        return total / size

    def gradient(self, x: Tensor, batch: Tensor | None = None, targets: Tensor | None = None) -> Tensor:
        """Gradient of the mean loss, shape (paths, p); arguments as for `loss`."""
        size = self._check(x, batch, targets)
        return self._weighted(x, x.new_full((), 1 / size), batch, targets)

    def weighted_gradient(
        self, x: Tensor, w: Tensor, batch: Tensor | None = None, targets: Tensor | None = None
    ) -> Tensor:
        """Gradient of Σᵢ wᵢ ℓᵢ(x) by one backward pass, in memory O(p + n) a path.

        With wᵢ = 1/n + √(η/(B n h)) (ξᵢ - mean ξ) and ξ standard normal, the step -h Σᵢ wᵢ ∇ℓᵢ has mean -h ∇L and
        covariance h η Σ/B, where Σ is `covariance`.

        Parameters
        ----------
        x : tensor, shape (paths, p)
        w : tensor, shape (paths, n), or (paths, B) with a batch
            Weight of each example, of any sign; nothing is divided by n.
        batch, targets : as for `loss`

        Returns
        -------
        tensor, shape (paths, p)
        """
        size = self._check(x, batch, targets)
        if w.shape != (len(x), size):
            raise ValueError(f"weights have shape {_shape(w)}, x has {_shape(x)}: expected ({len(x)}, {size})")
        return self._weighted(x, w, batch, targets)

    @torch.no_grad()
    def example_gradients(self, x: Tensor, batch: Tensor | None = None, targets: Tensor | None = None) -> Tensor:
        """Gradient of each example's loss, shape (paths, B, p); arguments as for `loss`."""
        self._check(x, batch, targets)
        parts = self._parts(batch, targets)
        return torch.cat([self._pass("example_gradients", self._each, x, args, dims) for _, args, dims in parts], 1)

    @torch.no_grad()
    def gradient_variance(self, x: Tensor) -> Tensor:
        """Variance of each component of an example's gradient, the diagonal of `covariance`: shape (paths, p).

        Few examples at a time, so that memory stays bounded; the cost is that of all per-example gradients.
        """
        mean, total = self.gradient(x)[:, None], torch.zeros_like(x)
        for _, args, dims in self._parts(None, None, max(1, NUMBERS // x.numel())):
            total += (self._pass("example_gradients", self._each, x, args, dims) - mean).square().sum(1)
        return total / self.n_examples

    def covariance(self, x: Tensor) -> Tensor:
        """Covariance Σ of an example's gradient, shape (paths, p, p); divided by n. Dense: for small p."""
        gradients = self.example_gradients(x)
        centred = gradients - gradients.mean(1, keepdim=True)
        return centred.mT @ centred / self.n_examples

    @torch.no_grad()
    def test_loss(self, x: Tensor) -> Tensor:
        """Mean loss over the test examples, shape (paths,)."""
        return self._on("test").loss(x)

    @torch.no_grad()
    def accuracy(self, x: Tensor, split: str = "test") -> Tensor:
        """Share of examples whose largest output is that of their class, shape (paths,); `split` "test" or "train"."""
        data = self._on(split)
        if data.predict is None:
            raise ValueError("accuracy needs the outputs: give predict=, or build the objective by network()")
        if data.targets.is_floating_point() or data.targets.ndim != 1:
            given = f"{data.targets.dtype} of shape {_shape(data.targets)}"
            raise ValueError(f"accuracy needs class numbers as targets, got {given}; watch loss or test_loss")
        data._check(x, None, None)
        right = x.new_zeros(len(x))
        for _, (inputs, targets), _ in data._parts(None, None):
            outputs = self._pass("predict", data.predict, x, (inputs,), (None,))
            right += (outputs.argmax(-1) == targets).sum(1)
        return right / data.n_examples

    def _on(self, split: str) -> Objective:
        """The objective over one split of the data, sharing what was timed."""
        if split == "train":
            return self
        if split != "test":
            raise ValueError(f"split {split!r} is unknown; {near(str(split), ('train', 'test'))}")
        if self.test is None:
            raise ValueError("the objective has no test examples; give test=(inputs, targets)")
        other = replace(self, inputs=self.test[0], targets=self.test[1], test=None)
        object.__setattr__(other, "chosen", self.chosen)
        return other

    def _losses(self, x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return _one_each(self.example_losses(x, inputs, targets), inputs)

    def _total(self, x: Tensor, inputs: Tensor, targets: Tensor, w: Tensor) -> Tensor:
        return (self._losses(x, inputs, targets) * w).sum()

    def _each(self, x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        def one(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
            return self.example_losses(x, a[None], b[None])[0]

        return torch.func.vmap(torch.func.grad(one), (None, 0, 0))(x, inputs, targets)

    def _weighted(self, x: Tensor, w: Tensor, batch: Tensor | None, targets: Tensor | None) -> Tensor:
        total: Tensor | None = None
        for part, args, dims in self._parts(batch, targets):
            weight, own = (w[:, part], 0) if w.ndim else (w, None)
            gradient = self._pass("gradient", self._total, x, (*args, weight), (*dims, own))
            total = gradient if total is None else total.add_(gradient)
        assert total is not None
        return total

    def _parts(
        self, batch: Tensor | None, targets: Tensor | None, at_once: int | None = None
    ) -> Iterator[tuple[slice, tuple[Tensor, Tensor], Dims]]:
        """Examples of one pass after the other: their place, (inputs, targets), and which of these have a path axis."""
        size, step = self.n_examples if batch is None else batch.shape[1], at_once or self.at_once
        for start in range(0, size, step):
            part = slice(start, start + step)
            chosen = part if batch is None else batch[:, part]
            own = None if batch is None else 0
            if targets is None:
                yield part, (_chosen(self.inputs, chosen), _chosen(self.targets, chosen)), (own, own)
            else:
                yield part, (_chosen(self.inputs, chosen), targets[:, part]), (own, 0)

    def _check(self, x: Tensor, batch: Tensor | None, targets: Tensor | None) -> int:
        """Refuse what does not fit; the number of examples per path."""
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x has shape {_shape(x)}, expected (paths, {self.dim})")
        if x.dtype != self.dtype or x.device != self.device:
            mine, given = f"{self.dtype} on {self.device}", f"{x.dtype} on {x.device}"
            raise ValueError(f"x is {given}, the objective {mine}; write objective.to({str(x.device)!r}, {x.dtype})")
        if batch is not None:
            if batch.is_floating_point() or batch.dtype == torch.bool:
                raise TypeError(f"batch holds {batch.dtype}, expected example numbers (torch.int64)")
            if batch.ndim != 2 or len(batch) != len(x):
                raise ValueError(f"batch has shape {_shape(batch)}, x has {_shape(x)}: expected ({len(x)}, B)")
            if not 0 < batch.shape[1] <= self.n_examples:
                given = f"a batch of {batch.shape[1]} from {self.n_examples} examples"
                raise ValueError(f"{given}; use a batch size between 1 and {self.n_examples}")
        size = self.n_examples if batch is None else batch.shape[1]
        if targets is not None and targets.shape != (len(x), size, *self.targets.shape[1:]):
            expected = (len(x), size, *self.targets.shape[1:])
            raise ValueError(f"targets have shape {_shape(targets)}, expected {expected}")
        return size

    def _pass(self, kind: str, f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
        """`f` of every path, or its gradient, in the form that is faster for this size."""
        forms = GRADIENT if kind == "gradient" else VALUE
        method = self.method
        if method == "auto":
            key = kind, len(x), tuple(args[0].shape), torch.get_num_threads()
            if key not in self.chosen:
                self.chosen[key] = faster(forms, f, x, args, dims)
            method = self.chosen[key]
        return forms[method](f, x, args, dims)


def _chosen(data: Tensor, which: slice | Tensor) -> Tensor:
    """Examples of a slice or of a table of numbers; for a table several times quicker than indexing with it."""
    if isinstance(which, slice):
        return data[which]
    return data.index_select(0, which.reshape(-1)).view(*which.shape, *data.shape[1:])


def _shape(t: Tensor) -> tuple[int, ...]:
    return tuple(t.shape)


def _one_each(losses: Tensor, inputs: Tensor) -> Tensor:
    """The losses, if there is one for each example."""
    if losses.shape != inputs.shape[:1]:
        raise ValueError(
            f"the loss has shape {_shape(losses)} for {len(inputs)} examples; "
            "return a loss for each example: reduction='none', then the mean over all axes but the first"
        )
    return losses
