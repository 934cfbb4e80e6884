"""What a network takes in, and how arrays and image files become that.

A stored image is numbers of some scale, and a network has learned from numbers on one:

    bytes                  v / full_scale, as the tasks of its training divided them
    16-bit integers        v / 65535, for images whose bytes go to 255
    floats                 as they are, from 0 to 1
    files of dark ink      1 - v, for a network that knows ink as 1 and paper as 0 (Omniglot)

Inputs that are not images are numbers without a scale, and stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minimeta.errors import ConfigurationError, DtypeError, ShapeError

_BYTES, _WORDS = 255, 65535


@dataclass(frozen=True)
class Inputs:
    """The form of the examples that a network takes.

    Attributes
    ----------
    shape
        The shape of one example: ``(height, width, channels)`` for an image.
    full_scale
        The byte that becomes 1: 255, or 225 for Omniglot's ink. None for numbers without a scale.
    flat
        Whether the network takes an example as a vector.
    ink
        Whether 1 is dark, so that image files, in which dark is 0, are inverted.
    dtype
        The dtype of the network.
    """

    shape: tuple[int, ...]
    full_scale: int | None = None
    flat: bool = False
    ink: bool = False
    dtype: str = "float32"

    def __call__(self, what: str, given: ArrayLike) -> NDArray[Any]:
        """Return examples as the network takes them.

        Parameters
        ----------
        what
            What the examples are, for messages: ``"support"`` or ``"query"``.
        given
            Shape ``(examples, *shape)``; an example may also be a vector of as many elements, and a
            grey image may lack its axis of one channel.

        Returns
        -------
        ndarray
            Shape ``(examples, *shape)``, or ``(examples, elements)`` if `flat`, of `dtype`.

        Raises
        ------
        ShapeError
            If examples have another shape, or there are none.
        DtypeError
            If they are no numbers.
        ConfigurationError
            If their values do not fit the scale: floats outside of 0 to 1, or bytes above
            `full_scale`.
        """
        examples = np.asarray(given)
        if examples.dtype.kind not in "biuf":
            raise DtypeError(f"{what}: examples should be numbers, not {examples.dtype}")
        size = math.prod(self.shape)
        fitting = {self.shape, (size,), self.shape[:-1] if self.shape[-1] == 1 else self.shape}
        if examples.shape[1:] not in fitting or not examples.ndim:
            if examples.shape in fitting:
                raise ShapeError(f"{what}: this is one example, of shape {examples.shape}: give a list of it, [x]")
            are_images = self.full_scale and examples.ndim > 2
            raise ShapeError(
                f"{what}: examples have shape {examples.shape[1:]}, and this learner was trained on {self.shape}"
                + (": resize the images, or give them as files, which are resized" if are_images else "")
            )
        if not len(examples):
            raise ShapeError(f"{what}: there are no examples")
        target = (len(examples), size) if self.flat else (len(examples), *self.shape)
        return self._scaled(what, examples).reshape(target)

    def of_files(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the pixels of image files, bytes from 0 (black) to 255, on the network's scale."""
        values = np.divide(pixels, _BYTES, dtype=self.dtype)
        return np.asarray(1 - values if self.ink else values)

    def _scaled(self, what: str, examples: NDArray[Any]) -> NDArray[Any]:
        if not np.isfinite(examples).all():
            raise ConfigurationError(f"{what}: there are NaNs or infinities among the examples")
        least, most = examples.min(), examples.max()
        if self.full_scale is None or examples.dtype.kind == "b":
            return examples.astype(self.dtype)
        if examples.dtype.kind == "f":
            if least < 0 or most > 1:
                raise ConfigurationError(
                    f"{what}: images of floats are from 0 to 1, and these from {least:g} to {most:g}: divide them by "
                    "the value of white, or give them as bytes"
                )
            return examples.astype(self.dtype)
        full = _WORDS if examples.dtype == np.uint16 and self.full_scale == _BYTES else self.full_scale
        if least < 0 or most > full:
            raise ConfigurationError(
                f"{what}: images of {examples.dtype} are from 0 to {full} for this learner, and these from {least} to "
                f"{most}: divide them by the value of white, and give floats from 0 to 1"
            )
        return np.asarray(np.divide(examples, full, dtype=self.dtype))
