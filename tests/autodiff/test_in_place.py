"""In-place operators do what numpy does, or are refused: random programs, run on numpy's own arrays and on Arrays.

The oracle is numpy, on complex arrays. Programs are polynomials ``p`` of their argument, and along a line ``x + t d``
the derivatives are the coefficients of ``p(x + t d) = c0 + c1 t + c2 t^2 + ...``, which are means over a circle,

    c_k r^k = mean over n-th roots of unity w of p(x + r w d) w^-k,

exact for polynomials of fewer than n coefficients.
"""

import collections
import copy
import operator
import random
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff import sharing
from minimeta.errors import DtypeError, ShapeError, TracingError

Function = Callable[..., Any]


def triple(v: Any) -> Any:
    """A helper that changes its argument."""
    v *= 3.0
    return v


def mended(v: Any) -> Any:
    """A helper that changes what is its own."""
    own = v * 0.5
    own += v
    own *= 0.5
    return own


HELPERS = {"np": np, "copy": copy, "operator": operator, "triple": triple, "mended": mended}
ON_ARRAYS = {
    "zeros": np.zeros,
    "slope": mm.grad(lambda v: mm.sum(v**3)),
    "half": mm.custom_vjp(lambda v: v[:1], lambda g, y, v: (mm.concatenate([g, 0.0 * v[1:]]),)),
    "again": mm.rematerialize(lambda v: v * v),
    "each": mm.vmap(lambda row: row * 0.5),
    "same": mm.vmap(lambda row: row),
    "constant": lambda v: mm.stop_gradient(v) * 0.0 + 0.75,
}
ON_NUMPY = {
    "zeros": lambda shape: np.zeros(shape, complex),
    "slope": lambda v: 3.0 * v**2,
    "half": lambda v: v[:1],
    "again": lambda v: v * v,
    "each": lambda v: v * 0.5,
    "same": lambda v: v * 1.0,
    "constant": lambda v: v * 0.0 + 0.75,
}
ROOTS = np.exp(2j * np.pi * np.arange(64) / 64)
RADIUS = 0.5

# What shares memory with an array in numpy, and what does not.
VIEWS = [
    "{}[::-1]",
    "{}[1:]",
    "{}[:1]",
    "{}[0]",
    "{}[..., 0]",
    "{}[..., ::2]",
    "{}[None]",
    "{}[...]",
    "{}.T",
    "{}.reshape(-1)",
    "np.reshape({}, (2, -1))",
    "np.ravel({})",
    "np.swapaxes({}, 0, -1)",
    "np.transpose({})",
    "np.expand_dims({}, 1)",
    "np.squeeze({})",
    "np.moveaxis({}, 0, -1)",
    "np.flip({})",
    "np.split({}, 2)[0]",
    "half({})",
    "half({}[::-1])[0]",
]
COPIES = [
    "{}.copy()",
    "np.copy({})",
    "copy.deepcopy({})",
    "{} * 1.5",
    "{} + 0.5",
    "-{}",
    "+{}",
    "{}[[0, -1]]",
    "mended({})",
    "np.stack([{0}, {0}])",
    "np.where(True, {}, 0.0)",
    "{0} - np.mean({0})",
    "{}.astype({}.dtype)",
    "again({})",
    "slope({})",
    "each({})",
    "same({})",
    "constant({})",
    "constant({})",
]
DEGREE = {"again({})": 2, "slope({})": 2}
OPERATORS = ["*= 0.5", "+= 1.0", "/= 2.0", "-= 0.25"]


