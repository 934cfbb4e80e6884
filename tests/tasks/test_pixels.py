"""What an image file is read as: the oracle is arithmetic on the numbers that went in, for each mode of a file."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays
from mutations import bounded, mutations
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from minimeta.errors import DataError
from minimeta.tasks.pixels import read_image

GREY_16 = np.array([[0, 128, 256], [4095, 32768, 65535]], np.uint16)
GREY_16_AS_BYTES = [[0, 0, 1], [16, 128, 255]]  # v / 257, rounded


def read(path: Path, mode: str = "L") -> NDArray[np.uint8]:
    return np.asarray(read_image(path, mode))


def saved(path: Path, pixels: Any, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_grey_of_16_bits(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", GREY_16)

    assert read(path).tolist() == GREY_16_AS_BYTES
    assert read(path, "RGB").tolist() == [[[v, v, v] for v in row] for row in GREY_16_AS_BYTES]


def test_grey_of_16_bits_of_either_byte_order_with_a_transparent_colour(tmp_path: Path) -> None:
    big = saved(tmp_path / "a.tiff", Image.frombytes("I;16B", (3, 2), GREY_16.astype(">u2").tobytes()))
    assert read(big).tolist() == GREY_16_AS_BYTES

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in GREY_16)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", 128))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert read(tmp_path / "a.png").tolist() == GREY_16_AS_BYTES


@pytest.mark.parametrize("pixels", [GREY_16, (GREY_16 // 257).astype(np.uint8)])
def test_a_tiff_in_which_white_is_zero(tmp_path: Path, pixels: NDArray[Any]) -> None:
    path = saved(tmp_path / "a.tiff", pixels)
    content = path.read_bytes()
    tag = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
    path.write_bytes(content[:tag] + struct.pack("<H", 0) + content[tag + 2 :])

    expected = 255 - np.array(GREY_16_AS_BYTES) if pixels is GREY_16 else 255 - pixels.astype(int)
    assert read(path).tolist() == expected.tolist()


def test_floats_are_from_0_to_1(tmp_path: Path) -> None:
    floats = np.array([[0, 0.25, 0.5], [0.75, 0.999, 1]], np.float32)
    path = saved(tmp_path / "a.tiff", floats)

    assert read(path).tolist() == [[0, 64, 128], [191, 255, 255]]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([[0, 255]], np.float32), "floats from 0 to 255, and should be from 0 .black. to 1"),
        (np.array([[-0.5, 1]], np.float32), "floats from -0.5 to 1"),
        (np.array([[0, np.nan]], np.float32), "floats from nan to nan"),
        (np.array([[0, np.inf]], np.float32), "floats from 0 to inf"),
        (np.array([[0, 70000]], np.int32), "integers of 32 bits, from 0 to 70000"),
        (np.array([[0, 255]], np.int32), "integers of 32 bits, from 0 to 255, and do not say what is white"),
    ],
)
def test_numbers_without_a_meaning_are_refused(tmp_path: Path, pixels: NDArray[Any], message: str) -> None:
    path = saved(tmp_path / "a.tiff", pixels)

    with pytest.raises(DataError, match=f"{path}: its pixels are {message}"):
        read(path)


@pytest.mark.parametrize("suffix", ["png", "tiff", "gif", "webp"])
def test_what_is_transparent_lies_on_white_paper(tmp_path: Path, suffix: str) -> None:
    """A black drawing on nothing is black on white; what hides under transparency does not matter."""
    drawing = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).rectangle((2, 2, 5, 5), fill=(0, 0, 0, 255))
    path = saved(tmp_path / f"a.{suffix}", drawing, **({"lossless": True} if suffix == "webp" else {}))

    expected = np.full((8, 8), 255)
    expected[2:6, 2:6] = 0
    assert read(path).tolist() == expected.tolist()
    assert read(path, "RGB")[..., 1].tolist() == expected.tolist()


@given(alpha=arrays(np.uint8, (3, 4)), grey=arrays(np.uint8, (3, 4)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_half_transparent_grey(tmp_path: Path, alpha: NDArray[np.uint8], grey: NDArray[np.uint8]) -> None:
    path = saved(tmp_path / "a.png", Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]))

    expected = (grey * (alpha / 255)) + 255 * (1 - alpha / 255)
    np.testing.assert_allclose(read(path), expected, atol=1)


def test_opaque_images_are_what_they_are(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    colours[..., 3] = 255
    assert read(saved(tmp_path / "a.png", colours), "RGB").tolist() == colours[..., :3].tolist()

    bits = np.array([[True, False], [False, True]])
    for suffix in ("png", "tiff", "bmp", "pbm"):
        assert read(saved(tmp_path / f"b.{suffix}", bits)).tolist() == [[255, 0], [0, 255]]

    inks = Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    assert read(saved(tmp_path / "c.tiff", inks), "RGB")[0, 0].tolist() == [0, 255, 255]

    palette = Image.fromarray(colours[..., :3]).quantize(4)
    assert read(saved(tmp_path / "d.png", palette), "RGB").tolist() == np.asarray(palette.convert("RGB")).tolist()


TURNED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # of the picture as it is stored: EXIF 2.3, table 6
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a, 1),
    9: lambda a: a,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "16.png"])
def test_a_photograph_is_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif, **({"lossless": True} if suffix == "webp" else {})}
    path = saved(tmp_path / f"a.{suffix}", stored.astype(np.uint16) * 257 if suffix == "16.png" else stored, **options)

    assert read(path).tolist() == TURNED[orientation](stored).tolist()


def test_damaged_words_of_a_camera_do_not_matter(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.arange(6, dtype=np.uint8).reshape(2, 3), exif=b"Exif\0\0nothing of a camera")

    assert read(path).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_several_images(tmp_path: Path) -> None:
    black, white = (Image.new("L", (3, 3), value) for value in (0, 255))
    for suffix in ("gif", "png", "webp"):
        path = saved(tmp_path / f"a.{suffix}", black, save_all=True, append_images=[white, white])
        assert read(path).max() < 5  # the first of an animation

    path = saved(tmp_path / "a.tiff", black, save_all=True, append_images=[white, white])
    with pytest.raises(DataError, match=f"{path}: the file holds 3 pages: save each as a file of its own"):
        read(path)


def promising(path: Path, side: int) -> Path:
    """A PNG of a few bytes whose header says that it is large."""
    content = bytearray(saved(path, np.zeros((4, 4), np.uint8)).read_bytes())
    struct.pack_into(">II", content, 16, side, side)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    with bounded(1_000_000):
        with pytest.raises(DataError, match=r"would have 5000 x 5000 = 25000000 pixels, in a file of \d+ bytes"):
            read(promising(tmp_path / "a.png", 5000))
        with pytest.raises(DataError, match=r"a\.png is not an image, or is damaged: .*exceeds limit"):
            read(promising(tmp_path / "a.png", 50_000))


def test_a_large_photograph_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4000, 4300), np.uint8)

    assert read(saved(tmp_path / "a.bmp", noise)).shape == (4000, 4300)


def test_other_formats_are_not_opened(tmp_path: Path) -> None:
    """Of them, EPS would run a program."""
    for kind in ("EPS", "ICO", "PCX"):
        content = io.BytesIO()
        Image.new("L", (32, 32)).save(content, kind)
        (tmp_path / "a.png").write_bytes(content.getvalue())
        with pytest.raises(DataError, match=r"a\.png is not an image, or is damaged: it is none of .*PNG"):
            read(tmp_path / "a.png")


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "grey.png": ("L", {}),
    "16.png": ("I;16", {}),
    "palette.png": ("P", {}),
    "colour.jpg": ("RGB", {}),
    "progressive.jpg": ("RGB", {"progressive": True}),
    "plain.tiff": ("RGBA", {}),
    "packed.tiff": ("L", {"compression": "tiff_lzw"}),
    "deflated.tiff": ("RGB", {"compression": "tiff_adobe_deflate"}),
    "fax.tiff": ("1", {"compression": "group4"}),
    "float.tiff": ("F", {}),
    "a.gif": ("P", {}),
    "a.webp": ("RGBA", {}),
    "a.bmp": ("RGB", {}),
    "a.ppm": ("RGB", {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # with which Pillow comments on what it reads
def test_images_made_by_nobody(tmp_path: Path, kind: str) -> None:
    mode, options = KINDS[kind]
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 15), np.uint8))
    image = Image.fromarray(GREY_16) if mode == "I;16" else Image.fromarray(np.asarray(grey, np.float32) / 255)
    path = saved(tmp_path / kind, image if mode in ("I;16", "F") else grey.convert(mode), **options)
    refused, given_back = 0, 0

    with bounded(20_000_000):
        for mutated in mutations(path.read_bytes(), 200):
            path.write_bytes(mutated)
            try:
                pixels = read(path, "RGB")
            except DataError as error:
                assert str(error).startswith(str(path))
                refused += 1
                continue
            assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
            given_back += 1

    assert refused > 20 and given_back > 0
