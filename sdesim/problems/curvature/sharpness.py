"""Curvature in one number a path: largest eigenvalue and traces."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sdesim.problems.curvature.eigen import eigenvalues
from sdesim.problems.curvature.operators import ggn, hessian
from sdesim.problems.curvature.smooth import check_smooth
from sdesim.problems.curvature.trace import trace
from sdesim.problems.objective import Objective


def sharpness(problem: Any, x: Any = None, rtol: float = 1e-3, max_products: int = 200) -> Any:
    """Largest eigenvalue λ_max of the Hessian of each path, shape (paths,).

    Gradient descent at the learning rate η is stable along its eigenvector for η < 2/λ_max.

    Parameters
    ----------
    problem : Objective or Landscape
    x : tensor, shape (paths, p), optional
        Without it a function of x, for ``Record(values={"sharpness": sharpness(objective)})``.
    rtol, max_products : float, int
        Of the Lanczos method, see `eigenvalues`. λ_max is approached from below.

    Raises
    ------
    ValueError
        If the loss has no second derivative.

    Examples
    --------
    >>> import sdesim as sd
    >>> sharpness(sd.Landscape("x**4/4 - x**2/2"), [[-1.0], [0.0]])
    tensor([ 2., -1.], dtype=torch.float64)
    """
    check_smooth(problem)

    def at(x: Any) -> Tensor:
        return eigenvalues(hessian(problem, x), rtol=rtol, max_products=max_products).values[:, 0]

    return at if x is None else at(x)


def hessian_trace(problem: Any, x: Any = None, n_products: int = 48) -> Any:
    """Trace of the Hessian of each path, shape (paths,); see `trace` for the estimate with its interval.

    Parameters
    ----------
    problem : Objective or Landscape
    x : tensor, shape (paths, p), optional
        Without it a function of x, for `Record`.
    n_products : int
        Hessian-vector products a call takes; exact for p of at most so many.
    """
    check_smooth(problem)

    def at(x: Any) -> Tensor:
        return trace(hessian(problem, x), n_products).value

    return at if x is None else at(x)


def ggn_trace(objective: Objective, x: Tensor | None = None, n_products: int = 48) -> Any:
    """Trace of the Gauss-Newton matrix of each path, shape (paths,); arguments as for `hessian_trace`."""
    check_smooth(objective)

    def at(x: Tensor) -> Tensor:
        return trace(ggn(objective, x), n_products).value

    return at if x is None else at(x)
