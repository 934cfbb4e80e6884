"""What importing the library loads, and what it offers."""

from fresh_python import PACKAGE, run

import minimeta


def test_importing_loads_numpy_and_the_standard_library_alone() -> None:
    program = (
        "import sys\n"
        "import numpy\n"
        "before = set(sys.modules)\n"
        "import minimeta\n"
        "added = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "files = [name for name in added if getattr(sys.modules[name], '__file__', None)]\n"
        "print(*sorted(set(files) - set(sys.stdlib_module_names)))\n"
        "print('.'.join(sorted(name for name in sys.modules if name.startswith('minimeta.cli'))))\n"
    )
    done = run(program)
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["minimeta numpy", "", ""]


def test_every_public_name_is_there_and_documented() -> None:
    assert len(set(minimeta.__all__)) == len(minimeta.__all__)
    assert set(minimeta.operations.__all__) < set(minimeta.__all__)
    for name in minimeta.__all__:
        assert getattr(minimeta, name).__doc__, name


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_native.pyi").exists()
