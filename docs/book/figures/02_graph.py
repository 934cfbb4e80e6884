"""The graph of (x1 x2 + sin x1)**2 with its values and cotangents.

The engine that chapter 2 types in computes them. Blue numbers are values and come from the left.
Orange ones are cotangents and come from the right.
"""

import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from style import BLUE, GREY, ORANGE, new

CHAPTER = Path(__file__).parent.parent / "02-tape.md"
LABELS = "$x_1$", "$x_2$", "$x_1 x_2$", r"$\sin x_1$", "$+$", "$L$"
PLACES = (0, 1), (0, 0), (1, 0), (1, 1), (2, 0.5), (3, 0.5)


def engine() -> dict[str, Any]:
    """Run the chapter's blocks as far as they define the engine."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", CHAPTER.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(block, namespace)
        if "def grad" in block:
            break
    return namespace


def draw() -> Figure:
    """Draw the nodes from left to right, and an arrow for each use of a value."""
    names = engine()
    x1, x2 = names["Node"](1.0), names["Node"](2.0)
    product, sine = x1 * x2, names["sin"](x1)
    total = product + sine
    output = total * total
    cotangents = names["walk"](output)
    figure, (axes,) = new(width=4.8, height=2.6)
    nodes = x1, x2, product, sine, total, output
    place = dict(zip(nodes, PLACES, strict=True))
    for node, label, (x, y) in zip(nodes, LABELS, PLACES, strict=True):
        axes.text(x, y, label, ha="center", va="center", bbox={"boxstyle": "round", "fc": "none", "ec": GREY}, size=12)
        axes.text(x, y + 0.27, f"{node.value:.3f}", ha="center", va="center", color=BLUE)
        axes.text(x, y - 0.27, f"{cotangents[node]:.3f}", ha="center", va="center", color=ORANGE)
        for used in dict.fromkeys(node.inputs):
            start = place[used][0] + 0.27, place[used][1]
            axes.annotate("", (x - 0.27, y), start, arrowprops={"arrowstyle": "->", "color": GREY})
    axes.set(xlim=(-0.4, 3.4), ylim=(-0.5, 1.5))
    axes.set_axis_off()
    return figure
