"""Answering queries from an index."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmft_core.contracts import Preview, Processor
from mmft_core.errors import SampleError
from mmft_core.inference import Predictor, Source, Sources
from mmft_core.loading import UNDECODABLE
from mmft_search.library import holds
from mmft_search.store import Hit, Index


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found for a query, the most similar first, or why nothing could be.

    Attributes:
        source: the query's file or text, where it could be read.
        modality: the query's.
        milliseconds: the time of the search, without embedding the query.
    """

    query: str
    hits: Sequence[Hit] = ()
    source: Source | None = None
    modality: str = ""
    milliseconds: float = 0.0
    error: str | None = None
    hint: str | None = None


class Searcher:
    """Embeds queries of any modality that the model reads, and finds the nearest items."""

    def __init__(self, index: Index, predictor: Predictor) -> None:
        self.index, self.predictor = index, predictor

    @property
    def processor(self) -> Processor:
        """The processor of the items."""
        return self.predictor.processors[self.index.identity.modality]

    def answer(self, queries: Sequence[tuple[str, Source]], top_k: int) -> list[Answer]:
        """Answer queries, in their order; the answer of one that cannot be read has an error.

        Args:
            queries: the modality of each, and its file or text.
        """
        answers: dict[int, Answer] = {}
        for modality in dict.fromkeys(modality for modality, _ in queries):
            places = [place for place, query in enumerate(queries) if query[0] == modality]
            found = self._answers(modality, [queries[place][1] for place in places], top_k)
            answers |= dict(zip(places, found, strict=True))
        return [answers[place] for place in range(len(queries))]

    def _answers(self, modality: str, sources: Sequence[Source], top_k: int) -> list[Answer]:
        predictor = self.predictor.of(modality)
        queries = Sources(modality, sources, predictor.processor)
        answers: list[Answer] = []
        for results, vectors in predictor.outputs(queries):
            rows = iter(() if vectors is None else vectors.float().cpu().numpy())
            for result in results:
                if isinstance(result, SampleError):
                    query = queries.sample_id(len(answers))
                    answers.append(Answer(query=query, error=result.reason, hint=result.hint))
                else:
                    started = time.perf_counter()
                    hits = self.nearest_to(next(rows), top_k)
                    answers.append(
                        Answer(
                            query=result,
                            hits=hits,
                            source=queries.sources[len(answers)],
                            modality=modality,
                            milliseconds=1000 * (time.perf_counter() - started),
                        )
                    )
        return answers

    def preview_query(self, answer: Answer) -> Preview | None:
        """Show a query; None if that is not possible."""
        if answer.source is None:
            return None
        processor = self.predictor.processors[answer.modality]
        with contextlib.suppress(SampleError, *UNDECODABLE):
            sources = Sources(answer.modality, [answer.source], processor)
            return processor.preview(sources[0].inputs[answer.modality])
        return None

    def preview(self, key: str) -> Preview | None:
        """Show an item by its key; None if there is none, or if its file is gone or has changed.

        An index may be a stranger's: a path is followed only to the very file that was indexed.
        """
        item = self.index.item(key)
        if item is None:
            return None
        if item.preview is not None:
            return item.preview
        with contextlib.suppress(SampleError, *UNDECODABLE):
            if holds(Path(item.id), item.stamp):
                return self.processor.preview(self.processor.read(Path(item.id)))
        return None

    def nearest_to(self, vector: np.ndarray, top_k: int) -> list[Hit]:
        """The items that are most similar to an embedding (D,), the most similar first."""
        return self.index.search(vector, top_k)
