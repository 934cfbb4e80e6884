#!/usr/bin/env bash
# pillow 13.0.0: convert("L") of a grey image with 16 bits or of floats clips and does not scale.
#
# Expected: a conversion between grey modes keeps white white and grey grey. Of 16 bits, 65535 becomes 255, 32768
# becomes 128 and 1000 becomes 4; a float image of [0, 1] becomes [0, 255].
# Happens: with 16 bits every value from 255 on becomes white, so an ordinary image becomes a white page. Of floats,
# 0.25 and 0.5 become 0 and 1.0 becomes 1, so an image of [0, 1] becomes a black page. There is no error and no
# warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

cat > seen.py <<'PYTHON'
import numpy as np
from PIL import Image

for pixels in (np.array([[0, 128, 1000, 32768, 65535]], np.uint16), np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)):
    image = Image.fromarray(pixels)
    print(image.mode, pixels.tolist(), "as L", np.asarray(image.convert("L")).tolist())
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
I;16 [[0, 128, 1000, 32768, 65535]] as L [[0, 128, 255, 255, 255]]
F [[0.0, 0.25, 0.5, 1.0]] as L [[0, 0, 0, 1]]
EXPECTED
