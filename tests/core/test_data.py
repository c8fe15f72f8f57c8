"""What is read when: a pure function of the seed and the step, also across processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.contracts import Processor, Sample, Split, TargetCodec
from mmft_core.data.splits import Subset, together
from mmft_core.errors import DataError, SampleError
from mmft_core.inference.pieces import Pieces
from mmft_core.loading.batch_sampler import SampleBatchSampler
from mmft_core.loading.loaders import batches, choose_workers, evaluation_loader, training_loader
from mmft_core.loading.prepared import Loaded, PreparedSplit, seed_everything

SIZES = {
    "size": st.integers(1, 200),
    "batch_size": st.integers(1, 32),
    "accumulation_steps": st.integers(1, 4),
    "seed": st.integers(0, 2**32),
}


def epoch_keys(sampler: SampleBatchSampler, epoch: int) -> list:
    first = epoch * sampler.steps_per_epoch
    return list(chain.from_iterable(sampler.batches(first, first + sampler.steps_per_epoch)))


class TestBatchSampler:
    @given(**SIZES, epoch=st.integers(0, 3))
    def test_each_epoch_takes_every_sample_once(self, epoch, **sizes) -> None:
        sampler = SampleBatchSampler(**sizes)
        keys = epoch_keys(sampler, epoch)
        assert sorted(keys) == [(epoch, i) for i in range(sizes["size"])]

    @given(**SIZES)
    def test_cuts_are_even_and_within_bounds(self, **sizes) -> None:
        sampler = SampleBatchSampler(**sizes)
        steps = range(sampler.steps_per_epoch)
        sizes_of_steps = [sampler.samples(step) for step in steps]
        assert sum(sizes_of_steps) == sizes["size"]
        assert max(sizes_of_steps) - min(sizes_of_steps) <= 1
        assert max(sizes_of_steps) <= sizes["batch_size"] * sizes["accumulation_steps"]
        for step in steps:
            passes = [len(keys) for keys in sampler.micro_batches(step)]
            assert sum(passes) == sampler.samples(step)
            assert len(passes) == sampler.passes(step) <= sizes["accumulation_steps"]
            assert max(passes) - min(passes) <= 1
            assert 0 < max(passes) <= sizes["batch_size"]

    @given(**SIZES, first=st.integers(0, 50))
    def test_from_any_step_the_rest_is_the_same(self, first, **sizes) -> None:
        whole = SampleBatchSampler(**sizes)
        passes_before = sum(whole.passes(step) for step in range(first))
        rest = list(SampleBatchSampler(**sizes).batches(first, first + 10))
        assert rest == list(whole.batches(0, first + 10))[passes_before:]

    @given(**SIZES, world=st.integers(1, 5), step=st.integers(0, 20))
    def test_processes_share_each_forward_pass(self, world, step, **sizes) -> None:
        alone = SampleBatchSampler(**sizes).micro_batches(step)
        ranks = [
            SampleBatchSampler(**sizes, rank=r, world=world).micro_batches(step)
            for r in range(world)
        ]
        for number, keys in enumerate(alone):
            shares = [rank[number] for rank in ranks]
            assert sorted(chain.from_iterable(shares)) == sorted(keys)
            assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def test_order_differs_by_epoch_and_seed_and_is_no_order_of_the_data(self) -> None:
        sampler = SampleBatchSampler(100, 10, 1, seed=0)
        orders = [[i for _, i in epoch_keys(sampler, epoch)] for epoch in (0, 1)]
        orders.append([i for _, i in epoch_keys(SampleBatchSampler(100, 10, 1, seed=1), 0)])
        orders.append(list(range(100)))
        assert len(set(map(tuple, orders))) == 4

    def test_an_empty_split(self) -> None:
        with pytest.raises(DataError, match="training split is empty"):
            SampleBatchSampler(0, 1, 1, 0)


class Numbers(Split):
    """Ten samples; those in `bad` cannot be read."""

    def __init__(self, bad: dict[int, str] | None = None) -> None:
        self.bad = bad or {}

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        if self.bad.get(index) == "die":
            os._exit(3)
        if self.bad.get(index) == "read":
            raise SampleError(f"n{index}", "is cut off")
        if self.bad.get(index) == "target":
            return Sample({"number": index}, "strange", f"n{index}")
        return Sample({"number": self.bad.get(index, index)}, index, f"n{index}")


class Noisy(Processor):
    def prepare(self, raw, *, train: bool):
        if raw == "decode":
            raise OSError("truncated")
        if raw == "bug":
            raise ZeroDivisionError
        noise = torch.rand(2) if train else torch.zeros(2)
        return {"x": torch.full((2,), float(raw)) + noise}

    def collate(self, items):
        return {"x": torch.stack([item["x"] for item in items])}


class Integers(TargetCodec):
    def encode(self, target):
        if not isinstance(target, int):
            raise ValueError(f"its class {target!r} is unknown")
        return target

    def collate(self, targets):
        return torch.tensor(targets)


def prepared(train: bool = False, bad: dict[int, str] | None = None, seed: int = 0):
    return PreparedSplit(Numbers(bad), {"number": Noisy()}, Integers(), train=train, seed=seed)


def read(data: PreparedSplit, first: int = 0, workers: int = 0) -> list:
    keys = SampleBatchSampler(10, 3, 1, seed=0).batches(first, 8)
    return [(b.ids, b.inputs["number"]["x"]) for b in batches(_loader(data, keys, workers))]


def _loader(data, keys, workers):
    return training_loader(data, keys, workers=workers, pin=False)


def same(a: list, b: list) -> bool:
    return len(a) == len(b) and all(
        x[0] == y[0] and torch.equal(x[1], y[1]) for x, y in zip(a, b, strict=True)
    )


class TestLoading:
    def test_augmentation_follows_from_seed_epoch_and_sample(self) -> None:
        data = prepared(train=True)
        assert torch.equal(data[(0, 3)].inputs["number"]["x"], data[(0, 3)].inputs["number"]["x"])
        others = [data[(1, 3)], prepared(train=True, seed=1)[(0, 3)]]
        for other in others:
            assert not torch.equal(data[(0, 3)].inputs["number"]["x"], other.inputs["number"]["x"])

    def test_reading_for_evaluation_draws_nothing(self) -> None:
        seed_everything(5)
        before = torch.random.get_rng_state()
        assert prepared()[(0, 3)].inputs["number"]["x"].tolist() == [3.0, 3.0]
        assert torch.equal(before, torch.random.get_rng_state())

    @pytest.mark.parametrize("workers", [0, 2])
    def test_resuming_replays_nothing_whatever_the_number_of_workers(self, workers: int) -> None:
        whole = read(prepared(train=True))
        assert same(read(prepared(train=True), workers=workers), whole)
        assert same(read(prepared(train=True), first=3, workers=workers), whole[3:])

    @pytest.mark.parametrize("world", [1, 3])
    def test_evaluation_takes_every_sample_once(self, world: int) -> None:
        ids = [
            i
            for rank in range(world)
            for batch in batches(
                evaluation_loader(prepared(), 2, workers=0, rank=rank, world=world)
            )
            for i in batch.ids
        ]
        assert Counter(ids) == Counter(f"n{i}" for i in range(10))
        assert world > 1 or ids == [f"n{i}" for i in range(10)]

    def test_targets_are_encoded(self) -> None:
        (batch, *_) = batches(evaluation_loader(prepared(), 4, workers=0))
        assert batch.targets.tolist() == [0, 1, 2, 3]
        assert len(batch) == 4


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="nothing is forked")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_does_not_kill_a_process_that_starts(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The signal comes when torch has installed its own handlers and mmft not yet."""
    parent, set_num_threads = os.getpid(), torch.set_num_threads

    def signalled(threads: int) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), number)
        set_num_threads(threads)

    monkeypatch.setattr(torch, "set_num_threads", signalled)
    assert len(read(prepared(), workers=1)) == len(read(prepared()))


