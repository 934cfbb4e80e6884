"""The figure of docs/gradient-checking.md: relative error against step size, drawn from the page's own code.

    python benchmarks/step_sizes.py

It needs the extra ``plot``, and writes docs/step-sizes.svg.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # what draws is chosen first

PAGE = Path(__file__).parent.parent / "docs" / "gradient-checking.md"
SMALLEST = 3e-17
"""What no error at all is drawn as."""


def curves() -> tuple[Any, dict[str, list[float]]]:
    """The steps, and the errors by method, that the page computes."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(block, namespace)
        if "curves" in namespace:
            break
    return namespace["steps"], namespace["curves"]


def main() -> None:
    mpl.rcParams.update({"svg.hashsalt": "step-sizes", "svg.fonttype": "none", "font.size": 9})
    steps, errors = curves()
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for order, panel in enumerate(panels, 1):
        for name, row in errors.items():
            label, _, of = name.rpartition(", ")
            if of == f"order {order}":
                panel.loglog(steps, [max(error, SMALLEST) for error in row], marker=".", label=label)
        panel.set(title=f"order {order}", xlabel="step", ylim=(1e-17, 1e3))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0].set_ylabel("relative error")
    figure.savefig(PAGE.with_name("step-sizes.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
