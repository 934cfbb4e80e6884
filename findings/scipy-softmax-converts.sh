#!/usr/bin/env bash
# scipy 1.17.1: softmax, log_softmax, logsumexp, comb and polygamma of scipy.special convert what they get before they
# ask it, where the ufuncs next to them ask it first.
#
# Expected: an object that implements numpy's protocols (NEP 13, NEP 18) is asked to compute, as scipy.special.erf and
# xlogy ask it. So it can stay what it is: a number with a unit, or one that remembers how it was computed.
# Happens: the five functions in Python make a numpy array of it, of its values or of dtype object, and compute with
# that. So its type is lost without an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1

cat > seen.py <<'PYTHON'
import numpy as np
from scipy import special


class Quantity:
    """Three numbers, which say what they are asked to compute."""

    ndim, shape, dtype = 1, (3,), np.dtype(float)

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0, 3.0])

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return f"asked for {ufunc.__name__}"

    def __array_function__(self, function, types, arguments, keywords):
        return np.dtype(float) if function is np.result_type else f"asked for {function.__name__}"


x = Quantity()
trials = {
    "erf(x)": lambda: special.erf(x),
    "xlogy(x, x)": lambda: special.xlogy(x, x),
    "polygamma(1, x)": lambda: special.polygamma(1, x),
    "softmax(x)": lambda: special.softmax(x),
    "log_softmax(x)": lambda: special.log_softmax(x),
    "logsumexp(x)": lambda: special.logsumexp(x),
    "comb(5, x)": lambda: special.comb(5, x),
}
for name, trial in trials.items():
    found = trial()
    print(f"{name}: {found if isinstance(found, str) else f'{type(found).__name__}, x was not asked'}")
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
erf(x): asked for erf
xlogy(x, x): asked for xlogy
polygamma(1, x): ndarray, x was not asked
softmax(x): ndarray, x was not asked
log_softmax(x): ndarray, x was not asked
logsumexp(x): float64, x was not asked
comb(5, x): ndarray, x was not asked
EXPECTED
