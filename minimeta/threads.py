"""How many threads a large operation may use.

Work is split over independent outputs, never inside a sum, so the number of threads changes no bit of any result.
Small operations run on the calling thread, and so does everything in a forked child, whose parent's threads are not
there.
"""

import operator

from minimeta import kernels

_MOST = 1024


def set_num_threads(n: int) -> None:
    """Let large operations use at most ``n`` threads, in the whole process.

    Until this is called, the limit is OpenMP's: ``OMP_NUM_THREADS`` if that is set, and else the number of processors
    that this process may use. Afterwards the smaller of both holds, so what threadpoolctl lowers stays low. Where
    ``n`` is more than OpenMP's limit for the calling thread, that is raised: what is said here counts more than the
    environment.

    Parameters
    ----------
    n
        The number of threads, 1 to 1024; with 1, all work is done on the calling thread.

    Raises
    ------
    TypeError
        ``n`` is not a whole number.
    ValueError
        ``n`` is not from 1 to 1024.

    Examples
    --------
    >>> import minimeta as mm
    >>> before = mm.get_num_threads()
    >>> mm.set_num_threads(1)
    >>> mm.get_num_threads()
    1
    >>> mm.set_num_threads(before)
    """
    try:
        wanted = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n must be a whole number, as in set_num_threads(2), not {n!r}") from None
    if not 1 <= wanted <= _MOST:
        raise ValueError(
            f"set_num_threads: n must be from 1 to {_MOST}, not {wanted}; 1 keeps all work on the calling thread"
        )
    if kernels.native:
        kernels.native.set_num_threads(wanted)


def get_num_threads() -> int:
    """How many threads a large operation that starts here may use.

    Returns
    -------
    int
        The smallest of what :func:`set_num_threads`, ``OMP_NUM_THREADS``, the number of processors and threadpoolctl
        allow. It is 1 in a forked child, where the extension was built without OpenMP, and where numpy's references
        compute (whose own threads are not counted).
    """
    return int(kernels.native.get_num_threads()) if kernels.native else 1
