"""Estimators of a policy's return whose derivatives are right on average, and to which order.

A policy ``pi`` with parameters ``theta`` meets trajectories ``tau = (s_0, a_0, s_1, a_1, ...)``
with probability ``p(tau) = rho(s_0) pi(a_0 | s_0) P(s_1 | s_0, a_0) pi(a_1 | s_1) ...``, and its
return is

    J(theta) = E sum_t r_t

The derivative acts on the probabilities, but what was sampled is fixed. So an estimator multiplies
what was sampled by a function of ``theta``, whose derivatives stand for those of the probabilities.
With ``l_t = log pi(a_t | s_t)``, the advantage ``A_t = r_t + r_{t+1} + ... - b(s_t)`` for any
baseline ``b``, and the *box* of Foerster et al. 2018 (arXiv:1802.05098)

    box(x) = exp(x - stop(x)),    which is 1, and has the derivatives of exp(x) / exp(stop(x)),

it is a sum over ``t`` of ``A_t`` times

    ==========  ========================================================  ===========================
    surrogate   l_t                                                       Williams 1992
    lvc         box(l_t)                                                  Rothfuss et al. 2018
    dice        box(l_0 + ... + l_t) - box(l_0 + ... + l_{t-1})           Foerster et al. 2018
    ==========  ========================================================  ===========================

Let ``g_t`` and ``H_t`` be gradient and Hessian of ``l_t``. All three have the gradient ``g_t A_t``,
the policy gradient. Their Hessians are ``A_t`` times (book, chapter 9)

    surrogate   H_t
    lvc         H_t + g_t g_t^T
    dice        H_t + g_t g_t^T + sum_{u < t} (g_u g_t^T + g_t g_u^T)

**DiCE is right at every order.** The box of ``l_0 + ... + l_t`` is the ratio of the probabilities
of what happened up to step t, under the new parameters and under those that sampled. So the mean of
``sum_t r_t box(l_0 + ... + l_t)`` is ``J``, as a function of ``theta``. Written by differences of
boxes, each ``r_t`` meets the boxes of all steps up to t: the sum with ``A_t`` is the same up to a
constant (Farquhar et al. 2019, arXiv:1909.10549). A baseline changes no mean, because the mean of
``box(l_t) - 1`` over the actions is 0 for every ``theta``.

**The others are not.** The mean of LVC's Hessian lacks ``E sum_t A_t sum_{u < t} (...)``, which is
what an action does to the states in which the policy acts later. In return its variance is low: a
trajectory adds T terms and not T^2 (Rothfuss et al., arXiv:1810.06784, section 5). The surrogate
lacks ``E sum_t g_t g_t^T A_t``, too. It is what the code released with MAML differentiates twice.

With one step an episode, LVC and DiCE are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from minimeta.autodiff.operations import cumsum, exp, stop_gradient, take_along_axis
from minimeta.errors import ConfigurationError

Estimator: TypeAlias = Callable[..., Any]
"""A function of log probabilities and advantages, whose result is to be summed or averaged.

Both arguments and the result have shape ``(..., steps)``. What follows the last episode must have
advantage 0; then no derivative of an estimator depends on it. The third argument says where the
episode of each step begins, integers of that shape; without it, all steps are of one episode.
"""


def box(x: Any) -> Any:
    """Return ``exp(x - stop(x))``, which is 1 and has the derivatives of ``exp(x) / exp(stop(x))``.

    Examples
    --------
    >>> import minimeta as mm
    >>> from minimeta.rl.estimators import box
    >>> box(3.0), mm.grad(box)(3.0), mm.grad(lambda x: box(x * x))(3.0)
    (array(1.), array(1.), array(6.))
    """
    return exp(x - stop_gradient(x))


def surrogate(log_probability: Any, advantage: Any, begin: Any = None) -> Any:
    """Return ``l_t A_t``: the right gradient, a wrong Hessian."""
    return log_probability * advantage


def lvc(log_probability: Any, advantage: Any, begin: Any = None) -> Any:
    """Return ``box(l_t) A_t``: the right gradient, a Hessian that is biased and varies little."""
    return box(log_probability) * advantage


def dice(log_probability: Any, advantage: Any, begin: Any = None) -> Any:
    """Return ``(box(l_0 + ... + l_t) - box(l_0 + ... + l_{t-1})) A_t``: every derivative is right.

    Its value is 0.
    """
    upto = cumsum(log_probability, -1)
    if begin is not None:
        upto = upto - take_along_axis(upto - log_probability, begin, -1)
    return (box(upto) - box(upto - log_probability)) * advantage


ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({"surrogate": surrogate, "dice": dice, "lvc": lvc})
"""The estimators by name."""


def estimator(name: str) -> Estimator:
    """Return the estimator of a name.

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if name not in ESTIMATORS:
        raise ConfigurationError(f"there is no estimator {name!r}; there are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name]