def test_inputs_that_a_split_leaves_out_have_no_length() -> None:
    class Some(Numbers):
        def __getitem__(self, index: int) -> Sample:
            return Sample({"number": index} if index < 3 else {}, index, f"n{index}")

    class Measured(Noisy):
        def measure(self, raw: int) -> int:
            return 5

    data = PreparedSplit(Some(), {"number": Measured()}, Integers(), train=False)
    assert list(data.lengths or ()) == [5] * 3 + [0] * 7
    divided = Pieces(data.split, "number", Measured())
    assert divided[0].inputs == {"number": 0} and divided[9].inputs == {"number": None}


class TestBadSamples:
    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize(
        "what, reason",
        [
            ("read", "n4: is cut off"),
            ("decode", "n4: it cannot be decoded: truncated"),
            ("target", "n4: its class 'strange' is unknown"),
        ],
    )
    def test_they_are_named(self, what: str, reason: str, workers: int) -> None:
        loader = evaluation_loader(prepared(bad={4: what}), 3, workers=workers)
        with pytest.raises(SampleError, match=reason) as caught:
            list(batches(loader))
        assert caught.value.sample_id == "n4"

    def test_a_loaded_batch_says_of_each_sample_what_became_of_it(self) -> None:
        data = prepared(bad={1: "read"})
        loaded = data.collate([data[(0, i)] for i in range(3)])
        assert isinstance(loaded, Loaded) and loaded.batch is not None
        assert loaded.batch.ids == ["n0", "n2"]
        assert [str(result) for result in loaded.results] == ["n0", "n1: is cut off.", "n2"]

    def test_a_batch_of_bad_samples_alone(self) -> None:
        data = prepared(bad={1: "read"})
        assert data.collate([data[(0, 1)]]).batch is None

    def test_a_bug_is_not_taken_for_a_bad_sample(self) -> None:
        with pytest.raises(ZeroDivisionError):
            list(batches(evaluation_loader(prepared(bad={4: "bug"}), 3, workers=0)))

    def test_a_worker_that_dies_is_told(self) -> None:
        loader = evaluation_loader(prepared(bad={4: "die"}), 3, workers=1)
        with pytest.raises(DataError, match=r"process that loads data died.*engine\.workers=0"):
            list(batches(loader))


def test_parts_of_one_split_come_together_in_its_order() -> None:
    whole = Numbers()
    order = np.random.default_rng(0).permutation(len(whole))
    first, rest = Subset(whole, order[:3]), Subset(whole, order[3:])
    second, third = Subset(rest, np.array([2, 0])), Subset(rest, np.arange(3, len(rest)))
    own = sorted([*order[:3].tolist(), *order[[5, 3]].tolist(), *order[6:].tolist()])
    joined = together([first, second, third])
    assert [joined[k] for k in range(len(joined))] == [whole[k] for k in own]
    others = together([first, Subset(Numbers(), np.array([0]))])
    assert [others[k] for k in range(4)] == [*(first[k] for k in range(3)), whole[0]]


def test_workers() -> None:
    assert choose_workers(3) == 3
    assert choose_workers(0) == 0
    assert 0 <= choose_workers(None, processes=2) <= choose_workers(None) <= 8
    assert choose_workers(None, processes=10_000) == 0
