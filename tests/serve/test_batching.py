"""Micro-batches: whatever waits is computed together, and nobody pays for another's fault."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from mmft_serve.batching import Batcher


class Network:
    """Doubles numbers, and fails on negative ones. It can be held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may, self.began = threading.Event(), threading.Event()
        self.may.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.began.set()
        assert self.may.wait(30)
        if any(number < 0 for number in numbers):
            raise ValueError("a negative number")
        return [2 * number for number in numbers]

    def hold(self) -> None:
        self.may.clear()
        self.began.clear()


def test_what_waits_is_the_next_batch() -> None:
    network = Network()
    network.hold()
    sizes: list[int] = []
    batcher = Batcher(network, most=4, on_batch=sizes.append)
    first = batcher.submit(0)
    assert network.began.wait(30), "an idle model takes a single item at once"
    others = [batcher.submit(number) for number in range(1, 8)]
    network.may.set()
    assert [f.result(30) for f in (first, *others)] == [2 * number for number in range(8)]
    batcher.close()
    assert network.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    assert sizes == [1, 4, 3]


def test_only_items_of_one_kind_share_a_batch() -> None:
    network = Network()
    network.hold()
    batcher = Batcher(network, most=8, kind=lambda number: number % 2)
    futures = [batcher.submit(2)]
    assert network.began.wait(30)
    futures += [batcher.submit(number) for number in (1, 4, 3, 6)]
    network.may.set()
    assert [f.result(30) for f in futures] == [4, 2, 8, 6, 12]
    batcher.close()
    assert network.batches == [[2], [1, 3], [4, 6]]


def test_one_bad_item_fails_alone() -> None:
    network = Network()
    network.hold()
    batcher = Batcher(network, most=8)
    held = batcher.submit(0)
    assert network.began.wait(30)
    good, bad, fine = batcher.submit(1), batcher.submit(-1), batcher.submit(3)
    network.may.set()
    assert (held.result(30), good.result(30), fine.result(30)) == (0, 2, 6)
    with pytest.raises(ValueError, match="a negative number"):
        bad.result(30)
    assert batcher.submit(5).result(30) == 10, "and the model goes on"
    batcher.close()


def test_what_nobody_waits_for_is_not_computed() -> None:
    network = Network()
    network.hold()
    batcher = Batcher(network, most=8)
    held = batcher.submit(0)
    assert network.began.wait(30)
    dropped, kept = batcher.submit(1), batcher.submit(2)
    assert dropped.cancel()
    network.may.set()
    assert (held.result(30), kept.result(30)) == (0, 4)
    batcher.close()
    assert network.batches == [[0], [2]]


def test_closing_finishes_what_waits() -> None:
    network = Network()
    network.hold()
    batcher = Batcher(network, most=2)
    futures = [batcher.submit(number) for number in range(5)]
    assert network.began.wait(30)
    network.may.set()
    batcher.close()
    assert [future.result(0) for future in futures] == [0, 2, 4, 6, 8]
    assert not batcher.accepting
    with pytest.raises(RuntimeError):
        batcher.submit(1)


def test_a_network_that_answers_too_little_is_found_out() -> None:
    batcher: Batcher[int, int] = Batcher(lambda numbers: [], most=2)
    with pytest.raises(ValueError):
        batcher.submit(1).result(30)
    batcher.close()
