#!/usr/bin/env bash
# The arm64 kernels, emulated: their tests, and the bits of 50 steps of each learner beside this machine's. Needs Debian,
# root, and `pip install -e .` here. Arguments are pytest's; by default the tests of the kernels.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD work=$PWD/build/arm64
python=${PYTHON:-.venv/bin/python}
mkdir -p "$work"/{debs,objects,tree}

# Debian's Python for arm64, unpacked and not installed, and a compiler for it.
dpkg --add-architecture arm64
apt-get update -qq
apt-get install -qq --yes qemu-user-static g++-aarch64-linux-gnu
version=$(python3 -c 'import re; print(re.search(r"VERSION_CODENAME=(\w+)", open("/etc/os-release").read())[1])')
[ "$version" = bookworm ] || { echo "the package names below are those of Debian 12" >&2; exit 1; }
(cd "$work/debs" && apt-get download -qq {python3.11,libpython3.11}-minimal:arm64 libpython3.11-{stdlib,dev}:arm64 \
  {libc6,libgcc-s1,libstdc++6,libgomp1,libexpat1,zlib1g,libssl3,libffi8,libbz2-1.0,liblzma5,libsqlite3-0,libuuid1}:arm64)
for each in "$work"/debs/*.deb; do dpkg -x "$each" "$work/root"; done
numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
python3 -m pip install --quiet --target "$work/site" --upgrade --python-version 3.11 --only-binary=:all: \
  --platform=manylinux_2_{28,27,17}_aarch64 --platform=any \
  "numpy==$numpy" pytest hypothesis mpmath threadpoolctl

# The extension, by the options of CMakeLists.txt.
python3 -m pip install --quiet --target "$work/pybind" --upgrade pybind11
compile() {
  aarch64-linux-gnu-g++ -c -std=c++17 -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp -fPIC \
    -fvisibility=hidden -Wall -Wextra -I "$work/pybind/pybind11/include" \
    -I "$work/root/usr/include/python3.11" -I "$work/root/usr/include" "$1" -o "$work/objects/$(basename "$1" .cpp).o"
}
export -f compile; export work
find csrc -name '*.cpp' ! -name portable.cpp -print0 | xargs -0 -P "$(nproc)" -I{} bash -c 'compile {}'
cp -r minimeta tests pyproject.toml "$work/tree"
rm -f "$work"/tree/minimeta/_native*.so
aarch64-linux-gnu-g++ -shared -fopenmp -o "$work/tree/minimeta/_native_arm64.cpython-311-aarch64-linux-gnu.so" "$work"/objects/*.o

emulated() {
  qemu-aarch64-static -L "$work/root" -E "PYTHONPATH=$work/tree:$work/site:$work/tree/tests" -E OMP_NUM_THREADS=2 \
    "$work/root/usr/bin/python3.11" "$@"
}
diff <("$python" csrc/fifty_steps.py) <(emulated "$here/csrc/fifty_steps.py") && echo "50 steps of each learner: the same bits"
cd "$work/tree"
# One test is left out: it compares with numpy's sums, whose order differs between processors.
[ $# -gt 0 ] || set -- --hypothesis-profile=few -k 'not at_most_numpys' tests/test_{products,winograd}.py tests/test_native_{products,elementwise,reductions,fourier}.py
emulated -m pytest -q -p no:cacheprovider -o addopts= "$@"