class Program:
    """A random program that changes arrays in place, written down statement by statement."""

    def __init__(self, choices: random.Random) -> None:
        self._choose = choices
        self._degree = 1
        self._shapes: dict[str, tuple[int, ...]] = {"x": (2, 3)}
        self._lists: list[str] = []
        self._made = 0
        self.lines: list[str] = []
        if choices.random() < 0.8:
            self._assign("x * 1.0", (2, 3))
        for _ in range(choices.randint(2, 8)):
            kinds = [self._view, self._copy, self._change] * 2
            kinds += [
                self._change,
                self._name,
                self._call,
                self._contain,
                self._scalar,
                self._loop,
                self._accumulate,
                self._forget,
                self._write,
            ]
            choices.choice(kinds)()
        parts = [f"{i + 1}.0 * np.sum({name})" for i, name in enumerate(self._shapes)]
        parts += [f"0.7 * np.sum({name}[0]) + 0.3 * np.sum({name}[1] * {name}[1])" for name in self._lists]
        self._degree *= 2 if self._lists else 1
        assert self._degree < len(ROOTS) - 2
        self.lines.append("return " + " + ".join(parts))

    @property
    def source(self) -> str:
        return "def program(x):\n" + "".join(f"    {line}\n" for line in self.lines)

    def on(self, world: dict[str, Any]) -> Function:
        """The program as a function, in a world of numpy arrays or of Arrays."""
        names: dict[str, Any] = {**HELPERS, **world, "box": types.SimpleNamespace()}
        exec(self.source, names)
        function: Function = names["program"]
        return function

    def _new(self) -> str:
        self._made += 1
        return f"y{self._made}"

    def _some(self) -> str:
        return self._choose.choice(list(self._shapes))

    def _assign(self, expression: str, shape: tuple[int, ...]) -> None:
        name = self._some() if self._choose.random() < 0.2 else self._new()
        if name == "x":
            name = self._new()
        self.lines.append(f"{name} = {expression}")
        self._shapes[name] = shape

    def _spend(self, factor: int) -> bool:
        if 2 * self._degree * factor >= len(ROOTS) - 2:
            return False
        self._degree *= factor
        return True

    def _of(self, forms: list[str]) -> None:
        """An expression of one array, where numpy takes its shape."""
        name = self._some()
        form = self._choose.choice(forms)
        try:
            shape = np.shape(eval(form.format("v", "v"), {**HELPERS, **ON_NUMPY, "v": np.zeros(self._shapes[name])}))
        except (IndexError, ValueError, TypeError):
            return
        if (
            shape != ()
            and 0 not in shape
            and len(shape) < 4
            and np.prod(shape) < 50
            and self._spend(DEGREE.get(form, 1))
        ):
            self._assign(form.format(name, name), shape)

    def _view(self) -> None:
        self._of(VIEWS)

    def _copy(self) -> None:
        self._of(COPIES)

    def _name(self) -> None:
        name = self._some()
        self._assign(name, self._shapes[name])

    def _operand(self, shape: tuple[int, ...]) -> str:
        """What an array of this shape may be changed by."""
        fitting = [name for name, other in self._shapes.items() if _fits(other, shape)]
        if not fitting or self._choose.random() < 0.2:
            return "0.5"
        name = self._choose.choice(fitting)
        if self._shapes[name] != shape:
            return name
        return self._choose.choice(["{}", "{}", "0.5 * {}", "{}[::-1]", "({} + 1.0)", "np.sum({})"]).format(name)

    def _changed(self, name: str, shape: tuple[int, ...]) -> str:
        how = self._choose.random()
        if how < 0.35:
            return f"{name} {self._choose.choice(OPERATORS)}"
        if how < 0.8:
            return f"{name} {self._choose.choice(['+=', '-='])} {self._operand(shape)}"
        if how < 0.9 and self._spend(2):
            return f"{name} *= {self._operand(shape)}"
        if how < 0.95 and self._spend(2):
            return f"{name} **= 2"
        return f"{name} @= np.eye({shape[-1]}) * 0.5" if len(shape) > 1 else f"{name} *= -1.0"

    def _change(self) -> None:
        name = self._some()
        if name == "x" and self._choose.random() < 0.9:  # The caller sees it: that is refused.
            return
        self.lines.append(self._changed(name, self._shapes[name]))

    def _call(self) -> None:
        name = self._some()
        if self._choose.random() < 0.5:
            self.lines.append(f"triple({name})")
        else:
            self._assign(self._choose.choice(["triple({} * 1.0)", "triple({})"]).format(name), self._shapes[name])

    def _contain(self) -> None:
        if self._lists and self._choose.random() < 0.6:
            held = f"{self._lists[-1]}[{self._choose.randint(0, 1)}]"
            self.lines.append(
                self._choose.choice(["{} *= 0.5", "{} += 1.0", "triple({})", "{} = {} * 1.5"]).format(held, held)
            )
            return
        first, second = self._some(), self._some()
        name = self._new()
        forms = ["[{}, {}]", "[{} * 1.0, {}]", "[{} * 1.0, {} + 1.0]", "{{0: {}, 1: {} + 1.0}}"]
        self.lines.append(f"{name} = {self._choose.choice(forms).format(first, second)}")
        self._lists.append(name)

    def _scalar(self) -> None:
        name = self._some()
        total = self._new()
        self.lines += [f"{total} = np.sum({name})", f"{total} += np.sum({self._some()})", f"{total} *= 0.5"]
        self._shapes.pop(total, None)
        self._assign(f"{name} + {total}", self._shapes[name])

    def _loop(self) -> None:
        name = self._some()
        shape = self._shapes[name]
        kind = self._choose.random()
        if kind < 0.3:
            self.lines += [f"for row in {name}:", "    row *= 0.5"]
        elif kind < 0.5 and self._lists:
            self.lines += [f"for part in {self._lists[-1]}[0], {self._lists[-1]}[1]:", "    part += 0.5"]
        elif kind < 0.7:
            self.lines += [f"box.w = {name} * 1.0", "for _ in range(2):", "    box.w -= 0.25 * box.w"]
            self._assign("box.w", shape)
        elif self._spend(4):
            own, velocity = self._new(), self._new()
            self.lines += [f"{own} = {name} * 1.0", f"{velocity} = zeros({shape})", "for _ in range(2):"]
            self.lines += [
                f"    {velocity} *= 0.5",
                f"    {velocity} += slope({own})",
                f"    {own} -= 0.1 * {velocity}",
            ]
            self._shapes |= {own: shape, velocity: shape}

    def _accumulate(self) -> None:
        name = self._some()
        total = self._new()
        self.lines.append(f"{total} = zeros({self._shapes[name]})")
        if self._choose.random() < 0.3:
            self.lines.append(
                self._choose.choice(["{0} = {1}", "{0} = {1}[:1]", "{0} = {1}.T"]).format(self._new(), total)
            )
        self.lines += [f"{total} += {name}", f"{total} += {name}"]
        self._shapes[total] = self._shapes[name]

    def _forget(self) -> None:
        name = self._some()
        if name != "x":
            self.lines.append(f"del {name}")
            del self._shapes[name]

    def _write(self) -> None:
        name = self._some()
        if self._choose.random() < 0.7:
            return
        forms = ["{0}[0] = 7.0", "{0}[0] += 1.0", "np.add({0}, 1.0, out={0})", "operator.imul({0}, 0.5)"]
        self.lines.append(self._choose.choice(forms).format(name))


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def coefficients(function: Function, x: NDArray[Any], d: NDArray[Any]) -> tuple[list[float], float]:
    """Value, slope and curvature of a polynomial along a line, and the size of what they are the means of."""
    values = np.array([function(x + RADIUS * root * d) for root in ROOTS])
    found = [np.mean(values * ROOTS ** (-k)).real / RADIUS**k for k in range(3)]
    return found, float(np.max(np.abs(values)))


