"""From the parts of a finished run to the content of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from mmft_core.contracts import (
    Completing,
    Example,
    FinishedRun,
    Preview,
    Sample,
    Showing,
    ShowingLearned,
    Split,
    Task,
)
from mmft_core.engine import read_metrics
from mmft_core.errors import SampleError
from mmft_core.run import RunDirectory
from mmft_report.content import ReportContent, ReportExample, ReportLearned, ReportRelated

_LEARNED = 4
"""Training samples whose learned tokens are shown."""

_Shown: TypeAlias = tuple[str, Mapping[str, Preview]]


def collect_content(run: FinishedRun) -> ReportContent:
    """Gather what the report shows."""
    plan, dataset = run.plan, run.dataset
    backbones = " + ".join(part.component.name for part in plan.backbones.values())
    content = ReportContent(
        title=f"{plan.task.component.name} · {backbones} · {dataset.info.name}",
        results=run.results,
        info=dataset.info,
        config=plan.tree(),
        history=read_metrics(RunDirectory(run.directory).metrics),
        learned=_learned(dataset.splits["train"], run.task) if "train" in dataset.splits else (),
    )
    name = content.split
    if name is None or name not in run.evaluations or name not in dataset.splits:
        return content
    examples = _examples(dataset.splits[name], run.evaluations[name].examples, run.task)
    return replace(content, examples=examples)


def _learned(train: Split, task: Task) -> list[ReportLearned]:
    """What a model learns of the first training samples, where a processor can tell."""
    telling = {m: p for m, p in task.processors.items() if isinstance(p, ShowingLearned)}
    found = []
    for index in range(min(_LEARNED, len(train)) if telling else 0):
        sample_id = train.sample_id(index)
        try:
            inputs = train[index].inputs
            held = {m: p for m, p in telling.items() if inputs.get(m) is not None}
            parts = [part for m, p in held.items() for part in p.show_learned(inputs[m])]
            found.append(ReportLearned(id=sample_id, parts=parts))
        except (SampleError, OSError, ValueError) as error:
            found.append(ReportLearned(id=sample_id, why_not=str(error)))
    return found


def _examples(
    split: Split, rankings: Mapping[str, list[Example]], task: Task
) -> dict[str, list[ReportExample]]:
    """Look up the examples of each ranking, and what is related to them, in their split."""
    examples = [example for ranking in rankings.values() for example in ranking]
    wanted = {e.id for e in examples} | {r.id for e in examples for r in e.related}
    found: dict[str, int] = {}
    for index in range(len(split) if wanted else 0):
        sample_id = split.sample_id(index)
        if sample_id in wanted:
            found[sample_id] = index
    shown = {sample_id: _shown(split, index, task) for sample_id, index in found.items()}
    return {
        name: [
            _drawn(_example(e, shown), split, found[e.id], task) for e in ranking if e.id in shown
        ]
        for name, ranking in rankings.items()
    }


def _example(example: Example, shown: Mapping[str, _Shown]) -> ReportExample:
    target, previews = shown[example.id]
    return ReportExample(
        id=example.id,
        score=example.score,
        target=target,
        prediction=example.prediction,
        previews=previews,
        related=[
            ReportRelated(
                id=related.id,
                score=related.score,
                right=related.right,
                target=shown[related.id][0],
                previews=shown[related.id][1],
            )
            for related in example.related
            if related.id in shown
        ],
    )


def _drawn(example: ReportExample, split: Split, index: int, task: Task) -> ReportExample:
    """An example, its record completed and its prediction drawn by the task."""
    if not isinstance(task, Completing | Showing):
        return example
    try:
        sample = split[index]
        if isinstance(task, Completing):
            record = task.complete(dict(example.prediction), sample.inputs)
            example = replace(example, prediction=record)
        if isinstance(task, Showing):
            drawn = task.show(sample.inputs, example.prediction, sample.target)
            example = replace(example, previews={**example.previews, **drawn})
    except (SampleError, OSError):  # It was there when it was evaluated.
        pass
    return example


def _shown(split: Split, index: int, task: Task) -> _Shown:
    """A sample's target and its previews."""
    try:
        previews = _previews(split[index], task)
    except (SampleError, OSError):  # It was there when it was evaluated; show the rest.
        previews = {}
    return _text(split.target(index)), previews


def _text(target: Any) -> str:
    """A target as text; for labels, and for objects that have one, their names."""
    if isinstance(target, Mapping):
        return "\n".join(f"{name}: {value}" for name, value in target.items())
    if isinstance(target, list) and all(isinstance(o, dict) and "label" in o for o in target):
        target = [str(thing["label"]) for thing in target]
    if isinstance(target, list | tuple) and all(isinstance(name, str) for name in target):
        return ", ".join(target) or "none"
    return str(target)


def _previews(sample: Sample, task: Task) -> dict[str, Preview]:
    """By modality; further views of one are numbered."""
    previews = {}
    for modality, processor in task.processors.items():
        raw = sample.inputs.get(modality)
        views = () if raw is None else processor.views(raw)
        for number, view in enumerate(views, start=1):
            previews[modality if number == 1 else f"{modality} {number}"] = view
    return previews
