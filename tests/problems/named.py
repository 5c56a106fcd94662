"""Named test problems and what the literature says about them."""

from __future__ import annotations

DOUBLE_WELL = "x**4/4 - x**2/2"
ASYMMETRIC_WELL = "x**4/4 - x**2/2 + x/10"

# Wang, Oh and Rhee 2022 (arXiv 2102.04297), the function of its first experiment.
TRUNCATED_SGD = (
    "(x + 1.6) * (x + 1.3)**2 * (x - 0.2)**2 * (x - 0.7)**2 * (x - 1.6) * (0.05 * abs(1.65 - x))**0.6"
    " * (1 + 1/(0.01 + 4*(x - 0.5)**2)) * (1 + 1/(0.1 + 4*(x + 1.5)**2)) * (1 - exp(-5*(x + 0.8)**2)/4)"
)

# Müller and Brown 1979, Theor. Chim. Acta 53, 75; coordinates and energies to the digits published.
_TERMS = (
    (-200, -1, 0, -10, 1, 0),
    (-100, -1, 0, -10, 0, 0.5),
    (-170, -6.5, 11, -6.5, -0.5, 1.5),
    (15, 0.7, 0.6, 0.7, -1, 1),
)
MUELLER_BROWN = " + ".join(
    f"({A})*exp(({a})*(x - ({x0}))**2 + ({b})*(x - ({x0}))*(y - ({y0})) + ({c})*(y - ({y0}))**2)"
    for A, a, b, c, x0, y0 in _TERMS
)
MUELLER_BROWN_MINIMA = {(-0.558, 1.442): -146.700, (-0.050, 0.467): -80.768, (0.623, 0.028): -108.167}
MUELLER_BROWN_SADDLES = {(-0.822, 0.624): -40.665, (0.212, 0.293): -72.249}

MANY_WELLS = "x**2 + 10 - 10*cos(2*pi*x)"
