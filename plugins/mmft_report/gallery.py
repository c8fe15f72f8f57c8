"""Singled-out samples as cards: what went in, what was predicted, what is true."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

from mmft_core.contracts import Preview, data_url
from mmft_core.utils import numbers
from mmft_report.content import ReportContent, ReportExample, ReportRelated

_BUDGET = 2_500_000
"""Bytes of previews that a page holds; samples beyond are shown without."""
_TEXT = 4000
_MIME = re.compile(r"(image|audio)/[\w.+-]+")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A preview as the page shows it: a data address, or text.

    Attributes:
        label: what stands above it, where there are several modalities.
    """

    modality: str
    label: str = ""
    kind: Literal["image", "audio", "text"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one side of a conversation says, or shows.

    Attributes:
        label: who it is.
    """

    label: str
    parts: list[Shown]


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A sample that belongs beside a card's.

    Attributes:
        label: its target, where that is a class.
        score: by which it is related.
    """

    id: str
    label: str
    right: bool | None
    score: str
    previews: list[Shown]


@dataclass(frozen=True, kw_only=True)
class Card:
    """One sample.

    Attributes:
        prediction: the main value of the task's record, "(empty)" for a text without characters;
            "" for an empty record.
        right: whether it is right; None if it is not a matter of yes and no.
        details: the record's other plain values.
        alignment: (kind of difference, true words, predicted words) of runs of words, for a record
            that has an "alignment"; the kind is "equal", "insert", "delete" or "substitute".
        bars: (name, share, whether it is the true one) of the alternatives.
        related: samples that belong beside it, the nearest first.
        turns: of a conversation what was said before, in place of previews.
    """

    id: str
    target: str
    prediction: str
    right: bool | None
    details: list[tuple[str, str]]
    alignment: list[tuple[str, str, str]]
    bars: list[tuple[str, float, bool]]
    previews: list[Shown]
    related: list[Neighbour]
    turns: list[Turn]


def gallery(content: ReportContent) -> dict[str, list[Card]]:
    """The cards of each ranking. Rankings share the room for previews, highest samples first."""
    left = _BUDGET
    affordable: set[int] = set()
    for rank in zip_longest(*content.examples.values()):
        for example in filter(None, rank):
            size = _size(example)
            if size <= left:
                left -= size
                affordable.add(id(example))
    classes = set(content.info.classes)
    return {
        ranking: [_card(e, classes, id(e) in affordable) for e in examples]
        for ranking, examples in content.examples.items()
        if examples
    }


def _size(example: ReportExample) -> int:
    """The bytes of its previews, and of those of what belongs beside it."""
    previews = [example.previews, *(related.previews for related in example.related)]
    return sum(len(preview.data) for each in previews for preview in each.values())


def _card(example: ReportExample, classes: set[str], with_previews: bool) -> Card:
    record = example.prediction
    named = {k: ", ".join(v) or "none" if _are_texts(v) else v for k, v in record.items()}
    plain = {k: v for k, v in named.items() if isinstance(v, str | int | float | bool)}
    main = next((k for k, v in plain.items() if isinstance(v, str)), next(iter(plain), None))
    whole = json.dumps(record, default=str)[:_TEXT] if record else ""
    prediction = _plain(plain[main]) if main else whole
    bars = _bars(record)
    first = [share for _, share in bars[:1]]  # The same number is not shown twice.
    right = prediction == example.target if example.target in classes else None
    return Card(
        id=example.id,
        target=example.target,
        prediction=prediction or ("(empty)" if main else ""),
        right=example.related[0].right if example.related else right,
        details=[(k, _plain(v)) for k, v in plain.items() if k != main and v not in first],
        alignment=[(kind, true, found) for kind, true, found in record.get("alignment", ())],
        bars=[(name, share, name == example.target) for name, share in bars],
        previews=_all_shown(example.previews) if with_previews else [],
        related=[_neighbour(r, classes, with_previews) for r in example.related],
        turns=_turns(example.previews) if with_previews else [],
    )


def _turns(previews: Mapping[str, Preview]) -> list[Turn]:
    """The labelled previews, as turns of a conversation."""
    turns: list[Turn] = []
    for modality, preview in previews.items():
        one = shown(modality, preview) if preview.label else None
        if one is None:
            continue
        if not turns or turns[-1].label != preview.label:
            turns.append(Turn(label=preview.label, parts=[]))
        turns[-1].parts.append(one)
    return turns


def _neighbour(related: ReportRelated, classes: set[str], with_previews: bool) -> Neighbour:
    return Neighbour(
        id=related.id,
        label=related.target if related.target in classes else "",
        right=related.right,
        score=numbers.readable(related.score),
        previews=_all_shown(related.previews) if with_previews else [],
    )


def _bars(record: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The alternatives: the first list of {a name: a text, its share: a number from 0 to 1}."""
    for value in record.values():
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            pairs = [_pair(list(item.values())) for item in value]
            if all(pair is not None for pair in pairs):
                return [pair for pair in pairs if pair is not None]
    return []


def _pair(values: Sequence[Any]) -> tuple[str, float] | None:
    names = [v for v in values if isinstance(v, str)]
    shares = [float(v) for v in values if _share(v)]
    return (names[0], shares[0]) if names and shares else None


def _share(value: Any) -> bool:
    return numbers.is_finite(value) and 0 <= value <= 1


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else numbers.readable(value)


def _all_shown(previews: Mapping[str, Preview]) -> list[Shown]:
    unlabelled = {m: p for m, p in previews.items() if not p.label}
    found = [s for m, p in unlabelled.items() if (s := shown(m, p)) is not None]
    several = len({s.modality.partition(" ")[0] for s in found}) > 1  # "audio 2" is a further view.
    return [replace(s, label=s.modality) for s in found] if several else found


def shown(modality: str, preview: Preview) -> Shown | None:
    """A preview as a page shows it; None if it is of no kind that pages show."""
    mime = preview.mime.partition(";")[0].strip()
    if mime.startswith("text/"):
        text = preview.data.decode("utf-8", "replace")
        text = text if len(text) <= _TEXT else text[:_TEXT] + " …"
        return Shown(modality=modality, kind="text", content=text)
    match = _MIME.fullmatch(mime)
    if match is None:
        return None
    address = data_url(Preview(mime, preview.data))
    kind: Literal["image", "audio"] = "image" if match[1] == "image" else "audio"
    return Shown(modality=modality, kind=kind, content=address)
