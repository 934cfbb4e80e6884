#!/usr/bin/env bash
# numpy 2.4.6: add.at puts floats into an array of integers, and drops the fraction of every single addition.
#
# Expected: np.add.at(x, i, v) is x[i] += v with repeated positions added up, so where x has integers and v has
# floats it raises UFuncTypeError, as x[i] += v, x += v and np.add(x, v, out=x) do.
# Happens: there is no error and no warning. Each sum is made in floats and cut to an integer before the next: ten
# times 0.5, added at one position, are 0, and ten factors of 1.5 are 1 in place of 57.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6

cat > seen.py <<'PYTHON'
import warnings

import numpy as np


def subscript(x, i, v):
    x[i] += v


def out(x, i, v):
    np.add(x, v[0], out=x)


trials = {
    "x[i] += v": (subscript, 0, 0.5),
    "add(x, v, out=x)": (out, 0, 0.5),
    "add.at(x, i, v)": (np.add.at, 0, 0.5),
    "multiply.at(x, i, v)": (np.multiply.at, 1, 1.5),
    "subtract.at(x, i, v)": (np.subtract.at, 0, 0.5),
}
for name, (trial, begin, value) in trials.items():
    x = np.array([begin, begin])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            trial(x, np.zeros(10, int), np.full(10, value))
        print(f"{name}: {x.tolist()}")
    except TypeError as error:
        print(f"{name}: {type(error).__name__}, {error}")
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
x[i] += v: UFuncTypeError, Cannot cast ufunc 'add' output from dtype('float64') to dtype('int64') with casting rule 'same_kind'
add(x, v, out=x): UFuncTypeError, Cannot cast ufunc 'add' output from dtype('float64') to dtype('int64') with casting rule 'same_kind'
add.at(x, i, v): [0, 0]
multiply.at(x, i, v): [1, 1]
subtract.at(x, i, v): [0, 0]
EXPECTED
