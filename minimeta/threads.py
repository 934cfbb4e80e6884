"""The number of threads that a large operation may use, and the distance of their cores.

Work is split over independent outputs and never inside a sum, so the number of threads does not
change a bit of any result. Small operations run on the calling thread. So does everything in a
forked child, because threads do not survive a fork.
"""

import math
import operator

from minimeta import kernels

_MOST = 1024


def set_num_threads(n: int) -> None:
    """Let large operations use at most ``n`` threads, in the whole process.

    Until this is called, the limit is OpenMP's: ``OMP_NUM_THREADS`` if it is set, and otherwise the
    number of processors that this process may use. Afterwards the smaller of the two limits holds,
    so a limit that threadpoolctl lowers stays low. If ``n`` exceeds OpenMP's limit for the calling
    thread, that limit is raised: this call overrides the environment.

    Parameters
    ----------
    n
        The number of threads, from 1 to 1024. With 1, the calling thread does all the work.

    Raises
    ------
    TypeError
        If ``n`` is not a whole number.
    ValueError
        If ``n`` is not between 1 and 1024.

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
    """Return the number of threads that a large operation may use if it starts here.

    Returns
    -------
    int
        The smallest of the limits set by :func:`set_num_threads`, ``OMP_NUM_THREADS``, the number
        of processors and threadpoolctl. It is 1 in a forked child, and when numpy's references
        compute (numpy's own threads are not counted).
    """
    return int(kernels.native.get_num_threads()) if kernels.native else 1


def round_trip() -> float:
    """Measure how far the core of another thread is: the time of a cache line's way to it and back.

    Cores that share a cache have 70 to 100 ns, those of two chiplets or sockets 300 and more. There
    a second thread helps less, because what one core has written comes more slowly to the other.
    The system moves threads, and a host its virtual machines, so it may change.

    Returns
    -------
    float
        Nanoseconds, the least of several bursts. It is infinite if there is no second thread, or
        none that had a core to answer within 20 ms.
    """
    return kernels.native.round_trip() if kernels.native else math.inf
