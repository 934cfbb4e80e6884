"""unite: one ``vmap`` of two, where the second goes on with what the first read or made.

    y_i = f(x_i);  then  z_i = g(x_i, y_i)            y_i, z_i = f(x_i), g(x_i, f(x_i))

One after another, the first runs for all tasks before the second begins. What both read, such as the
layers that a derivative finds kept, comes from memory twice, because the other tasks have pushed it
out of the caches, and ``y`` is stacked for all tasks. In one body a task goes on while its values
are near, and what nothing else reads is not stacked. A product with the Hessian of a meta-loss is
three such steps: a derivative along a direction, a small product, and a derivative backwards.

A derivative also computes again what its function has computed, f(x_i). Where the value is wanted
with the gradient, f is in both, and in one body it is computed once (``deduplicate``).

It is possible if the second reads tasks that the first reads, or its results task by task, and
nothing that follows from them in another way, as a sum over tasks does. The same kernels compute
the same values, so no bit changes.
"""

from __future__ import annotations

import itertools
from typing import Any

from minimeta.autodiff.steps import Program, Step, Tasks
from minimeta.program.names import fresh_names, named, numbered, program_of, renamed, results_of, step_key


def unite(program: Program) -> Program:
    """Make one ``vmap`` of two, where one reads the other's tasks, or its results task by task."""
    if sum(step.tasks is not None for step in program.steps) < 2:
        return program
    constants, steps = named(program)
    walk = _Walk(program)
    for name, step in steps.items():
        walk.add(name, renamed(step, walk.same))
    return numbered(program, constants, walk.steps, walk.same)


class _Walk:
    """One way through a program, forwards.

    Attributes
    ----------
    steps
        What is kept, by name.
    same
        Names of values that are others.
    """

    def __init__(self, program: Program) -> None:
        self.steps: dict[int, Step] = {}
        self.same: dict[int, int] = {}
        self._makers: dict[int, int] = {}  # the name of a vmap, by each of its results
        self._fresh = fresh_names(program)

    def add(self, name: int, step: Step) -> None:
        """Keep a step, or let an earlier ``vmap`` go on with it."""
        first = self._last_near(step)
        if first is None:
            self._keep(name, step)
            return
        needed = self._needed(step, first)
        if needed is None:
            self._keep(name, step)
            return
        after = dict(reversed([self.steps.popitem() for _ in self._after(first)]))
        former = self.steps.pop(first)
        results = (*results_of(first, former), *results_of(name, step))
        moved = dict(zip(results, self._fresh, strict=False))
        self.same = {i: moved.get(other, other) for i, other in self.same.items()} | moved
        self.steps |= {i: after[i] for i in after if i in needed}
        self._keep(moved[first], _united(first, former, step))
        self.steps |= {i: renamed(other, moved) for i, other in after.items() if i not in needed}

    def _keep(self, name: int, step: Step) -> None:
        self.steps[name] = step
        if step.tasks is not None:
            self._makers.update(dict.fromkeys(results_of(name, step), name))

    def _last_near(self, step: Step) -> int | None:
        """Return the last ``vmap`` whose results a ``vmap`` reads, if it reads them task by task; if
        it reads none, the last that reads some of its tasks, if both compute the same of them.
        """
        if step.tasks is None:
            return None
        read = {self._makers[i] for i in step.operands if i in self._makers}
        name = next((i for i, other in reversed(self.steps.items()) if other.tasks and (not read or i in read)), None)
        if name is None or (tasks := self.steps[name].tasks) is None or tasks.count != step.tasks.count:
            return None
        uses = [*zip(step.operands, step.tasks.mapped, strict=True)]
        if not read:
            tasks_of_first = {
                i for i, is_mapped in zip(self.steps[name].operands, tasks.mapped, strict=True) if is_mapped
            }
            is_near = any(is_mapped and i in tasks_of_first for i, is_mapped in uses)
            return name if is_near and _repeats(_united(name, self.steps[name], step)) else None
        stacked = {name + place for place, is_sum in enumerate(tasks.summed) if not is_sum}
        is_by_task = all(is_mapped and i in stacked for i, is_mapped in uses if self._makers.get(i) == name)
        return name if is_by_task else None

    def _after(self, name: int) -> list[int]:
        """Return the names of the steps after this one, the last first."""
        return list(itertools.takewhile(lambda i: i != name, reversed(self.steps)))

    def _needed(self, step: Step, first: int) -> set[int] | None:
        """Return the steps after a ``vmap`` that this one needs; None if one of them reads it."""
        values, needed = set(step.operands), set[int]()
        for i in self._after(first):
            other = self.steps[i]
            if not values.isdisjoint(results_of(i, other)):
                needed.add(i)
                values.update(other.operands)
                if any(self._makers.get(j) == first for j in other.operands):
                    return None
        return needed


def _united(name: int, first: Step, second: Step) -> Step:
    """Return the ``vmap`` of two; the first one's results have this name and those that follow."""
    body, after = first.body, second.body
    assert body and after and first.tasks and second.tasks
    uses = [*zip(first.operands, first.tasks.mapped, strict=True)]
    forms = dict(enumerate(body.operands))
    known = {use: place for place, use in enumerate(uses)}
    end = len(body.forms())
    inside = {i: i + end for i in range(len(after.forms()))}  # the second body's names
    for place, use in enumerate(zip(second.operands, second.tasks.mapped, strict=True)):
        if use[0] in results_of(name, first):
            inside[place] = body.outputs[use[0] - name]
        elif use in known:
            inside[place] = known[use]
        else:
            known[use] = inside[place]
            forms[inside[place]] = after.operands[place]
            uses.append(use)
    constants, steps = named(body)
    more_constants, more_steps = named(after)
    constants |= {inside[i]: value for i, value in more_constants.items()}
    steps |= {inside[i]: renamed(step, inside) for i, step in more_steps.items()}
    outputs = (*body.outputs, *(inside[i] for i in after.outputs))
    tasks = Tasks(
        first.tasks.count,
        tuple(is_mapped for _, is_mapped in uses),
        first.tasks.summed + second.tasks.summed,
        first.tasks.keep and second.tasks.keep,
    )
    return first._replace(
        operands=tuple(i for i, _ in uses),
        results=first.results + second.results,
        body=program_of(forms, constants, steps, outputs),
        tasks=tasks,
    )


def _repeats(step: Step) -> bool:
    """Return whether the body of a ``vmap`` computes anything twice."""
    assert step.body
    first: dict[Any, int] = {}
    same: dict[int, int] = {}
    for name, inner in step.body.numbered_steps():
        if inner.body is None:
            earlier = first.setdefault(step_key(renamed(inner, same)), name)
            if earlier != name:
                if not inner.primitive.view:
                    return True
                same[name] = earlier
    return False
