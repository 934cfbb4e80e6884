#!/usr/bin/env python3
# /// script
# dependencies = ["nox>=2025.5.1"]
# ///
"""What must hold, a session each: ``nox`` runs the default ones, ``nox --list`` names them all.

``.ci/run`` runs the README's test command in place of the session ``tests``, and the other sessions from here.
"""

import platform
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
MANYLINUX = "manylinux_2_28_x86_64"
ONE_LEVEL = ["-Ccmake.define.MINIMETA_LEVELS=v3"] if platform.machine() == "x86_64" else []
# Where few numbers are computed in Python, numpy is fast enough for them, and nothing is compiled.
PURE = ["-Cwheel.cmake=false", "-Cwheel.py-api=py3"]
BY_NUMPY = {"MINIMETA_ISA": "reference"}
SMOKE = ["tests/test_import.py", "tests/test_repository.py", "tests/autodiff/test_primitives.py"]


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def dependencies() -> list[str]:
    """Return the requirements of minimeta and of its extras but two, without minimeta itself."""
    project = PROJECT["project"]
    extras = [extra for name, extra in project["optional-dependencies"].items() if name not in ("docs", "rl")]
    found = [*project["dependencies"], *(each for extra in extras for each in extra)]
    return [each for each in found if not each.startswith("minimeta")]


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, format and spelling of Python, C++ and prose."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "--Werror", *map(str, sorted(Path("csrc").glob("*.[ch]pp"))))
    session.run("typos")


