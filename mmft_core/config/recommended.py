"""Settings that a component recommends for runs that use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import as_written, convert, renamed
from mmft_core.config.trees import Tree, merge, nest
from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.plugin_errors import recommended_by
from mmft_core.registry import Component
from mmft_core.specs import BackboneSpec, PartSpec

_TRAINING = ("engine", "optimizer", "schedule")
_TABLES = (*_TRAINING, "backbone", "dataset", "task")


def recommended_settings(
    component: Component[PartSpec], settings: Mapping[str, Any], *, from_scratch: bool = False
) -> Tree:
    """What a spec recommends, as a tree; a plugin may know settings by former names.

    Settings of training and the component's own options are checked here. Options of other
    components are not, because they hold for whichever of them has the option.

    Args:
        settings: `defaults` or `from_scratch` of the spec, by dotted key.
        from_scratch: whether they are for a start from random weights, which changes how is
            trained and nothing else.

    Raises:
        ConfigError: there is no such setting, or a value is not valid.
    """
    tree = nest(settings)
    tables, whole = (_TRAINING, "training") if from_scratch else (_TABLES, "a part")
    options_type = component.options_type()  # Faults in it are not those of a recommendation.
    with recommended_by(component.full_name), as_written():  # No notice, for no user wrote it.
        for name, table in tree.items():
            if name not in tables or not isinstance(table, Mapping):
                raise ConfigError(
                    f"'{name}' is not a setting of {whole}.{did_you_mean(name, tables)}",
                    hint=f"Settings begin with one of {', '.join(f'{t}.' for t in tables)}",
                )
        if "engine" in tree:
            tree["engine"] = renamed(tree["engine"], EngineConfig, "engine")
            convert(tree["engine"], EngineConfig, "engine")
        owner = f"{component.kind.capitalize()} '{component.name}'"
        convert(_own(component.spec, tree), options_type, component.kind, owner)
    return tree


def _own(spec: PartSpec, tree: Tree) -> Tree:
    """What is recommended for the component itself."""
    table: Tree = tree.get(spec.kind, {})
    if not isinstance(spec, BackboneSpec):
        return table
    # Tables below `backbone` are those of the backbones of a modality.
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    return merge(plain, table.get(spec.modality, {}))
