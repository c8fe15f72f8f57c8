"""What a reader should see first: the main figure, the warnings, all figures by split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmft_core.utils import numbers
from mmft_report.content import ReportContent


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The main figure, and what it was measured on."""

    name: str
    split: str
    value: str
    samples: int | None


@dataclass(frozen=True, kw_only=True)
class Banner:
    """What a reader must know before believing the figures.

    Attributes:
        alarm: whether it makes the metrics less reliable.
        particulars: of each case, which may be many.
    """

    title: str
    text: str
    alarm: bool = False
    particulars: tuple[str, ...] = ()


def headline(content: ReportContent) -> Headline | None:
    """The monitored metric on the split that the model knows least, or else that split's loss."""
    monitored = content.section("monitor").get("name")
    for name in (monitored, "loss"):
        value = content.values.get(name) if name else None
        if numbers.is_number(value) and content.split:
            return Headline(
                name=str(name),
                split=content.split,
                value=numbers.readable(float(value)),
                samples=content.evaluated,
            )
    return None


def banners(content: ReportContent) -> list[Banner]:
    """The warnings, the gravest first."""
    return [*_ending(content), *_weights(content), *_data(content), *_undefined(content)]


def figures(
    metrics: Mapping[str, Mapping[str, Any]],
) -> list[tuple[str, list[str]]]:
    """A row for each single figure, with a cell for each split."""
    rows = []
    for name in dict.fromkeys(name for values in metrics.values() for name in values):
        cells = [values.get(name) for values in metrics.values()]
        if not any(isinstance(cell, list) for cell in cells):
            rows.append((name, [numbers.readable(cell) for cell in cells]))
    return rows


def _ending(content: ReportContent) -> list[Banner]:
    steps = content.results.get("steps")
    if content.results.get("ending") != "interrupted":
        untrained = Banner(title="Nothing was trained", text="The weights are unchanged.")
        return [untrained] if steps == 0 else []
    after = f" after {numbers.counted(steps, 'step')}" if isinstance(steps, int) else ""
    return [
        Banner(
            title="This run was interrupted",
            text=f"Training stopped{after}, before the end; mmft run --resume continues it.",
            alarm=True,
        )
    ]


def _weights(content: ReportContent) -> list[Banner]:
    found = []
    for part in content.section("backbones").values():
        weights = part.get("weights", {})
        if weights.get("fell_back"):
            found.append(
                Banner(
                    title=f"{part['name']} was trained from random initialisation",
                    text="Its pretrained weights could not be loaded, so the metrics say little "
                    f"about what fine-tuning would reach. The reason: {weights.get('detail')}",
                    alarm=True,
                )
            )
    return found


def _undefined(content: ReportContent) -> list[Banner]:
    remarks = content.section("remarks")
    told = tuple(f"{split}: {text}" for split, texts in remarks.items() for text in texts)
    if not told:
        return []
    return [
        Banner(
            title="Remarks on the metrics",
            text="Undefined metrics are shown as – and left out of means.",
            particulars=told,
        )
    ]


def _data(content: ReportContent) -> list[Banner]:
    data, found = content.section("dataset"), []
    if content.info.synthetic or data.get("synthetic"):
        found.append(
            Banner(
                title="The data are synthetic",
                text=f"{content.info.name} was generated, not collected; the metrics do not carry "
                "over to real data.",
                alarm=True,
            )
        )
    skipped = data.get("skipped") or []
    if skipped:
        found.append(
            Banner(
                title=f"{numbers.counted(len(skipped), 'sample')} left out",
                text="They could not be read or used, and no metric includes them.",
                particulars=tuple(f"{fault['id']}: {fault['reason']}" for fault in skipped),
            )
        )
    changed = data.get("changed") or []
    if changed:
        found.append(
            Banner(
                title="Some samples were changed, or are odd",
                text="They were used nevertheless.",
                particulars=tuple(changed),
            )
        )
    if content.metrics and content.split != "test":
        found.append(
            Banner(
                title="There was no test split",
                text=f"The metrics are those of the {content.split} split, which also chose the "
                "model; on new data, expect somewhat worse ones.",
            )
        )
    return found
