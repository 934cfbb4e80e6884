#!/usr/bin/env bash
# pillow 13.0.0: opening an uncompressed TIFF by path scrambles its pixels if it must be turned by 90 degrees.
#
# Expected: an image is the same whether Image.open is given the file's path or its bytes. Orientation 6 says that the
# stored rows are the columns of the image from right to left, so [[0, 1, 2], [3, 4, 5]] is [[3, 0], [4, 1], [5, 2]].
# Happens: from the bytes it is. By path it is [[4, 2, 0], [5, 3, 1]], with another shape and the pixels in another
# order, without an error or a warning. Orientations 5 to 8 are affected, 1 to 4 are not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

cat > seen.py <<'PYTHON'
import io

import numpy as np
from PIL import Image

stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
for orientation in (3, 6):
    Image.fromarray(stored).save("turned.tiff", tiffinfo={274: orientation})
    with open("turned.tiff", "rb") as file:
        from_bytes = np.asarray(Image.open(io.BytesIO(file.read()))).tolist()
    by_path = np.asarray(Image.open("turned.tiff")).tolist()
    print("orientation", orientation)
    print("  from bytes", from_bytes)
    print("  by path   ", by_path)
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
orientation 3
  from bytes [[5, 4, 3], [2, 1, 0]]
  by path    [[5, 4, 3], [2, 1, 0]]
orientation 6
  from bytes [[3, 0], [4, 1], [5, 2]]
  by path    [[4, 2, 0], [5, 3, 1]]
EXPECTED