def run(program: Program, mode: str, x: NDArray[Any], d: NDArray[Any]) -> list[float] | None:
    """The same of Arrays; None where it is refused."""
    function = program.on(ON_ARRAYS)

    def along(x: Any) -> tuple[Any, ...]:
        value, gradient = mm.value_and_grad(function)(x)
        (product,) = mm.hvp(function, (x,), (d,))
        return value, np.sum(gradient * d), 0.5 * np.sum(product * d)

    try:
        if mode == "mapped":
            return [float(column[1]) for column in mm.vmap(along)(np.stack([2.0 * x, x]))]
        return [float(number) for number in (mm.compile(along) if mode == "compiled" else along)(x)]
    except TracingError:
        return None


def is_answered(choices: random.Random) -> bool:
    """Whether a random program is computed; right or refused, it must be, and alike in all ways of running."""
    program = Program(choices)
    x = np.array([[0.3, -0.2, 0.5], [0.1, 0.4, -0.6]])
    d = np.array([[0.5, 0.3, -0.4], [0.2, -0.6, 0.1]])
    expected, size = coefficients(program.on(ON_NUMPY), x, d)
    found = [run(program, mode, x, d) for mode in ("eager", "compiled", "mapped")]
    for numbers in found:
        assert (numbers is None) == (found[0] is None), program.source
        if numbers is not None:
            assert_allclose(numbers, expected, rtol=1e-9, atol=1e-11 * size, err_msg=program.source)
    return found[0] is not None


@share(1.5)
@given(st.randoms(use_true_random=False))
def test_programs_that_change_arrays_are_right_or_refused(choices: random.Random) -> None:
    is_answered(choices)


def test_a_good_part_of_the_programs_is_answered() -> None:
    answered = [is_answered(random.Random(seed)) for seed in range(200)]
    assert sum(answered) > 70


# One by one

X = np.array([1.0, 2.0, 3.0])
IDIOMS: list[tuple[Function, Function]] = []


def idiom(plain: Function) -> Callable[[Function], Function]:
    """Pair a function that changes arrays in place with the same without."""

    def pair(function: Function) -> Function:
        IDIOMS.append((function, plain))
        return function

    return pair


