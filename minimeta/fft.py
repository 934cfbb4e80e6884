"""Fourier transforms: numpy.fft's functions.

Inside of a transformation numpy's own names answer, too: ``np.fft.rfft(x)`` of an Array is ``fft.rfft(x)``.
"""

import numpy as np

from minimeta.autodiff.complex_numbers import FUNCTIONS, ComplexArray
from minimeta.autodiff.operations.fourier import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)
from minimeta.autodiff.protocols import answers

__all__ = [
    "ComplexArray",
    "fft",
    "fft2",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftn",
]

for _name in __all__[1:]:
    answers(getattr(np.fft, _name))(globals()[_name])
    FUNCTIONS[getattr(np.fft, _name)] = globals()[_name]
