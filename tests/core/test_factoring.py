"""Sums with common factors taken out: the same function, with fewer products."""

import pytest
import sympy as sp

from sdesim.core.factoring import factored
from sdesim.core.formula import differentiate

X = sp.Symbol("x", real=True)
A, B, C = sp.symbols("a b c", real=True)


def products(exprs):
    """Multiplications of two numbers once equal subexpressions are shared."""
    shared, reduced = sp.cse(exprs)
    parts = [*(e for _, e in shared), *reduced]
    return sum(len(node.args) - 1 for e in parts for node in sp.preorder_traversal(e) if node.is_Mul)


PRODUCT = sp.Mul(*(sp.sin(X + i) + i for i in range(1, 8)))
SUMS = [
    differentiate(PRODUCT, X),
    differentiate((X - 1) ** 2 * (X + 2) ** 3 * sp.exp(X) * (X + 5), X),
    A * B * C + A * B * X + A * C * X + B,
    3 * X**5 - 2 * X**4 + 7 * X**3 + X**2,
    A / X**2 + B / X**2 + C / X**2,
    sp.sin(A * B + A * C + A * X) + A,
]


@pytest.mark.parametrize("expr", SUMS, ids=str)
def test_factoring_changes_no_value(expr):
    for x in (0.3, -1.7, 2.9):
        numbers = {X: x, A: 0.7, B: -1.3, C: 2.1}
        assert float(factored(expr).subs(numbers)) == pytest.approx(float(expr.subs(numbers)), rel=1e-12)


def test_the_slope_of_a_product_costs_products_in_proportion_to_its_factors():
    slope = differentiate(PRODUCT, X)
    assert products([factored(slope)]) <= 4 * len(PRODUCT.args)
    assert products([slope]) > 4 * len(PRODUCT.args)


@pytest.mark.parametrize("expr", [X**3 - X, A * X + B, A * B + A * C, sp.sin(X) + A, sp.Integer(3), X], ids=str)
def test_a_sum_with_nothing_to_gain_stays_as_it_is(expr):
    assert factored(expr) == expr