@idiom(lambda x: np.sum(x) + np.sum(x * x) + np.sum(x**3))
def loss_plus_term(x: Any) -> Any:
    loss = np.sum(x)
    first = loss
    loss += np.sum(x * x)
    loss += np.sum(x**3)
    return loss + 0.0 * first


@idiom(lambda x: np.sum((x[0] * x + x[1] * x + x[2] * x) ** 2))
def total_plus_array(x: Any) -> Any:
    total = 0.0
    for part in [x[i] * x for i in range(3)]:
        total += part
    return np.sum(total**2)


@idiom(lambda x: np.sum((2.0 * x) ** 2) + np.sum(x[:2] ** 2))
def total_of_zeros_plus_array(x: Any) -> Any:
    total, other = np.zeros(3), np.zeros(2).reshape(2, 1)
    for _ in range(2):
        total += x
    other += x[:2, None]
    return np.sum(total**2) + np.sum(other**2)


@idiom(lambda x: np.sum(np.tanh(np.reshape(x * 2.0, (3, 1)) + np.zeros((3, 3)) + x)))
def bias(x: Any) -> Any:
    h = (x * 2.0).reshape(3, 1)
    h *= 1.0
    h = h + np.zeros((3, 3))
    h += x
    return np.sum(np.tanh(h))


@idiom(lambda x: np.sum(((x - np.mean(x)) / np.sqrt(np.var(x) + 0.1) * 2.0) ** 3))
def normalisation(x: Any) -> Any:
    y = x.copy()
    y -= y.mean()
    y /= np.sqrt(np.var(y) + 0.1)
    y *= 2.0
    return np.sum(y**3)


def descended(x: Any, steps: int) -> Any:
    w = x * 1.0
    for _ in range(steps):
        w = w - 0.1 * 3.0 * w**2
    return np.sum(w**2)


@idiom(lambda x: descended(x, 4))
def inner_descent(x: Any) -> Any:
    w = x * 1.0
    for _ in range(4):
        w -= 0.1 * mm.grad(lambda w: mm.sum(w**3))(w)
    return np.sum(w**2)


@idiom(lambda x: descended(x, 3))
def inner_descent_of_trees(x: Any) -> Any:
    layers = [{"w": x * 1.0}]
    for _ in range(3):
        value, slopes = mm.value_and_grad(lambda layers: mm.sum(layers[0]["w"] ** 3))(layers)
        for layer, slope in zip(layers, slopes, strict=True):
            layer["w"] -= 0.1 * slope["w"]
    return np.sum(layers[0]["w"] ** 2) + 0.0 * value


def with_momentum(x: Any) -> Any:
    w, v = x * 1.0, 0.0 * x
    for _ in range(3):
        v = 0.9 * v + 2.0 * w
        w = w - 0.1 * v
    return np.sum(w**3)


@idiom(with_momentum)
def momentum(x: Any) -> Any:
    state = types.SimpleNamespace(w=x * 1.0, v=np.zeros(3))
    for _ in range(3):
        state.v *= 0.9
        state.v += 2.0 * state.w
        state.w -= 0.1 * state.v
    return np.sum(state.w**3)


@idiom(lambda x: np.sum(x * 3.0 * (x + 1.0)))
def read_before(x: Any) -> Any:
    y = x * 1.0
    s = y * 3.0
    y += 1.0
    return np.sum(s * y)


@idiom(lambda x: np.sum((2.0 * x + 2.0 * x[::-1]) ** 2))
def itself(x: Any) -> Any:
    y = x.copy()
    y += y
    y += y[::-1]
    return np.sum(y * y)


@idiom(lambda x: np.sum((x @ np.ones((3, 3))) ** 2) + 3.0 * np.sum(x))
def product(x: Any) -> Any:
    y = np.stack([x, x])
    y @= np.ones((3, 3))
    total = np.eye(3)
    total @= np.outer(x, np.ones(3))
    return np.sum(y[0] * y[1]) + np.sum(total)


@idiom(lambda x: np.sum(x * np.array([0.0, 1.0, 0.0])))
def masks(x: Any) -> Any:
    mask = np.array([1.0, 2.0, 3.0]) + 0.0 * x > 1.5
    mask &= np.array([True, True, False])
    mask |= mask
    mask = (mask[None, ::-1] & True).reshape(3)[::-1]
    mask &= np.array([True, True, True])
    return np.sum(np.where(mask, x, 0.0))


