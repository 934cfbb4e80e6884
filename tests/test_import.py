"""Importing the library loads numpy alone and offers the documented names."""

import ast
import graphlib
import importlib
from collections.abc import Iterator
from pathlib import Path

from fresh_python import PACKAGE, run

import minimeta
from minimeta import operations
from minimeta.autodiff.protocols import ANSWERS

TABLE = [*operations.PUBLIC.items(), *operations.FURTHER.items()]


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


def test_importing_leaves_what_few_calls_need_for_later() -> None:
    slow = {"json", "numpy.random", "pathlib", "minimeta.program"}
    program = "import sys, numpy\nbefore = set(sys.modules)\nimport minimeta\n"
    done = run(f"{program}print((set(sys.modules) - before) & {slow})")
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_packages_are_imported_when_they_are_asked_for() -> None:
    program = (
        "import sys\n"
        "import minimeta as mm\n"
        "names = ['learners', 'nn', 'optim', 'optimize', 'program', 'tasks', 'testing', 'training']\n"
        "print(*(name for name in names if f'minimeta.{name}' in sys.modules))\n"
        "print(*(getattr(mm, name).__name__ for name in names))\n"
        "print('hypothesis' in sys.modules, hasattr(mm, 'nothing'), mm.testing.check_gradients.__name__)\n"
    )
    done = run(program)
    assert done.stderr == ""
    loaded, asked, rest = done.stdout.splitlines()
    assert loaded == ""
    names = ("learners", "nn", "optim", "optimize", "program", "tasks", "testing", "training")
    assert asked.split() == [f"minimeta.{name}" for name in names]
    assert rest == "False False check_gradients"


def test_two_threads_may_ask_for_packages_at_once() -> None:
    program = (
        "import sys, threading\n"
        "import minimeta as mm\n"
        "import minimeta.tasks\n"
        "names = []\n"
        "other = threading.Thread(target=lambda: names.append(mm.learners.__name__))\n"
        "class Finder:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name.startswith('minimeta.nn.') and other.ident is None:\n"
        "            other.start()\n"
        "            other.join(0.5)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "names.append(mm.nn.__name__)\n"
        "other.join()\n"
        "print(*names)\n"
    )
    done = run(program)
    assert (sorted(done.stdout.split()), done.stderr) == (["minimeta.learners", "minimeta.nn"], "")


def test_pages_of_operations_are_imported_when_they_are_asked_for() -> None:
    program = (
        "import sys\n"
        "import numpy as np\n"
        "import minimeta as mm\n"
        "pages = [f'minimeta.autodiff.operations.{page}' for page in ('cumulative', 'contractions', 'solving')]\n"
        "print(*(page in sys.modules for page in pages))\n"
        "print(mm.cumsum(np.ones(2)), pages[0] in sys.modules, pages[1] in sys.modules)\n"
        "print(mm.grad(lambda x: np.einsum('i,i->', x, x))(np.ones(2)), pages[1] in sys.modules)\n"
        "print(mm.grad(lambda x: np.linalg.inv(x)[0, 0])(np.eye(1)), pages[2] in sys.modules)\n"
    )
    done = run(program)
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["False False False", "[1. 2.] True False", "[2. 2.] True", "[[-1.]] True", ""]


def test_the_table_of_pages_is_what_the_pages_have() -> None:
    operations.load_pages()
    for page, names in operations.PUBLIC.items():
        module = importlib.import_module(f"minimeta.autodiff.operations.{page}")
        for name in names.split():
            assert getattr(operations, name) is getattr(module, name)
            assert getattr(module, name).__module__ == module.__name__
    declared = {function for function in ANSWERS if ANSWERS[function].__module__.startswith("minimeta.")}
    for function in declared:
        if operations.module_of(function) in operations.MODULES:
            continue
        (page,) = {page for page, names in TABLE if function.__name__ in names.split()}
        where = importlib.import_module(f".{page}", operations.__name__).__name__
        assert ANSWERS[function].__module__ in (where, "numpy"), function


def test_every_public_name_is_there_and_documented() -> None:
    assert len(set(minimeta.__all__)) == len(minimeta.__all__)
    assert set(minimeta.operations.NAMES) < set(minimeta.__all__)
    for name in minimeta.__all__:
        assert getattr(minimeta, name).__doc__, name


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_native.pyi").exists()


def test_no_files_import_each_other_in_a_circle() -> None:
    def name(path: Path) -> str:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    files = {name(path): path for path in PACKAGE.rglob("*.py")}

    def imported(path: Path) -> Iterator[str]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                for found in node.names:
                    file = f"{node.module}.{found.name}"
                    yield file if file in files else str(node.module)

    graph = {file: {found for found in imported(path) if found in files} - {file} for file, path in files.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) > 100
