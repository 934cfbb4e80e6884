"""The arena of the meta-gradient of chapter 11: a rectangle for each value, from first to last use.

The blocks of the chapter plan it, so the figure runs them. One sees that two layers of the support
set and a cotangent (the long bars around 50 to 60 KiB) live until the Hessian-vector product has
read them, and that the largest value, the gradient v of the middle weights, lives to the end.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import style
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minimeta.program.explanation import COLOURS, explained

CHAPTER = Path(__file__).parent.parent / "11-programs.md"


def draw() -> Figure:
    """Draw the plan: kernels to the right, places upwards."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"^```python\n(.*?)^```$", CHAPTER.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(block, CHAPTER.name, "exec"), names)
    phases = {row.name: row.phase for row in explained(names["meta_program"])}
    figure, (axes,) = style.new(width=7.2, height=3.8)
    for phase, colour in COLOURS.items():
        axes.add_patch(Rectangle((0, 0), 0, 0, color=colour, label=phase))
    for number, offset in names["offsets"].items():
        size, first, last = names["values"][number]
        place = (first, offset / 1024), last - first + 1, size / 1024
        colour = COLOURS[phases[f"%{number}"]] if number >= 0 else "white"  # a copy that is turned, in no phase
        axes.add_patch(Rectangle(*place, facecolor=colour, edgecolor=style.GREY, linewidth=0.5))
    end = max(last for _, _, last in names["values"].values()) + 1
    axes.set(xlim=(0, end), ylim=(0, names["arena"] / 1024), xlabel="kernel", ylabel="place in the arena, KiB")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3)
    return figure
