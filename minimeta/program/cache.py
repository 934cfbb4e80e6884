"""The programs of a compiled function, one for each signature.

A program takes memory, about 1 MB for a training step, so only the signatures that were used last
are kept. A function that is traced again and again has probably been given something that should
not be part of its signature, so a warning says in what two signatures differ.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from minimeta.errors import TracingError, user_line
from minimeta.program.signature import Signature, difference

T = TypeVar("T")

#: A function that was traced this often is warned of.
_MANY_TRACES = 8

#: So many signatures of a function are kept.
_MOST_SIGNATURES = 128


class Cache(Generic[T]):
    """What was made for each signature of a function; used by several threads at once.

    Parameters
    ----------
    name
        What a user calls the function.

    Attributes
    ----------
    lock
        Held while something is made. It may be taken again by the thread that holds it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.RLock()
        self._found: OrderedDict[Signature, T] = OrderedDict()  # the last used last
        self._forgets = False
        _caches.add(self)

    def __len__(self) -> int:
        return len(self._found)

    def get(self, signature: Signature, make: Callable[[Signature], T | None]) -> T | None:
        """Return what belongs to a signature, made if need be; None where it cannot be made.

        Raises
        ------
        TracingError
            The signature is not hashable.
        """
        try:
            found = self._found.get(signature)
        except TypeError as error:
            raise TracingError(
                f"{self.name}: {error}. Static fields of dataclasses are part of the signature, and must be hashable"
            ) from None
        if found is None:
            with self.lock:
                found = self._found.get(signature) or make(signature)
                if found is not None:
                    self._keep(signature, found)
        else:
            self._use(signature)
        return found

    def _use(self, signature: Signature) -> None:
        try:
            self._found.move_to_end(signature)
        except KeyError:  # Another thread has just forgotten it.
            return

    def _keep(self, signature: Signature, found: T) -> None:
        is_new = signature not in self._found
        self._found[signature] = found
        self._use(signature)
        if len(self._found) > _MOST_SIGNATURES:
            forgotten, _ = self._found.popitem(last=False)
            if not self._forgets:
                self._forgets = True
                self._warn(
                    f"more than {_MOST_SIGNATURES} signatures, so that those that were not used for the longest time "
                    "are forgotten, and traced again when they come back",
                    forgotten,
                    signature,
                )
        elif is_new and len(self._found) == _MANY_TRACES:
            before, last = list(self._found)[-2:]
            self._warn(f"{_MANY_TRACES} signatures", before, last)

    def _warn(self, what: str, one: Signature, other: Signature) -> None:
        warnings.warn(
            f"{self.name} has been traced for {what}. Two of them differ in {difference(one, other)}. Each costs a "
            "trace and memory: give arrays a common shape, and pass numbers that change as arguments that are not "
            f"static\n  at {user_line()}",
            RuntimeWarning,
            stacklevel=6,
        )


_caches: weakref.WeakSet[Cache[Any]] = weakref.WeakSet()


def _unlock() -> None:
    """Replace the locks in a forked child, where the thread that held one does not exist."""
    for cache in _caches:
        cache.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
