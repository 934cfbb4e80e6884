#!/usr/bin/env bash
# numpy 2.4.6: x to the power 0.5 has another value at -inf, and another sign at -0, if the exponent is one number and not
# an array of them.
#
# Expected: power is elementwise, so np.power(x, 0.5) is np.power(x, np.full(x.shape, 0.5)). C99 (F.9.4.4) has inf for
# pow(-inf, 0.5) and 0 for pow(-0, 0.5), as Python's float has.
# Happens: a single exponent of 0.5 is computed by the square root, which is NaN at -inf and -0 at -0. So 1 / power is NaN
# where it is 0 by elements, and -inf where it is inf.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6

cat > power.py <<'PYTHON'
import numpy as np

np.seterr(all="ignore")
x = np.array([-np.inf, -0.0, 4.0])
for name, found in (
    ("array of exponents", np.power(x, np.full(3, 0.5))),
    ("one exponent", np.power(x, 0.5)),
    ("the operator", x**0.5),
    ("Python", [each**0.5 for each in x.tolist()]),
):
    print(f"{name:18}", *found)
PYTHON
environment/bin/python power.py | tee found

diff found - <<'EXPECTED'
array of exponents inf 0.0 2.0
one exponent       nan -0.0 2.0
the operator       nan -0.0 2.0
Python             inf 0.0 2.0
EXPECTED
