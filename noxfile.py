#!/usr/bin/env python3
# /// script
# dependencies = ["nox>=2025.5.1"]
# ///
"""What must hold, a session each: ``nox`` runs the default ones, ``nox --list`` names them all.

``.ci/run`` runs the README's test command in place of the session ``tests``, and the other sessions from here.
"""

import platform
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
MANYLINUX = "manylinux_2_28_x86_64"
SMOKE = ["tests/test_import.py", "tests/test_repository.py", "tests/autodiff/test_primitives.py"]


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def dependencies() -> list[str]:
    """Return the requirements of minimeta and of the extra `all`, without minimeta itself."""
    project = PROJECT["project"]
    extras = [extra for name, extra in project["optional-dependencies"].items() if name != "rl"]
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
    bindings = {"module", "operations", "portable", "replay", "tree"}
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
    one = ["-Ccmake.define.MINIMETA_LEVELS=v3"] if platform.machine() == "x86_64" else []
    session.install(".", "pytest", "pytest-xdist", "hypothesis", "mpmath", *one)
    session.run("pytest", "-q", *(session.posargs or SMOKE))


@nox.session
def package(session: nox.Session) -> None:
    """Build an sdist and, from it, a wheel; install each in an empty folder."""
    session.install(*group("package"))
    dist, empty = Path("dist").resolve(), Path(session.create_tmp())
    for old in dist.glob("minimeta-*"):
        old.unlink()
    # The temporary folder is inside of the repository, where a compiler cache finds the kernels again.
    portable = "-Ccmake.define.MINIMETA_PORTABLE=ON"
    session.run("python", "-m", "build", "--outdir", str(dist), portable, env={"TMPDIR": str(empty)})
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    if platform.machine() == "x86_64":
        session.run("auditwheel", "repair", "--plat", MANYLINUX, "--wheel-dir", str(dist), str(wheel))
        wheel.unlink()
        (wheel,) = dist.glob("*.whl")
    for library in ("libgomp.so.1", "libomp.so.5", "libomp.so"):
        (empty / library).touch()  # no libraries, but the loader finds them first
    without_openmp = {"LD_LIBRARY_PATH": str(empty), "OMP_NUM_THREADS": "3"}
    with session.chdir(empty):
        for archive in (sdist, wheel):
            session.install("--force-reinstall", str(archive), env={"TMPDIR": str(empty)})
            session.run("python", "-W", "error", "-c", "import minimeta as mm; assert mm.grad(mm.square)(3.0) == 6")
        session.run("python", "-c", "import minimeta as mm; assert mm.get_num_threads() == 3", env=without_openmp)


@nox.session
def peers(session: nox.Session) -> None:
    """Compare gradients with JAX's, and test threads, in an environment that has both."""
    session.install("-e", ".[all]", "jax")
    session.run("pytest", "-q", "tests/peers", "tests/test_threads.py")


if __name__ == "__main__":
    nox.main()
