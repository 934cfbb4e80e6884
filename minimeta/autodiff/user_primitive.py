"""primitive: an operation of a user's own, and the check of all that its functions return.

It is made as the library's operations are (:mod:`~minimeta.autodiff.definition`), but stays out of
the registry, and runs its reference. The library's rules, shape rules and references are tested
beforehand; a user's are checked as they run, so that a mistake is an error that names it:

    shape rule    returns a form that can be computed, of params that are static
    reference     cannot write to its operands; has the form that the shape rule says
    rules         return cotangents of the operands' shapes, which take their dtypes
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta import kernels
from minimeta.autodiff import operations
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.definition import Operation, P, applying, operands_of
from minimeta.autodiff.primitive import LIBRARY, Primitive, Rule, Sample, registry
from minimeta.autodiff.promotion import COMPUTABLE, array_of
from minimeta.autodiff.protocols import found, full_name
from minimeta.errors import ConfigurationError, DtypeError, ShapeError


def primitive(
    *undecorated: Any,
    rules: Sequence[Rule | None] | Rule | None = None,
    shape: Callable[..., Any] | None = None,
    elementwise: bool = False,
    sample: Sample | None = None,
    answers: Any = (),
) -> Callable[[Callable[P, Any]], Operation[P]]:
    """Make a differentiable operation of a numpy function.

    The function is the specification: positional parameters are operands (numpy arrays when it is
    called), keyword-only parameters are static, that is hashable and not arrays. It cannot write to
    its operands, and returns an array of the form that ``shape`` says. If it also takes complex
    operands, choosing on real parts (``np.where(np.real(x) > 0, ...)``),
    :func:`minimeta.testing.check_gradients` is exact to rounding.

    Parameters
    ----------
    rules
        One function ``rule(cotangent, y, *operands, **params)`` for each operand, to the cotangent
        of that operand, written in operations, so that it can be differentiated again; None for an
        operand without a derivative. A single function returns a tuple, the cotangents of all
        operands; it is the only way if there can be any number of them. Without any, ``()``, the
        result is a constant. A cotangent has the shape of its operand, and is converted to its
        dtype.
    shape
        From the operands' forms (anything with ``shape`` and ``dtype``) and the params to the
        result's :class:`minimeta.Form`; raises :class:`minimeta.errors.ShapeError` for operands
        that do not fit. May be left out if the operation is elementwise.
    elementwise
        Whether operands are promoted to one float dtype and broadcast to one shape, which the
        result has too.
    sample
        Draws legal operands and params, for :func:`minimeta.testing.check_primitive`.
    answers
        The numpy function, or functions, that it stands in for when they are called on an Array. It
        must take numpy's arguments in numpy's way, and return what numpy does for every shape.

    Returns
    -------
    callable
        A decorator. The operation has its :class:`Primitive` as the attribute ``primitive``.

    Raises
    ------
    ConfigurationError
        There is no shape rule, an operation of this name or for this numpy function is there
        already, there are not as many rules as operands, or they do not take the operands.
    ShapeError, DtypeError
        (When called, or differentiated.) A rule, the shape rule or the function returns something
        else than it must; a parameter is not static.

    Examples
    --------
    >>> import numpy as np
    >>> import minimeta as mm
    >>> @mm.primitive(rules=(lambda g, y, x: -2.0 * g * x * y,), elementwise=True)
    ... def bell(x):
    ...     return np.exp(-x * x)
    >>> mm.grad(lambda x: mm.sum(bell(x)))(np.array([[0.0, 1.0]])).round(3)
    array([[-0.   , -0.736]])

    With a parameter, and a shape rule:

    >>> @mm.primitive(
    ...     shape=lambda x, axis: mm.Form(x.shape, x.dtype),
    ...     rules=(lambda g, y, x, axis: mm.flip(sum_to_the_end(mm.flip(g, axis), axis=axis), axis),),
    ... )
    ... def sum_to_the_end(x, *, axis):
    ...     return np.flip(np.cumsum(np.flip(x, axis), axis), axis)
    >>> mm.grad(lambda x: mm.sum(sum_to_the_end(x, axis=0) ** 2))(np.array([1.0, 2.0]))
    array([ 6., 10.])
    """
    if undecorated:
        raise ConfigurationError(
            "primitive: write it with parentheses, @primitive(rules=(...), shape=...): an operation needs its rules"
        )
    if not callable(rules) and not (isinstance(rules, (tuple, list)) and all(r is None or callable(r) for r in rules)):
        raise ConfigurationError(
            f"primitive: rules={rules!r} is no tuple of functions (or None, for an operand without a derivative); give "
            "one for each operand, one function for all, or () for a result that is a constant"
        )
    functions = tuple(answers) if isinstance(answers, (tuple, list)) else (answers,)
    if wrong := [f for f in functions if not callable(f)]:
        raise ConfigurationError(
            f"primitive: answers={wrong[0]!r} is no function of numpy's; give one, such as np.sinh"
        )

    def decorate(reference: Callable[P, Any]) -> Operation[P]:
        try:
            name, signature = reference.__name__, inspect.signature(reference)
        except (AttributeError, TypeError, ValueError):
            raise ConfigurationError(
                f"primitive: {reference!r} has no name or no signature; decorate a function that calls it, made by def"
            ) from None
        form = shape or (_same_form if elementwise else None)
        if form is None:
            raise ConfigurationError(
                f"primitive {name}: it needs shape=, a rule from the operands' forms to the result's, or "
                "elementwise=True"
            )
        _check_names(name, functions, reference)
        _check_signatures(name, signature, rules, form)
        form = _checked_shape(name, form, elementwise)
        # An operation of a page of the library may have a kernel in C++.
        page = reference.__module__ or ""  # None of what exec makes
        own = getattr(kernels.native, name, None) if page.startswith(LIBRARY) else None
        made = Primitive(
            name,
            shape=form,
            reference=reference,
            rules=_checked_rules(name, rules, operands_of(signature)),
            sample=sample or _unsampled(name),
            kernel=own or _checked_kernel(name, reference, form),
            elementwise=elementwise,
            scalar=elementwise,
            costly=own is not None,
            differentiable=callable(rules) or any(rules),
            analytic=False,
        )
        return applying(made, reference, functions)

    return decorate


def _same_form(*operands: Any, **params: Any) -> Any:
    return operands[-1]


def _unsampled(name: str) -> Sample:
    def sample(draw: Any) -> Any:
        raise ConfigurationError(f"primitive {name} has no sample=, a way to draw operands")

    return sample


# What is checked when an operation is defined


def _check_names(name: str, functions: Sequence[Any], reference: Callable[..., Any]) -> None:
    """Refuse a name, or a numpy function, that is taken; a cell of a notebook may run again."""
    operations.load_pages()
    if name in registry:
        raise ConfigurationError(f"primitive: there is an operation named {name!r} already; choose another name")
    for function in functions:
        known = found(function)
        if known is None or (known.__module__, known.__qualname__) == (reference.__module__, reference.__qualname__):
            continue
        if (known.__module__ or "").startswith(LIBRARY):
            raise ConfigurationError(f"primitive {name}: minimeta has an operation for {full_name(function)} already")
        raise ConfigurationError(
            f"primitive {name}: {known.__module__}.{known.__qualname__} answers {full_name(function)} already"
        )


def _check_signatures(name: str, signature: inspect.Signature, rules: Any, shape: Callable[..., Any]) -> None:
    """Refuse rules that are too few, too many, or do not take the operands and params."""
    operands = operands_of(signature)
    params = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    if taken := {"body", "tasks"}.intersection(params):
        raise ConfigurationError(
            f"primitive {name}: a parameter cannot be named {min(taken)!r}, as the program that a step runs is"
        )
    if operands is None:
        if rules and not callable(rules):
            raise ConfigurationError(
                f"primitive {name}: it takes any number of operands; give rules= one function that returns the "
                "cotangents of all, as a tuple"
            )
        return
    if not callable(rules) and rules and len(rules) != len(operands):
        raise ConfigurationError(
            f"primitive {name}: {len(rules)} rules for {len(operands)} operands; give one for each (None where "
            "there is no derivative), or one function for all"
        )
    functions = [("a rule", r, ("cotangent", "y", *operands)) for r in ((rules,) if callable(rules) else rules) if r]
    for what, function, arguments in [*functions, ("shape", shape, operands)]:
        try:
            inspect.signature(function).bind(*arguments, **dict.fromkeys(params))
        except TypeError as error:
            call = ", ".join([*arguments, *[f"{p}={p}" for p in params]])
            raise ConfigurationError(f"primitive {name}: {what} is called with ({call}), but {error}") from None
        except ValueError:  # A function of C's has no signature.
            continue


# What is checked when its functions return


def _checked_rules(name: str, rules: Any, operands: Sequence[str] | None) -> tuple[Rule | None, ...] | Rule:
    """Return rules whose cotangents have the shapes and the dtypes of their operands."""

    def one(position: int, rule: Rule) -> Rule:
        def checked(g: Any, y: Any, /, *xs: Array, **params: Any) -> Any:
            return _cotangent(name, operands, position, xs[position], rule(g, y, *xs, **params))

        return checked

    def all_at_once(g: Any, y: Any, /, *xs: Array, **params: Any) -> Any:
        found = rules(g, y, *xs, **params)
        if not isinstance(found, (tuple, list)) or len(found) != len(xs):
            number = f"{len(found)} of them" if isinstance(found, (tuple, list)) else f"a {type(found).__name__}"
            raise ShapeError(f"{name}: its rule must return a tuple of {len(xs)} cotangents, not {number}")
        return [_cotangent(name, operands, i, x, g) for i, (x, g) in enumerate(zip(xs, found, strict=True))]

    return all_at_once if callable(rules) else tuple([rule and one(i, rule) for i, rule in enumerate(rules)])


def _cotangent(name: str, operands: Sequence[str] | None, position: int, x: Array, g: Any) -> Array | None:
    """Return the cotangent that a rule gave an operand, of the operand's shape and dtype."""
    operand = operands[position] if operands else f"operand {position}"
    if g is None:
        return None
    if isinstance(g, (tuple, list)):
        raise ShapeError(
            f"{name}: the rule for {operand} returned a {type(g).__name__}; it must return one array, the cotangent of "
            f"{operand}, of shape {x.shape}"
        )
    cotangent = array_of(g)
    if cotangent.shape != x.shape:
        raise ShapeError(
            f"{name}: the rule for {operand}, of shape {x.shape}, returned a cotangent of shape {cotangent.shape}"
        )
    if x.dtype.kind not in "fc":
        return None
    return array_of(cotangent, x.dtype)


