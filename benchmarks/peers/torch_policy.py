"""One iteration of MAML on navigation in PyTorch, eagerly: tasks are batched by hand, each with its own weights.

The Hessian is J^T (Hessian of the divergence in the outputs) J. The graphs of the outputs and of J^T u are built once,
and each product is one walk through both: J is the derivative of J^T u with respect to u.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from contender import THREADS
from policy_problem import (
    BACKTRACKS,
    BOUND,
    DAMPING,
    HORIZON,
    ITERATIONS,
    RATE,
    RIDGE,
    SHRINK,
    SMALL,
    SMALLEST,
    TASKS,
    Problem,
    discounting,
    split,
    times_of_features,
)

torch.set_num_threads(THREADS)
MATRIX, TIMES = torch.from_numpy(discounting()), torch.from_numpy(times_of_features())


def build(problem: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    weights = torch.from_numpy(problem.weights)
    goals, noise = torch.from_numpy(problem.goals), [torch.from_numpy(each) for each in problem.noise]

    def run() -> Any:
        before, after, reached = iteration(weights, goals, *noise)
        return float(before), float(after), reached.numpy()

    return run, lambda: meta_gradient(weights, goals, *noise)[0].detach().numpy()


def repeated(weights: Any) -> list[Any]:
    """The arrays of the weights, once for each task."""
    return [each.reshape(1, -1, each.shape[-1]).expand(TASKS, -1, -1) for each in split(weights)]


def outputs(layers: list[Any], o: Any) -> tuple[Any, Any]:
    """Of observations of shape (tasks, n, 2)."""
    *layers, log_deviation = layers
    for place in (0, 2, 4):
        o = torch.baddbmm(layers[place + 1], o, layers[place])
        o = torch.relu(o) if place < 4 else o
    return o, torch.clamp_min(log_deviation, math.log(SMALLEST)).expand_as(o)


def log_probability(out: Any, a: Any) -> Any:
    mean, log_deviation = out
    return -(((a - mean) * torch.exp(-log_deviation)) ** 2 / 2 + log_deviation).sum(-1) - math.log(2 * math.pi)


def divergence(old: Any, new: Any) -> Any:
    wider = old[1] - new[1]
    apart = ((old[0] - new[0]) * torch.exp(-new[1])) ** 2
    return ((torch.exp(2 * wider) + apart) / 2 - wider - 0.5).sum(-1)


def mean_of_steps(x: Any, mask: Any) -> Any:
    """Of each task."""
    return (x * mask).sum(1) / mask.sum(1)


@torch.no_grad()  # type: ignore[untyped-decorator]
def collect(layers: list[Any], goals: Any, noise: Any) -> Any:
    """Observations, actions, mask and advantages of shape (tasks, episodes * horizon, ...), and the mean return."""
    tasks, episodes = noise.shape[:2]
    at, alive, found = torch.zeros(tasks, episodes, 2, dtype=torch.float64), torch.ones(tasks, episodes), []
    for t in range(HORIZON):
        seen = at.float() * alive[..., None]
        mean, log_deviation = outputs(layers, seen)
        a = mean + torch.exp(log_deviation) * noise[:, :, t]
        at = at + torch.clamp(0.1 * a.double(), -0.1, 0.1)
        away = at - goals[:, None]
        found.append((seen, a, -torch.hypot(away[..., 0], away[..., 1]) * alive, alive))
        alive = alive * ~(away.abs() < 0.01).all(-1)
    o, a, r, mask = (torch.stack(each, 2) for each in zip(*found, strict=True))
    advantage = advantages(o.double(), r, mask.double())
    rows = [x.reshape(tasks, episodes * HORIZON, *x.shape[3:]) for x in (o, a, mask, advantage)]
    return rows, r.sum(-1).mean()


def advantages(o: Any, r: Any, mask: Any) -> Any:
    o = o.clamp(-10, 10)
    to_go = r @ MATRIX
    features = torch.cat([o, o**2, TIMES.expand(*o.shape[:3], 4)], -1)
    rows = (features * mask[..., None]).flatten(1, 2)
    target = (to_go * mask).flatten(1)[..., None]
    fit = torch.linalg.solve(rows.mT @ rows + RIDGE * torch.eye(8, dtype=torch.float64), rows.mT @ target)
    found = (to_go - (features.flatten(1, 2) @ fit).reshape(mask.shape) * mask) * mask
    count = mask.sum((1, 2), keepdim=True)
    centred = (found - found.sum((1, 2), keepdim=True) / count) * mask
    return (centred / (((centred**2).sum((1, 2), keepdim=True) / count).sqrt() + SMALL)).float()


def adapted(weights: Any, data: Any, create_graph: bool) -> list[Any]:
    o, a, mask, advantage = data
    layers = repeated(weights)
    if not create_graph:
        layers = [each.detach().requires_grad_() for each in layers]
    loss = -mean_of_steps(log_probability(outputs(layers, o), a) * advantage, mask).sum()
    gradient = torch.autograd.grad(loss, layers, create_graph=create_graph)
    return [layer - RATE * g for layer, g in zip(layers, gradient, strict=True)]


def judge(new: Any, old: Any, data: Any) -> tuple[Any, Any]:
    _, a, mask, advantage = data
    ratio = torch.exp(log_probability(new, a) - log_probability(old, a))
    return -mean_of_steps(ratio * advantage, mask).mean(), mean_of_steps(divergence(old, new), mask).mean()


def meta_gradient(weights: Any, goals: Any, first: Any, second: Any) -> Any:
    before, mean_before = collect(repeated(weights), goals, first)
    then = [each.detach() for each in adapted(weights, before, create_graph=False)]
    after, mean_after = collect(then, goals, second)
    with torch.no_grad():
        acted = outputs(then, after[0])
    theta = weights.clone().requires_grad_()
    new = outputs(adapted(theta, before, create_graph=True), after[0])
    (gradient,) = torch.autograd.grad(judge(new, acted, after)[0], theta, retain_graph=True)
    return gradient, (before, after, acted, theta, new, mean_before, mean_after)


def iteration(weights: Any, goals: Any, first: Any, second: Any) -> Any:
    found = meta_gradient(weights, goals, first, second)
    gradient, (before, after, acted, theta, new, mean_before, mean_after) = found
    u = [torch.zeros_like(each).requires_grad_() for each in new]
    (pulled,) = torch.autograd.grad(new, theta, u, create_graph=True)
    here = [each.detach().requires_grad_() for each in new]
    loss, apart = judge(here, acted, after)
    slope = torch.autograd.grad(apart, here, create_graph=True)

    def times(v: Any) -> Any:
        along = torch.autograd.grad(pulled, u, v.float(), retain_graph=True)
        curved = torch.autograd.grad(slope, here, along, retain_graph=True)
        return torch.autograd.grad(new, theta, curved, retain_graph=True)[0].double()

    residual = gradient.double()
    x, direction, squared = torch.zeros_like(residual), residual, (residual**2).sum()
    for _ in range(ITERATIONS):
        image = times(direction) + DAMPING * direction
        size = squared / (direction * image).sum()
        x, residual = x + size * direction, residual - size * image
        now = (residual**2).sum()
        direction, squared = residual + now / squared * direction, now
    curved = (
        x * (gradient.double() - residual - DAMPING * x)
    ).sum()  # the products that were computed already, added up
    longest = torch.sqrt(2 * BOUND / (curved + 1e-8))
    for number in range(BACKTRACKS):
        tried = (weights - SHRINK**number * longest * x).float()
        then = adapted(tried, before, create_graph=False)
        with torch.no_grad():
            now, away = judge(outputs(then, after[0]), acted, after)
        if now < loss and away <= BOUND:
            return mean_before, mean_after, tried
    return mean_before, mean_after, weights
