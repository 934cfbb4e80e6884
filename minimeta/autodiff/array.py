"""Array: a value and how it was computed.

Every differentiable computation is a straight line of operations, ``y = p(x1, ..., xn)``. An
``Array`` holds one ``y`` together with ``p`` (its primitive), the ``x`` (its inputs) and the static
parameters of the call. Following the inputs back gives the computation's graph, and that one graph
serves three times:

- with values, it is the **tape** that the backward pass walks (:mod:`minimeta.autodiff.derivatives`);
- with shapes and dtypes in place of values (*abstract* Arrays), it is a **trace** of the function;
- sorted by the order of creation, the trace is a **program** (:mod:`minimeta.program`).

Recording follows values and not a global switch: an Array remembers its inputs only if it depends
on an argument of a transformation that is still open. Everything else is *detached*, a value and
nothing more. An Array lives inside transformations; outside of them users only meet numpy arrays.
"""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff.methods import Methods
from minimeta.autodiff.operators import Operators
from minimeta.autodiff.protocols import ANSWERS
from minimeta.autodiff.statements import is_assignment_of_element
from minimeta.errors import ShapeError, TracingError

if TYPE_CHECKING:
    from minimeta.autodiff.primitive import Primitive

Shape: TypeAlias = tuple[int, ...]
ArrayLike: TypeAlias = "Array | NDArray[Any] | float | Sequence[Any]"

#: What an operation returns: an Array inside a transformation, a numpy.ndarray outside of all. Both
#: answer to the same operators and numpy functions, so code is written once; the type checker
#: cannot tell which one it is.
Value: TypeAlias = Any

# An id is a moment: whatever has a smaller one existed before. Detached Arrays have id 0 and so
# precede every walk.
moments = itertools.count(1)


class Trace:
    """One run of a user's function under a transformation.

    Attributes
    ----------
    moment
        When it began; of two open traces the older is the outer one.
    open
        Whether the function is still running, so that operations on its Arrays are recorded.
    held
        Whether a numpy array has come to hold its Arrays (:mod:`minimeta.autodiff.elements`).
    """

    __slots__ = ("held", "moment", "open")

    def __init__(self) -> None:
        self.moment = next(moments)
        self.open = True
        self.held = False


