"""Programs: a computation written down once, and run on numbers, on Arrays or on forms.

A program is a straight line of steps. Its values are numbered: the operands, then the constants,
then the results of each step, so that a step of ``m`` results reads earlier numbers and gives the
next ``m``:

    v[k], ..., v[k + m - 1] = p(v[i], v[j], ...)          i, j, ... < k

One loop, :func:`run`, goes through them. What a single step gives is up to the function
``evaluate`` that it is handed: numbers, complex numbers, Arrays, or the numbers that a builder of
native programs has for values.

A step may have a *body*, a program that computes its results: a function whose derivative is
computed in another way (:mod:`minimeta.autodiff.regions`), or the function of one task of a
``vmap``. Then it has *tasks* as well, and :func:`run_body` says what they mean and in which order
they are summed.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minimeta.autodiff.apply import apply, context, during
from minimeta.autodiff.array import NOWHERE, Array, Form, Origin
from minimeta.autodiff.calls import PROJECT, pick
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.promotion import array_of

#: What computes one step: of the step and the values of its operands, to a tuple of its results.
Evaluate: TypeAlias = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Tasks:
    """How often a body runs, and what becomes of its operands and outputs.

    Attributes
    ----------
    count
        For how many tasks.
    mapped
        For each operand, whether a task is given its part of it along the first axis, and not the
        whole.
    summed
        For each output, whether the tasks' are added up, and not stacked.
    keep
        Whether a backward pass finds the body's values, stacked, or computes them again.
    """

    count: int
    mapped: tuple[bool, ...]
    summed: tuple[bool, ...]
    keep: bool = False

    def operands_of(self, task: int, operands: Sequence[Any]) -> list[Any]:
        """Return what a task is given of the operands of all."""
        return [x[task, ...] if is_mapped else x for x, is_mapped in zip(operands, self.mapped, strict=True)]

    def form(self, form: Form, is_sum: bool) -> Form:
        """Return the form of a result, for the body's output of this form."""
        return form if is_sum else Form((self.count, *form.shape), form.dtype)


class Step(NamedTuple):
    """One instruction of a program.

    Attributes
    ----------
    primitive, operands, params
        What is computed of which values, with which static parameters.
    results
        The forms of its results.
    origin
        The user's line that it was traced for.
    body, tasks
        The program that computes the results, and the tasks that it runs for, where there are.
    """

    primitive: Primitive
    operands: tuple[int, ...]
    params: dict[str, Any]
    results: tuple[Form, ...]
    origin: Origin = NOWHERE
    body: Program | None = None
    tasks: Tasks | None = None

    @classmethod
    def of(
        cls,
        primitive: Primitive,
        operands: tuple[int, ...],
        keywords: dict[str, Any],
        results: tuple[Form, ...],
        origin: Origin = NOWHERE,
    ) -> Step:
        """Make a step, given its parameters as :attr:`keywords` has them."""
        if "body" not in keywords:
            return cls(primitive, operands, keywords, results, origin)
        params = dict(keywords)
        return cls(primitive, operands, params, results, origin, params.pop("body"), params.pop("tasks", None))

    @property
    def form(self) -> Form:
        """The form of the result, of a step that has one."""
        (form,) = self.results
        return form

    @property
    def keywords(self) -> dict[str, Any]:
        """The parameters as the primitive's functions take them: with the body and its tasks."""
        if self.body is None:
            return self.params
        return {**self.params, "body": self.body} | ({} if self.tasks is None else {"tasks": self.tasks})

    def runs(self, operands: Sequence[Any]) -> list[list[Any]]:
        """Return the operands of each run of the body."""
        if self.tasks is None:
            return [list(operands)]
        return [self.tasks.operands_of(task, operands) for task in range(self.tasks.count)]


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A computation that refers to no Array.

    Attributes
    ----------
    operands
        The forms of what it takes.
    constants
        Arrays.
    steps
        In an order in which each comes after those whose results it reads.
    outputs
        The numbers of the values that it gives.
    """

    operands: tuple[Form, ...]
    constants: tuple[Any, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @property
    def first(self) -> int:
        """The number of the first step's first result."""
        return len(self.operands) + len(self.constants)

    def forms(self) -> list[Form]:
        """Return the forms of all values, by their numbers."""
        results = itertools.chain.from_iterable([step.results for step in self.steps])
        return [*self.operands, *map(Form.of, self.constants), *results]

    def numbered_steps(self) -> Iterator[tuple[int, Step]]:
        """Yield the steps, each with the number of its first result."""
        number = self.first
        for step in self.steps:
            yield number, step
            number += len(step.results)

    def step_of(self, number: int) -> Step | None:
        """Return the step that computes a value; None of an operand or a constant."""
        return next((step for i, step in self.numbered_steps() if i <= number < i + len(step.results)), None)

    def __repr__(self) -> str:
        return f"<{len(self.steps)} steps>"


def run(program: Program, operands: Sequence[Any], evaluate: Evaluate) -> list[Any]:
    """Compute the outputs of a program.

    Parameters
    ----------
    program
        Of which every step is computed in turn.
    operands
        One value for each of the program's.
    evaluate
        Of a step and the values of its operands, to a tuple of its results. Steps with a body are
        its own to run, by :func:`run_body` or otherwise.
    """
    values = [*operands, *program.constants]
    for step in program.steps:
        values += evaluate(step, *[values[i] for i in step.operands])
    return [values[i] for i in program.outputs]


def by_kernel(step: Step, *values: Any) -> tuple[Any, ...]:
    """Compute a step by its kernel."""
    return as_results(step.primitive.kernel(*values, **step.keywords))