def _checked_shape(name: str, shape: Callable[..., Any], elementwise: bool) -> Callable[..., Form]:
    """Return a shape rule whose result can be computed, and whose params are static."""

    def checked(*operands: Any, **params: Any) -> Form:
        for param, value in params.items():
            _check_static(name, param, value)
        found = shape(*operands, **params)
        if not hasattr(found, "shape") or not hasattr(found, "dtype"):
            raise ShapeError(f"{name}: its shape= returned {found!r}; return minimeta.Form(shape, dtype)")
        form: Any = Form.of(found)
        if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in form.shape):
            raise ShapeError(f"{name}: its shape= returned the shape {form.shape}; sides are integers from 0 on")
        if form.dtype not in COMPUTABLE and (form.dtype.kind != "c" or all(x.dtype.kind != "c" for x in operands)):
            raise DtypeError(
                f"{name}: its shape= returned the dtype {form.dtype.name}; float32, float64, integers and bool compute"
            )
        if elementwise and form.shape != operands[-1].shape:
            raise ShapeError(
                f"{name}: its shape= returned the shape {form.shape}, but it is elementwise, of operands of shape "
                f"{operands[-1].shape}"
            )
        return form  # type: ignore[no-any-return]

    return checked


def _check_static(name: str, param: str, value: Any) -> None:
    """Refuse a param that a compiled program could not be looked up by."""
    if isinstance(value, (Array, np.ndarray)):
        raise DtypeError(f"{name}: {param} is static, and cannot be an array; make it a positional operand")
    try:
        hash(value)
    except TypeError:
        raise DtypeError(
            f"{name}: {param} is static, so it must be hashable, and a {type(value).__name__} is not; pass a tuple, or "
            "make it a positional operand"
        ) from None


def _checked_kernel(
    name: str, reference: Callable[..., Any], shape: Callable[..., Form]
) -> Callable[..., NDArray[Any]]:
    """Make a kernel of a reference, which cannot write to its operands and must have the stated
    form.
    """

    def kernel(*values: Any, **params: Any) -> NDArray[Any]:
        form = shape(*values, **params)
        operands = [np.asarray(value).view() for value in values]
        for operand in operands:
            operand.flags.writeable = False
        with np.errstate(all="ignore"):
            result = np.array(reference(*operands, **params), order="C")
        if result.shape != form.shape:
            raise ShapeError(f"{name}: it returned shape {result.shape}, but {form.shape} by its shape rule")
        if result.dtype != form.dtype:
            raise DtypeError(
                f"{name}: it returned dtype {result.dtype.name}, but {form.dtype.name} by its shape rule; "
                "convert it with astype"
            )
        return result

    return kernel
