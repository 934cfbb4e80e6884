#!/usr/bin/env bash
# numpy 2.4.6, on a processor with AVX-512: arccosh, log10, cbrt and a dozen other functions of float32 give an element
# other last bits if the array is seen in reverse.
#
# Expected: an elementwise function computes each element from its value alone, so f(x[::-1]) is f(x)[::-1], as it is
# for f(x[::2]) and f(x)[::2].
# Happens: of 100,000 elements from 1 to 3, thousands differ in reverse, and none in steps of two. sin, cos, exp, log
# and tanh do not differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6

cat > seen.py <<'PYTHON'
import sys

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__

if not __cpu_features__["AVX512_SKX"]:
    sys.exit("this needs a processor with AVX-512")
x = np.random.default_rng(0).uniform(1, 3, 100_000).astype(np.float32)
for f in (np.arccosh, np.log10, np.cbrt, np.arctan, np.sinh, np.exp, np.sin):
    reverse = int((f(x[::-1]) != f(x)[::-1]).sum())
    steps = int((f(x[::2]) != f(x)[::2]).sum())
    print(f"{f.__name__:8} differ in reverse: {'many' if reverse > 1000 else reverse:5} in steps of two: {steps}")
PYTHON
environment/bin/python seen.py | tee found

diff found - <<'EXPECTED'
arccosh  differ in reverse: many  in steps of two: 0
log10    differ in reverse: many  in steps of two: 0
cbrt     differ in reverse: many  in steps of two: 0
arctan   differ in reverse: many  in steps of two: 0
sinh     differ in reverse: many  in steps of two: 0
exp      differ in reverse:     0 in steps of two: 0
sin      differ in reverse:     0 in steps of two: 0
EXPECTED
