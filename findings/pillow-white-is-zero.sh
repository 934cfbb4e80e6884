#!/usr/bin/env bash
# pillow 13.0.0: reading inverts a grey TIFF in which 0 means white if it has 8 bits, but not if it has 16.
#
# Expected: the tag "white is zero" means the same for every number of bits. Either 0 is read as the largest value,
# white, in both cases, or the caller must invert in both.
# Happens: with 8 bits the stored 0, 10, 200 are read as 255, 245, 55. With 16 bits they are read as 0, 10, 200
# although the tag is there, so the drawing is a negative.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3

cat > seen.py <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

for dtype in (np.uint8, np.uint16):
    tifffile.imwrite("white-is-zero.tiff", np.array([[0, 10, 200]], dtype), photometric="miniswhite")
    image = Image.open("white-is-zero.tiff")
    print(image.mode, "photometric", image.tag_v2[262], "pixels", np.asarray(image).tolist())
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
L photometric 0 pixels [[255, 245, 55]]
I;16 photometric 0 pixels [[0, 10, 200]]
EXPECTED
