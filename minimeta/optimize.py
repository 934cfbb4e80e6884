"""Minimising a function of a tree by scipy's methods, with exact derivatives.

    minimise f(p)  subject to  low <= p <= high,  low_k <= g_k(p) <= high_k

scipy knows vectors: the leaves of ``p`` are joined to one ``v``, and what scipy asks of ``v`` is
computed in compiled programs:

    value and gradient       one program
    H(v) u                   one program: forward over backward, the cost of a few gradients
    J_k(v),  sum_j u_j H_j   of each constraint, the latter for trust-constr alone

scipy is an extra (``pip install 'minimeta[scipy]'``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import grad, jvp, tree, value_and_grad
from minimeta.autodiff import operations as ops
from minimeta.errors import ConfigurationError, DtypeError, MissingExtraError, ShapeError
from minimeta.program import compile, jacobian

__all__ = ["Constraint", "Minimum", "minimize"]

#: What each method is given with the function; scipy warns of what it does not use.
_WITHOUT_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
_WITH_PRODUCTS = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})
_WITH_HESSIAN = frozenset({"dogleg", "trust-exact"})
_METHODS = _WITHOUT_GRADIENT | _WITH_PRODUCTS | _WITH_HESSIAN | {"bfgs", "cg", "l-bfgs-b", "slsqp", "tnc"}


class Constraint(NamedTuple):
    """``low <= function(parameters, *arguments) <= high``, element by element.

    Attributes
    ----------
    function
        Of the parameters and the arguments of the objective, to a tree of arrays.
    low, high
        Numbers, or trees like what the function returns; an equality where they are equal.
    """

    function: Callable[..., Any]
    low: Any = -np.inf
    high: Any = np.inf


@dataclass(frozen=True)
class Minimum:
    """What a minimisation found.

    Attributes
    ----------
    parameters
        A tree like the initial one.
    value
        Of the function there.
    gradient
        A tree like the parameters.
    success
        Whether the method ended as it should.
    message
        Why it ended.
    iterations, evaluations
        How many iterations it took, and how often the function was computed.
    result
        What scipy returned.
    """

    parameters: Any
    value: float
    gradient: Any
    success: bool
    message: str
    iterations: int
    evaluations: int
    result: Any


def minimize(
    function: Callable[..., Any],
    initial: Any,
    arguments: Sequence[Any] = (),
    *,
    method: str | None = None,
    bounds: tuple[Any, Any] | None = None,
    constraints: Sequence[Constraint] = (),
    tolerance: float | None = None,
    options: dict[str, Any] | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> Minimum:
    """Minimise a function of a tree of floats, by :func:`scipy.optimize.minimize`.

    Parameters
    ----------
    function
        Of the parameters and the arguments, to one float of shape ``()``.
    initial
        A tree of floats, where the method begins.
    arguments
        What else the function takes; it is not optimised.
    method
        scipy's name of it. By default BFGS, with bounds L-BFGS-B, and with constraints SLSQP.
        Newton-CG and the trust-region methods are given exact products with the Hessian.
    bounds
        The lowest and the highest parameters: each None, a number, or a tree like the initial one,
        whose leaves may be None, numbers, or arrays of the leaf's shape.
    constraints
        For SLSQP and trust-constr (with exact derivatives), COBYLA and COBYQA.
    tolerance, options
        scipy's ``tol`` and ``options``.
    callback
        Called with the parameters after each iteration.

    Returns
    -------
    Minimum

    Raises
    ------
    MissingExtraError
        scipy is not installed.
    DtypeError
        A leaf is not of floats.
    ConfigurationError
        There is nothing to vary, no such method, or limits, constraints or arguments are no such thing.
    ShapeError
        Bounds or limits do not fit; the message names the leaf.

    Examples
    --------
    >>> import numpy as np
    >>> import minimeta as mm
    >>> rosenbrock = lambda p: (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = mm.optimize.minimize(rosenbrock, {"x": -1.0, "y": 2.0}, method="trust-ncg")
    >>> print(found.success, *("%.5f" % x for x in found.parameters.values()))
    True 1.00000 1.00000
    """
    try:
        from scipy import optimize  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtraError("minimize needs scipy: pip install 'minimeta[scipy]'") from error
    initial = tree.map(_floats, initial)
    vector, unravel = tree.ravel(initial)
    start = np.asarray(vector, np.float64)
    name = str(method or ("SLSQP" if constraints else "L-BFGS-B" if bounds is not None else "BFGS")).lower()
    _refuse_other_settings(name, start, arguments, constraints)

    def flat(v: Any, *rest: Any) -> Any:
        return function(unravel(v), *rest)

    value_and_gradient = compile(value_and_grad(flat))
    product = compile(_product(flat))
    given: dict[str, Any] = {"jac": name not in _WITHOUT_GRADIENT}
    if name in _WITH_PRODUCTS:
        given["hessp"] = lambda v, u, *rest: np.asarray(product(v, u, *rest), np.float64)
    if name in _WITH_HESSIAN:
        of_gradient = compile(jacobian(grad(flat)))
        given["hess"] = lambda v, *rest: np.asarray(of_gradient(v, *rest), np.float64)
    if bounds is not None:
        given["bounds"] = optimize.Bounds(*_limits(bounds, initial, "bounds"))
    if constraints:
        given["constraints"] = [
            _as_scipys(optimize, each, i, unravel, start, tuple(arguments), name) for i, each in enumerate(constraints)
        ]

    def objective(v: NDArray[np.float64], *rest: Any) -> Any:
        value, gradient = value_and_gradient(v, *rest)
        return (float(value), np.asarray(gradient, np.float64)) if given["jac"] else float(value)

    if callback is not None:

        def follow(v: NDArray[np.float64], *_: Any) -> None:  # True would end trust-constr.
            callback(unravel(np.array(v)))

        given["callback"] = follow
    found = optimize.minimize(
        objective, start, tuple(arguments), method=method, tol=tolerance, options=options, **given
    )
    value, gradient = value_and_gradient(found.x, *arguments)
    return Minimum(
        tree.map(np.asarray, unravel(np.asarray(found.x))),
        float(value),
        tree.map(np.asarray, unravel(np.asarray(gradient))),
        bool(found.success),
        str(found.message),
        int(found.get("nit", 0)),
        int(found.nfev),
        found,
    )


def _product(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function ``H(v) u`` of ``v``, ``u`` and the rest."""
    slope = grad(function)
    return lambda v, u, *rest: jvp(lambda v: slope(v, *rest), (v,), (u,))[1]


def _refuse_other_settings(name: str, start: NDArray[Any], arguments: Any, constraints: Any) -> None:
    if not start.size:
        raise ConfigurationError("minimize: the initial parameters have no elements, so there is nothing to vary")
    if name not in _METHODS:
        raise ConfigurationError(f"minimize: there is no method {name!r}; there are {', '.join(sorted(_METHODS))}")
    if not isinstance(arguments, tuple | list):
        raise ConfigurationError(
            f"minimize: arguments is a {type(arguments).__name__}, and should be a tuple of what the function takes "
            "after the parameters, as in arguments=(x, y)"
        )
    if isinstance(constraints, Constraint) or not all(isinstance(each, tuple) for each in constraints):
        raise ConfigurationError("minimize: constraints must be a list of Constraint(function, low, high)")


def _floats(x: Any) -> NDArray[Any]:
    found: NDArray[Any] = np.asarray(x)
    if found.dtype.kind != "f":
        raise DtypeError(
            f"minimize: a leaf has dtype {found.dtype.name}, and only floats vary; pass what is fixed in "
            "arguments=(...)"
        )
    return found


def _limits(limits: Any, like: Any, what: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lowest and the highest values of a tree as vectors."""
    if not isinstance(limits, tuple) or len(limits) != 2:
        raise ConfigurationError(f"minimize: {what}={limits!r} must be a pair, the lowest and the highest values")
    leaves, structure = tree.flatten(like)
    names = tree.paths(like)
    vectors = []
    for limit, infinity in zip(limits, (-np.inf, np.inf), strict=True):
        parts = []
        for leaf, part, name in zip(leaves, tree.spread(limit, structure), names, strict=True):
            shape = np.shape(leaf)
            try:
                whole = np.broadcast_to(infinity if part is None else np.asarray(part, np.float64), shape)
            except ValueError:
                raise ShapeError(
                    f"minimize: {what} of shape {np.shape(part)} for {name or 'a leaf'} of shape {shape}; give a "
                    "number, or one for each element"
                ) from None
            parts.append(whole.ravel())
        vectors.append(np.concatenate([np.zeros(0), *parts]))
    low, high = vectors
    if np.isnan(vectors).any():
        raise ConfigurationError(f"minimize: {what} have nan in them; where there is no limit, give None or inf")
    if (low > high).any():
        raise ConfigurationError(f"minimize: {what} whose lowest value is above its highest")
    return low, high


def _as_scipys(
    optimize: Any,
    constraint: Constraint,
    number: int,
    unravel: Callable[..., Any],
    start: NDArray[Any],
    arguments: tuple[Any, ...],
    method: str,
) -> Any:
    """Return a constraint as scipy takes it."""
    constraint = Constraint(*constraint)

    def flat(v: Any, *rest: Any) -> Any:
        leaves = tree.flatten(constraint.function(unravel(v), *rest))[0]
        return ops.concatenate([ops.ravel(x) for x in leaves])

    def weighted(v: Any, u: Any, *rest: Any) -> Any:
        return ops.sum(flat(v, *rest) * u)

    returned = constraint.function(unravel(start), *arguments)
    low, high = _limits((constraint.low, constraint.high), returned, f"limits of constraint {number}")
    values, slopes = compile(flat), compile(jacobian(flat))
    given: dict[str, Any] = {} if method in _WITHOUT_GRADIENT else {"jac": lambda v: slopes(v, *arguments)}
    if method == "trust-constr":
        curvature = compile(jacobian(grad(weighted)))
        given["hess"] = lambda v, u: curvature(v, u, *arguments)
    return optimize.NonlinearConstraint(lambda v: values(v, *arguments), low, high, **given)
