#!/usr/bin/env bash
# The whole test-suite with kernels that stop at the first access out of bounds and the first undefined operation
# (AddressSanitizer, UndefinedBehaviorSanitizer), in an environment of its own. Arguments are pytest's: -n auto, ...
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv-sanitize/bin/python
[ -e "$python" ] || python3 -m venv --without-pip .venv-sanitize
python3 -m pip --python "$python" install --quiet -e '.[all]' -C cmake.define.MINIMETA_SANITIZE=ON -C build-dir=build/sanitize

# Python is not built with them, so their runtime comes before everything else; and what it never frees is no leak of ours.
LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so):$(${CXX:-g++} -print-file-name=libstdc++.so)"
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
exec "$python" -m pytest "$@"
