"""Parameters by PyTorch's names and in its layout, and back.

A layer at the path ``0`` is a dict, and becomes entries of a ``state_dict``:

    ==========================  ============================  ==========================================
    ours                        PyTorch                       layout
    ==========================  ============================  ==========================================
    weight, 4 axes              0.weight                      (height, width, in, out) to (out, in, height, width)
    weight, 2 axes              0.weight                      (in, out) to (out, in)
    bias                        0.bias                        as it is
    weight, with an offset      0.conv.weight, 0.linear...    as above, in front of a normalisation
    offset                      0.norm.bias                   as it is
    scale                       0.norm.weight                 as it is; 1 where there is none
    anything else               its path, with dots           as it is
    ==========================  ============================  ==========================================

In PyTorch a normalised layer is thus ``Sequential(OrderedDict(conv=..., norm=...))``. Batch
normalisation has ``eps=1e-3`` here, and uses the statistics of the current batch, so PyTorch's
``running_mean``, ``running_var`` and ``num_batches_tracked`` have no counterpart and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.errors import ConfigurationError, DataError

_NOT_READ = ("running_mean", "running_var", "num_batches_tracked")


def to_torch(parameters: Any) -> dict[str, NDArray[Any]]:
    """Return parameters as the entries of a ``state_dict``, numpy arrays by name.

    Parameters
    ----------
    parameters
        A tree of arrays, such as ``model.init`` returns.

    Raises
    ------
    ConfigurationError
        If two parameters would have one name.

    Examples
    --------
    >>> from minimeta import nn
    >>> sorted(to_torch(nn.mlp((3, 4, 2)).init(np.random.default_rng(0))))
    ['0.bias', '0.weight', '1.bias', '1.weight']
    """
    found: dict[str, NDArray[Any]] = {}
    leaves, _ = tree.flatten(parameters)
    for (name, turned), leaf in zip(_names(parameters), map(np.asarray, leaves), strict=True):
        if name in found:
            raise ConfigurationError(f"to_torch: two parameters would have the name {name!r}; rename one")
        # ascontiguousarray would give a scalar an axis.
        found[name] = np.asarray(leaf.transpose(_axes(leaf.ndim)) if turned else leaf, order="C")
    ones = {
        name.removesuffix("bias") + "weight": np.ones_like(x) for name, x in found.items() if name.endswith("norm.bias")
    }
    return ones | found


def from_torch(tensors: Mapping[str, Any], like: Any, source: str = "from_torch") -> Any:
    """Return parameters from the entries of a ``state_dict``.

    Parameters
    ----------
    tensors
        Tensors of PyTorch, or arrays, by name.
    like
        Parameters of the form that is wanted, such as ``model.init`` returns.
    source
        Names the tensors in messages.

    Returns
    -------
    tree
        Like `like`, with its dtypes.

    Raises
    ------
    DataError
        If a name is missing, unknown or of another shape, or a normalisation has a factor that
        `like` lacks.
    """
    arrays = {name: _array(tensor) for name, tensor in tensors.items() if name.rpartition(".")[2] not in _NOT_READ}
    leaves, structure = tree.flatten(like)
    made = []
    for (name, turned), leaf in zip(_names(like), map(np.asarray, leaves), strict=True):
        if name not in arrays:
            raise DataError(f"{source}: there is no {name!r}; there are {', '.join(sorted(tensors))}")
        array = arrays.pop(name)
        turns = np.argsort(_axes(array.ndim)) if turned and array.ndim == leaf.ndim else range(array.ndim)
        turned_back = array.transpose(tuple(turns))
        if turned_back.shape != leaf.shape:
            shape = tuple(leaf.shape[axis] for axis in _axes(leaf.ndim)) if turned else leaf.shape
            raise DataError(f"{source}: {name} has shape {array.shape}, and the model needs {shape}")
        made.append(np.asarray(turned_back, leaf.dtype, order="C"))
    for name, array in arrays.items():
        if name.endswith("norm.weight") and (array == 1).all():
            continue  # no factor
        factor = "; a model with scale=True has factors" if name.endswith("norm.weight") else ""
        raise DataError(f"{source}: the model has no parameter {name!r}{factor}")
    return tree.unflatten(structure, made)


def _names(parameters: Any) -> Iterator[tuple[str, bool]]:
    """Return the name of each leaf, and whether its axes are turned."""
    paths, (leaves, _) = tree.paths(parameters), tree.flatten(parameters)
    known = set(paths)
    for path, leaf in zip(paths, leaves, strict=True):
        layer, _, field = path.rpartition("/")
        before, ndim = f"{layer.replace('/', '.')}." if layer else "", np.ndim(leaf)
        normalised = f"{layer}/offset".removeprefix("/") in known
        if field == "weight" and ndim in (2, 4):
            kind = {4: "conv.", 2: "linear."}[ndim] if normalised else ""
            yield f"{before}{kind}weight", True
        elif field in ("offset", "scale"):
            yield f"{before}norm.{'bias' if field == 'offset' else 'weight'}", False
        else:
            yield f"{before}{field}", False


def _axes(ndim: int) -> tuple[int, ...]:
    return {4: (3, 2, 0, 1), 2: (1, 0)}[ndim]


def _array(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
