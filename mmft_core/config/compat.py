"""Checks that the chosen parts fit together, from their specs, before weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmft_core.errors import IncompatibleError
from mmft_core.registry import Registry
from mmft_core.specs import (
    ANY_MODALITIES,
    BackboneSpec,
    DatasetSpec,
    MetricSpec,
    TaskSpec,
    read_by,
)


def check(
    task: TaskSpec,
    backbones: Mapping[str, BackboneSpec],
    dataset: DatasetSpec,
    metrics: Iterable[MetricSpec],
    registry: Registry,
) -> None:
    """Check that task, backbones, dataset and metrics can work together.

    Args:
        backbones: by modality.
        registry: to name parts that would fit.

    Raises:
        IncompatibleError: they cannot; says which two do not fit, and what would.
    """
    _check_backbones(task, backbones, registry)
    _check_dataset(task, backbones, dataset, registry)
    for metric in metrics:
        if metric.measures != task.predicts:
            raise IncompatibleError(
                f"Metric '{metric.name}' measures {metric.measures}, "
                f"but task '{task.name}' predicts {task.predicts}.",
                hint=_would_fit(
                    m.name for m in registry.of(MetricSpec) if m.spec.measures == task.predicts
                ),
            )


def dataset_fits(dataset: DatasetSpec, task: TaskSpec) -> bool:
    """Whether a dataset holds a modality mix and a target that the task can use."""
    return task.target in dataset.targets and (
        ANY_MODALITIES in (task.modalities, dataset.modalities)
        or set(task.modality_names) <= set(dataset.modalities)
    )


def _check_backbones(
    task: TaskSpec, backbones: Mapping[str, BackboneSpec], registry: Registry
) -> None:
    wanted = set(task.modalities)
    if task.modalities == ANY_MODALITIES:
        _check_count(task, backbones, registry)
        wanted = set(task.writes)
    else:
        for modality, spec in backbones.items():
            if modality not in wanted:
                raise IncompatibleError(
                    f"Task '{task.name}' works on {_list(wanted)}, "
                    f"but backbone '{spec.name}' reads {modality}.",
                    hint=_would_fit(
                        name for m in wanted for name in _backbones_for(task, m, registry)
                    ),
                )
    for modality in sorted(wanted - set(backbones)):
        raise IncompatibleError(
            f"Task '{task.name}' needs a backbone for {modality}.",
            hint=_would_fit(_backbones_for(task, modality, registry)),
        )
    for modality, spec in backbones.items():
        lacking = [need for need in task.needs_of(modality) if need not in spec.provides]
        if lacking:
            raise IncompatibleError(
                f"Task '{task.name}' needs {_list(lacking)} from its {modality} backbone, "
                f"but '{spec.name}' provides {_list(spec.provides)}.",
                hint=_would_fit(_backbones_for(task, modality, registry)),
            )


def _backbones_for(task: TaskSpec, modality: str, registry: Registry) -> list[str]:
    return [
        c.name
        for c in registry.of(BackboneSpec)
        if c.spec.modality == modality and set(task.needs_of(modality)) <= set(c.spec.provides)
    ]


def _check_count(task: TaskSpec, backbones: Mapping[str, BackboneSpec], registry: Registry) -> None:
    least, most = task.count
    several = [spec.name for spec in backbones.values() if len(spec.modalities) > 1]
    if several and not task.joint:
        raise IncompatibleError(
            f"Task '{task.name}' combines backbones of one modality each, but '{several[0]}' reads "
            "several.",
            hint=_tasks_of(several[0], [c.name for c in registry.of(TaskSpec) if c.spec.joint]),
        )
    readers: dict[str, str] = {}
    for spec in backbones.values():
        for modality in spec.modalities:
            if (other := readers.setdefault(modality, spec.name)) != spec.name:
                raise IncompatibleError(
                    f"Backbones '{other}' and '{spec.name}' both read {modality}.",
                    hint="Leave one of them out.",
                )
    if least <= len(backbones) <= most:
        return
    wanted = str(least) if least == most else f"{least} to {most}"
    known = {m for c in registry.of(BackboneSpec) for m in c.spec.modality_names}
    hint = f"Give --backbone MODALITY=NAME for each, of {', '.join(sorted(known))}."
    if len(backbones) == 1:
        ((modality, spec),) = backbones.items()
        alone = [
            c.name
            for c in registry.of(TaskSpec)
            if c.spec.modalities == (modality,)
            and set(c.spec.needs_of(modality)) <= set(spec.provides)
        ]
        hint = " ".join(filter(None, (hint, _tasks_of(spec.name, alone))))
    raise IncompatibleError(
        f"Task '{task.name}' takes backbones of {wanted} modalities, not of {len(backbones)} "
        f"({_list(backbones)}).",
        hint=hint,
    )


def _tasks_of(backbone: str, tasks: Iterable[str]) -> str | None:
    """A hint that lists the tasks that take a backbone; None if there are none."""
    found = ", ".join(sorted(tasks))
    return f"Tasks for '{backbone}': {found}." if found else None


def _check_dataset(
    task: TaskSpec, backbones: Mapping[str, BackboneSpec], dataset: DatasetSpec, registry: Registry
) -> None:
    read = set(read_by(set(backbones) - set(task.writes)))
    fitting = [
        c.name
        for c in registry.of(DatasetSpec)
        if dataset_fits(c.spec, task) and _holds(c.spec, read)
    ]
    if not _holds(dataset, read):
        raise IncompatibleError(
            f"Task '{task.name}' reads {_list(read)}, "
            f"but dataset '{dataset.name}' holds {_list(dataset.modalities)}.",
            hint=_would_fit(fitting),
        )
    if task.target not in dataset.targets:
        raise IncompatibleError(
            f"Task '{task.name}' learns from targets of type {task.target}, "
            f"but those of dataset '{dataset.name}' are of type {' or '.join(dataset.targets)}.",
            hint=_would_fit(fitting),
        )


def _holds(dataset: DatasetSpec, modalities: set[str]) -> bool:
    return dataset.modalities == ANY_MODALITIES or modalities <= set(dataset.modalities)


def _list(names: Iterable[str]) -> str:
    return " and ".join(sorted(names)) or "nothing"


def _would_fit(names: Iterable[str]) -> str | None:
    found = sorted(names)
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"These would fit: {', '.join(found[:8])}{more}." if found else None
