"""In-place operators do what numpy does, or are refused: random programs, run on numpy's own arrays and on Arrays.

The oracle is numpy, on complex arrays. Programs are polynomials ``p`` of their argument, and along a line ``x + t d``
the derivatives are the coefficients of ``p(x + t d) = c0 + c1 t + c2 t^2 + ...``, which are means over a circle,

    c_k r^k = mean over n-th roots of unity w of p(x + r w d) w^-k,

exact for polynomials of fewer than n coefficients.
"""

import copy
import operator
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import TracingError

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
    "np.asarray({})",
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
    "np.array({})",
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


def row(x: Any) -> Any:
    y = np.stack([x, x])
    y[0] += x
    return np.sum(y)
