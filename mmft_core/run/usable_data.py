"""Checks the data of a new run, and leaves out samples that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mmft_core.config.plan import Plan
from mmft_core.contracts import Dataset, DatasetInfo, Task
from mmft_core.contracts.callbacks import Callback
from mmft_core.data import soundness
from mmft_core.data.class_counts import absent_classes
from mmft_core.data.number_targets import scale_notes
from mmft_core.errors import DataError
from mmft_core.run.build import with_scale
from mmft_core.run.own_data import fingerprints_of


def drop_unreadable(
    dataset: Dataset, plan: Plan, callback: Callback
) -> tuple[Dataset, soundness.Findings]:
    """Leave out samples that cannot be read, before scales and vocabularies are made from the data.

    Returns:
        the remaining data, and the findings about all samples.

    Raises:
        DataError: a split, or a class in train, has no samples left.
    """
    total = sum(len(split) for split in dataset.splits.values())
    progress = partial(callback.on_evaluation_progress, "data check")
    targets = plan.task.spec.target != "none"
    found = soundness.read(dataset, progress, fingerprints_of(plan), targets=targets)
    try:
        left = soundness.without(dataset, found.faulty())
    except DataError:
        if plan.on_bad_sample == "fail":
            raise soundness.refuse(found.faults, total) from None
        raise
    if found.faults and left.info.target_scale is not None:
        left = with_scale(left)
    return left, found


def inspect_samples(
    dataset: Dataset, task: Task, plan: Plan, read: soundness.Findings, callback: Callback
) -> soundness.Findings:
    """Check that the task can use every sample, and report those that it cannot.

    Args:
        read: the findings of `drop_unreadable`.

    Returns:
        the findings about all samples; bad ones are to be left out.

    Raises:
        DataError: there are bad samples and `on_bad_sample` is "fail"; lists them.
    """
    total = sum(len(split) for split in dataset.splits.values())
    progress = partial(callback.on_evaluation_progress, "data check")
    findings = soundness.inspect(
        dataset,
        task.processors,
        task.codec,
        progress,
        learns=plan.engine.learns,
        partial=plan.task.spec.partial_for(plan.backbones),
        known=read,
    )
    if findings.faults and plan.on_bad_sample == "fail":
        raise soundness.refuse(findings.faults, total)
    for fault in findings.faults:
        callback.on_message(f"Left out of {fault.split}: {fault.id}: {fault.reason}")
    for remark in findings.remarks():
        callback.on_message(remark)
    return findings


def with_notes(info: DatasetInfo, findings: soundness.Findings, plan: Plan) -> DatasetInfo:
    """Add notes about classes that a split lacks, and about the scale of numeric targets."""
    notes: list[str] = []
    if not plan.task.spec.unseen_classes:
        notes += absent_classes(findings.classes, info.classes)
    if info.target_scale is not None:
        notes += scale_notes(info.target_scale)
    return replace(info, notes=(*info.notes, *notes))