@pytest.mark.parametrize(("function", "plain"), IDIOMS, ids=[function.__name__ for function, _ in IDIOMS])
def test_idioms_are_answered(function: Function, plain: Function) -> None:
    for transformed in (mm.grad, mm.hessian):
        expected = transformed(plain)(X)
        assert_allclose(transformed(function)(X), expected, rtol=1e-12, atol=1e-12)
        assert_allclose(mm.compile(transformed(function))(X), expected, rtol=1e-12, atol=1e-12)
        assert_allclose(mm.vmap(transformed(function))(np.stack([X, -X]))[0], expected, rtol=1e-12, atol=1e-12)
    steps = [(plain(X + 1e-6 * row) - plain(X - 1e-6 * row)) / 2e-6 for row in np.eye(3)]
    assert_allclose(mm.grad(function)(X), steps, rtol=1e-6, atol=1e-6)


def named(x: Any) -> Any:
    y = x * 1.0
    z = y
    z *= 2.0
    return np.sum(y)


def viewed(view: Function) -> Function:
    def function(x: Any) -> Any:
        y = x * 1.0
        z = view(y)
        z *= 2.0
        return np.sum(y)

    return function


def under_a_view(x: Any) -> Any:
    y = x * 1.0
    z = y[::-1]
    y *= 2.0
    return np.sum(z * x)


def helped(x: Any) -> Any:
    y = x * 1.0
    triple(y)
    return np.sum(y)


def its_argument(x: Any) -> Any:
    x *= 2.0
    return np.sum(x)


def parts_of_a_list(x: Any) -> Any:
    parts = [x * 1.0, x * 2.0]
    for part in parts:
        part *= 2.0  # noqa: PLW2901 (what is tested)
    return np.sum(parts[0])


def rows(x: Any) -> Any:
    y = np.stack([x, x])
    for row in y:
        row *= 2.0  # noqa: PLW2901 (what is tested)
    return np.sum(y)


def hidden_in_a_default(x: Any) -> Any:
    y = x * 1.0

    def read(y: Any = y) -> Any:
        return np.sum(y)

    y *= 2.0
    return read()


def of_a_constant(x: Any) -> Any:
    y = mm.stop_gradient(x)
    z = y[1:]
    z *= 2.0
    return np.sum(x * y)


def of_a_comparison(x: Any) -> Any:
    mask = x > 1.5
    seen = mask[::-1]
    mask &= x < 2.5
    return np.sum(np.where(seen, x, 0.0))


def total_under_a_view(x: Any) -> Any:
    total = np.zeros(3)
    seen = total[1:]
    total += x
    return np.sum(seen * x[1:])


def row_of_a_total(x: Any) -> Any:
    total = np.zeros((2, 3))
    total[0] += x
    return np.sum(total)


def called(x: Any) -> Any:
    y = x * 1.0
    operator.imul(y, 2.0)  # type: ignore[no-untyped-call]
    return np.sum(y)


def called_by_its_name(x: Any) -> Any:
    total = np.zeros(3)
    total.__iadd__(x)
    return np.sum(total)


def element(x: Any) -> Any:
    y = x.copy()
    s = y[0]
    y[0] = 7.0
    return s * y[1]


def row(x: Any) -> Any:
    y = np.stack([x, x])
    y[0] += x
    return np.sum(y)


def of_a_custom_rule(x: Any) -> Any:
    def rule(g: Any, y: Any, x: Any) -> Any:
        z = x[1:]
        z *= 2.0
        return (g * x,)

    return mm.sum(mm.custom_vjp(lambda x: x * x, rule)(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (named, r"z \*= ... on an Array of shape \(3,\): y sees it, too.* Write z = z \* ..., which"),
        (viewed(lambda y: y[1:3]), "y sees it, too"),
        (viewed(lambda y: y.reshape(3, 1)), "y sees it, too"),
        (viewed(lambda y: y[None].ravel()), "y sees it, too"),
        (viewed(lambda y: np.swapaxes(y[None], 0, 1)), "y sees it, too"),
        (viewed(lambda y: y[None].T), "y sees it, too"),
        (viewed(lambda y: np.split(y, 3)[1]), "y sees it, too"),
        (viewed(lambda y: np.squeeze(y[None])), "y sees it, too"),
        (viewed(mm.custom_vjp(lambda v: v[1:], lambda g, y, v: (None,))), "y sees it, too"),
        (viewed(mm.rematerialize(lambda v: v)), "y sees it, too"),
        (under_a_view, r"y \*= .*z sees it, too"),
        (helped, r"v \*= .*y in helped sees it, too"),
        (its_argument, "it is an argument, which the caller sees, too"),
        (parts_of_a_list, r"part \*= .*parts sees it, too"),
        (rows, r"row \*= .*y sees it, too"),
        (hidden_in_a_default, "it is held by something else, too"),
        (of_a_constant, r"z \*= "),
        (of_a_comparison, "mask &= "),
        (total_under_a_view, r"total \+= ... on a numpy array of shape \(3,\) with an Array: it is held by something"),
        (row_of_a_total, r"it is a view of another array.*join them with stack"),
        (called, r"an in-place operator of an Array of shape \(3,\), called as a function"),
        (called_by_its_name, r"np\.add\(..., out=...\): an Array is never written to; drop out="),
        (element, "cannot be changed in place"),
        (row, r"x\[...\] \+= ... on an Array of shape \(3,\): y sees it, too.*scatter_add\(x, indices, v\)"),
        (of_a_custom_rule, r"z \*= "),
    ],
)
def test_what_somebody_else_would_see_is_refused(function: Function, message: str) -> None:
    gradient = mm.grad(function)
    for run in (gradient, mm.compile(gradient), mm.hessian(function)):
        with pytest.raises(TracingError, match=message):
            run(X)
    with pytest.raises(TracingError, match=message):
        mm.vmap(gradient)(X[None])


