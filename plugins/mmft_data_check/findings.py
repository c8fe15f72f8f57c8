"""What is found, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

KINDS: Mapping[str, str] = {
    "unreadable": "cannot be read",
    "no-label": "without a label",
    "target": "with a target that cannot be used",
    "unlearnable": "that the model cannot learn",
    "shortened": "that are changed to fit the model",
    "missing": "without an input",
    "empty": "empty",
    "silent": "silent",
    "clipped": "clipped",
    "blank": "blank",
    "flat": "nearly flat for a network",
    "extreme-shape": "of an extreme shape",
    "encoding": "with broken characters",
    "odd": "odd but readable",
    "too-long": "far longer than the others",
    "conflict": "duplicated with contradicting labels",
    "leak": "also in another split",
    "duplicate": "there twice",
    "near-leak": "nearly the same as one in another split",
    "near-duplicate": "nearly the same as another",
    "suspect": "perhaps wrongly labelled",
    "absent-class": "absent from a split",
    "rare-class": "rare compared with other classes",
}
"""Kinds of findings with their headings, the gravest first. Inspectors of plugins may have kinds of
their own, which come after these."""


def heading(kind: str) -> str:
    """What is said of the samples of a kind, after their number."""
    return KINDS.get(kind, "with a fault of another kind")


ORDER: Mapping[str, int] = {"train": 0, "val": 1, "test": 2}
"""The order of splits in a report."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: of `KINDS`, or a plugin's own.
        split: where.
        id: of the sample, its file or row; of a class its name.
        text: what is wrong with it, as the end of a sentence that begins with the id.
        index: of the sample in its split; None where it is about no single sample.
        other: id of another sample that it is about, too.
        other_place: its split and its index there.
    """

    kind: str
    split: str
    id: str
    text: str
    index: int | None = None
    other: str | None = None
    other_place: tuple[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """How many tokens of a sample a model reads, and how many of them it learns."""

    id: str
    tokens: int
    learned: int


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """A split in figures.

    Attributes:
        classes: how many samples each has.
        sizes: by modality: unit, smallest, median, largest.
        learned: of each sample that a model can learn, if a model was named.
    """

    samples: int
    classes: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, tuple[str, float, float, float]] = field(default_factory=dict)
    learned: Sequence[Tokens] = ()

    def described(self) -> str:
        """The sizes in words."""
        return "; ".join(
            f"{modality} {_figure(low)} to {_figure(high)} {unit}, median {_figure(middle)}"
            for modality, (unit, low, middle, high) in self.sizes.items()
        )

    def tokens(self) -> str:
        """The tokens of its samples in words; "" where no model was named."""
        if not self.learned:
            return ""
        lengths = sorted(sample.tokens for sample in self.learned)
        share = sum(sample.learned for sample in self.learned) / sum(lengths)
        middle = lengths[len(lengths) // 2]
        return (
            f"{lengths[0]:,} to {lengths[-1]:,} tokens, median {middle:,}; {share:.1%} of all "
            "tokens are learned"
        )


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was found.

    Attributes:
        name: of the data set.
        notes: what the report does not cover, and why.
        warnings: what is doubtful about the data as a whole, such as how a table is to be read.
    """

    name: str
    splits: Mapping[str, SplitFacts]
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    seconds: float = 0.0

    def by_kind(self) -> dict[str, list[Finding]]:
        """The findings of each kind that there are any of, the gravest first."""
        kinds = dict.fromkeys((*KINDS, *(f.kind for f in self.findings)))
        grouped = {kind: [f for f in self.findings if f.kind == kind] for kind in kinds}
        return {kind: found for kind, found in grouped.items() if found}
