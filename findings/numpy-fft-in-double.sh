#!/usr/bin/env bash
# numpy 2.4.6: np.fft transforms float32 in float64 where norm scales nothing, and in float32 where it scales.
#
# Expected: since numpy 2.0 a transform of float32 is computed in float32 (its release notes say so), whatever `norm`
# is; `norm` says by what the sums are multiplied, and nothing else.
# Happens: for norm=None and "backward" of fft and rfft, and for "forward" of ifft and irfft, the factor is Python's
# integer 1. No loop of the ufunc takes an integer, so numpy finds the first to which both operands can be cast, which
# is that of float64: the array is converted on the way in, and the result rounded on the way out. So the numbers are
# those of float64, rounded once, and a long transform takes two to four times as long as with norm="ortho", whose
# factor is a float32. The same ufunc called with a float32 factor of 1 gives the numbers of float32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6

cat > seen.py <<'PYTHON'
import numpy as np
from numpy.fft import _pocketfft_umath as ufuncs

n = 1000
x = np.random.default_rng(0).normal(size=n).astype(np.float32)
z = (x + 1j * x[::-1]).astype(np.complex64)
half = np.fft.rfft(x)
for name, argument, options in (("fft", z, {}), ("rfft", x, {}), ("ifft", z, {}), ("irfft", half, {"n": n})):
    transform, wide = getattr(np.fft, name), argument.astype(np.result_type(argument.dtype, np.float64))
    for norm in ("backward", "ortho", "forward"):
        found = transform(argument, norm=norm, **options)
        expected = transform(wide, norm=norm, **options).astype(found.dtype)
        print(f"{name:5} {norm:8} {found.dtype}: float64's, rounded: {np.array_equal(found, expected)}")
out = np.empty(n // 2 + 1, np.complex64)
axes = [(-1,), (), (-1,)]
for factor in (1, np.float32(1)):
    found = ufuncs.rfft_n_even(x, factor, axes=axes, out=out).copy()
    print(f"factor {type(factor).__name__}: rfft's numbers: {np.array_equal(found, np.fft.rfft(x))}")
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
fft   backward complex64: float64's, rounded: True
fft   ortho    complex64: float64's, rounded: False
fft   forward  complex64: float64's, rounded: False
rfft  backward complex64: float64's, rounded: True
rfft  ortho    complex64: float64's, rounded: False
rfft  forward  complex64: float64's, rounded: False
ifft  backward complex64: float64's, rounded: False
ifft  ortho    complex64: float64's, rounded: False
ifft  forward  complex64: float64's, rounded: True
irfft backward float32: float64's, rounded: False
irfft ortho    float32: float64's, rounded: False
irfft forward  float32: float64's, rounded: True
factor int: rfft's numbers: True
factor float32: rfft's numbers: False
EXPECTED
