"""What goes through a channel arrives as it was sent, and arrays go through shared memory."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minimeta.distributed.channel import Channel


@contextmanager
def channel() -> Iterator[tuple[Channel, Channel, Connection, Connection]]:
    """Both ends, the one that owns the memory first, and their pipe."""
    here, there = Pipe()
    ends = Channel(here, owns=True), Channel(there, owns=False)
    try:
        yield *ends, here, there
    finally:
        for each in reversed(ends):
            each.close()


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.int64, np.complex128]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
).map(np.transpose)


def form(x: Any) -> Any:
    return x.dtype, x.shape, x.flags.writeable, x.tobytes("A")


@given(st.lists(st.lists(ARRAYS, max_size=3), min_size=1, max_size=5))
@settings(max_examples=15)
def test_messages_arrive_as_they_were_sent(messages: list[Any]) -> None:
    with channel() as (here, there, _, _):
        found = []
        for place, message in enumerate(messages):  # The ends take turns.
            sender, receiver = (there, here) if place % 2 else (here, there)
            sender.send((place, message))
            found.append(receiver.receive())
    assert [place for place, _ in found] == [*range(len(messages))]
    assert [[*map(form, message)] for _, message in found] == [[*map(form, message)] for message in messages]


def sent_through(pipe: Connection, end: Channel, message: Any) -> int:
    """The bytes of a message that go through the pipe."""
    end.send(message)
    return sum(len(pipe.recv_bytes()) for _ in iter(pipe.poll, False))


def test_arrays_go_through_memory_and_the_answer_does_when_it_has_grown() -> None:
    question, answer = np.arange(1000.0), np.arange(3000.0)
    with channel() as (here, there, outer, inner):
        here.send(question)
        received = there.receive()
        there.send(answer)  # larger than the memory, so through the pipe
        assert np.array_equal(here.receive(), answer) and here.size < answer.nbytes
        here.send(question)
        assert here.size >= answer.nbytes
        assert np.array_equal(received, question)  # which no later message overwrites
        again = there.receive()
        again[:] = 0.0
        assert sent_through(outer, there, answer) < 500
        assert sent_through(inner, here, question) < 500


def test_without_room_for_memory_the_pipe_carries_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def full(descriptor: int, start: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = set(Path("/dev/shm").glob("psm_*"))
    with channel() as (here, there, _, _):
        with pytest.warns(RuntimeWarning, match=r"0.0 MB of shared memory were refused .*No space.*--shm-size=1g"):
            here.send([np.arange(10.0), np.zeros(0)])
        assert [x.tolist() for x in there.receive()] == [[*range(10)], []]
        there.send(np.ones(100))
        assert here.receive().sum() == 100
        here.send(np.ones(1000))
        assert there.receive().sum() == 1000
        assert here.size == 0 and asked == [80]
    assert set(Path("/dev/shm").glob("psm_*")) <= before