def test_the_refusal_ends_with_the_line() -> None:
    with pytest.raises(TracingError) as caught:
        mm.grad(named)(X)
    assert str(caught.value).endswith(f"\n  at {__file__}:{named.__code__.co_firstlineno + 3}, in named")


def test_an_element_is_a_scalar_and_what_is_squeezed_to_one_is_a_view() -> None:
    def changed(take: Function) -> Function:
        def function(x: Any) -> Any:
            y = x * 1.0
            z = take(y)
            z += 1.0
            return np.sum(y * y) + z * z

        return function

    for run in (mm.grad, lambda function: mm.compile(mm.grad(function))):
        for view in (np.squeeze, lambda y: y.reshape(()), lambda y: y.squeeze(0)):
            with pytest.raises(TracingError, match="y sees it, too"):
                run(changed(view))(np.array([2.0]))
        assert_array_equal(run(changed(lambda y: y[0]))(np.array([2.0])), [10.0])
        assert_array_equal(run(changed(lambda y: y[1, -1]))(np.ones((2, 2))), [[2.0, 2.0], [2.0, 6.0]])


def in_place_sum(y: Any, v: Any) -> Any:
    own = y + 0
    own += v
    return own


def test_shape_and_dtype_are_the_targets_as_in_numpy() -> None:
    x, wide = X.astype(np.float32), np.linspace(0.1, 0.3, 3)

    def total(x: Any) -> Any:
        total = np.zeros(3, np.float32)
        total += mm.astype(x, np.float64) * wide
        return total

    for function in (lambda x: in_place_sum(x * np.float32(2.0), wide), total):
        expected = np.zeros(3, np.float32)
        expected += x * wide if function is total else x * np.float32(2.0) + wide
        for found in (mm.vjp(function, x)[0], mm.compile(lambda x, f=function: mm.vjp(f, x)[0])(x)):
            assert found.dtype == np.float32
            assert_array_equal(found, expected)
        assert mm.grad(lambda x, f=function: mm.sum(f(x)))(x).dtype == np.float32

    with pytest.raises(ShapeError, match=r"own \+= ... on shape \(3,\): the result, of shape \(2, 3\), does not fit"):
        mm.grad(lambda x: mm.sum(in_place_sum(x * 1.0, np.ones((2, 3)))))(X)
    with pytest.raises(DtypeError, match=r"own \+= ... on dtype int64: the result, of dtype float64, does not fit"):
        mm.grad(lambda x: mm.sum(in_place_sum(np.zeros(3, np.int64), x)))(X)


def test_a_debugger_has_frames_copy_their_variables_and_nothing_more_is_refused() -> None:
    def function(x: Any) -> Any:
        y = x * 1.0
        y *= 2.0
        y += y[::-1]
        return np.sum(y * y)

    def tracer(frame: types.FrameType, event: str, argument: Any) -> Any:
        return tracer if frame.f_code is function.__code__ and frame.f_locals is not None else None

    expected, before = mm.grad(function)(X), sys.gettrace()
    sys.settrace(tracer)
    try:
        found = mm.grad(function)(X)
    finally:
        sys.settrace(before)
    assert_array_equal(found, expected)


