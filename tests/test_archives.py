import io
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from mutations import bounded, mutations
from numpy.typing import NDArray

from minimeta.archives import open_arrays, read_arrays
from minimeta.errors import DataError, MissingDataError

SEVERAL: dict[str, NDArray[Any]] = {
    "images": np.arange(60, dtype=np.uint8).reshape(5, 4, 3),
    "part/0/weight": np.asfortranarray(np.random.default_rng(0).standard_normal((2, 3))),
    "names": np.array(["cat", "Vögel"]),
    "true": np.array([True, False, True]),
    "none": np.zeros((3, 0), np.float32),
    "step": np.array(7, ">i8"),
}


def saved(path: Path, named: dict[str, NDArray[Any]], compressed: bool = True) -> Path:
    write: Any = np.savez_compressed if compressed else np.savez
    write(path, **named)
    return path


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header.encode("latin-1") + data


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def assert_same(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_come_back(tmp_path: Path, compressed: bool) -> None:
    path = saved(tmp_path / "a.npz", SEVERAL, compressed)

    assert_same(read_arrays(path), SEVERAL)
    with open_arrays(path) as stored:
        assert {name: (array.shape, array.dtype) for name, array in stored.items()} == {
            name: (array.shape, array.dtype) for name, array in SEVERAL.items()
        }
        blocks = list(stored["images"].blocks(2))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), SEVERAL["images"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=arrays(
        scalar_dtypes().filter(lambda dtype: dtype.kind in "biufcSU"),
        st.just(()) | array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3),
    ),
    fortran=st.booleans(),
    compressed=st.booleans(),
)
def test_any_array_is_as_numpy_reads_it(tmp_path: Path, array: NDArray[Any], fortran: bool, compressed: bool) -> None:
    path = saved(tmp_path / "a.npz", {"a": array.T if fortran else array}, compressed)
    with np.load(path) as file:
        assert_same(read_arrays(path), dict(file))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }   \n",
        '{"descr": "<i2", "fortran_order": False, "shape": (2,)}',
        "{'descr':'<i2','fortran_order':False,'shape':(2L,),}\n",  # of Python 2
    ],
)
def test_headers_of_other_writers(tmp_path: Path, header: str, version: tuple[int, int]) -> None:
    path = zipped(tmp_path / "a.npz", {"a.npy": npy(header, struct.pack("<2h", 3, -4), version)})

    assert read_arrays(path)["a"].tolist() == [3, -4]


def test_a_truth_value_is_one_bit(tmp_path: Path) -> None:
    header = "{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }"
    path = zipped(tmp_path / "a.npz", {"a.npy": npy(header, b"\0\1\2\xff")})

    assert read_arrays(path)["a"].tobytes() == b"\0\1\1\1"


SOUND = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(SOUND.replace("(3,)", "(1048576, 8388608)"), b"abc"), "needs 8796093022208 bytes, and there are 3"),
        (npy(SOUND.replace("(3,)", f"({10**30},)"), b"abc"), f"needs {10**30} bytes, and there are 3"),
        (npy(SOUND.replace("(3,)", "(1, " * 3 + "1,)")), "header is not that of"),
        (npy(SOUND.replace("(3,)", "(" + "1," * 99 + ")"), b"a"), "maximum supported dimension"),
        (npy(SOUND.replace("(3,)", f"(0, {2**62}, {2**62})")), "array is too big"),
        (npy(SOUND.replace("(3,)", "(-3,)"), b"abc"), "header is not that of"),
        (npy(SOUND.replace("(3,)", "(" + "9" * 5000 + ",)"), b"abc"), "integer string"),
        (npy(SOUND.replace("|u1", "|O")), "pickled objects"),
        (npy(SOUND.replace("|u1", "|V3")), "none of numbers, truth values or texts"),
        (npy(SOUND.replace("|u1", "<U0")), "none of numbers, truth values or texts"),
        (npy(SOUND.replace("|u1", "<M8")), "none of numbers, truth values or texts"),
        (npy(SOUND.replace("|u1", "<q9")), "a: "),
        (npy(SOUND.replace("'|u1'", "[('a', '|u1')]"), b"abc"), "header is not that of"),
        (npy("(" * 9000), "header is not that of"),
        (npy(SOUND + " " * 20_000, b"abc"), "its header would have 20058 bytes"),
        (npy(SOUND, b"ab"), "needs 3 bytes, and there are 2"),
        (npy(SOUND, b"abcd"), "needs 3 bytes, and there are 4"),
        (npy(SOUND)[:30], "header is not that of"),
        (npy(SOUND)[:9], "a: "),
        (npy(SOUND, b"abc", (4, 0)), "does not begin as an array"),
        (b"", "does not begin as an array"),
        (npy(SOUND.replace("|u1", "<U1"), struct.pack("<3I", 65, 0x110000, 0)), "that are no characters"),
        (npy(SOUND.replace("|u1", ">U1"), struct.pack(">3I", 65, 0xD800, 0)), "that are no characters"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str) else "",
)
def test_an_array_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = zipped(tmp_path / "a.npz", {"sound.npy": npy(SOUND, b"abc"), "a.npy": content})

    with bounded(1_000_000), pytest.raises(DataError, match=message) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path} is not an .npz file, or is truncated or damaged: the array a: ")


