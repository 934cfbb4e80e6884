#!/usr/bin/env bash
# numpy 2.4.6: where and select wrap a Python integer that does not fit, where every operator refuses it.
#
# Expected: a Python integer takes the dtype of the array that it is combined with, and one that does not fit
# raises OverflowError, as it does for +, maximum, clip, full_like, pad and piecewise.
# Happens: with an int8 array, where(mask, x, 300) and select([mask], [x], 300) return 44 in place of 300. With a
# uint8 array, where(mask, x, -1) returns 255. There is no error and no warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6

cat > seen.py <<'PYTHON'
import numpy as np

mask, x = np.array([True, False]), np.array([1, 2], np.int8)
trials = {
    "x + 300": lambda: x + 300,
    "maximum(x, 300)": lambda: np.maximum(x, 300),
    "full_like(x, 300)": lambda: np.full_like(x, 300),
    "where(mask, x, 300)": lambda: np.where(mask, x, 300),
    "select([mask], [x], 300)": lambda: np.select([mask], [x], 300),
    "where(mask, x.astype(uint8), -1)": lambda: np.where(mask, x.astype(np.uint8), -1),
}
for name, trial in trials.items():
    try:
        found = trial()
        print(f"{name}: {found.tolist()} {found.dtype}")
    except OverflowError as error:
        print(f"{name}: OverflowError, {error}")
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
x + 300: OverflowError, Python integer 300 out of bounds for int8
maximum(x, 300): OverflowError, Python integer 300 out of bounds for int8
full_like(x, 300): OverflowError, Python integer 300 out of bounds for int8
where(mask, x, 300): [1, 44] int8
select([mask], [x], 300): [1, 44] int8
where(mask, x.astype(uint8), -1): [1, 255] uint8
EXPECTED
