"""The figure of docs/estimators.md: errors of three estimators, drawn from the page's own code.

    python benchmarks/estimators.py

It needs the extra ``plot``, and writes docs/estimators.svg.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # what draws is chosen first

PAGE = Path(__file__).parent.parent / "docs" / "estimators.md"


def main() -> None:
    mpl.rcParams.update({"svg.hashsalt": "estimators", "svg.fonttype": "none", "font.size": 9})
    page: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(block, page)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name in ("surrogate", "lvc", "dice"):
        left.plot(page["horizons"], page["of_horizon"][name], marker=".", label=name)
        right.loglog(page["numbers"], page["of_number"][name], marker=".", label=name)
        right.axhline(page["of_horizon"][name][3], color="grey", linewidth=0.5, linestyle="dashed")
    left.set(xlabel="steps of an episode", ylabel="relative error of the meta-gradient", title="mean over all episodes")
    left.set_xticks(page["horizons"])
    right.set(xlabel="number of episodes", title="a finite number, 4 steps (dashed: infinitely many)", ylim=(3e-3, 2))
    for panel in (left, right):
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(PAGE.with_name("estimators.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