def directory_entry(change: Callable[[bytearray], None]) -> bytes:
    """An archive of one array whose entry in the directory is changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(SOUND, b"abc"))
    whole = bytearray(content.getvalue())
    start = whole.index(b"PK\1\2")
    entry = whole[start:]
    change(entry)
    return bytes(whole[:start] + entry)


@pytest.mark.parametrize(
    ("format", "offset", "value", "message"),
    [
        ("<I", 24, 0xFFFFFFF0, "a.npy cannot be 4294967280 bytes"),  # the length that it inflates to
        ("<I", 20, 0x7FFFFFFF, "its parts would be 2147483647 bytes"),  # its length here
        ("<H", 10, 14, "compressed by method 14"),  # LZMA, which allocates what its header says
        ("<H", 10, 0, "cannot be"),
        ("<H", 8, 1, "encrypted"),
        ("<I", 42, 0x7FFFFFFF, "a.npz"),  # where it begins
        ("<I", 16, 0, "CRC"),
    ],
)
def test_a_directory_that_is_not_of_this_file(
    tmp_path: Path, format: str, offset: int, value: int, message: str
) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(directory_entry(lambda entry: struct.pack_into(format, entry, offset, value)))

    with bounded(1_000_000), pytest.raises(DataError, match=message):
        read_arrays(path)


def test_a_bomb_of_members_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    whole = directory_entry(lambda entry: None)
    start, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    tail = bytearray(whole[end:])
    struct.pack_into("<HHI", tail, 8, 999, 999, 999 * (end - start))
    path.write_bytes(whole[:start] + whole[start:end] * 999 + tail)

    with pytest.raises(DataError, match="its parts would be"):
        read_arrays(path)


def test_two_of_one_name_and_what_is_no_array(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", npy(SOUND, b"abc"))
    with pytest.raises(DataError, match="the array a: there are two of this name"):
        read_arrays(tmp_path / "a.npz")

    with pytest.raises(DataError, match=r"the array notes\.txt: it is not an array"):
        read_arrays(zipped(tmp_path / "b.npz", {"notes.txt": b""}))


def test_what_memory_does_not_suffice_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.npz", {"a": np.zeros(9)})

    def full(*arguments: Any) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    with open_arrays(path) as stored:
        monkeypatch.setattr(np, "empty", full)
        with pytest.raises(DataError, match=f"{path} does not fit into memory: the array a: Unable to allocate 9 GiB"):
            stored["a"].read()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
        with pytest.raises(MissingDataError, match=f"there is no file {re.escape(str(path))}"):
            read_arrays(path)


def test_rows_that_there_are_none_of(tmp_path: Path) -> None:
    with open_arrays(saved(tmp_path / "a.npz", SEVERAL)) as stored:
        for name in ("step", "none", "part/0/weight"):
            with pytest.raises(DataError, match=rf"a\.npz: the array {name} of shape .* is not stored in rows"):
                next(stored[name].blocks(1))


@pytest.mark.parametrize("compressed", [False, True])
def test_every_byte_counts(tmp_path: Path, compressed: bool) -> None:
    path = saved(tmp_path / "a.npz", {"a": np.arange(30, dtype=np.uint8)}, compressed)
    content = path.read_bytes()

    for place in range(len(content)):
        path.write_bytes(content[:place])
        with pytest.raises(DataError, match=f"{path} is not an .npz file, or is truncated or damaged"):
            read_arrays(path)
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            found = read_arrays(path)
        except DataError:
            continue
        assert list(found["a"]) == list(range(30))  # it is a byte that nothing depends on, of a date say


def resealed(path: Path) -> Iterator[bytes]:
    """Archives whose members are mutated and whose checksums are right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        for mutated in mutations(content, 60):
            whole = io.BytesIO()
            with zipfile.ZipFile(whole, "w") as archive:
                archive.writestr("names.npy", members["names.npy"])
                archive.writestr(f"other/{name}", mutated)
            yield whole.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_files_made_by_nobody(tmp_path: Path, compressed: bool) -> None:
    path = saved(tmp_path / "a.npz", SEVERAL, compressed)
    content = path.read_bytes()
    refused, right = 0, 0

    with bounded(2_000_000):
        for mutated in mutations(content, 500):
            path.write_bytes(mutated)
            try:
                found = read_arrays(path)
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
                continue
            right += 1
            # A member may have been lost from the directory; one that is there is as it was.
            for name, array in found.items():
                assert array.tobytes() == SEVERAL[name].tobytes()

    assert refused > 200 and right > 5


def test_arrays_made_by_nobody(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", SEVERAL)
    refused, read = 0, 0

    with bounded(2_000_000):
        for mutated in resealed(path):
            path.write_bytes(mutated)
            try:
                found = read_arrays(path)
            except DataError as error:
                assert str(path) in str(error)
                refused += 1
                continue
            read += 1
            assert repr(found)  # every value is one of its dtype

    assert refused > 100 and read > 5
