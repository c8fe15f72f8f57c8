"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmft_core.cli import inputs_of
from mmft_core.contracts import DatasetInfo, LearnedPart, MetricValue, Preview


@dataclass(frozen=True, kw_only=True)
class ReportRelated:
    """A sample that is shown beside another.

    Attributes:
        score: by which it is related, such as a similarity.
        right: whether that is correct; None if it is not a matter of yes and no.
        previews: of its inputs, by modality.
    """

    id: str
    score: float
    right: bool | None
    target: str
    previews: Mapping[str, Preview] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportExample:
    """A sample that one of the task's rankings singled out.

    Attributes:
        score: by which it was ranked.
        prediction: the record that the task decoded.
        previews: of its inputs, by modality.
        related: samples that belong beside it, in their order.
    """

    id: str
    score: float
    target: str
    prediction: Mapping[str, Any]
    previews: Mapping[str, Preview] = field(default_factory=dict)
    related: Sequence[ReportRelated] = ()


@dataclass(frozen=True, kw_only=True)
class ReportLearned:
    """A training sample, with what a model learns of it.

    Attributes:
        parts: all its tokens, such as those of each turn.
        why_not: why it cannot be learned; "" if it can.
    """

    id: str
    parts: Sequence[LearnedPart] = ()
    why_not: str = ""

    @property
    def tokens(self) -> int:
        return sum(token.count for part in self.parts for token in part.tokens)

    @property
    def learned(self) -> int:
        return sum(token.count for part in self.parts for token in part.tokens if token.learned)


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """All that report and model card show.

    Attributes:
        title: "task · backbone · dataset".
        results: what `results.json` holds.
        config: the resolved configuration, `Plan.tree()`.
        history: the records of `metrics.jsonl`.
        examples: by ranking, the highest first.
        learned: some training samples, where a processor tells which tokens are learned.
    """

    title: str
    results: Mapping[str, Any]
    info: DatasetInfo
    config: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    examples: Mapping[str, Sequence[ReportExample]] = field(default_factory=dict)
    learned: Sequence[ReportLearned] = ()

    def section(self, name: str) -> Mapping[str, Any]:
        """A table of the results; empty where there is none."""
        return self.results.get(name) or {}

    @property
    def metrics(self) -> Mapping[str, Mapping[str, MetricValue]]:
        """The metrics of every evaluated split."""
        return self.section("metrics")

    @property
    def inputs(self) -> str:
        """What `mmft predict` is given."""
        return inputs_of(self.results)

    @property
    def split(self) -> str | None:
        """The split that is shown in detail: the one that the model knows least."""
        return next((s for s in ("test", "val", *self.metrics) if s in self.metrics), None)

    @property
    def values(self) -> Mapping[str, MetricValue]:
        """The metrics of that split."""
        return self.metrics[self.split] if self.split else {}

    @property
    def evaluated(self) -> int | None:
        """How many samples that split has."""
        samples: Mapping[str, int] = self.section("dataset").get("samples") or {}
        return samples.get(self.split) if self.split else None
