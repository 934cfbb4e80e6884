"""A program as Python: one line of numpy for each instruction, with nothing hidden.

An instruction is its primitive's reference, written out (:mod:`minimeta.program.definitions`): the
expression that it returns, or a call of it, with its definition above the program. The text needs
numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minimeta.autodiff.calls import CALL
from minimeta.autodiff.operations.queries import QUERY, Place
from minimeta.autodiff.steps import Program, group_bounds
from minimeta.errors import TracingError
from minimeta.program.definitions import Definitions


def source(program: Program) -> str:
    """Return the source of ``program(x0, x1, ...)``, which takes the operands and returns the list
    of outputs.

    Raises
    ------
    TracingError
        A primitive has no expression in numpy; the message names it.
    """
    definitions = Definitions()
    functions = list(_functions("program", program, definitions))
    modules = [f"import {own}{'' if own == alias else f' as {alias}'}" for alias, own in definitions.modules.items()]
    header = "\n".join(["import functools", *sorted(modules), "from numpy import inf, nan\n"])
    used = [_VMAP] if any("_vmap(" in function for function in functions) else []
    return "\n\n".join([header, *(f"{text}\n" for text in definitions.texts), *used, *functions])


def _functions(name: str, program: Program, definitions: Definitions) -> Iterator[str]:
    """Yield the definitions of a program's bodies, then its own."""
    names = [f"x{i}" for i in range(len(program.operands))]
    rows = ['@np.errstate(all="ignore")', f"def {name}({', '.join(names)}):"]
    for value in program.constants:
        names.append(f"c{len(names)}")
        rows.append(f"    {names[-1]} = {_literal(value)}")
    for step in program.steps:
        targets = [f"v{len(names) + i}" for i in range(len(step.results))]
        operands, primitive = [names[i] for i in step.operands], step.primitive
        if step.tasks and step.tasks.count == 0:  # A vmap of no tasks has nothing to stack.
            zeros = [f"np.zeros({form.shape}, {form.dtype.name!r})" for form in step.results]
            expression = f"[{', '.join(zeros)}]"
        elif step.body is not None:
            region = f"{name}_{primitive.name}_{len(names)}"
            yield from _functions(region, step.body, definitions)
            expression = f"{region}({', '.join(operands)})"
            if step.tasks:
                tasks = step.tasks
                ways = f"groups={group_bounds(tasks.count)}, mapped={tasks.mapped}, summed={tasks.summed}"
                expression = f"_vmap({region}, [{', '.join(operands)}], {ways})"
        elif primitive is CALL:
            expression = _call(step.params, operands)
        elif primitive is QUERY:
            expression = _query(step.params, operands, definitions)
        else:
            expression = definitions.call(primitive.name, primitive.reference, operands, step.params)
        is_row = step.body is not None or len(targets) > 1
        target = ", ".join(targets) + "," * (is_row and len(targets) == 1)
        line = step.origin.line if step.body is None or step.tasks else ""  # A region's steps have lines of their own.
        rows.append(f"    {target} = {expression}" + (f"  # {line}" if line else ""))
        names += targets
    rows.append(f"    return [{', '.join(names[i] for i in program.outputs)}]\n")
    yield "\n".join(rows)


def _literal(value: Any) -> str:
    """Write a constant such that it is read back to the bit."""
    if value.size and len(set(value.ravel().view(f"V{value.itemsize}").tolist())) == 1:
        return f"np.full({value.shape}, {value.flat[0].item()}, {value.dtype.name!r})"
    return f"np.array({value.ravel().tolist()}, {value.dtype.name!r}).reshape({value.shape})"


def _call(params: dict[str, Any], operands: list[str]) -> str:
    """Write the call of a function of numpy's, whose arguments and results are arrays."""
    function, arguments, output = params["function"], params["arguments"], params["output"]
    if any(child.children for child in (*arguments.children, *output.children)):
        raise TracingError(
            f"to_python: {function.__name__} is called on values, and takes or returns other than arrays"
        )
    return f"{_numpys(function)}({', '.join(operands)})"


def _query(params: dict[str, Any], operands: list[str], definitions: Definitions) -> str:
    """Write the call of a function of numpy's, with operands at their places among the arguments."""
    names = iter(operands)

    def written(x: Any) -> str:
        if type(x) is Place:
            return next(names) + ".item()" * x.weak
        if type(x) is tuple:
            return f"({''.join(f'{written(part)}, ' for part in x)})"
        return definitions.resolve("a query", x)

    arguments = [written(x) for x in params["arguments"]]
    arguments += [f"{key}={written(x)}" for key, x in params["keywords"]]
    call = f"{_numpys(params['function'])}({', '.join(arguments)})"
    return call if params["result"] is None else f"{call}[{params['result']}]"


def _numpys(function: Any) -> str:
    """Return the expression by which numpy has a function."""
    name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', '')}"
    found: Any = np
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    if found is not function:
        raise TracingError(f"to_python: {name} is called on values, and is not a function of numpy's and arrays alone")
    return f"np.{name.partition('.')[2]}"


_VMAP = """\
def _vmap(body, operands, groups, mapped, summed):
    tasks = [body(*(x[i] if each else x for x, each in zip(operands, mapped))) for i in range(groups[-1])]

    def total(values):
        return functools.reduce(np.add, values)

    def grouped(values):
        return [total(values[first:last]) for first, last in zip(groups, groups[1:])]

    return [total(grouped(values)) if add else np.stack(values) for values, add in zip(zip(*tasks), summed)]
"""