def test_variables_are_looked_at_and_not_kept() -> None:
    def function(x: Any) -> Any:
        y = x * 1.0
        s = y * 3.0
        kept = weakref.ref(s)
        y += 1.0
        del s
        assert kept() is None
        given = locals()
        s = y * 3.0
        y += 1.0
        assert given["x"] is x
        return np.sum(y)

    def without(x: Any) -> Any:
        y = x * 1.0
        s = y * 3.0
        kept = weakref.ref(s)
        y += 1.0
        del s
        assert kept() is None
        return np.sum(y)

    with pytest.raises(TracingError, match="given sees it, too"):
        mm.grad(function)(X)
    assert_array_equal(mm.grad(without)(X), np.ones(3))


def test_where_references_are_not_counted_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for own in ("_OWN", "_OPERAND", "_OWN_TWICE", "_OWN_NUMPY"):
        monkeypatch.setattr(sharing, own, 0)
    for function in (bias, total_of_zeros_plus_array, itself):
        with pytest.raises(TracingError, match="held by something else"):
            mm.grad(function)(X)
    assert_array_equal(mm.grad(loss_plus_term)(X), 1.0 + 2.0 * X + 3.0 * X**2)


# Arrays of no axes, and scalars

PAIR = np.array([0.5, 2.0])


def squeezed(y: Any) -> Any:
    return np.squeeze(y[:1])


@pytest.mark.parametrize(
    "take",
    [
        lambda y: np.where(y[0] < 1.0, 0.5 * y[0] ** 2, y[0] - 0.5),
        lambda y: np.copy(y[0]),
        lambda y: np.where(True, y[0], 0.0).copy(),
        lambda y: np.where(True, y[0], 0.0).astype(np.float32),
        lambda y: np.broadcast_to(y[0] * 1.0, ()).copy(),
        lambda y: (y[0] * y[1])[...],
        lambda y: triple(np.where(True, y[0], 0.0)),
        squeezed,
        lambda y: y[:1].reshape(()),
        lambda y: y[0, ...],
    ],
)
def test_an_array_of_no_axes_is_shared_as_others(take: Function) -> None:
    def named(x: Any) -> Any:
        y = x * 1.0
        total = take(y)
        loss = total
        total += y[1]
        return total * loss

    def alone(x: Any) -> Any:
        total = take(x * 1.0)
        total += x[1]
        total *= 2.0
        return total * total

    runs: list[Function] = [lambda f: mm.vjp(f, PAIR)[0], lambda f: mm.compile(lambda x: mm.vjp(f, x)[0])(PAIR)]
    for run in runs:
        with pytest.raises(TracingError, match=r"total .*sees? it, too"):
            run(named)
        assert_allclose(run(alone), alone(PAIR), rtol=1e-6)


@pytest.mark.parametrize("view", [squeezed, lambda y: y[:1].reshape(()), lambda y: y[0, ...]])
def test_a_view_of_no_axes_changes_what_it_is_a_view_of(view: Function) -> None:
    for run in (mm.grad(viewed(view)), mm.compile(mm.grad(viewed(view)))):
        with pytest.raises(TracingError, match="y sees it, too"):
            run(PAIR)


def test_a_running_total_of_no_axes_is_not_rebound_where_a_list_holds_it() -> None:
    def function(x: Any) -> Any:
        total, history = np.zeros(()), []
        for v in x:
            total += v
            history.append(total)
        return history[0] * history[1]

    with pytest.raises(TracingError, match=r"total \+= ... on an Array of shape \(\): history sees it, too"):
        mm.grad(function)(PAIR)


@pytest.mark.parametrize(
    "take",
    [
        np.sum,
        np.mean,
        np.max,
        np.min,
        np.var,
        np.linalg.norm,
        lambda y: y @ y,
        lambda y: np.dot(y, y),
        lambda y: y[0],
        lambda y: y[-1].astype(np.float32),
        lambda y: y[np.argmax(y)],
        lambda y: y[0] * 2.0,
        lambda y: np.maximum(y[0], y[1]),
    ],
)
def test_scalars_are_rebound_though_others_hold_them(take: Function) -> None:
    def function(x: Any) -> Any:
        loss = take(x)
        first = loss
        loss += x[0]
        return loss * first

    for found in (mm.vjp(function, PAIR)[0], mm.compile(lambda x: mm.vjp(function, x)[0])(PAIR)):
        assert_allclose(found, function(PAIR), rtol=1e-6)


