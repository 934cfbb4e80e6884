"""Which checkers catch wrong gradients, and which reject correct ones: minimeta's and those of other libraries.

    python benchmarks/gradcheck.py [--peers PYTHON] [--all] [--json FILE]

The same cases (:mod:`gradient_cases`) go through ``minimeta.testing``, ``torch.autograd.gradcheck`` and
``gradgradcheck``, ``jax.test_util.check_grads`` and ``autograd.test_util.check_grads``, each with the defaults of its
library (:mod:`checkers`). minimeta runs in this interpreter; PYTHON is that of an environment with the
other libraries. A missing library is skipped with a message. A line above the table says how long minimeta takes to
check the loss of a small network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
from checkers import LIBRARIES, minimeta, verdicts
from gradient_cases import FAULTS, SOUND, Case

from minimeta import nn
from minimeta.testing import check_gradients

SIGNS = {"accuses": "wrong", "passes": "right", "kink": "kink", "constant": "constant", "inconclusive": "unclear"}


def of_peer(python: str, library: str) -> dict[str, str] | None:
    """The verdicts of a library in an environment of its own; None where it is missing."""
    worker = Path(__file__).with_name("checkers.py")
    done = subprocess.run([python, str(worker), library], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"{library} is skipped: {lines[-1] if lines else done.returncode}")
        return None
    found: dict[str, str] = json.loads(done.stdout)
    return found


def is_right(case: Case, verdict: str) -> bool:
    """Whether a checker did right by a case: a fault does not pass, in whatever way; what is sound is not accused."""
    return verdict != "passes" if case in FAULTS else verdict in SIGNS and verdict != "accuses"


def table(found: dict[str, dict[str, str]], everything: bool) -> str:
    """The counts, and the cases that some checker gets wrong (in italics), or all of them, in Markdown."""
    rows = [["", *found], ["---"] * (len(found) + 1)]
    for title, cases in (("faults caught", FAULTS), ("right gradients accepted", SOUND)):
        counts = [sum(is_right(case, said[case.name]) for case in cases) for said in found.values()]
        rows.append([f"**{title}**", *(f"**{count} of {len(cases)}**" for count in counts)])
    for case in (*FAULTS, *SOUND):
        said = [each[case.name] for each in found.values()]
        if everything or not all(is_right(case, verdict) for verdict in said):
            cells = [
                SIGNS.get(verdict, "error") if is_right(case, verdict) else f"*{SIGNS.get(verdict, 'error')}*"
                for verdict in said
            ]
            rows.append([case.name.replace("|", r"\|"), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def network_seconds() -> float:
    """How long the mean squared error of a 1-40-40-1 network takes to check at a point, at orders 1 and 2."""
    model = nn.mlp((1, 40, 40, 1))
    parameters = model.init(np.random.default_rng(0))
    x = np.linspace(-5, 5, 10, dtype=np.float32)[:, None]
    begin = time.perf_counter()
    check_gradients(lambda parameters: nn.mean_squared_error(model.apply(parameters, x), np.sin(x)), parameters)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--all", action="store_true", help="all cases, also those that every checker gets right")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every verdict")
    options = parser.parse_args()
    print(f"a 1-40-40-1 network's loss at order 2: {network_seconds():.2f} s")
    found = {"minimeta": verdicts(minimeta())}
    for library in LIBRARIES:
        if library == "minimeta":
            continue
        if options.peers is None:
            print(f"{library} is skipped: --peers names the interpreter that has it")
        elif answers := of_peer(options.peers, library):
            found[library] = answers
    print(table(found, options.all))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
