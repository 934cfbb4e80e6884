"""The drawing of a program: every value is a node once, every use an arrow."""

import re

import numpy as np
from traced_functions import sinusoid

import minimeta as mm
from minimeta.program import trace


def test_every_value_is_a_node_and_every_use_an_arrow() -> None:
    traced = sinusoid(2)
    for program in (trace(traced.function, *traced.arguments), trace(lambda x: [x, x], 1.0)):
        line = program.line
        head, *rows, foot, end = program.to_dot().split("\n")
        assert (head, foot, end) == ("digraph program {", "}", "")
        text = "\n".join(rows)
        nodes = [int(i) for i in re.findall(r'^  v(\d+) \[label="%?\w+\\n[\w \[\],()]+", shape=\w+\];$', text, re.M)]
        assert nodes == list(range(len(line.operands) + len(line.constants) + len(line.steps)))
        arrows = re.findall(r"^  v(\d+) -> v(\d+);$", text, re.M)
        first = len(line.operands) + len(line.constants)
        uses = [(str(i), str(n)) for n, step in enumerate(line.steps, first) for i in step.operands]
        assert arrows == uses
        outputs = re.findall(r"^  v(\d+) \[peripheries=2\];$", text, re.M)
        assert outputs == [str(i) for i in dict.fromkeys(line.outputs)]
        assert len(rows) == len(nodes) + len(arrows) + len(outputs)


def test_labels_name_the_primitive_and_the_form() -> None:
    text = trace(lambda x: mm.sin(x) * np.arange(3.0), np.zeros(3)).to_dot()
    assert r'v2 [label="sin\nfloat64[3]", shape=ellipse];' in text
