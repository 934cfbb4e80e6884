"""Checkpoints: a training state as one ``.npz`` that either loads exactly or is refused.

The file is an ordinary ``.npz`` without pickled objects, readable by ``numpy.load``. Its entries
are

=============================  =======================================================================
``header``                     JSON text: format version, step, fingerprint, records and, so that no entry can
                               be missed or doubled, the names of all entries
``meta_parameters/PATH``       a leaf of the meta-parameters, PATH as ``tree.paths`` names it
``optimiser_state/PATH``       a leaf of the optimiser's state
=============================  =======================================================================

The *fingerprint* is what must be equal for a run to go on as if nothing had interrupted it: its
settings and its seed. The structure of the trees is not stored; the run that loads the file has it,
and names, shapes and dtypes must agree. The zip format keeps a checksum of every entry, so damaged
bytes are found, and the file is written atomically, so it is never half-written. A checkpoint can
therefore be trusted, and its *records* say what the other files of the run should be.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import read_arrays
from minimeta.autodiff import tree
from minimeta.errors import CheckpointError, DataError, MissingDataError
from minimeta.files import write_atomically
from minimeta.training.configuration import RENAMED
from minimeta.training.state import TrainingState

FORMAT = 1
_REFUSED = "{path} is not a checkpoint of minimeta, or is truncated or damaged"


class Header(NamedTuple):
    """What a checkpoint says about itself.

    Attributes
    ----------
    step
        Training steps done.
    fingerprint, records
        What :func:`save` was given.
    """

    step: int
    fingerprint: dict[str, Any]
    records: dict[str, Any]


def save(
    path: str | os.PathLike[str],
    state: TrainingState,
    fingerprint: Mapping[str, Any],
    records: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint, atomically.

    Parameters
    ----------
    path
        The file to write, by convention ``checkpoint.npz``.
    state
        What to keep.
    fingerprint
        Names and values of what decides the run, all representable in JSON.
    records
        Anything else that the checkpoint should vouch for, representable in JSON.

    Raises
    ------
    CheckpointError
        If a leaf is not an array of numbers.
    """
    leaves = _named_leaves(state)
    for name, leaf in leaves.items():
        if not isinstance(leaf, np.ndarray | np.generic) or leaf.dtype.kind not in "biufc":
            raise CheckpointError(f"{name} cannot be saved: it should be an array of numbers, but is {leaf!r}")
    header = {
        "format": FORMAT,
        "step": state.step,
        "fingerprint": dict(fingerprint),
        "records": dict(records or {}),
        "entries": list(leaves),
    }
    content = io.BytesIO()
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), **leaves}
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def load(path: str | os.PathLike[str], template: TrainingState, fingerprint: Mapping[str, Any]) -> TrainingState:
    """Read a checkpoint of this run.

    Parameters
    ----------
    path
        The file.
    template
        Any state of the run, for its structure, shapes and dtypes, such as
        :func:`~minimeta.training.initial_state`.
    fingerprint
        Must equal the one given to :func:`save`.

    Returns
    -------
    TrainingState
        The very state that was saved: dtypes, shapes and bits.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, damaged or of another format, or belongs to another run;
        the message says which, and for another run what differs.
    """
    header, leaves = _read(Path(path))
    compare(path, header.fingerprint, fingerprint)
    expected = _named_leaves(template)
    _refuse_others(path, leaves, expected)
    _, structure = tree.flatten((template.meta_parameters, template.optimiser_state))
    return TrainingState(header.step, *tree.unflatten(structure, [leaves[name] for name in expected]))


def load_meta_parameters(path: str | os.PathLike[str], template: Any) -> Any:
    """Read the meta-parameters of a checkpoint of any run, and leave the optimiser's state.

    Parameters
    ----------
    path
        The file.
    template
        Meta-parameters of the form that is wanted, such as ``learner.init`` returns.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, damaged or of another format, or its meta-parameters are
        not those of the template.
    """
    _, leaves = _read(Path(path))
    expected = _named_leaves(TrainingState(0, template, ()))
    found = {name: leaf for name, leaf in leaves.items() if name.startswith("meta_parameters")}
    _refuse_others(path, found, expected)
    return tree.unflatten(tree.flatten(template)[1], [found[name] for name in expected])


def read_header(path: str | os.PathLike[str]) -> Header:
    """Check that all of a checkpoint is whole, and return what it says about itself.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, damaged or of another format.
    """
    return _read(Path(path))[0]


def compare(where: str | os.PathLike[str], saved: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Refuse a fingerprint that is not the one that was saved.

    Raises
    ------
    CheckpointError
        Naming every field that differs.
    """
    given = json.loads(json.dumps(dict(fingerprint)))  # saving turns a tuple into a list
    saved = {RENAMED.get(name, name): value for name, value in saved.items()}
    differing = [name for name in {**saved, **given} if saved.get(name) != given.get(name)]
    if differing:
        raise CheckpointError(
            f"{where} belongs to another run:"
            + "".join(f"\n  {name} is {saved.get(name)} there and {given.get(name)} here" for name in differing)
        )


def _named_leaves(state: TrainingState) -> dict[str, Any]:
    """Return all leaves of a state by the names of their entries, in tree order."""
    parts = {"meta_parameters": state.meta_parameters, "optimiser_state": state.optimiser_state}
    names, (leaves, _) = tree.paths(parts), tree.flatten(parts)
    if len(set(names)) != len(names):
        raise CheckpointError("two parameters have the same path; rename one, so that each can be found again")
    return dict(zip(names, leaves, strict=True))


def _refuse_others(path: str | os.PathLike[str], leaves: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse leaves of other names, shapes or dtypes than those that are expected."""
    if leaves.keys() != expected.keys():
        missing, surplus = sorted(expected.keys() - leaves.keys()), sorted(leaves.keys() - expected.keys())
        raise CheckpointError(f"{path} holds other parameters than this run: it lacks {missing} and adds {surplus}")
    for name, leaf in expected.items():
        if leaves[name].shape != leaf.shape or leaves[name].dtype != leaf.dtype:
            raise CheckpointError(
                f"{path}: {name} is {leaves[name].dtype} of shape {leaves[name].shape}, "
                f"but in this run {leaf.dtype} of shape {leaf.shape}"
            )


def _read(path: Path) -> tuple[Header, dict[str, NDArray[Any]]]:
    """Return header and leaves of a file, or raise an error that says why not."""
    try:
        arrays = read_arrays(path)
    except MissingDataError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except DataError as error:
        raise CheckpointError(f"{_REFUSED.format(path=path)} ({error})") from error
    try:
        header = json.loads(str(arrays.pop("header")))
        version = header["format"]
        if version == FORMAT:
            kept = Header(header["step"], dict(header["fingerprint"]), dict(header.get("records", {})))
            if type(kept.step) is not int or kept.step < 0:
                raise ValueError(f"a step is an integer from 0 on, not {kept.step!r}")
            return kept, {name: arrays[name] for name in header["entries"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # the header of some other file
        raise CheckpointError(f"{_REFUSED.format(path=path)} (its header: {type(error).__name__}: {error})") from error
    raise CheckpointError(f"{path} is of format {version}, and this version of minimeta reads format {FORMAT}")
