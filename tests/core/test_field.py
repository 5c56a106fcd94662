"""Vector fields evaluate on points of every shape and combine like vectors."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from sdesim.core.field import Field

ROTATION = Field(["-y", "x"], ["x", "y"])
CUBIC = Field(["a*x - x**3"], ["x"], {"a": 2})


def test_one_variable_keeps_the_shape_of_its_points():
    for shape in [(), (5,), (2, 3), (4, 1)]:
        x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
        assert np.shape(CUBIC(x)) == shape
        np.testing.assert_allclose(CUBIC(x), 2 * x - x**3)
    assert isinstance(CUBIC(0.5), float)


def test_several_variables_lie_on_the_last_axis():
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    np.testing.assert_array_equal(ROTATION(x), np.stack([-x[..., 1], x[..., 0]], axis=-1))
    assert ROTATION([1.0, 0.0]).shape == (2,)


def test_constant_components_take_the_shape_of_the_points():
    np.testing.assert_array_equal(Field(["3", "x"], ["x", "y"])(np.ones((5, 2))), np.tile([3.0, 1.0], (5, 1)))


def test_fields_combine_like_vectors():
    x = np.random.default_rng(1).normal(size=(7, 2))
    other = Field(["x*y", "c"], ["x", "y"], {"c": 0.5})
    for field, value in [
        (-ROTATION, -ROTATION(x)),
        (2 * ROTATION, 2 * ROTATION(x)),
        (ROTATION * np.float64(3), 3 * ROTATION(x)),
        (np.float64(3) * ROTATION, 3 * ROTATION(x)),
        (ROTATION / 4, ROTATION(x) / 4),
        (ROTATION + other, ROTATION(x) + other(x)),
        (ROTATION - other, ROTATION(x) - other(x)),
    ]:
        assert isinstance(field, Field)
        np.testing.assert_allclose(field(x), value)


def test_a_symbol_may_scale_a_field_before_it_has_a_value():
    scaled = sp.Symbol("gamma") * CUBIC
    with pytest.raises(ValueError, match="gamma has no value"):
        scaled(1.0)
    assert Field(scaled.exprs, scaled.variables, {"a": 2, "gamma": 3})(1.0) == 3.0


def test_integer_points_are_real_numbers():
    assert Field(["1/x"], ["x"])(2) == 0.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ROTATION(np.ones(3)), r"shape \(3,\), expected \(..., 2\)"),
        (lambda: ROTATION(1.0), r"shape \(\), expected \(..., 2\)"),
        (lambda: ROTATION + CUBIC, "cannot be added"),
        (lambda: CUBIC + Field(["a"], ["x"], {"a": 3}), "parameter a is 2.0 in one field, 3.0 in the other"),
        (lambda: ROTATION / 0, "divided by zero"),
        (lambda: Field(["x"], ["x"], {"x": 1}), "as a variable and as a parameter"),
        (lambda: Field(["x"], []), "at least one variable"),
        (lambda: Field(["x"], ["x", "x"]), "distinct"),
        (lambda: Field(["x"], ["2*x"]), "names such as 'x'"),
        (lambda: Field(["x"], ["x"], {"a": float("nan")}), "parameter a must be finite"),
    ],
)
def test_bad_fields_are_refused_in_one_line(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    "make",
    [lambda: Field("x", ["x"]), lambda: Field(["x"], "x"), lambda: ROTATION + 1, lambda: ROTATION * ROTATION,
     lambda: Field(["a*x"], ["x"], {"a": [1, 2]}), lambda: Field(["a*x"], ["x"], {"a": "2"})],
)  # fmt: skip
def test_wrong_types_are_refused(make):
    with pytest.raises(TypeError):
        make()


def test_equal_fields_are_equal_and_hash_alike():
    assert Field(["a*x - x**3"], ["x"], {"a": 2.0}) == CUBIC
    assert hash(Field(["a*x - x**3"], ["x"], {"a": 2.0})) == hash(CUBIC)
