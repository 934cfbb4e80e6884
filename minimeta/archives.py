"""Archives of arrays (``.npz``): every header is checked against the size of the file before any
data is read.

An ``.npz`` is a zip of ``.npy`` files, and each of the three layers states a length:

    the directory of the zip   a member has c bytes, which inflate to n, and a checksum
    the header of the array    version, dtype, order and shape
    the data                   prod(shape) * itemsize bytes

Nothing is allocated or inflated until they agree:

    sum of the members' c <= the size of the file            (no two members overlap)
    n = c if a member is stored, and n <= 1032 c if it is deflated       (deflate cannot do better)
    n = length of the header + prod(shape) * itemsize

so a header that promises 8 TiB in a file of 1 KiB is refused at once, and a caller who knows what
to expect can compare shapes and dtypes (:func:`open_arrays`) before reading an array. Dtypes are
numbers, truth values and texts. Pickled objects, which could run any code, are refused, and so is
every compression that numpy does not write.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import DataError, MissingDataError

_DEFLATE_AT_BEST = 1032
"""The most bytes that one byte can inflate to: 258 for every two bits."""

_LONGEST_HEADER = 10_000  # numpy's own bound; a header of numbers or texts has some 100 bytes

_AT_ONCE = 1 << 18

_HEADER = re.compile(
    r"""\{\s*['"]descr['"]\s*:\s*['"]([<>|=]?[A-Za-z?]\d{0,9})['"]\s*,"""
    r"""\s*['"]fortran_order['"]\s*:\s*(True|False)\s*,"""
    r"""\s*['"]shape['"]\s*:\s*\(([\d,\sL]*)\)\s*(?:,\s*)?\}\s*"""
)


@dataclass(frozen=True)
class StoredArray:
    """An array in an open archive, of which only the header has been read.

    Attributes
    ----------
    name
        The array's name, without ``.npy``.
    shape, dtype
        The shape and dtype of the array that :meth:`read` returns.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _path: Path = field(repr=False)
    _archive: zipfile.ZipFile = field(repr=False)
    _member: zipfile.ZipInfo = field(repr=False)
    _header_bytes: int = field(repr=False)
    _fortran_order: bool = field(repr=False)

    def read(self) -> NDArray[Any]:
        """Read the whole array and check every byte.

        Raises
        ------
        DataError
            If the array is truncated or damaged, or too large for the memory.
        """
        (array,) = self._blocks(math.prod(self.shape)) if 0 not in self.shape else (np.empty(0, self.dtype),)
        if self._fortran_order:
            return array.reshape(self.shape[::-1]).transpose()
        return array.reshape(self.shape)

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Read the array in blocks of some rows, holding one block in memory; the last one may have
        fewer rows.

        Raises
        ------
        DataError
            If the array is truncated or damaged (the checksum is compared after the last block), or
            is not stored in rows, because it has no axes, no elements, or Fortran's order.
        """
        if self._fortran_order or 0 in self.shape or not self.shape:
            raise DataError(f"{self._path}: the array {self.name} of shape {self.shape} is not stored in rows")
        for block in self._blocks(rows * math.prod(self.shape[1:])):
            yield block.reshape(-1, *self.shape[1:])

    def _blocks(self, elements: int) -> Iterator[NDArray[Any]]:
        """Read the array as vectors of at most so many elements."""
        with _blamed_on(self._path, self.name):
            file = self._archive.open(self._member)
            file.read(self._header_bytes)
        with file:
            left = math.prod(self.shape)
            while left:
                count = min(left, elements)
                with _blamed_on(self._path, self.name):
                    block = np.empty(count, self.dtype)
                    _fill(block.view(np.uint8).data, file)
                    left -= count
                    if not left and file.read(1):  # this last read compares the checksum
                        raise ValueError("there are bytes after its end")
                    _make_sound(block)
                yield block


@contextmanager
def open_arrays(path: str | os.PathLike[str]) -> Iterator[dict[str, StoredArray]]:
    """Open an ``.npz`` file and read the headers of its arrays, but none of their data.

    Returns
    -------
    context manager
        Yields the arrays by name; they can be read inside of the context.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If the file is truncated or damaged, is no ``.npz`` file, or holds anything other than
        arrays of numbers, truth values and texts. The message names the file and the array.
    """
    path = Path(path)
    if not path.is_file():  # a pipe or a device might never end
        raise MissingDataError(f"there is no file {path}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        with _blamed_on(path):
            archive = zipfile.ZipFile(file)
            members = archive.infolist()
            _check_directory(members, os.fstat(file.fileno()).st_size)
        arrays: dict[str, StoredArray] = {}
        for member in members:
            with _blamed_on(path, member.filename.removesuffix(".npy")):
                array = _stored(path, archive, member)
                if array.name in arrays:
                    raise ValueError("there are two of this name")
                arrays[array.name] = array
        yield arrays


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return all arrays of an ``.npz`` file by name, and check every byte.

    Raises
    ------
    MissingDataError, DataError
        As :func:`open_arrays` does, or if an array is too large for the memory.
    """
    with open_arrays(path) as arrays:
        return {name: array.read() for name, array in arrays.items()}


@contextmanager
def _blamed_on(path: Path, name: str = "") -> Iterator[None]:
    """Turn every error into a DataError that names the file and the array.

    The except clause is broad because damaged bytes make zipfile, zlib and numpy raise nearly any
    exception.
    """
    place = f"the array {name}: " if name else ""
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory: {place}{str(error) or 'it is too large'}") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        kind = "an .npz file" if path.suffix == ".npz" else "an archive of arrays"
        raise DataError(f"{path} is not {kind}, or is truncated or damaged: {place}{reason}") from error


def _check_directory(members: list[zipfile.ZipInfo], file_bytes: int) -> None:
    """Refuse members that do not fit into a file of this size."""
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed by method {member.compress_type}; save it by numpy")
        stored = member.compress_type == zipfile.ZIP_STORED
        most = member.compress_size * (1 if stored else _DEFLATE_AT_BEST)
        if member.file_size > most or (stored and member.file_size != most):
            raise ValueError(
                f"{member.filename} cannot be {member.file_size} bytes, made of {member.compress_size} in the file"
            )
    if (together := sum(member.compress_size for member in members)) > file_bytes:
        raise ValueError(f"its parts would be {together} bytes, and the file has {file_bytes}")


def _stored(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredArray:
    """Read the header of an array and compare it with the length of its member."""
    if not member.filename.endswith(".npy"):
        raise ValueError("it is not an array (.npy)")
    with archive.open(member) as file:
        magic = file.read(8)
        if magic[:6] != b"\x93NUMPY" or magic[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
            raise ValueError("it does not begin as an array (.npy) of version 1.0, 2.0 or 3.0 does")
        (length,) = struct.unpack("<H", file.read(2)) if magic[6] == 1 else struct.unpack("<I", file.read(4))
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header would have {length} bytes; {_LONGEST_HEADER} is the most")
        header = file.read(length)
        begin = file.tell()
    found = _HEADER.fullmatch(header.decode("latin-1"))
    if len(header) != length or found is None:
        raise ValueError(f"its header is not that of an array of numbers, truth values or texts: {header[:200]!r}")
    if found[1].lstrip("<>|=") == "O":
        raise ValueError("it holds pickled objects, which could run anything; save numbers or texts")
    dtype = np.dtype(found[1])
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise ValueError(f"its dtype {found[1]} is none of numbers, truth values or texts")
    shape = tuple(int(side.rstrip(" L")) for side in found[3].split(",") if side.strip())
    if begin + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(
            f"{dtype} of shape {shape} needs {math.prod(shape) * dtype.itemsize} bytes, and there are "
            f"{member.file_size - begin}"
        )
    np.broadcast_to(np.empty((), dtype), shape)  # numpy refuses impossible shapes: 100 axes, 2**62 by 0
    name = member.filename.removesuffix(".npy")
    return StoredArray(name, shape, dtype, path, archive, member, begin, found[2] == "True")


def _fill(memory: memoryview, file: Any) -> None:
    """Fill the memory from the file."""
    done = 0
    while done < len(memory):
        read = file.readinto(memory[done : done + _AT_ONCE])
        if not read:
            raise ValueError(f"{len(memory) - done} bytes are missing at its end")
        done += read


def _make_sound(array: NDArray[Any]) -> None:
    """Refuse or repair bytes that are not a value of their dtype, and that would fail only later."""
    if array.dtype.kind == "b":  # Pillow writes True as 255
        np.not_equal(array.view(np.uint8), 0, out=array)
    if array.dtype.kind == "U":
        points = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if ((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any():
            raise ValueError("there are numbers in its text that are no characters")