def by_reference(step: Step, *values: Any) -> tuple[Any, ...]:
    """Compute a step by its numpy reference."""
    return as_results(step.primitive.reference(*values, **step.keywords))


def by_operation(step: Step, *values: Any) -> tuple[Any, ...]:
    """Compute a step as a user's function would, on Arrays too, for the line it was traced for."""
    with during(origin=step.origin if step.origin.line else context.origin):
        found = apply(step.primitive, *values, **step.keywords)
    if type(found) is Array and type(found.value) is tuple:
        return tuple([pick(found, place) for place in range(len(step.results))])
    return as_results(found)


def by_shape(step: Step, *forms: Any) -> tuple[Form, ...]:
    """Compute the forms of a step's results from those of its operands, by its shape rule."""
    return as_results(step.primitive.shape(*forms, **step.keywords))


def as_results(found: Any) -> tuple[Any, ...]:
    """Return the results of a primitive's function, which gives a tuple where it has several."""
    return found if type(found) is tuple else (found,)


# A body and its tasks


def run_body(body: Program, tasks: Tasks | None, operands: Sequence[Any], evaluate: Evaluate) -> tuple[Any, ...]:
    """Compute the results of a step with a body: the definition of a ``vmap``.

    Tasks are run one after another, and their outputs stacked, or summed in the order of
    :func:`sum_in_order`. The native executor (``csrc/map.cpp``) runs them on threads, and gives the
    same bits.
    """
    if tasks is None:
        return tuple(run(body, operands, evaluate))
    rows = [run(body, tasks.operands_of(task, operands), evaluate) for task in range(tasks.count)]
    return combined(tasks, rows, result_forms(body, tasks), np.stack, np.add)


def combined(
    tasks: Tasks,
    rows: Sequence[Sequence[Any]],
    forms: Sequence[Form],
    stack: Callable[..., Any],
    add: Callable[..., Any],
) -> tuple[Any, ...]:
    """Return the results of all tasks, given a row of outputs for each."""
    if not rows:
        return tuple(np.zeros(form.shape, form.dtype) for form in forms)
    columns = zip(zip(*rows, strict=True), tasks.summed, strict=True)
    return tuple(sum_in_order(column, add) if is_sum else stack(column) for column, is_sum in columns)


def result_forms(body: Program, tasks: Tasks | None) -> tuple[Form, ...]:
    """Return the forms of the results of a step with this body."""
    forms = body.forms()
    outputs = [forms[i] for i in body.outputs]
    if tasks is None:
        return tuple(outputs)
    return tuple(tasks.form(form, is_sum) for form, is_sum in zip(outputs, tasks.summed, strict=True))


def group_bounds(count: int) -> tuple[int, ...]:
    """Return where each group of neighbouring tasks begins, and the end.

    There are sixteen groups, or one for each task if there are fewer: enough for threads to share,
    and few enough that their sums take little memory. The first groups may have one task more than
    the others.
    """
    groups = min(count, 16)
    size, larger = divmod(count, groups) if groups else (0, 0)
    return tuple(group * size + min(group, larger) for group in range(groups + 1))


def sum_in_order(values: Sequence[Any], add: Callable[[Any, Any], Any]) -> Any:
    """Add up one value for each task: in order inside of each group, then over the groups."""
    groups = [
        functools.reduce(add, values[start:stop]) for start, stop in itertools.pairwise(group_bounds(len(values)))
    ]
    return functools.reduce(add, groups)


# A graph written down


def linearise(operands: Sequence[Array], outputs: Sequence[Any]) -> Program:
    """Write down how the outputs follow from the operands; whatever else they need is a constant.

    In the graph several results of one node are picked by ``PROJECT`` nodes. In a program they have
    numbers, and nothing is picked; where such a node is an operand, each of its results is one.
    """
    number, forms = dict[int, int](), list[Form]()
    for array in operands:
        number[array.id] = len(forms)
        forms += map(Form.of, as_results(array.value))
    outputs = list(map(array_of, outputs))
    graph = _computed(outputs, number)
    order = [graph[moment] for moment in sorted(graph)]
    constants: dict[int, tuple[int, Any]] = {}  # by identity: the number and the value

    # Constants are numbered before steps, so they are collected first.
    for x in (*[x for array in order for x in array.inputs], *outputs):
        if x.id not in number and x.id not in graph:
            constants.setdefault(id(x.value), (len(forms) + len(constants), x.value))

    def numbers(arrays: Sequence[Array]) -> tuple[int, ...]:
        return tuple([number[x.id] if x.id in number else constants[id(x.value)][0] for x in arrays])

    steps: list[Step] = []
    following = len(forms) + len(constants)
    for array in order:
        primitive, params, value = array.primitive, array.params, array.value
        assert primitive is not None and params is not None
        if primitive is PROJECT:
            number[array.id] = number[array.inputs[0].id] + params["place"]
            continue
        results = (value,) if type(value) is Form else tuple(map(Form.of, as_results(value)))
        origin = getattr(array, "origin", NOWHERE)
        steps.append(Step.of(primitive, numbers(array.inputs), params, results, origin))
        number[array.id] = following
        following += len(results)
    values = tuple(value for _, value in constants.values())
    return Program(tuple(forms), values, tuple(steps), numbers(outputs))


def _computed(outputs: Sequence[Array], known: Container[int]) -> dict[int, Array]:
    """Return all that the outputs are computed from, back to what is known, by its moment."""
    graph: dict[int, Array] = {}
    stack = list(outputs)
    while stack:
        array = stack.pop()
        # What has no inputs is the alias of a constant, and what has no id is a constant or a view
        # of one.
        if array.inputs and array.id and array.id not in known and array.id not in graph:
            graph[array.id] = array
            stack += array.inputs
    return graph
