"""compile: a function that is traced once and replayed ever after.

What a pure function of arrays computes, as a list of instructions, depends on the *signature* of
its arguments alone: the form of their trees, the shapes and dtypes of the leaves, and the values of
arguments that are declared static. So there is one program for each signature ``s``, and

    f(x) = program[s(x)](x)

with the same bits. The program is written down at the first call with a signature by running ``f``
on abstract Arrays, and later calls run the program alone, without ``f``. Anything else that ``f``
does (printing, drawing random numbers, reading a variable) happens when it is traced, and not
again.

A Python scalar has a place in the signature by its type, so its value may change. It stays *weak*:
it takes the dtype of what it meets, as it does in an eager run.

Inside another transformation (an argument is an Array, or the function takes one by closure) there
is nothing to replay: the function itself runs, and its operations belong to the outer trace. Around
it a transformation gives another compiled function, ``grad(compile(f)) = compile(grad(f))``.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.arguments import Function
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.promotion import constant
from minimeta.autodiff.results import settle
from minimeta.autodiff.transformed import check_function, namesake
from minimeta.errors import LinearAlgebraError, TracingError
from minimeta.program.cache import Cache
from minimeta.program.executor import Call, explained
from minimeta.program.family import Method, Transformation
from minimeta.program.finite import run_finite
from minimeta.program.passes import GROUPING, PASSES, known
from minimeta.program.profile import Profile, summarised
from minimeta.program.program import Traced
from minimeta.program.purity import refuse_two_results
from minimeta.program.replayable import Replayable, Stats
from minimeta.program.signature import SCALARS, Arguments, Signature, Static, static_places


class Settings(TypedDict, total=False):
    """How to compile a function; :func:`compile` says what each setting does."""

    static: Static
    enabled: bool
    check: bool
    check_finite: bool
    passes: Collection[str]


@overload
def compile(function: Function, **settings: Unpack[Settings]) -> Compiled: ...


@overload
def compile(function: None = None, **settings: Unpack[Settings]) -> Callable[[Function], Compiled]: ...


def compile(
    function: Function | None = None, **settings: Unpack[Settings]
) -> Compiled | Callable[[Function], Compiled]:
    """Return a function that is traced at its first call with a signature, and replayed afterwards.

    Parameters
    ----------
    function
        A pure function of trees of arrays to a tree of arrays. Left out, the result is a decorator.
        What is not an argument is a constant, copied when the function is traced: later changes of
        it are not seen.
    static
        (By default none.) Names or positions of arguments that are Python values and no arrays:
        sizes, flags, functions, a method's ``self``. They must be hashable, and stay as they are;
        each new value is a new signature. Of more than 128 signatures those that were not used for
        the longest time are forgotten, and traced again when they come back.
    enabled
        (By default True.) With False the function runs eagerly on the same arguments, to look
        inside it. The bits are the same.
    check
        (By default False.) Whether to trace twice, and refuse a function whose two programs differ;
        with ``enabled=False``, whether to run it twice on the first arguments of each signature,
        and refuse it if the results differ.
    check_finite
        (By default False.) Whether everything that a program reads and computes must be finite: the
        first NaN or infinity is a NonFiniteError that names the operation and the user's line. To
        find one, not to train with: it takes longer.
    passes
        (By default all.) What makes the program shorter, by name (:mod:`minimeta.program.passes`).
        None of them changes a bit.

    Returns
    -------
    Compiled
        Of the same arguments. A transformation of it (``grad``, ``vjp``, ``vmap``, ...) is compiled
        too, once for each set of options, with the same settings.

    Raises
    ------
    ConfigurationError
        An unknown pass.

    Examples
    --------
    >>> import numpy as np
    >>> @compile
    ... def step(w, rate):
    ...     return w - rate * grad(lambda w: sum(w**2))(w)
    >>> step(np.ones(2, np.float32), 0.25)
    array([0.5, 0.5], dtype=float32)
    >>> print(step.lower(np.ones(2, np.float32), 0.25))  # doctest: +ELLIPSIS
    program step(w: float32[2], rate: float64[]):
      ...
    """
    made = functools.partial(Compiled, **settings)
    return made if function is None else made(function)


class Compiled:
    """A compiled function; made by :func:`compile`.

    It is called like the function, with numpy arrays of any layout and Python scalars, and returns
    fresh arrays. It may be called from several threads at once, is a method where a function would
    be, and pickles by its name, or as its function does.
    """

    def __init__(
        self,
        function: Function,
        *,
        static: Static = (),
        enabled: bool = True,
        check: bool = False,
        check_finite: bool = False,
        passes: Collection[str] = PASSES,
    ) -> None:
        check_function("compile", function)
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._name = str(getattr(function, "__qualname__", repr(function)))
        self._like = functools.partial(
            Compiled, static=static, enabled=enabled, check=check, check_finite=check_finite, passes=passes
        )
        self._static = static_places(function, static)
        self._enabled = enabled
        self._check = check
        self._pure: set[Signature] = set()  # that were run twice, eagerly
        self._check_finite = check_finite
        # Inside of a group no result can be looked at.
        self._passes = tuple(name for name in known(passes) if not (check_finite and name in GROUPING))
        self._cache: Cache[Replayable] = Cache(self._name)
        self._latest: Call | None = None
        self._transformed: dict[Any, Compiled] = {}
        self._bound: Callable[[Compiled, Any], Any] = types.MethodType
        # For pickle: the function and what transformed it. (The one that it was made from holds
        # this one.)
        self._origin: tuple[Function, tuple[Transformation, ...]] = function, ()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The function's value.

        Raises
        ------
        TracingError
            The function needs a value that is not known while tracing, is impure (``check=True``),
            or was given a random generator or a static argument that is not hashable.
        DtypeError
            A leaf that is no array of numbers.
        NonFiniteError
            With ``check_finite=True``: a leaf or a result is NaN or infinite.
        IndexingError
            An index is out of range. The function is then run eagerly, once, to say which.
        """
        # Nearly always a call is like the one before it, and that is seen without taking it apart
        # in Python.
        latest = self._latest
        if latest is not None:
            try:
                output = latest(arguments, keywords)
            except (IndexError, LinearAlgebraError):
                output = NotImplemented  # Once more below, to be explained.
            if output is not NotImplemented:
                return output
        taken = Arguments.of(arguments, keywords, self._static)
        if Array in map(type, taken.leaves):
            return self._function(*arguments, **keywords)
        values, signature = taken.read()
        if not self._enabled:
            output = _eagerly(self._function, signature, values)
            if self._check and signature not in self._pure:
                again = _eagerly(self._function, signature, values)
                function = signature.function_of_trees(self._function)
                refuse_two_results(self._name, output, again, function, signature.abstract_trees())
                self._pure.add(signature)
            return output
        replayable = self._replayable(signature)
        if replayable is None:
            return self._function(*arguments, **keywords)
        executable = replayable.executable
        try:
            if self._check_finite:
                outputs = run_finite(executable, values, self._name, replayable.program.names)
            else:
                outputs = executable.run(values)
                self._latest = replayable.call
        except (IndexError, LinearAlgebraError) as error:
            raise explained(error, lambda: _eagerly(self._function, signature, values)) from None
        return tree.unflatten(replayable.program.output, outputs)

    def transformed_by(self, function: Any, transform: Callable[..., Function], *options: Any, **named: Any) -> Any:
        """Transform this function, or a method that it is, into a compiled one.

        Parameters
        ----------
        function
            This function, or one of its bound methods.
        transform, *options, **named
            As in :func:`minimeta.autodiff.derivatives.transformation`.

        Returns
        -------
        Compiled, or a bound method of one
            The same for equal options.
        """
        is_method = function is not self
        transformed = self._transformed_by(Transformation(transform, is_method, options, named))
        return Method(transformed, function.__self__) if is_method else transformed

    def _transformed_by(self, change: Transformation) -> Compiled:
        key = change.key()
        with self._cache.lock:
            if key not in self._transformed:
                made = self._like(change.of(self._function, self._static))
                made._name = made._cache.name = change.name(self._name)
                function, changes = self._origin
                made._origin = function, (*changes, change)
                self._transformed[key] = made
        return self._transformed[key]

    def lower(self, *arguments: Any, **keywords: Any) -> Traced:
        """Return the program for these arguments, whose values are not used, without running it.

        Parameters
        ----------
        *arguments, **keywords
            As in a call; a leaf may also be an :class:`~minimeta.autodiff.array.Form`.

        Returns
        -------
        Traced
            Of the arguments, ``None`` in place of static ones; keywords, if any, are a dict at the
            end.
        """
        return self._ahead_of_time(arguments, keywords).program

    def stats(self, *arguments: Any, **keywords: Any) -> Stats:
        """Return what it took to compile for these arguments, which are those of :meth:`lower`."""
        return self._ahead_of_time(arguments, keywords).stats

    def profile(self, *arguments: Any, runs: int = 10, **keywords: Any) -> Profile:
        """Measure where the time goes, by kind of instruction and by the user's line.

        Parameters
        ----------
        *arguments, **keywords
            As in a call.
        runs
            Over how many runs the time is averaged, after one that is not counted.

        Raises
        ------
        TracingError
            There are no native kernels to watch.
        """
        values, signature = Arguments.of(arguments, keywords, self._static).read()
        executable = self._found(signature).executable
        if not executable.native:
            raise TracingError(f"profile: {self._name} runs in Python here, step by step")
        times = [executable.watch(values, check_finite=False)[1] for _ in range(runs + 1)][1:]
        return summarised(executable.instructions, functools.reduce(_added, times), runs)

    def __repr__(self) -> str:
        count = len(self._cache)
        return f"<compiled {self._name}, {count} signature{'s' * (count != 1)}>"

    def __set_name__(self, owner: type, name: str) -> None:
        if name != getattr(self, "__name__", None):
            self._bound = Method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._bound(self, instance)

    def __reduce__(self) -> Any:
        function, changes = self._origin
        found = namesake(function)
        is_named = isinstance(found, Compiled) and found._function is function
        if not changes:
            return self.__qualname__ if found is self else (self._like, (function,))
        return functools.reduce, (Compiled._transformed_by, changes, found if is_named else self._like(function))

    def _replayable(self, signature: Signature) -> Replayable | None:
        return self._cache.get(signature, self._make)

    def _make(self, signature: Signature) -> Replayable | None:
        return Replayable.of(self._function, self._name, signature, self._passes, self._check)

    def _ahead_of_time(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Replayable:
        taken = Arguments.of(arguments, keywords, self._static)
        leaves = [np.empty(x.shape, x.dtype) if isinstance(x, (Form, Array)) else x for x in taken.leaves]
        return self._found(taken._replace(leaves=leaves).read()[1])

    def _found(self, signature: Signature) -> Replayable:
        replayable = self._replayable(signature)
        if replayable is None:
            raise TracingError(
                f"{self._name} uses an Array of an outer transformation by closure, so it has no program of "
                "its own; pass the Array in as an argument"
            )
        return replayable


def _eagerly(function: Function, signature: Signature, values: Sequence[NDArray[Any]]) -> Any:
    """Run the same operations one by one on Arrays."""
    arrays = [Array(value, form in SCALARS) for form, value in zip(signature.forms, values, strict=True)]
    output = signature.function_of_trees(function)(*signature.trees(arrays))
    return tree.map(lambda y: settle(y if type(y) is Array else constant(y)), output)


def _added(times: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Add two rows of times, and those inside of them."""
    pairs = zip(times, others, strict=True)
    return [(a + b, None if inside is None else _added(inside, also)) for (a, inside), (b, also) in pairs]