class Form:
    """The shape and dtype of a value; while tracing, it stands in place of the value."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @classmethod
    def of(cls, value: Any) -> Form:
        """Return the form of an array, an Array or another form."""
        return cls(value.shape, value.dtype)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


def is_float(x: Any) -> bool:
    """Return whether an array, an Array, a form or a number is of floats, so differentiable."""
    dtype = getattr(x, "dtype", None)
    return isinstance(x, float) if dtype is None else bool(dtype.kind == "f")


class Origin(NamedTuple):
    """Where a value of a traced function comes from; it prints as the end of an error message.

    Attributes
    ----------
    line
        The user's line that computed it, as :func:`minimeta.errors.user_line` has it; empty if
        there is none.
    backward
        In how many backward passes it was computed: 0 forward, 1 in that of the line, 2 in the
        backward pass of that one.
    derived
        In a backward pass, the operation whose derivative it belongs to.
    """

    line: str
    backward: int = 0
    derived: str = ""

    def __str__(self) -> str:
        return f"{'in the backward pass of' if self.backward else 'at'} {self.line}" if self.line else ""


#: The origin of what no user's line computed.
NOWHERE = Origin("")


_NOT_TAKEN_IN = (
    "A numpy array cannot take an Array in: collect a list of Arrays and np.stack it, or write x = "
    "minimeta.at(x)[...].set(v)"
)


class Array(Operators, Methods):
    """A value inside a transformation; it behaves as a numpy array that cannot be written to.

    An in-place operator binds a name to a new Array, and is refused where numpy would change what
    somebody else sees (:mod:`~minimeta.autodiff.in_place`). Numbers that arithmetic returns are
    numpy's scalars.

    Attributes
    ----------
    value : numpy.ndarray or Form
        The value, or its shape and dtype alone.
    weak : bool
        Whether it came from a Python scalar, which takes the dtype of what it meets.
    transformation : Trace or None
        The outermost open transformation that it depends on; None if it is detached.
    id : int
        The moment of its creation; 0 if it is detached.
    primitive, inputs, params
        How it was computed. An argument has no inputs, and neither has a detached value that is
        no view of another.
    origin : Origin
        Where it was computed. Only Arrays that were traced have this attribute: an eager operation
        does not look.
    shown : bool
        Present where numpy shows these elements in the memory that they were gathered from, as a
        window that slides.
    """

    __slots__ = (
        *("__weakref__", "id", "inputs", "origin", "params", "primitive", "shown", "transformation"),
        *("value", "weak"),
    )

    origin: Origin
    shown: bool

    # The comparison operators work element by element, so an Array cannot be a dictionary's key.
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        value: Any,
        weak: bool = False,
        transformation: Trace | None = None,
        id: int = 0,
        primitive: Primitive | None = None,
        inputs: tuple[Array, ...] = (),
        params: dict[str, Any] | None = None,
    ) -> None:
        self.value = value
        self.weak = weak
        self.transformation = transformation
        self.id = id
        self.primitive = primitive
        self.inputs = inputs
        self.params = params

    # What it looks like

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        shape: Shape = self.value.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        dtype: np.dtype[Any] = self.value.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.value.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.value.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TracingError("len() of an Array of shape (): it has no axis to count along")
        return self.shape[0]

    def __repr__(self) -> str:
        if type(self.value) is Form:
            return f"Array({self.value!r})"
        return f"Array({self.value!r})" if self.transformation is None else f"Array({self.value!r}, traced)"

    def __format__(self, specification: str) -> str:
        """Format a known number as Python's own; while tracing, show the shape and dtype."""
        if specification and type(self.value) is not Form:
            return format(self.value.item() if self.shape == () else self.value, specification)
        return str(self)

    # It never changes, so a copy is the Array itself, with the same place in the graph.

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: object) -> Array:
        return self

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        if self.transformation is None and type(self.value) is not Form:
            return Array, (self.value, self.weak)
        raise TracingError(
            f"pickling an Array of shape {self.shape}: how it was computed would be lost, and with it the derivative. "
            "Return it from the function (has_aux=True) and pickle the numpy array that comes out, or pickle the "
            "constant stop_gradient(x)"
        )

    # What cannot be done with it, and what to do instead

    def __setitem__(self, key: object, value: object) -> None:
        raise TracingError(
            f"x[...] = v on an Array of shape {self.shape}: Arrays cannot be changed in place, because the backward "
            "pass needs the value that was there. Write x = minimeta.at(x)[...].set(v), or .add(v) for x[...] += v"
        )

    def _scalar(self, what: str, hint: str = "") -> NDArray[Any]:
        """Return the one element, if it is known; a hint ends the error otherwise."""
        if self.size != 1:
            raise ShapeError(f"{what} of an Array of shape {self.shape}: it needs exactly one element")
        if type(self.value) is Form:
            raise TracingError(
                f"{what} of an Array while tracing: its value is not known, only {self.value!r}. Choose element by "
                f"element with where(condition, a, b), or pass what decides as a static Python argument{hint}"
            )
        value: NDArray[Any] = self.value
        return value

    def __bool__(self) -> bool:
        # A branch is piecewise constant: on a known value it is taken like any other, and loses no
        # derivative. numpy asks, too, where it orders the elements of a list of Arrays.
        return bool(self._scalar("the truth value", "; if numpy asked, of a list of Arrays, join them with np.stack"))

    def _constant(self, what: str, constant: str) -> NDArray[Any]:
        """Return the value, if taking it out of the graph loses no derivative."""
        if type(self.value) is Form:
            raise TracingError(
                f"{what} of an Array while tracing: its value is not known, only {self.value!r}. Return it from the "
                "function, or pass what decides as a static Python argument"
            )
        if self.transformation is not None and self.dtype.kind == "f":
            raise TracingError(
                f"{what} of an Array that is being differentiated: the derivative would be lost. Keep it an Array (it "
                f"prints as f'{{x:.3f}}'), or say that it is a constant: {constant}"
            )
        value: NDArray[Any] = self.value
        return value

    def __float__(self) -> float:
        # numpy asks for a number in y[i] = x, and hides what is said here behind an error of its
        # own.
        self._scalar("float()", f". {_NOT_TAKEN_IN}")
        return float(self._constant("float()", f"float(stop_gradient(x)). {_NOT_TAKEN_IN}").item())

    def __int__(self) -> int:
        self._scalar("int()")
        return int(self._constant("int()", "int(stop_gradient(x))").item())

    def item(self, *place: Any) -> Any:
        """Return one element as a Python number: the only one, or that at a place."""
        if not place:
            self._scalar("item()")
        return self._constant("item()", "stop_gradient(x).item()").item(*place)

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._constant("tolist()", "stop_gradient(x).tolist(); list(x) is a list of Arrays").tolist()

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TracingError(f"an Array of dtype {self.dtype.name} as an index: indices must be integers")
        return int(self)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self.transformation is None and type(self.value) is np.ndarray:
            return np.array(self.value, dtype)  # Detached, as after stop_gradient: nothing is lost.
        if dtype is None or np.dtype(dtype) == np.dtype(object):
            from minimeta.autodiff.elements import elements  # noqa: PLC0415 (it stands on Arrays)

            return elements(self, own=copy is True)
        if is_assignment_of_element(sys._getframe(1)):
            raise TracingError(f"x[...] = v of a numpy array x and an Array v of shape {self.shape}. {_NOT_TAKEN_IN}")
        conversion = (
            f"an Array of shape {self.shape} was about to become a numpy array (np.asarray, out=, or a function that "
            "calls them, as np.mean of np.array([x0, x1]) does: join Arrays with np.stack([x0, x1]) instead)"
        )
        if type(self.value) is Form:
            raise TracingError(
                f"{conversion} while tracing: its value is not known. Use minimeta's function of the same name, or "
                "compute with numpy outside and pass the result in"
            )
        raise TracingError(
            f"{conversion}, which would lose its derivative. Use minimeta's function of the same name, return the "
            "value from the function (has_aux=True), or say that it is a constant: np.asarray(stop_gradient(x))"
        )

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """Hand a copy of the value to another library, by the DLPack protocol."""
        constant = "np.asarray(stop_gradient(x))"
        value = np.array(self._constant("__dlpack__()", constant))
        return value.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # The CPU.

    def __complex__(self) -> complex:
        self._scalar("complex()")
        return complex(self._constant("complex()", "complex(stop_gradient(x))").item())

    def __getitem__(self, key: Any) -> Value:
        return ANSWERS[operator.getitem](self, key)

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))
