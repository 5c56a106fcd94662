"""An excursion: a path that ends in a set A or in the set B that it is asked about, and how far it is on its way.

As a dynamics it steps like the one inside. Beside the step it has the margins of the two sets and a coordinate: a
number that grows on the way to B. All are written over `ops`, so that both engines get them from one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from sdesim.core.formula import ops_function
from sdesim.core.ops import Ops


@dataclass(frozen=True)
class FormulaCoordinate:
    """A coordinate given by a formula in the variables of the dynamics.

    Attributes
    ----------
    expr : SymPy expression
    variables : tuple of str
    params : dict
        Values of the other symbols.
    """

    expr: Any
    variables: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    structure = ("variables",)
    formulas = True

    def __str__(self) -> str:
        return str(self.expr)

    def __call__(self, ops: Ops, x: Any) -> Any:
        """The coordinate of the states x, (..., d)."""
        function = ops_function([self.expr], [*self.variables, *self.params])
        return function(ops, *ops.split(x), *self.params.values())[0]


@dataclass(frozen=True)
class MarginCoordinate:
    """How far a state is from the set to be reached, told by the margins of its region.

    The smallest margin of the region; for the outside of a region, minus that: on an interval to be left the distance
    beyond its nearer end, for a ball around B minus the squared distance to its centre, up to a constant.
    """

    region: Any
    outside: bool
    structure = ("outside",)

    def __str__(self) -> str:
        return f"distance {'beyond' if self.outside else 'into'} {self.region}"

    @property
    def formulas(self) -> bool:
        """Whether it can be compiled."""
        return getattr(self.region, "formulas", True)

    def __call__(self, ops: Ops, x: Any) -> Any:
        """The coordinate of the states x, (..., d)."""
        nearest = reduce(ops.minimum, self.region.margins(ops, x))
        return -nearest if self.outside else nearest


@dataclass(frozen=True)
class TensorCoordinate:
    """A coordinate given by a function of a tensor of positions, (lane, d) to (lane,)."""

    function: Any
    formulas = False
    structure = ("function",)

    def __str__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def __call__(self, ops: Ops, x: Any) -> Any:
        """The coordinate of the states x."""
        return self.function(x)


@dataclass(frozen=True)
class Excursion:
    """Paths of a dynamics that end in A or in B.

    Parameters
    ----------
    dynamics : dynamics
    a : region
        Where an excursion ends without success.
    b : region
        With `outside` the set B is the complement of it.
    outside : bool
    coordinate : FormulaCoordinate, MarginCoordinate or TensorCoordinate
    low, high : float, optional
        The coordinate where excursions start and where B begins, if that is known; jumps are measured by them.
    """

    dynamics: Any
    a: Any
    b: Any
    outside: bool
    coordinate: Any
    low: float | None = None
    high: float | None = None
    structure = ("outside",)

    @property
    def dim(self) -> int:
        """Number of components of a state."""
        return self.dynamics.dim

    @property
    def noise(self) -> Any:
        """Law of the noise."""
        return self.dynamics.noise

    @property
    def noise_dim(self) -> int:
        """Variates drawn per step."""
        return self.dynamics.noise_dim

    @property
    def formulas(self) -> bool:
        """Whether step, sets and coordinate can all be compiled."""
        return all(getattr(part, "formulas", True) for part in (self.dynamics, self.a, self.b, self.coordinate))

    def step(self, ops: Ops, x: Any, z: Any, k: Any) -> Any:
        """The state after step k."""
        return self.dynamics.step(ops, x, z, k)

    def position(self, x: Any) -> Any:
        """What the sets and the coordinate look at: of a state with velocities, the position."""
        return getattr(self.dynamics, "position", _itself)(x)


def _itself(x: Any) -> Any:
    return x
