"""A program as Python: one line of numpy for each instruction, with nothing hidden.

An instruction is its primitive's reference, written out (:mod:`minimeta.program.definitions`): the expression that it
returns, or a call of it, with its definition above the program. The text needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minimeta.autodiff.calls import CALL
from minimeta.autodiff.graph import StraightLine
from minimeta.autodiff.regions import PROJECT
from minimeta.errors import TracingError
from minimeta.program.definitions import Definitions
from minimeta.program.executor import group_bounds


def source(line: StraightLine) -> str:
    """The source of ``program(x0, x1, ...)``, a function of the operands that returns the list of outputs.

    Raises
    ------
    TracingError
        A primitive has no expression in numpy; the message names it.
    """
    definitions = Definitions()
    functions = list(_functions("program", line, definitions))
    modules = [f"import {own}{'' if own == alias else f' as {alias}'}" for alias, own in definitions.modules.items()]
    header = "\n".join(["import functools", *sorted(modules), "from numpy import inf, nan\n"])
    used = [_VMAP] if any("_vmap(" in function for function in functions) else []
    return "\n\n".join([header, *(f"{text}\n" for text in definitions.texts), *used, *functions])


def _functions(name: str, line: StraightLine, definitions: Definitions) -> Iterator[str]:
    """The definitions of a line's regions, then its own."""
    names = [f"x{i}" for i in range(len(line.operands))]
    rows = ['@np.errstate(all="ignore")', f"def {name}({', '.join(names)}):"]
    for value in line.constants:
        names.append(f"c{len(names)}")
        rows.append(f"    {names[-1]} = {_literal(value)}")
    for step in line.steps:
        target = f"v{len(names)}"
        if step.params.get("count") == 0:  # A vmap of no tasks has nothing to stack.
            zeros = [f"np.zeros({form.shape}, {form.dtype.name!r})" for form in step.shape]
            expression = f"[{', '.join(zeros)}]"
        elif "line" in step.params:
            region = f"{name}_{step.primitive.name}_{len(names)}"
            yield from _functions(region, step.params["line"], definitions)
            listed = ", ".join(names[i] for i in step.operands)
            expression = f"{region}({listed})"
            if "mapped" in step.params:
                ways = ", ".join(f"{key}={step.params[key]}" for key in ("mapped", "summed"))
                expression = f"_vmap({region}, [{listed}], groups={group_bounds(step.params['count'])}, {ways})"
        elif step.primitive is CALL:
            expression = _call(step.params, [names[i] for i in step.operands])
        elif step.primitive is PROJECT:
            expression = f"{names[step.operands[0]]}[{step.params['place']}]"
        else:
            operands, primitive = [names[i] for i in step.operands], step.primitive
            expression = definitions.call(primitive.name, primitive.reference, operands, step.params)
        rows.append(f"    {target} = {expression}" + (f"  # {step.line}" if step.line else ""))
        names.append(target)
    rows.append(f"    return [{', '.join(names[i] for i in line.outputs)}]\n")
    yield "\n".join(rows)


def _literal(value: Any) -> str:
    """A constant, written so that it is read back to the bit."""
    if value.size and len(set(value.ravel().view(f"V{value.itemsize}").tolist())) == 1:
        return f"np.full({value.shape}, {value.flat[0].item()}, {value.dtype.name!r})"
    return f"np.array({value.ravel().tolist()}, {value.dtype.name!r}).reshape({value.shape})"


def _call(params: dict[str, Any], operands: list[str]) -> str:
    """A call of a function of numpy's, whose arguments and results are arrays."""
    function, arguments, output = params["function"], params["arguments"], params["output"]
    name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', '')}"
    found: Any = np
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    if found is not function or any(child.children for child in (*arguments.children, *output.children)):
        raise TracingError(f"to_python: {name} is called on values, and is not a function of numpy's and arrays alone")
    expression = f"np.{name.partition('.')[2]}({', '.join(operands)})"
    return f"[{expression}]" if output.kind == "leaf" else expression


_VMAP = """\
def _vmap(body, operands, groups, mapped, summed):
    tasks = [body(*(x[i] if each else x for x, each in zip(operands, mapped))) for i in range(groups[-1])]

    def total(values):
        return functools.reduce(np.add, values)

    def grouped(values):
        return [total(values[first:last]) for first, last in zip(groups, groups[1:])]

    return [total(grouped(values)) if add else np.stack(values) for values, add in zip(zip(*tasks), summed)]
"""
