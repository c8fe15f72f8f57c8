"""Choosing the data set: by name, by the path that it opens, or the task's default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmft_core.config import compat
from mmft_core.config.options import option_names
from mmft_core.config.trees import Tree, merge
from mmft_core.data.tables import form_of
from mmft_core.errors import ConfigError, DataError
from mmft_core.registry import Component, Registry
from mmft_core.specs import ANY_MODALITIES, BackboneSpec, DatasetSpec, TaskSpec
from mmft_core.utils.files import user_path
from mmft_core.utils.folders import some_suffixes


def choose_dataset(
    table: Tree, task: TaskSpec, registry: Registry, backbones: Iterable[BackboneSpec] = ()
) -> tuple[Component[DatasetSpec], Tree]:
    """Find the dataset by name, by a path that it opens, or by a backbone's or the task's default.

    Args:
        table: the settings below `dataset`.
        backbones: of the run.

    Returns:
        The dataset, and its settings with the path as it is opened.

    Raises:
        ConfigError: none is given, several open the path, or samples are to be grouped by a
            column and it has none.
        DataError: there is no such path, or nothing that fits the task opens it.
        UnknownComponentError, AmbiguousNameError: the name cannot be resolved.
    """
    if "name" in table or table.get("path") == "":
        chosen = registry.get(DatasetSpec, chosen_name(table, "dataset", "--dataset"))
    elif "path" in table:
        path = user_path(str(table["path"]))
        chosen, table = _opener(path, task, registry), merge(table, {"path": str(path)})
    else:
        chosen = _default(task, registry, backbones)
    _check_columns(chosen, table)
    return chosen, table


def _default(
    task: TaskSpec, registry: Registry, backbones: Iterable[BackboneSpec]
) -> Component[DatasetSpec]:
    """The first default of a backbone that fits the task, or else the task's default."""
    for name in filter(None, (spec.default_dataset for spec in backbones)):
        chosen = registry.get(DatasetSpec, name)
        if compat.dataset_fits(chosen.spec, task):
            return chosen
    if task.default_dataset is None:
        raise ConfigError(
            f"Task '{task.name}' has no default dataset.", hint="Give --dataset NAME_OR_PATH."
        )
    return registry.get(DatasetSpec, task.default_dataset)


def _check_columns(dataset: Component[DatasetSpec], table: Tree) -> None:
    if "group_column" in table and "group_column" not in option_names(dataset.options_type()):
        raise ConfigError(
            f"Dataset '{dataset.name}' has no columns to group by.",
            hint="Leave out --group, or turn it into a table with such a column: "
            "mmft data split DATASET -o TABLE.csv",
        )


def _opener(path: Path, task: TaskSpec, registry: Registry) -> Component[DatasetSpec]:
    """The one dataset that fits the task and opens this kind of path."""
    if not path.exists():
        raise DataError(
            f"There is no file or folder {path}.",
            hint="Check the path, or give the name of a dataset: `mmft plugins --kind dataset`.",
        )
    form = form_of(path)
    datasets = [registry.get(DatasetSpec, c.qualified) for c in registry.of(DatasetSpec)]
    # A table of any columns is for tasks of any modalities; the others have tables of their own.
    mixed = task.modalities == ANY_MODALITIES
    fitting = [
        c
        for c in datasets
        if compat.dataset_fits(c.spec, task) and (c.spec.modalities == ANY_MODALITIES) == mixed
    ]
    openers = [c for c in fitting if form in c.spec.opens]
    if len(openers) == 1:
        return openers[0]
    if openers:
        names = ", ".join(c.qualified for c in openers)
        raise ConfigError(
            f"Several datasets open {path}: {names}.",
            hint="Say which: --dataset NAME --set dataset.path=PATH",
        )
    what = "folder" if path.is_dir() else "file"
    raise DataError(
        f"The {what} {path} cannot be used as a data set for task '{task.name}'.",
        hint=f"Give {_readable(fitting)}.",
    )


def _readable(datasets: Iterable[Component[DatasetSpec]]) -> str:
    """What can be given to choose one of these data sets."""
    forms = dict.fromkeys(form for c in datasets for form in c.spec.opens)
    suffixes = [form for form in forms if form != "/"]
    ways = ["the name of a data set (`mmft plugins --kind dataset`)"]
    if suffixes:
        ways.insert(0, f"a file ending in {some_suffixes(suffixes)}")
    if "/" in forms:
        ways.insert(0, "a folder")
    return ", or ".join(ways)


def chosen_name(table: Mapping[str, Any], key: str, flag: str) -> str:
    """The name in a table of settings.

    Raises:
        ConfigError: there is none; says by which flag it is given.
    """
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"No {key} was chosen.",
            hint=f"Give {flag} NAME; `mmft plugins --kind {key}` lists them.",
        )
    return name
