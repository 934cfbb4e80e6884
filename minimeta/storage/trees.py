"""Files of parameters: any tree of arrays as an ``.npz``, or as ``.safetensors`` for PyTorch.

An ``.npz`` holds a leaf under its path, as ``leaves/0/weight``, and one text, ``tree``, in JSON:
the version of the format, the names, and the structure, in which a number stands for the leaf of
that place. Nothing is pickled. Every array is checked by its checksum and its length
(:mod:`minimeta.archives`), and the names of the text must be those of the file, so a file that is
cut short or changed is refused. It is written whole or not at all.

Dicts, lists, tuples and None come back as what they were; named tuples and dataclasses as dicts,
since their classes would have to be imported by name, unless ``like`` has them.

A ``.safetensors`` has names alone, those of :mod:`minimeta.nn.torch_names`.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import read_arrays
from minimeta.autodiff import tree
from minimeta.autodiff.containers import parts_of
from minimeta.errors import ConfigurationError, DataError, MissingDataError, MissingExtraError
from minimeta.files import write_atomically
from minimeta.nn.torch_names import from_torch, to_torch

FORMAT = 1
SUFFIXES = (".npz", ".safetensors")


def save(path: str | os.PathLike[str], parameters: Any) -> None:
    """Write a tree of arrays to a file, atomically.

    Parameters
    ----------
    path
        The file: ``.npz``, or ``.safetensors`` for PyTorch (extra ``safetensors``).
    parameters
        Arrays of numbers, nested in dicts, lists, tuples and dataclasses.

    Raises
    ------
    ConfigurationError
        If the suffix is another one, a leaf is not numbers, or a key of a dict is no text or
        number.
    OSError
        If the file cannot be written; what was there before is left.

    Examples
    --------
    >>> import tempfile, pathlib, minimeta
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "parameters.npz"
    >>> minimeta.save(path, ({"weight": np.eye(2), "bias": np.zeros(2)}, None))
    >>> minimeta.load(path)[0]["bias"]
    array([0., 0.])
    """
    path = Path(path)
    _require_suffix(path)
    leaves, _ = tree.flatten(parameters)
    if path.suffix == ".safetensors":
        for name, leaf in zip(_entries(parameters), leaves, strict=True):
            if _array(name, leaf).dtype.kind == "c":
                raise ConfigurationError(f"save: {name} is complex, and safetensors are not; an .npz takes it")
        write_atomically(path, _safetensors().save(to_torch(parameters)))
        return
    arrays: dict[str, Any] = {}
    for name, leaf in zip(_entries(parameters), leaves, strict=True):
        if name in arrays:
            raise ConfigurationError(f"save: two leaves have the path {name!r}; rename one, so that each can be found")
        arrays[name] = _array(name, leaf)
    said = {"format": FORMAT, "tree": _written(parameters, iter(range(len(leaves)))), "entries": list(arrays)}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, tree=np.array(json.dumps(said)), **arrays)
    write_atomically(path, content.getvalue())


def load_tree(path: str | os.PathLike[str], like: Any = None) -> Any:
    """Read a tree that :func:`save` wrote.

    Parameters
    ----------
    path
        The file.
    like
        A tree of the form that is wanted: the same structure, shapes and dtypes. It is needed for
        named tuples and dataclasses, which otherwise become dicts, and for ``.safetensors``, which
        otherwise becomes a dict of arrays by PyTorch's names.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If it is cut short or damaged, is no tree or of a newer version, or differs from `like`; the
        message names the leaf.
    """
    path = Path(path)
    _require_suffix(path)
    if path.suffix == ".safetensors":
        found = _tensors(path)
        return found if like is None else from_torch(found, like, str(path))
    arrays = read_arrays(path)
    if "tree" not in arrays:
        raise DataError(f"{path} is no tree of minimeta.save, or is damaged: it has no array 'tree'")
    try:
        said = json.loads(str(arrays.pop("tree")))
        version, entries = said["format"], said["entries"]
        if version == FORMAT:
            if sorted(entries) != sorted(arrays):
                raise ValueError("its arrays are not those that were written")
            leaves = [arrays[name] for name in entries]
            read = _read(said["tree"], leaves)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DataError(f"{path} is no tree of minimeta, or is damaged ({type(error).__name__}: {error})") from error
    if version != FORMAT:
        raise DataError(f"{path} is of format {version}, and this version of minimeta reads format {FORMAT}")
    return read if like is None else _as(path, like, dict(zip(entries, leaves, strict=True)))


def _as(path: Path, like: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return the arrays in the structure of a tree."""
    expected, structure = tree.flatten(like)
    wanted = _entries(like)
    if sorted(arrays) != sorted(wanted):
        missing, surplus = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
        raise DataError(f"{path} holds other parameters: it lacks {missing} and adds {surplus}")
    for name, leaf in zip(wanted, map(np.asarray, expected), strict=True):
        found = arrays[name]
        if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
            raise DataError(
                f"{path}: {name} is {found.dtype} of shape {found.shape}, and not {leaf.dtype} of shape {leaf.shape}"
            )
    return tree.unflatten(structure, [arrays[name] for name in wanted])


def _entries(parameters: Any) -> list[str]:
    return [f"leaves/{path}" for path in tree.paths(parameters)]


def _array(name: str, leaf: Any) -> NDArray[Any]:
    if not isinstance(leaf, np.ndarray | np.generic | float | int) or np.asarray(leaf).dtype.kind not in "biufc":
        raise ConfigurationError(f"save: {name} should be an array of numbers, and is {leaf!r}")
    return np.asarray(leaf)


def _written(value: Any, numbers: Any) -> Any:
    """Return the structure of a tree in JSON; a leaf is its number."""
    take_apart = parts_of(type(value))
    if take_apart is None:
        return None if value is None else next(numbers)
    kind, keys, children, _ = take_apart(value)
    if not all(type(key) in (str, int) for key in keys):
        raise ConfigurationError(f"save: keys of a {kind.__name__} should be texts or integers: {list(keys)}")
    name = kind.__name__ if kind in (tuple, list) else "dict"
    return {name: [[key, _written(child, numbers)] for key, child in zip(keys, children, strict=True)]}


def _read(said: Any, leaves: list[NDArray[Any]]) -> Any:
    """Invert :func:`_written`."""
    if said is None:
        return None
    if type(said) is int:
        return leaves[said]
    ((kind, pairs),) = said.items()
    made = {key: _read(child, leaves) for key, child in pairs}
    return {"dict": made, "list": list(made.values()), "tuple": tuple(made.values())}[kind]


def _require_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"{path} should end in {' or '.join(SUFFIXES)}: the suffix says how it is written")


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    library = _safetensors()
    if not path.is_file():
        raise MissingDataError(f"there is no file {path}")
    try:
        return dict(library.load(path.read_bytes()))
    except Exception as error:  # the library's errors have no common class
        raise DataError(f"{path} is not a .safetensors file, or is truncated or damaged: {error}") from error


def _safetensors() -> Any:
    try:
        from safetensors import numpy as library  # noqa: PLC0415 (needs the safetensors extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "files for PyTorch need safetensors, which is not installed: pip install 'minimeta[safetensors]'"
        ) from error
    return library
