"""Read an image file of any kind as bytes: the meaning of its numbers, its largest size, and what
is refused.

Pillow reads an image and gives its numbers a mode, and each mode has a range that becomes 0 to 255:

    ========================  ==============  ============================================
    mode                      range           a value v becomes
    ========================  ==============  ============================================
    1 (black and white)       0 to 1          255 v
    L, P, RGB, CMYK, ...      0 to 255        v, or its colour's grey or red, green, blue
    I;16, I of a PNG or PPM   0 to 65535      v / 257, rounded
    F                         0 to 1          255 v, rounded
    ========================  ==============  ============================================

Pillow's own conversion clips at 255: it turns 16-bit grey white, and floats black. Images whose
mode does not tell their range are refused: 32-bit integers, floats outside of 0 to 1, a TIFF of
several pages. Transparent pixels lie on white paper. A photograph that says which way is up is
turned, and an animation is its first image.

A header may promise any size. An image of more than 16 million pixels must have a byte in the file
for each thousand of them; every photograph has a hundred times as many.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.errors import DataError, MissingExtraError

SUFFIXES = {".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
SUFFIXES |= {".webp"}
"""The suffixes of files that are taken for images."""

_FORMATS = (
    "AVIF",
    "BMP",
    "GIF",
    "JPEG",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
)  # others would run programs (EPS), or are not images

_PIXELS_OF_ANY_FILE = 1 << 24
_PIXELS_OF_A_BYTE = 1000

# Tags of TIFF, which cameras use, too
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # Pillow heeds it for bytes alone
_ORIENTATION = 274
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def pillow() -> Any:
    """Return ``PIL.Image``.

    Raises
    ------
    MissingExtraError
        If the extra ``data`` is not installed.
    """
    try:
        from PIL import Image  # noqa: PLC0415 (needs the data extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading images needs Pillow, which is not installed: pip install 'minimeta[data]'"
        ) from error
    return Image


def read_image(path: Path, mode: str) -> Any:
    """Read an image file.

    Parameters
    ----------
    path
        The file.
    mode
        ``"L"`` for grey, ``"RGB"`` for colour.

    Returns
    -------
    PIL.Image.Image
        The image in this mode.

    Raises
    ------
    DataError
        If it is not an image, is damaged, is larger than it can be, or its numbers have no known
        range. The message names it.
    MissingExtraError
        If the extra ``data`` is not installed.
    """
    image = pillow()
    image.init()
    formats = [name for name in _FORMATS if name in image.OPEN]
    try:
        # Read from memory: there no length in a header can ask for more than there is, and Pillow
        # takes no short cut. (It maps an uncompressed TIFF that lies on its side with height and
        # width exchanged.)
        content = path.read_bytes()
        with image.open(io.BytesIO(content), formats=formats) as opened:
            _check_size(opened, len(content))
            opened.load()
            return _upright(to_bytes(opened, mode), opened)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except image.UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image, or is damaged: it is none of {', '.join(formats)}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory") from error
    except Exception as error:  # Pillow raises almost anything for damaged bytes
        raise DataError(f"{path} is not an image, or is damaged: {str(error) or type(error).__name__}") from error


def to_bytes(image: Any, mode: str) -> Any:
    """Turn a Pillow image of any mode into one of bytes.

    Raises
    ------
    DataError
        If its numbers have no known range.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = pillow().fromarray(_scaled(image))
    elif image.has_transparency_data:
        paper = pillow().new("RGBA", image.size, "white")
        image = pillow().alpha_composite(paper, image.convert("RGBA"))
    return image.convert(mode)


def _scaled(image: Any) -> NDArray[np.uint8]:
    """Return the pixels of an image with wider numbers as bytes."""
    pixels = np.asarray(image)
    least, most = pixels.min(), pixels.max()
    if image.mode == "F":
        if not (least >= 0 and most <= 1):  # false for NaN, too
            raise DataError(
                f"its pixels are floats from {least:g} to {most:g}, and should be from 0 (black) to 1 (white): divide "
                "them by what is white, or save them as bytes"
            )
        return np.rint(pixels * np.float32(255)).astype(np.uint8)
    if image.mode == "I" and (image.format not in ("PNG", "PPM") or not 0 <= least <= most <= 65535):
        raise DataError(
            f"its pixels are integers of 32 bits, from {least} to {most}, and do not say what is white: save them as "
            "integers of 8 or 16 bits without sign, or as floats from 0 to 1"
        )
    # 65535 = 257 * 255, and 257 is odd, so no value lies midway between two bytes.
    scaled = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return ~scaled if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO else scaled


def _check_size(image: Any, file_bytes: int) -> None:
    """Refuse an image that is too large for its file, before reading it, and a file of several pages."""
    if not image.width or not image.height:
        raise DataError("the image has no pixels")
    if (pixels := image.width * image.height) > max(_PIXELS_OF_ANY_FILE, _PIXELS_OF_A_BYTE * file_bytes):
        raise DataError(
            f"the image would have {image.width} x {image.height} = {pixels} pixels, in a file of {file_bytes} bytes: "
            "it is damaged, or all of one colour; if it is right, save it smaller"
        )
    if image.format == "TIFF" and image.n_frames > 1:
        raise DataError(f"the file holds {image.n_frames} pages: save each as a file of its own")


def _upright(image: Any, photograph: Any) -> Any:
    """Turn an image upright, as the camera that took the photograph says."""
    try:
        turn = _TURNS.get(photograph.getexif().get(_ORIENTATION))
    except Exception:  # the camera's data may be damaged although the picture is not
        turn = None
    return image if turn is None else image.transpose(pillow().Transpose[turn])