def test_a_python_number_is_rebound_and_a_custom_rules_scalar_too() -> None:
    square = mm.custom_vjp(lambda v: mm.sum(v * v), lambda g, y, v: (2.0 * g * v,))

    def function(x: Any, number: Any) -> Any:
        loss, before = square(x), number
        first = loss
        loss += 1.0
        number += 1.0
        return loss * first * number * before

    s = float(np.sum(PAIR * PAIR))
    assert_allclose(mm.vjp(function, PAIR, 3.0)[0], (s + 1.0) * s * 12.0, rtol=1e-12)


def test_a_row_at_a_place_that_is_not_known_yet_is_a_view() -> None:
    def function(x: Any) -> Any:
        y = np.stack([x, 2.0 * x])
        z = y[np.argmax(y[:, 0])]
        z *= 3.0
        return np.sum(y)

    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        with pytest.raises(TracingError, match="y sees it, too"):
            run(PAIR)


# Where the result is stored

MISPLACED = """
class M: total = {0}
a = M()
a.total += x
---
base = {{"w": {0}}}
c = collections.ChainMap({{}}, base)
c["w"] += x
---
class Delegate:
    def __init__(self, inner): self.__dict__["inner"] = inner
    def __getattr__(self, name): return getattr(self.__dict__["inner"], name)
inner = types.SimpleNamespace(w={0})
d = Delegate(inner)
d.w += x
---
class P:
    @property
    def w(self): return self._w
    @w.setter
    def w(self, value): self.other = value
p = P()
p._w = {0}
p.w += x
---
class L(list):
    def __setitem__(self, i, value): pass
l = L([{0}])
l[0] += x
---
kept = [{0}]
class D(dict):
    def __missing__(self, key): return kept[0]
D()["a"] += x
---
class F:
    def __setattr__(self, name, value): raise AttributeError
f = F()
f.__dict__["w"] = {0}
f.w += x
---
w = {0}
class C:
    w += x
---
names = {{"w": {0}, "x": x}}
exec("w += x", names, {{}})
---
t = ({0},)
t[0] += x
---
a, b = types.SimpleNamespace(w={0}), types.SimpleNamespace(w={0})
(a if a is not b else b).w += x
"""
PLACED = """
class M: pass
a = M()
a.w = {0}
a.w += x
w = a.w
---
class S: __slots__ = ("w",)
a = S()
a.w = {0}
a.w += x
w = a.w
---
class M: w = {0}
M.w += x
w = M.w
---
a = types.SimpleNamespace(layers=[{{"w": {0}}}])
a.layers[-1]["w"] += x
w = a.layers[0]["w"]
---
d, i = {{"w0": {0}}}, 0
d[f"w{{i}}"] += x
w = d["w0"]
---
l, i = [0.0, {0}], 0
l[i + 1] += x
w = l[1]
---
d = collections.defaultdict(lambda: {0})
d["w"] += x
w = d["w"]
---
w = {0}
w += x
---
def change():
    global w
    w += x
w = {0}
change()
---
def outer():
    w = {0}
    def change():
        nonlocal w
        w += x
    change()
    return w
w = outer()
"""


def stored(source: str, held: str, then: str = "") -> Function:
    def function(x: Any) -> Any:
        names = {"np": np, "types": types, "collections": collections, "x": x}
        exec(source.format(held) + then, names)
        return np.sum(names["w"] * x) if then == "" else np.sum(x)

    return function


@pytest.mark.parametrize("held", ["x * 1.0", "np.zeros(2)"])
@pytest.mark.parametrize("source", MISPLACED.split("---\n"))
def test_a_store_elsewhere_than_the_read_is_refused(source: str, held: str) -> None:
    function = stored(source, held, "\n")
    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        with pytest.raises(TracingError, match=r"\+= .*where it is read from is not surely where .*Write .* = .* \+ "):
            run(PAIR)


@pytest.mark.parametrize("held", ["x * 1.0", "np.zeros(2)"])
@pytest.mark.parametrize("source", PLACED.split("---\n"))
def test_a_store_where_the_read_was_is_answered(source: str, held: str) -> None:
    function = stored(source, held)
    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        assert_allclose(run(PAIR), (4.0 if held == "x * 1.0" else 2.0) * PAIR, rtol=1e-12)


def test_a_read_only_array_is_no_target() -> None:
    def function(x: Any) -> Any:
        total = np.zeros(2)
        total.flags.writeable = False
        total += x
        return np.sum(total)

    with pytest.raises(ValueError, match="read-only"):
        function(PAIR)
    with pytest.raises(
        TracingError, match=r"total \+= ... on a numpy array of shape \(2,\).*it is read-only. Write total"
    ):
        mm.grad(function)(PAIR)
