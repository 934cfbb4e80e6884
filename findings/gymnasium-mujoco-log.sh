#!/usr/bin/env bash
# gymnasium 1.4.0 with mujoco 4.0.0: to make HalfCheetah-v5 writes a log into the current folder.
#
# Expected: gymnasium.make("HalfCheetah-v5") writes no file and nothing to standard error; the environment's model
# comes with gymnasium, and a user cannot change it. What is deprecated is a Python warning, which can be filtered, as
# it is when MuJoCo's MjSpec compiles the same file.
# Happens: the model has the attribute settotalmass, which MuJoCo 4 deprecates. MjModel.from_xml_path, which gymnasium
# calls, appends a line to MUJOCO_LOG.TXT in the current folder and writes it to standard error, once for each
# environment. No Python warning is raised, so warnings as errors do not find it. Other models
# of gymnasium's do not have the attribute.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check 'gymnasium[mujoco]==1.4.0' mujoco==4.0.0 numpy==2.4.6

cat > seen.py <<'PYTHON'
import os
import warnings
from pathlib import Path

import gymnasium
import mujoco

warnings.simplefilter("error")
os.mkdir("empty")
os.chdir("empty")
log = Path("MUJOCO_LOG.TXT")
for name in ("Hopper-v5", "Ant-v5", "HalfCheetah-v5", "HalfCheetah-v5"):
    gymnasium.make(name).close()
    text = log.read_text() if log.exists() else ""
    print(f"{name}: {sorted(map(str, Path().iterdir()))}, lines that name settotalmass: {text.count('settotalmass')}")
model = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
try:
    mujoco.MjSpec.from_file(str(model)).compile()
except UserWarning as warning:
    print("MjSpec: UserWarning,", str(warning).partition(" and ")[0])
PYTHON
environment/bin/python seen.py 2> errors.txt | tee seen.txt || cat errors.txt
echo "lines on standard error: $(grep -c settotalmass errors.txt)" | tee -a seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
Hopper-v5: [], lines that name settotalmass: 0
Ant-v5: [], lines that name settotalmass: 0
HalfCheetah-v5: ['MUJOCO_LOG.TXT'], lines that name settotalmass: 1
HalfCheetah-v5: ['MUJOCO_LOG.TXT'], lines that name settotalmass: 2
MjSpec: UserWarning, compiler attribute 'settotalmass' is deprecated
lines on standard error: 2
EXPECTED
