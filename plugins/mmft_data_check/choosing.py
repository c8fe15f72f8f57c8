"""Which data set a name or a path is, when no task says what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core import ANY_MODALITIES, Component, DatasetSpec, Registry, TaskSpec, resolve
from mmft_core.config import Tree, choose_dataset, convert, merge, option_names
from mmft_core.contracts import Dataset, DatasetContext, Inspector
from mmft_core.data import form_of
from mmft_core.errors import ConfigError, DataError, MmftError
from mmft_core.utils import user_path
from mmft_datasets.class_folders import NoFilesError

_MOST = 0.9
"""The share of a folder's files that must be of one kind for the folder to be read as that kind."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A data set that was built, and what inspects it.

    Attributes:
        target: what its targets are.
    """

    dataset: Dataset
    inspectors: Mapping[str, Inspector]
    target: str


def choose(table: Tree, task_name: str | None, registry: Registry) -> Chosen:
    """Build the data set that is meant.

    Args:
        table: its settings; its "name", or the "path" that it opens.
        task_name: the task that it is for; None to find out what it holds.

    Raises:
        DataError: nothing opens it; says why.
        ConfigError: several data sets read it as different things.
    """
    if task_name is not None:
        task = registry.get(TaskSpec, task_name).spec
        component, own = choose_dataset(table, task, registry)
        return _built(component, own, task.target, task)
    if "path" not in table:
        component, own = choose_dataset(table, _any_task(), registry)
        return _built(component, own, component.spec.targets[0], None)
    path = user_path(str(table["path"]))
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.", hint="Check the path.")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"The folder {path} is empty.", hint="Check the path.")
    found, errors = _openers(path, table, registry)
    found = _mostly(found)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise ConfigError(
            f"{path} can be read as {' or '.join(found)}.",
            hint="Say what it is for: --task TASK, or --set dataset.name=NAME.",
        )
    # That there are no files of a kind matters only if nothing else is wrong.
    errors = [error for error in errors if not isinstance(error, NoFilesError)] or errors
    if len({error.message for error in errors}) == 1:
        raise errors[0]  # It is wrong for any use, and its hint says how to fix it.
    reasons = dict.fromkeys(f"\n  {error.message}" for error in errors)
    raise DataError(
        f"No data set can be made of {path}:{''.join(reasons) or ' nothing opens it.'}",
        hint="Say what it is for: --task TASK.",
    )


def _openers(
    path: Path, table: Tree, registry: Registry
) -> tuple[dict[str, Chosen], list[MmftError]]:
    """The data sets that can be made of a path, by name; and why others cannot."""
    form = form_of(path)
    components = [registry.get(DatasetSpec, c.qualified) for c in registry.of(DatasetSpec)]
    opening = [c for c in components if form in c.spec.opens]
    # A table of any columns reads whatever the others read, and more of it.
    mixed = [c for c in opening if c.spec.modalities == ANY_MODALITIES]
    found: dict[str, Chosen] = {}
    errors: list[MmftError] = []
    for component in mixed or opening:
        for target in component.spec.targets:
            try:
                found[component.name] = _built(
                    component, merge(table, {"path": str(path)}), target, None
                )
                break
            except MmftError as error:
                errors.append(error)
    return found, errors


def _mostly(found: dict[str, Chosen]) -> dict[str, Chosen]:
    """Of the data sets that a folder can be read as, the one with nearly all of its files: a stray
    text does not turn a folder of pictures into one of texts."""
    sizes = {name: sum(map(len, c.dataset.splits.values())) for name, c in found.items()}
    main = {name: found[name] for name, n in sizes.items() if n >= _MOST * sum(sizes.values())}
    return main or found


def _built(
    component: Component[DatasetSpec], table: Mapping[str, Any], target: str, task: TaskSpec | None
) -> Chosen:
    own = {key: value for key, value in table.items() if key != "name"}
    # Only splits that the data have themselves; a run draws others from train at random.
    options_type = component.options_type()
    drawn = [name for name in ("val", "test") if _may_be_none(name, options_type)]
    options = convert(dict.fromkeys(drawn, 0.0) | own, options_type, "dataset")
    partial = component.spec.modalities == ANY_MODALITIES
    modalities = task.modalities if task and task.modalities != ANY_MODALITIES else ()
    context = DatasetContext(target=target, modalities=modalities, partial=partial, training=False)
    dataset = component.build(options, context)
    if not dataset.splits or not any(map(len, dataset.splits.values())):
        raise DataError(f"{dataset.info.name} holds no samples.")
    inspectors = {m: resolve(p)() for m, p in component.spec.inspectors.items()}
    return Chosen(dataset=dataset, inspectors=inspectors, target=target)


def _may_be_none(split: str, options_type: type[Any]) -> bool:
    """Whether no such split needs to be drawn."""
    if split not in option_names(options_type):
        return False
    try:
        convert({split: 0.0}, options_type, "dataset")
    except ConfigError:
        return False
    return True


def _any_task() -> TaskSpec:
    """A task that asks for nothing in particular, for `choose_dataset`."""
    return TaskSpec(
        name="check",
        summary="",
        modalities=ANY_MODALITIES,
        target="class",
        predicts="",
        build="mmft_data_check:check",
    )
