"""vmap: a function of one task, run for every task of a batch.

For ``x = (x_1, ..., x_n)`` along a leading axis and ``w`` that all tasks share,

    stacked output    y = (f(x_1, w), ..., f(x_n, w))
    summed output     y =  f(x_1, w) + ... + f(x_n, w)

The function is written for one task and traced for one. The program of its body then runs once for
each task, on threads and without Python; each task has its own memory, which stays in the cache.
Nothing in the body knows of the batch: weights that differ from task to task are plain matrices and
not batches of them.

One primitive holds both forms, and is closed under differentiation. For cotangents ``g`` of the
outputs the body runs again, backwards, for each task:

    cotangent of what is mapped    x_i:   J_x(x_i, w)^T g_i                         stacked
    cotangent of what is shared    w:     J_w(x_1, w)^T g_1 + J_w(x_2, w)^T g_2 + ...   summed

With ``keep`` the body's values are results too, stacked, and the walk backwards begins from them:
memory for time. A compiled program computes only those that the walk needs.

What the primitive means, and the order of its sums, is :func:`minimeta.autodiff.steps.run_body`.
The order does not depend on the number of threads, so that no bit does.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from minimeta.autodiff import steps, tree
from minimeta.autodiff.apply import apply, during, outermost
from minimeta.autodiff.arguments import Function
from minimeta.autodiff.array import Array, Form, Trace, is_float, moments
from minimeta.autodiff.calls import no_sample, pick
from minimeta.autodiff.elements import joined_leaves
from minimeta.autodiff.graph import backward, free_variables, record
from minimeta.autodiff.operations import add, moveaxis, stack
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.promotion import array_of
from minimeta.autodiff.results import settle
from minimeta.autodiff.steps import Program, Step, Tasks
from minimeta.autodiff.transformed import transformation
from minimeta.errors import ConfigurationError, DtypeError, LinearAlgebraError, ShapeError
from minimeta.program.batching import batched, is_batched
from minimeta.program.executor import Executable, explained
from minimeta.program.names import alone


@transformation
def vmap(
    function: Function, in_axes: Any = 0, out_axes: Any = 0, *, keep: bool = False, enabled: bool = True
) -> Function:
    """Turn a function of one task into a function of a batch of tasks.

    Parameters
    ----------
    function
        A pure function of trees of arrays to a tree of arrays. What it takes by closure is shared
        by all tasks, and so are random numbers that it draws by itself: draw for each task outside,
        and map them. It is traced at every call, for one task, on shapes alone;
        :func:`minimeta.compile` the result to trace it once.
    in_axes
        The axis of the tasks in each argument: 0, another axis, or None where all tasks share the
        argument. One for all arguments, or a tuple or list with one for each, which may be a tree
        of them like the argument. Arguments that are passed by keyword are mapped along axis 0;
        what all tasks share is passed by position.
    out_axes
        0 where the results are stacked along a new leading axis; ``"sum"`` where they are added up,
        in a fixed order and without being stacked. One for all outputs, or a tree of them like the
        output.
    keep
        Whether a backward pass finds the values that it needs, kept for all tasks at once, or
        computes them again, task by task.
    enabled
        With False the function itself runs, on Arrays, once for each task, one after another: to
        look inside it, or where it needs values. The results have the same bits, except where
        vectors of all tasks meet a matrix that they share: otherwise that is one product of
        matrices (:mod:`minimeta.program.batching`), whose elements are summed in another order.

    Returns
    -------
    callable
        Of the batched arguments, to the stacked or summed outputs. It can be differentiated to any
        order, nested, and called inside any other transformation. The tasks run in parallel
        (:func:`minimeta.set_num_threads`), and the number of threads changes no bit.

    Raises
    ------
    ShapeError
        Nothing is mapped, ``in_axes`` has not one entry for each argument, an argument lacks the
        axis, or two have axes of different lengths.
    TracingError
        The function needs a value (a truth value, a float, a numpy array).
    DtypeError
        A sum over outputs that are not floats.

    Examples
    --------
    >>> import numpy as np
    >>> w, x = np.ones(2), np.arange(6.0).reshape(3, 2)
    >>> vmap(lambda w, x: sum(w * x), in_axes=(None, 0))(w, x)
    array([1., 5., 9.])
    >>> vmap(lambda w, x: w * x, in_axes=(None, 0), out_axes="sum")(w, x)
    array([6., 9.])
    """

    def transformed(*arguments: Any, **keywords: Any) -> Any:
        given = (*arguments, keywords) if keywords else arguments
        leaves, structure = tree.flatten(given)
        axes = tree.spread(
            (*_axes(in_axes, len(arguments)), 0) if keywords else _axes(in_axes, len(arguments)), structure
        )
        names = [name.removeprefix(f"{len(arguments)}/") for name in tree.paths(given)]
        operands = [_leading(*given) for given in zip(leaves, axes, names, strict=True)]
        mapped = tuple(axis is not None for axis in axes)
        count = _count(operands, mapped, names)

        def body(*values: Any) -> tuple[list[Any], tree.Structure]:
            parts = tree.unflatten(structure, values)
            return tree.flatten(joined_leaves(function(*parts[:-1], **parts[-1]) if keywords else function(*parts)))

        def one_by_one() -> list[tuple[list[Any], tree.Structure]]:
            return [body(*_task(leaves, operands, mapped, task)) for task in range(count)]

        if enabled or count == 0:
            traced, free, structure_of_output = _traced(body, operands, mapped)
            tasks = Tasks(count, mapped, _summed(out_axes, structure_of_output), keep)
            try:
                results = _mapped(traced, (*operands, *free), tasks)
            except (IndexError, LinearAlgebraError) as error:
                raise explained(error, one_by_one) from None
        else:
            rows = one_by_one()
            structure_of_output = rows[0][1]
            tasks = Tasks(count, mapped, _summed(out_axes, structure_of_output))
            results = steps.combined(tasks, [outputs for outputs, _ in rows], (), stack, add)
        return tree.unflatten(structure_of_output, [settle(y) for y in results])

    return transformed


def _axes(in_axes: Any, count: int) -> tuple[Any, ...]:
    """Return the entry of in_axes for each positional argument."""
    if not isinstance(in_axes, (tuple, list)):
        return (in_axes,) * count
    if len(in_axes) != count:
        raise ShapeError(
            f"vmap: in_axes={in_axes!r} has {len(in_axes)} entries for {count} positional arguments; it needs one for "
            "each (those that are passed by keyword are mapped along axis 0)"
        )
    return tuple(in_axes)


def _leading(x: Any, axis: Any, name: str) -> Any:
    """Return an operand whose tasks lie along the first axis."""
    try:
        x = array_of(x)
    except DtypeError as error:
        raise DtypeError(f"vmap: argument {name!r} is {str(error).partition(chr(10))[0]}") from None
    if axis is None:
        return x
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or not -x.ndim <= operator.index(axis) < x.ndim:
        raise ShapeError(
            f"vmap: in_axes has {axis!r} for argument {name!r} of shape {x.shape}, which has no such axis; where all "
            "tasks share an argument it is passed by position, and its in_axes is None"
        )
    axis = operator.index(axis)
    return x if axis % x.ndim == 0 else moveaxis(x, axis, 0)


def _count(operands: Sequence[Any], mapped: Sequence[bool], names: Sequence[str]) -> int:
    """Return how many tasks there are."""
    counts = {name: x.shape[0] for x, name, is_mapped in zip(operands, names, mapped, strict=True) if is_mapped}
    if not counts:
        raise ShapeError("vmap: in_axes maps no array, so there is no number of tasks; give an argument an axis")
    if len(set(counts.values())) > 1:
        first, *others = counts
        other = next(name for name in others if counts[name] != counts[first])
        raise ShapeError(
            f"vmap: argument {first!r} has {counts[first]} tasks, and {other!r} {counts[other]}; where all tasks share "
            "an argument its in_axes is None"
        )
    return int(next(iter(counts.values())))


def _summed(out_axes: Any, structure: tree.Structure) -> tuple[bool, ...]:
    """Return which leaves of the output are sums."""
    ways = tree.spread(out_axes, structure)
    if unknown := [way for way in ways if way not in (0, "sum")]:
        raise ConfigurationError(f"vmap: out_axes={unknown[0]!r} is neither 0 nor 'sum'")
    return tuple(way == "sum" for way in ways)


def _task(leaves: Sequence[Any], operands: Sequence[Any], mapped: Sequence[bool], task: int) -> list[Any]:
    """Return the arguments of one task, as Arrays, so that minimeta computes with them."""
    return [
        x if not is_mapped else x[task] if type(leaf) is Array else Array(x.value[task, ...])
        for leaf, x, is_mapped in zip(leaves, operands, mapped, strict=True)
    ]


def _traced(
    body: Callable[..., tuple[list[Any], Any]],
    operands: Sequence[Array],
    mapped: Sequence[bool],
    given: Mapping[int, Array] = MappingProxyType({}),
) -> tuple[Program, list[Array], Any]:
    """Trace a body for one task.

    Returns the program, the Arrays that the body takes by closure (the program's last operands),
    and what else the body returned. Arrays that the body puts into ``given`` are not computed: they
    are operands that follow its own.
    """
    trace = Trace()
    forms = [
        Array(Form(x.shape[1:] if is_mapped else x.shape, x.dtype), x.weak, trace, next(moments))
        for x, is_mapped in zip(operands, mapped, strict=True)
    ]
    try:
        with during(mapping=True):
            outputs, other = body(*forms)
    finally:
        trace.open = False
    free = free_variables(forms, outputs)
    program = steps.linearise([*forms, *given.values(), *free], outputs)
    picked = [[x] if type(x.value) is not tuple else [pick(x, i) for i in range(len(x.value))] for x in free]
    return program, list(itertools.chain(*picked)), other


def _mapped(body: Program, operands: Sequence[Any], tasks: Tasks) -> Sequence[Any]:
    """Run a body for every task; operands beyond those of ``mapped`` are shared."""
    visible = len(tasks.summed)
    tasks = dataclasses.replace(tasks, mapped=tasks.mapped + (False,) * (len(operands) - len(tasks.mapped)))
    if is_batched(body, tasks):
        return batched(body, operands, tasks, VMAP)
    if tasks.keep and outermost(operands) is not None:
        body = _with_values(body, tasks)
        tasks = dataclasses.replace(tasks, summed=tasks.summed + (False,) * (len(body.outputs) - visible))
    node = apply(VMAP, *operands, body=body, tasks=tasks)
    return [pick(node, i) for i in range(visible)] if type(node) is Array else node[:visible]


def _with_values(body: Program, tasks: Tasks) -> Program:
    """Return the body with all values that differ between tasks as outputs too, except views and
    sums.
    """
    varying = {i for i, is_mapped in enumerate(tasks.mapped) if is_mapped}
    stacked = {i for i, is_sum in zip(body.outputs, tasks.summed, strict=True) if not is_sum}
    values: list[int] = []
    for first, step in body.numbered_steps():
        if not varying.isdisjoint(step.operands):
            results = range(first, first + len(step.results))
            varying.update(results)
            if not _is_view(step):
                values += [i for i in results if i not in stacked]
    return dataclasses.replace(body, outputs=(*body.outputs, *values))


def _is_view(step: Step) -> bool:
    """Return whether a step computes nothing."""
    return step.primitive.view or (step.body is not None and all(map(_is_view, step.body.steps)))


def _rule(cotangents: Sequence[Any], node: Array, *operands: Array, body: Program, tasks: Tasks) -> list[Any]:
    """Walk the body backwards for every task, from values that were kept or are computed again."""
    wanted = [i for i, x in enumerate(operands) if is_float(x) and x.transformation is not None]
    given = [j for j, g in enumerate(cotangents) if g is not None]
    summed = tasks.summed
    stacked = [j for j, i in enumerate(body.outputs) if tasks.keep and not summed[j] and i >= body.first]
    values: dict[int, Array] = {}  # that are known, by their places

    def backwards(*arguments: Any) -> tuple[list[Any], list[int]]:
        inputs, cotangents_here = arguments[: len(operands)], dict(zip(given, arguments[len(operands) :], strict=True))

        def forward(*chosen: Any) -> list[Any]:
            replaced = dict(zip(wanted, chosen, strict=True))
            return steps.run(body, [replaced.get(i, x) for i, x in enumerate(inputs)], steps.by_operation)

        chosen = [inputs[i] for i in wanted]
        recording = record(forward, chosen)
        values.update((j, recording.output[j]) for j in stacked if type(recording.output[j]) is Array)
        found = backward(recording, recording.output, [cotangents_here.get(j) for j in range(len(summed))])
        return [g for g in found if g is not None], [i for i, g in zip(wanted, found, strict=True) if g is not None]

    everything = [*operands, *(cotangents[j] for j in given)]
    mapped = tasks.mapped + tuple(not summed[j] for j in given)
    traced, free, reached = _traced(backwards, everything, mapped, values)
    everything += [pick(node, j) for j in values]
    of_answers = tuple(not mapped[i] for i in reached)
    mapped += (True,) * len(values)
    answers = _mapped(traced, (*everything, *free), Tasks(tasks.count, mapped, of_answers, tasks.keep))
    found = dict(zip(reached, answers, strict=True))
    return [found.get(i) for i in range(len(operands))]


# What the primitive is


def _forms(*values: Any, body: Program, tasks: Tasks) -> tuple[Form, ...]:
    for x, form, is_mapped in zip(values, body.operands, tasks.mapped, strict=True):
        if Form.of(x) != tasks.form(form, not is_mapped):
            raise ShapeError(f"vmap: a body of {form!r} for each of {tasks.count} tasks does not take {x!r}")
    results = steps.result_forms(body, tasks)
    for form, is_sum in zip(results, tasks.summed, strict=True):
        if is_sum and not is_float(form):
            raise DtypeError(f"vmap: out_axes='sum' of an output of dtype {form.dtype.name}; only floats are added up")
    return results


def _reference(*values: Any, body: Program, tasks: Tasks) -> tuple[Any, ...]:
    return steps.run_body(body, tasks, values, steps.by_reference)


def _kernel(*values: Any, body: Program, tasks: Tasks) -> tuple[Any, ...]:
    forms = _forms(*values, body=body, tasks=tasks)
    executable = Executable(alone(Step(VMAP, (), {}, forms, body=body, tasks=tasks), map(Form.of, values)))
    if not executable.native:
        return steps.run_body(body, tasks, values, steps.by_kernel)
    return tuple(executable.run([np.asarray(x, order="C") for x in values]))


# Not in the registry, as the other regions: what it computes is made of registered primitives.
VMAP = Primitive("vmap", _forms, _reference, _rule, no_sample, _kernel)
