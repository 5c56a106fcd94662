"""Second derivatives of an objective without a matrix: Hessian-vector products of all paths at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sdesim.problems.forms import Dims, Form, faster
from sdesim.problems.objective import Objective


def hessian_vector(
    objective: Objective,
    x: Tensor,
    v: Tensor,
    batch: Tensor | None = None,
    targets: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Product H v of a vector with the Hessian of the mean loss, or of a weighted sum of losses.

        H v = ∂/∂ε ∇L(x + ε v) at ε = 0,    L = (1/B) Σᵢ ℓᵢ over the batch, or Σᵢ wᵢ ℓᵢ

    It is the gradient of ∇L(x)·v, two backward passes through the loss (Pearlmutter 1994): memory O(p + n) a path, no
    matrix. Twice the cost of a gradient, more or less. Where the loss has kinks, as with ReLU, its second derivative
    is that of the smooth pieces.

    Parameters
    ----------
    objective : Objective
    x : tensor, shape (paths, p)
        Parameters of each path.
    v : tensor, shape (paths, p)
        A vector for each path.
    batch : integer tensor, shape (paths, B), optional
        Example numbers; all data without it.
    targets : tensor, shape (paths, B, ...), optional
        In place of the targets of these examples, as under label noise.
    weights : tensor, shape (paths, B), or (paths, n) without a batch, optional
        Weight of each example, of any sign; nothing is divided by n. Default: the mean.

    Returns
    -------
    tensor, shape (paths, p)

    Raises
    ------
    ValueError, TypeError
        If shapes or types do not fit.

    Examples
    --------
    >>> quartic = lambda x, inputs, targets: inputs * x[0]**4 / 4
    >>> problem = Objective(quartic, torch.tensor([1.0, 3.0]), torch.zeros(2), dim=1)
    >>> hessian_vector(problem, torch.tensor([[2.0]]), torch.tensor([[1.0]]))  # 2 * 3 x²
    tensor([[24.]])
    """
    size = objective._check(x, batch, targets)
    for name, given, shape in (("v", v, tuple(x.shape)), ("weights", weights, (len(x), size))):
        if given is not None and tuple(given.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(given.shape)}, x has {tuple(x.shape)}: expected {shape}")
    w = x.new_full((), 1 / size) if weights is None else weights
    total = torch.zeros_like(x)
    for part, args, dims in objective._parts(batch, targets):
        weight, own = (w[:, part], 0) if w.ndim else (w, None)
        total += _product(objective, x, (*args, weight, v), (*dims, own, 0))
    return total


def _product(objective: Objective, x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    """The product of one part of the examples, in the form that is faster for this size."""
    method = objective.method
    if method == "auto":
        key = "hessian", len(x), tuple(args[0].shape), torch.get_num_threads()
        if key not in objective.chosen:
            objective.chosen[key] = faster(FORMS, objective._total, x, args, dims)
        method = objective.chosen[key]
    return FORMS[method](objective._total, x, args, dims)


def _batched(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    # Paths are independent: the products of the sum over paths are each path's own.
    *given, v = args
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return _along(torch.func.vmap(f, (0, *dims[:-1]))(leaf, *given).sum(), leaf, v)


def _looped(f: Callable[..., Tensor], x: Tensor, args: Sequence[Tensor], dims: Dims) -> Tensor:
    *given, v = args
    products = torch.empty_like(x, requires_grad=False)
    for i, row in enumerate(x):
        own = [a if d is None else a[i] for a, d in zip(given, dims[:-1], strict=True)]
        with torch.enable_grad():
            leaf = row.detach().requires_grad_()
            product = _along(f(leaf, *own), leaf, v[i])
        products[i] = product
    return products


def _along(total: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
    """Gradient of (gradient of the total) · v; zero where the gradient is constant."""
    if not total.requires_grad:
        raise ValueError("the loss does not depend on x through torch operations; leave out .detach() and .numpy()")
    (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
    if not gradient.requires_grad:
        return torch.zeros_like(v)
    (product,) = torch.autograd.grad(gradient, leaf, v.detach(), materialize_grads=True)
    return product


FORMS: dict[str, Form] = {"vmap": _batched, "loop": _looped}
