"""Our operators as those of curvlinops, which knows more to do with one: spectra, inverses, SciPy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdesim.core.checks import count
from sdesim.problems.curvature.operators import Operator


def to_curvlinops(operator: Operator, path: int = 0) -> Any:
    """The matrix of one path as a `curvlinops` linear operator.

    For what is not here: `lanczos_approximate_spectrum` (spectral density), `CGInverseLinearOperator`, and by
    `.to_scipy()` everything in `scipy.sparse.linalg`.

    Parameters
    ----------
    operator : Operator
        Made by `hessian`, `ggn` or `noise`.
    path : int
        Which of its paths.

    Returns
    -------
    curvlinops.PyTorchLinearOperator
        Takes and gives vectors (p,) or matrices (p, m).

    Raises
    ------
    ImportError
        If curvlinops is not installed.
    ValueError
        If there is no such path.
    """
    try:
        from curvlinops._torch_base import PyTorchLinearOperator
    except ImportError as error:
        raise ImportError("to_curvlinops needs curvlinops: pip install curvlinops-for-pytorch") from error
    if count("path", path) >= operator.paths:
        raise ValueError(f"path must be below {operator.paths}, the number of paths, got {path}")
    one = Operator(operator.product, operator.x[path : path + 1], operator.name, operator.examples)

    class OfPath(PyTorchLinearOperator):
        """The matrix of the path."""

        SELF_ADJOINT = True

        def __init__(self) -> None:
            super().__init__([(one.dim,)], [(one.dim,)])

        @property
        def device(self) -> torch.device:
            """Where vectors must be."""
            return one.x.device

        @property
        def dtype(self) -> torch.dtype:
            """Their floating type."""
            return one.x.dtype

        def _matmat(self, X: list[Tensor]) -> list[Tensor]:
            return [(one @ X[0][None])[0]]

    return OfPath()
