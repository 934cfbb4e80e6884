"""One iteration of MAML on navigation in JAX: one compiled program, the environment included.

The Hessian is J^T (Hessian of the divergence in the outputs) J, and J is linearised once, outside of the loop of
conjugate gradients. There the tasks run one after another, by ``lax.map``, because XLA's products of a batch of
matrices take longer: a step with ``vmap`` takes half as much work again. The products use both threads; or there are
shards, devices that each take some of the tasks, and meet to add up what they found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from contender import THREADS
from jax import lax
from policy_problem import (
    BACKTRACKS,
    BOUND,
    DAMPING,
    ITERATIONS,
    RATE,
    RIDGE,
    SHRINK,
    SMALL,
    SMALLEST,
    Problem,
    discounting,
    split,
    times_of_features,
)

jax.config.update("jax_enable_x64", True)  # for the baseline
jax.config.update("jax_num_cpu_devices", THREADS)


def build(problem: Problem, shards: int = 1) -> tuple[Callable[[], Any], Callable[[], Any]]:
    goals, noise = jnp.asarray(problem.goals), [jnp.asarray(each) for each in problem.noise]
    weights = jnp.asarray(problem.weights)
    mesh = jax.sharding.Mesh(jax.devices()[:shards], ("shard",))
    whole, parts = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("shard")
    iterate, gradient = (
        jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(whole, parts, parts, parts), out_specs=whole, check_vma=False))
        for each in (iteration, lambda *arguments: meta_gradient(*arguments)[0])
    )

    def run() -> Any:
        before, after, reached = iterate(weights, goals, *noise)
        return float(before), float(after), np.asarray(reached)

    return run, lambda: np.asarray(gradient(weights, goals, *noise))


def outputs(weights: Any, o: Any) -> tuple[Any, Any]:
    *layers, log_deviation = split(weights)
    for place in (0, 2, 4):
        o = o @ layers[place] + layers[place + 1]
        o = jax.nn.relu(o) if place < 4 else o
    return o, jnp.broadcast_to(jnp.maximum(log_deviation, math.log(SMALLEST)), o.shape)


def log_probability(out: Any, a: Any) -> Any:
    mean, log_deviation = out
    return -jnp.sum(((a - mean) * jnp.exp(-log_deviation)) ** 2 / 2 + log_deviation, -1) - math.log(2 * math.pi)


def divergence(old: Any, new: Any) -> Any:
    wider = old[1] - new[1]
    apart = ((old[0] - new[0]) * jnp.exp(-new[1])) ** 2
    return jnp.sum((jnp.exp(2 * wider) + apart) / 2 - wider - 0.5, -1)


def mean_of_steps(x: Any, mask: Any) -> Any:
    return jnp.sum(x * mask) / jnp.sum(mask)


def collect(weights: Any, goal: Any, noise: Any) -> Any:
    """Episodes of one task: observations, actions, rewards, mask and advantages, shape (episodes, horizon, ...)."""

    def step(carry: Any, n: Any) -> Any:
        at, alive = carry
        seen = at.astype(jnp.float32) * alive[:, None]
        mean, log_deviation = outputs(weights, seen)
        a = mean + jnp.exp(log_deviation) * n
        reached = at + jnp.clip(0.1 * a.astype(jnp.float64), -0.1, 0.1)
        away = reached - goal
        reward = -jnp.hypot(away[:, 0], away[:, 1]) * alive
        done = jnp.all(jnp.abs(away) < 0.01, -1)
        return (reached, alive & ~done), (seen, a, reward, alive)

    start = jnp.zeros((noise.shape[0], 2)), jnp.ones(noise.shape[0], bool)
    _, found = lax.scan(step, start, jnp.swapaxes(noise, 0, 1))
    o, a, r, alive = (jnp.swapaxes(x, 0, 1) for x in found)
    return o, a, r, alive.astype(jnp.float32), advantages(o, r, alive.astype(jnp.float64))


def advantages(o: Any, r: Any, mask: Any) -> Any:
    o, matrix = jnp.clip(o.astype(jnp.float64), -10, 10), discounting()
    to_go = r @ matrix
    times = jnp.broadcast_to(times_of_features(), (*o.shape[:2], 4))
    features = jnp.concatenate([o, o**2, times], -1)
    rows = (features * mask[..., None]).reshape(-1, 8)
    fit = jnp.linalg.solve(rows.T @ rows + RIDGE * jnp.eye(8), rows.T @ (to_go * mask).reshape(-1))
    found = (to_go - (features @ fit) * mask) * mask
    count = jnp.sum(mask)
    centred = (found - jnp.sum(found) / count) * mask
    return (centred / (jnp.sqrt(jnp.sum(centred**2) / count) + SMALL)).astype(jnp.float32)


def adapted(weights: Any, data: Any) -> Any:
    o, a, _, mask, advantage = data

    def loss(weights: Any) -> Any:
        return -mean_of_steps(log_probability(outputs(weights, o), a) * advantage, mask)

    return weights - RATE * jax.grad(loss)(weights)


def phases(weights: Any, goals: Any, first: Any, second: Any) -> Any:
    before = jax.vmap(collect, (None, 0, 0))(weights, goals, first)
    then = jax.vmap(adapted, (None, 0))(weights, before)
    after = jax.vmap(collect)(then, goals, second)
    return before, after, jax.vmap(outputs)(then, after[0])


def query_loss(new: Any, old: Any, data: Any) -> Any:
    _, a, _, mask, advantage = data
    ratio = jnp.exp(log_probability(new, a) - log_probability(old, a))
    return -mean_of_steps(ratio * advantage, mask)


def over_shards(x: Any) -> Any:
    """The mean over all tasks, of means over those of each shard."""
    return lax.pmean(x, "shard")


def meta_gradient(weights: Any, goals: Any, first: Any, second: Any) -> Any:
    before, after, acted = phases(weights, goals, first, second)

    def reached(weights: Any) -> Any:
        return lax.map(lambda x: outputs(adapted(weights, x[0]), x[1]), (before, after[0]))

    def judge(new: Any) -> Any:
        losses = jax.vmap(query_loss)(new, acted, after)
        apart = jax.vmap(lambda old, new, mask: mean_of_steps(divergence(old, new), mask))(acted, new, after[3])
        return jnp.mean(losses), jnp.mean(apart)

    new, push = jax.linearize(reached, weights)
    pull = jax.linear_transpose(push, weights)
    gradient = over_shards(pull(jax.grad(lambda new: judge(new)[0])(new))[0])
    return gradient, (before, after, reached, judge, new, push, pull)


def iteration(weights: Any, goals: Any, first: Any, second: Any) -> Any:
    gradient, (before, after, reached, judge, new, push, pull) = meta_gradient(weights, goals, first, second)
    distance = jax.grad(lambda new: judge(new)[1])

    def times(v: Any) -> Any:
        curved = jax.jvp(distance, (new,), (push(v.astype(jnp.float32)),))[1]
        return over_shards(pull(curved)[0]).astype(jnp.float64)

    def improve(_: Any, state: Any) -> Any:
        x, residual, direction, squared = state
        image = times(direction) + DAMPING * direction
        size = squared / jnp.sum(direction * image)
        x, residual = x + size * direction, residual - size * image
        now = jnp.sum(residual**2)
        return x, residual, residual + now / squared * direction, now

    downhill = gradient.astype(jnp.float64)
    x, residual, *_ = lax.fori_loop(
        0, ITERATIONS, improve, (jnp.zeros_like(downhill), downhill, downhill, jnp.sum(downhill**2))
    )
    curved = jnp.sum(x * (downhill - residual - DAMPING * x))  # the products that were computed already, added up
    longest = jnp.sqrt(2 * BOUND / (curved + 1e-8))
    start = over_shards(judge(new)[0])

    def search(state: Any) -> Any:
        number, _, _ = state
        tried = (weights - SHRINK**number * longest * x).astype(jnp.float32)
        loss, apart = over_shards(judge(reached(tried)))
        return number + 1, tried, (loss < start) & (apart <= BOUND)

    _, tried, accepted = lax.while_loop(
        lambda state: (state[0] < BACKTRACKS) & ~state[2], search, (0, weights, jnp.asarray(False))
    )
    returns = over_shards([jnp.mean(jnp.sum(data[2], -1)) for data in (before, after)])
    return *returns, jnp.where(accepted, tried, weights)
