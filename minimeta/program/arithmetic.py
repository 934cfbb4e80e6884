"""Arithmetic: how many floating-point operations one run of a program takes.

    product of m x k and k x n            2 m n k
    convolution, and its transposes       2 for each image, place, tap of the window, channel read and channel written
    elementwise function                  1 for each element of the result
    reduction, softmax, scattered sum     1 for each element that is read
    pooling                               1 for each cell of each window
    movement, conversion                  0

A fused multiply-add is two operations, and a function counts as one whatever it takes to compute:
the usual way to count, by which a time becomes a fraction of what the machine can do; a convolution
that a kernel computes in fewer multiplications than its definition has may be above the whole.
Windows count whole, where they reach beyond an image too. A region is what its body is; the body of
a vmap counts for every index, and so do sums over indices. Every other primitive says its own
number (``Primitive.flops``).
"""

from __future__ import annotations

from collections import Counter

from minimeta.autodiff.steps import Program


def operations(program: Program) -> Counter[str]:
    """Count the floating-point operations of one run of a program, by the name of the primitive."""
    forms = program.forms()
    found: Counter[str] = Counter()
    for step in program.steps:
        name = step.primitive.name
        if step.body is not None:
            count, summed = (step.tasks.count, step.tasks.summed) if step.tasks else (1, ())
            for inner, of_one in operations(step.body).items():
                found[inner] += count * of_one
            sums = [form for form, is_sum in zip(step.results, summed, strict=False) if is_sum]
            found[name] += max(count - 1, 0) * sum(form.size for form in sums)
        else:
            found[name] += step.primitive.flops(*step.results, *(forms[i] for i in step.operands), **step.params)
    return +found
