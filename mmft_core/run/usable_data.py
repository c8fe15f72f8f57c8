"""The data of a new run: which samples can be used, and what is said of the others."""

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
    """The data without samples that cannot be read, from which backbones and task learn their
    scales and vocabularies; and what is wrong with those.

    Raises:
        DataError: nothing is left of a split, or of a class of train.
    """
    total = sum(len(split) for split in dataset.splits.values())
    progress = partial(callback.on_evaluation_progress, "data check")
    found = soundness.read(dataset, progress, fingerprints_of(plan))
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
    """Check that the task can use all samples; bad ones end the run or are left out, as the user
    decided.

    Args:
        read: what `drop_unreadable` found.

    Raises:
        DataError: there are bad ones, which are to end the run; lists them.
    """
    total = sum(len(split) for split in dataset.splits.values())
    progress = partial(callback.on_evaluation_progress, "data check")
    findings = soundness.inspect(
        dataset, task.processors, task.codec, progress, learns=plan.engine.learns, known=read
    )
    if findings.faults and plan.on_bad_sample == "fail":
        raise soundness.refuse(findings.faults, total)
    for fault in findings.faults:
        callback.on_message(f"Left out of {fault.split}: {fault.id}: {fault.reason}")
    for remark in findings.remarks():
        callback.on_message(remark)
    return findings


def with_notes(info: DatasetInfo, findings: soundness.Findings, plan: Plan) -> DatasetInfo:
    """What is known of the data, with what the division into splits has come to."""
    notes: list[str] = []
    if not plan.task.spec.unseen_classes:
        notes += absent_classes(findings.classes, info.classes)
    if info.target_scale is not None:
        notes += scale_notes(info.target_scale)
    return replace(info, notes=(*info.notes, *notes))
