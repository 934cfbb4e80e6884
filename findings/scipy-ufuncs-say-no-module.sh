#!/usr/bin/env bash
# scipy 1.17.1: the ufuncs of scipy.special have neither __module__ nor __qualname__, where numpy's have both.
#
# Expected: what numpy.exp.__module__ is for numpy ("numpy"), scipy.special.erf.__module__ is for scipy, so that a
# library that is handed a ufunc (NEP 13) can say whose it is, and inspect.getmodule finds the module.
# Happens: AttributeError, and inspect.getmodule returns None. pickle finds the ufunc, by another way, in a private
# module.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1

cat > seen.py <<'PYTHON'
import inspect
import pickle

import numpy as np
from scipy import special

ufuncs = {"numpy.exp": np.exp, "scipy.special.erf": special.erf, "scipy.special.xlogy": special.xlogy}
for name, ufunc in ufuncs.items():
    module, qualname = (getattr(ufunc, attribute, None) for attribute in ("__module__", "__qualname__"))
    found = getattr(inspect.getmodule(ufunc), "__name__", None)
    print(f"{name}: __module__ {module}, __qualname__ {qualname}, getmodule {found}")
print("pickle of scipy.special.erf names its module:", b"scipy.special._special_ufuncs" in pickle.dumps(special.erf))
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
numpy.exp: __module__ numpy, __qualname__ exp, getmodule numpy
scipy.special.erf: __module__ None, __qualname__ None, getmodule None
scipy.special.xlogy: __module__ None, __qualname__ None, getmodule None
pickle of scipy.special.erf names its module: True
EXPECTED
