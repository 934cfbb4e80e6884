"""Trees of classes that a user registers, and trees as vectors."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import ShapeError


class Affine:
    """A map whose constructor must not run when it is rebuilt."""

    made = 0

    def __init__(self, weight: Any, bias: Any, name: str) -> None:
        type(self).made += 1
        self.weight, self.bias, self.name = weight, bias, name


def rebuilt(name: str, children: list[Any]) -> Affine:
    new = object.__new__(Affine)
    new.weight, new.bias = children
    new.name = name
    return new


mm.tree.register(Affine, lambda x: ((x.weight, x.bias), x.name), rebuilt)


def test_a_registered_class_is_a_tree_in_every_transformation() -> None:
    affine = Affine(np.arange(3.0), {"b": np.float64(2.0)}, "first")
    made = Affine.made

    def loss(affine: Affine) -> Any:
        assert affine.name == "first"
        return np.sum(affine.weight**2) * affine.bias["b"]

    for gradient in (mm.grad(loss)(affine), mm.compile(mm.grad(loss))(affine)):
        assert type(gradient) is Affine and gradient.name == "first"
        assert_array_equal(gradient.weight, 4.0 * np.arange(3.0))
        assert_array_equal(gradient.bias["b"], 5.0)
    assert Affine.made == made
    assert mm.tree.paths(affine) == ["0", "1/b"]


def test_what_is_no_child_is_part_of_the_structure() -> None:
    first, second = Affine(1.0, 2.0, "first"), Affine(1.0, 2.0, "second")
    assert mm.tree.flatten(first)[1] != mm.tree.flatten(second)[1]
    assert mm.tree.flatten(first)[1] == mm.tree.flatten(Affine(3.0, 4.0, "first"))[1]
    compiled = mm.compile(lambda affine: affine.weight * (2.0 if affine.name == "first" else 3.0))
    assert (float(compiled(first)), float(compiled(second))) == (2.0, 3.0)


def test_a_class_is_registered_once() -> None:
    for kind in (Affine, dict):
        with pytest.raises(ShapeError, match="a tree already"):
            mm.tree.register(kind, lambda x: ((), None), lambda static, children: None)


def test_a_tree_as_a_vector() -> None:
    tree = {"weight": np.arange(6.0).reshape(2, 3), "rest": (np.array([7.0], np.float32), [np.zeros((0, 2)), 8.0])}
    vector, unravel = mm.tree.ravel(tree)
    assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 7, 8])
    back = unravel(vector)
    assert back["rest"][0].dtype == np.float32 and back["rest"][1][0].shape == (0, 2)
    for x, y in zip(mm.tree.flatten(back)[0], mm.tree.flatten(tree)[0], strict=True):
        assert_array_equal(x, y)
    with pytest.raises(ShapeError, match=r"unravel of shape \(3,\): the tree has 8 elements"):
        unravel(np.zeros(3))
    assert mm.tree.ravel(())[1](np.zeros(0)) == ()


def test_a_hessian_over_a_tree_by_its_vector() -> None:
    tree = {"x": np.array([1.0, 2.0]), "y": np.array(3.0)}
    vector, unravel = mm.tree.ravel(tree)
    hessian = mm.hessian(lambda v: np.sum(unravel(v)["x"] ** 2) * unravel(v)["y"])(vector)
    assert_array_equal(hessian, [[6.0, 0.0, 2.0], [0.0, 6.0, 4.0], [2.0, 4.0, 0.0]])
    gradient = mm.grad(lambda tree: np.sum(mm.tree.ravel(tree)[0] ** 2))(tree)
    assert_array_equal(gradient["x"], [2.0, 4.0])
