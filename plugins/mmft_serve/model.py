"""A model as a server uses it: inputs prepared by many threads, batches answered by one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from mmft_core.contracts import Batch, Completing, Preview, Sample, Showing, Split, decoded
from mmft_core.errors import SampleError
from mmft_core.inference import Pieces, Predictor, divided_modality
from mmft_core.loading import PreparedSample, PreparedSplit

if TYPE_CHECKING:
    from mmft_search.searching import Searcher
    from mmft_search.store import Hit

Compute: TypeAlias = Callable[[Batch], Any]
"""The network: a batch in, the task's predictions out. Whatever runs it, torch or another."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is said of an input.

    Attributes:
        record: the task's.
        hits: what is nearest to it in the index; None where there is none.
        shown: the prediction drawn onto the inputs, by modality, where that was asked for.
    """

    record: dict[str, Any]
    hits: Sequence[Hit] | None = None
    shown: Mapping[str, Preview] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An input that is ready for the model, in one piece or several.

    Attributes:
        inputs: as it was given, by modality.
        files: those that it may still read, until they are closed.
    """

    raws: Sequence[Any]
    samples: Sequence[PreparedSample]
    inputs: Mapping[str, Any]
    files: ExitStack = field(default_factory=ExitStack)


@dataclass(eq=False, frozen=True)
class Job:
    """What the model's thread does by itself, such as to answer a chat.

    Attributes:
        call: does all jobs of a kind that wait, and is given their contents.
    """

    call: Callable[[Sequence[Any]], None]
    content: Any
    kind: Hashable


class ServedModel:
    """Turns inputs into replies, in steps that a server takes in different threads."""

    def __init__(
        self,
        predictor: Predictor,
        top_k: int,
        searcher: Searcher | None = None,
        compute: Compute | None = None,
    ) -> None:
        """Args:
        searcher: of the model's index; its neighbours come with each reply.
        compute: in place of the predictor's network.
        """
        self.loaded, self.top_k, self.searcher = predictor.model, top_k, searcher
        self.task, self.processors = predictor.model.task, predictor.model.processors
        self._compute = compute or predictor.compute
        self._divided = divided_modality(self.processors)
        self._collate = self._data(_Inputs([])).collate

    def prepare(self, sample: Sample) -> Prepared:
        """Prepare an input; for any thread.

        Raises:
            SampleError: it cannot be used.
        """
        split = _Inputs([sample])
        if self._divided is None:
            return Prepared(raws=[None], samples=self._samples(split), inputs=sample.inputs)
        pieces = Pieces(split, self._divided, self.processors[self._divided])
        raws = [piece.raw for piece in pieces.pieces]
        return Prepared(raws=raws, samples=self._samples(pieces), inputs=sample.inputs)

    def work(self, items: Sequence[PreparedSample | Job]) -> list[Any]:
        """Answer prepared inputs that have the same modalities, or do jobs of one kind."""
        if isinstance(items[0], Job):
            items[0].call([item.content for item in items if isinstance(item, Job)])
            return [None] * len(items)
        return self.answer([item for item in items if isinstance(item, PreparedSample)])

    def answer(self, samples: Sequence[PreparedSample]) -> list[Reply]:
        """Answer prepared inputs that have the same modalities; for one thread at a time."""
        batch = self._collate(samples).batch
        assert batch is not None
        predictions = self._compute(batch)
        records = decoded(self.task, predictions, len(batch), self.top_k)
        if self.searcher is None:
            return [Reply(record=record) for record in records]
        hits = self._neighbours(self.searcher, predictions)
        return [Reply(record=r, hits=h) for r, h in zip(records, hits, strict=True)]

    def join(self, prepared: Prepared, replies: Sequence[Reply]) -> Reply:
        """One reply of those to the pieces of an input."""
        if self._divided is None:
            return replies[0]
        records = [reply.record for reply in replies]
        return Reply(record=self.task.join(prepared.raws, records), hits=replies[0].hits)

    @property
    def looks_back(self) -> bool:
        """Whether `finish` reads an input once more, so that its files are still needed."""
        return isinstance(self.task, Completing | Showing)

    def finish(self, prepared: Prepared, reply: Reply, *, show: bool) -> Reply:
        """Add to a reply what the input itself tells; for any thread.

        Args:
            show: whether the prediction is to be drawn.
        """
        if isinstance(self.task, Completing):
            reply = replace(reply, record=self.task.complete(reply.record, prepared.inputs))
        if show and isinstance(self.task, Showing):
            reply = replace(reply, shown=self.task.show(prepared.inputs, reply.record, None))
        return reply

    def _neighbours(self, searcher: Searcher, predictions: Any) -> list[Sequence[Hit]]:
        """What is nearest to each embedding; of a pair, to that of its first modality."""
        if isinstance(predictions, Mapping):
            predictions = next(iter(predictions.values()))
        rows = torch.as_tensor(predictions).float().cpu().numpy()
        return [searcher.nearest_to(row, self.top_k) for row in rows]

    def _samples(self, split: Split) -> list[PreparedSample]:
        data = self._data(split)
        found = [data[0, index] for index in range(len(split))]
        for each in found:
            if isinstance(each, SampleError):
                raise each
        return [each for each in found if isinstance(each, PreparedSample)]

    def _data(self, split: Split) -> PreparedSplit:
        return PreparedSplit(split, self.processors, self.task.codec, train=False)


def company(item: PreparedSample | Job) -> Hashable:
    """What items that share a batch have in common: their modalities; of jobs, their kind.

    What a task yields for a modality has a row for each sample of the batch that has it, and
    nothing else tells which these are.
    """
    return (Job, item.kind) if isinstance(item, Job) else frozenset(item.inputs)


class _Inputs(Split):
    """Inputs in memory as a split."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = list(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]