@nox.session
def levels(session: nox.Session) -> None:
    """Read the kernels as a compiler for AVX-512 does: where the processor lacks it, nothing else compiles them so."""
    bindings = {"builder", "module", "operations", "portable", "replay", "tree"}
    kernels = sorted(str(path) for path in Path("csrc").glob("*.cpp") if path.stem not in bindings)
    level = ["-std=c++17", "-march=x86-64-v4", "-mprefer-vector-width=512", "-ffp-contract=off", "-Wall", "-Wextra"]
    if platform.machine() == "x86_64":
        session.run("g++", "-fsyntax-only", "-Werror", *level, *kernels, external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types. Nothing is built: mypy reads the extension's stub."""
    session.install(*dependencies(), *group("types"))
    session.run("mypy")


@nox.session
def review(session: nox.Session) -> None:
    """Compare the repository with Scientific Python's guide."""
    session.install(*group("review"))
    session.run("repo-review", ".")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, or those given: ``nox -s tests-3.13 -- tests/nn``."""
    session.install("-e", ".[all]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(python=PYTHONS, default=False)
def smoke(session: nox.Session) -> None:
    """Install minimeta with one level of kernels and no extras, and test import and every operation."""
    session.install(".", "pytest", "pytest-xdist", "hypothesis", "mpmath", *ONE_LEVEL)
    session.run("pytest", "-q", "-n", "auto", "--hypothesis-profile=few", *(session.posargs or SMOKE))


def built(session: nox.Session, kind: str, *options: str) -> Path:
    """Build an sdist or a wheel into dist/, and return it."""
    session.install(*group("package"))
    new = Path(session.create_tmp()).resolve() / "new"
    shutil.rmtree(new, ignore_errors=True)
    # The temporary folder is inside of the repository, where a compiler cache finds the kernels again.
    temporary = {"TMPDIR": str(new.parent)}
    session.run("python", "-m", "build", f"--{kind}", "--outdir", str(new), *options, env=temporary)
    (archive,) = new.iterdir()
    if platform.machine() == "x86_64" and archive.name.endswith("_x86_64.whl"):
        session.run("auditwheel", "repair", "--plat", MANYLINUX, "--wheel-dir", str(new), str(archive))
        archive.unlink()
        (archive,) = new.iterdir()
    dist = Path("dist").resolve()
    dist.mkdir(exist_ok=True)
    return archive.replace(dist / archive.name)


def try_out(session: nox.Session, archive: Path, **environment: str) -> Path:
    """Install an archive and numpy alone in an empty environment, run the README's example, return its Python."""
    empty = Path(session.create_tmp()).resolve()
    shutil.rmtree(empty / "venv", ignore_errors=True)
    session.run("python", "-m", "venv", str(empty / "venv"), silent=True)
    python = empty / "venv" / "bin" / "python"
    temporary = {"TMPDIR": str(empty)}
    session.run(str(python), "-m", "pip", "-q", "install", str(archive), env=temporary, external=True)
    blocks = re.findall(r"^```python\n(.*?)^```$", Path("README.md").read_text(), re.MULTILINE | re.DOTALL)
    example = empty / "example.py"
    example.write_text("\n".join([*blocks, "assert mm.grad(mm.square)(3.0) == 6.0 and value.shape == ()\n"]))
    with session.chdir(empty):
        session.run(str(python), "-W", "error", str(example), env=environment, external=True)
    return python


@nox.session
def package(session: nox.Session) -> None:
    """Build an sdist and a wheel; try out each, the wheel without OpenMP's library too."""
    try_out(session, built(session, "sdist"))
    python = try_out(session, built(session, "wheel", "-Ccmake.define.MINIMETA_PORTABLE=ON"))
    empty = Path(session.create_tmp()).resolve()
    for library in ("libgomp.so.1", "libomp.so.5", "libomp.so"):
        (empty / library).touch()  # no libraries, but the loader finds them first
    without_openmp = {"LD_LIBRARY_PATH": str(empty), "OMP_NUM_THREADS": "3"}
    threads = "import minimeta as mm; assert mm.get_num_threads() == 3"
    with session.chdir(empty):
        session.run(str(python), "-c", threads, env=without_openmp, external=True)


@nox.session(python=PYTHONS, default=False)
def wheel(session: nox.Session) -> None:
    """Build a wheel for each Python that is here, and try it out; options of the build follow ``--``."""
    try_out(session, built(session, "wheel", "-Ccmake.define.MINIMETA_PORTABLE=ON", *session.posargs))


@nox.session
def pure(session: nox.Session) -> None:
    """Build the wheel of platforms without kernels, where numpy computes everything, and try it out."""
    archive = built(session, "wheel", "-Cwheel.cmake=false", "-Cwheel.py-api=py3")
    if not archive.name.endswith("-py3-none-any.whl"):
        session.error(f"{archive.name} is not for every platform")
    try_out(session, archive, MINIMETA_ISA="reference")


@nox.session
def peers(session: nox.Session) -> None:
    """Compare gradients with JAX's, test threads next to it, and try what the docs say of other tools."""
    session.install("-e", ".[all,notebook]", "jax", "datasets", "mlflow-skinny", "tensorboardX")
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
    tests = ["tests/peers", "tests/test_threads.py", "tests/training/test_notebook.py"]
    session.run("pytest", "-q", "-n", "auto", *tests, env=quick)


@nox.session
def browser(session: nox.Session) -> None:
    """Try the live pages of the book in Chromium, and keep the screenshots."""
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        session.skip("there is no Chromium: apt-get install chromium")
    session.install(".[plot]", "pytest", "pytest-xdist", "hypothesis", "mpmath", "playwright", *PURE)
    screenshots = Path(session.create_tmp()).resolve() / "screenshots"
    session.run("pytest", "-q", "-n", "auto", "tests/browser", f"--basetemp={screenshots}", env=BY_NUMPY)


@nox.session
def site(session: nox.Session) -> None:
    """Build the site of docs/ into build/site, without a warning, and run a chapter's notebook."""
    session.install(".[docs]", *PURE)
    build = ["-W", "--keep-going", "-q", "-j", "auto", "-c", "docs/site", ".", "build/site"]
    session.run("sphinx-build", *build, env=BY_NUMPY)
    notebooks = sorted(Path("build/site/docs/book").glob("*.ipynb"))
    session.run("python", "docs/site/notebooks.py", *map(str, notebooks[:1]), env=BY_NUMPY)


if __name__ == "__main__":
    nox.main()
