"""Which backbones could do a task on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmft_core import ANY_MODALITIES, BackboneSpec, Component, Registry, TaskSpec
from mmft_core.config import Tree, choose_dataset, combine, make_plan, merge, option_names
from mmft_core.errors import ConfigError, DataError, IncompatibleError
from mmft_core.run import build_dataset


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backbone to be measured.

    Attributes:
        tree: the configuration of a run with it.
    """

    name: str
    modality: str
    tree: Tree

    @property
    def weights(self) -> str:
        """What it starts from: "pretrained", "none", or a path."""
        return str(self.tree["backbone"][self.modality]["weights"])


def candidates(
    tree: Tree, names: Sequence[str], weights: Mapping[str, str], registry: Registry
) -> list[Candidate]:
    """The backbones that could do what a configuration without any asks for.

    Args:
        names: only these; empty for all that are installed.
        weights: what each starts from, by name; "" for all others.

    Raises:
        IncompatibleError: the task joins several backbones, or none could do it.
        UnknownComponentError, AmbiguousNameError, ConfigError, DataError: as a run's.
    """
    tree = combine([tree], registry)
    task = registry.get(TaskSpec, str(merge({"task": {}}, tree)["task"].get("name", "")))
    if task.spec.writes or task.spec.count[0] > 1:
        raise IncompatibleError(
            f"Task '{task.name}' combines several backbones, but they are compared one at a time.",
            hint="Compare those of each modality with a task of its own.",
        )
    known = [registry.get(BackboneSpec, name) for name in names] or _all(task.spec, registry)
    dataset, _ = choose_dataset(dict(tree.get("dataset", {})), task.spec, registry)
    found = []
    for component in known:
        lacking = set(task.spec.needs_of(component.spec.modality)) - set(component.spec.provides)
        held = dataset.spec.modalities
        reads = held == ANY_MODALITIES or component.spec.modality in held
        if names or (reads and not lacking and not component.missing_extras()):
            own = _with_backbone(tree, component, weights)
            make_plan(own, registry)
            found.append(Candidate(name=component.name, modality=component.spec.modality, tree=own))
    unknown = weights.keys() - {c.name for c in found} - {""}
    if unknown:
        raise ConfigError(
            f"--weights names {sorted(unknown)[0]}, which is not among the backbones compared."
        )
    return _of_held_modalities(found, registry)


def _all(task: TaskSpec, registry: Registry) -> list[Component[BackboneSpec]]:
    components = [registry.get(BackboneSpec, c.qualified) for c in registry.of(BackboneSpec)]
    if task.modalities == ANY_MODALITIES:
        return components
    return [c for c in components if c.spec.modality in task.modalities]


def _with_backbone(
    tree: Tree, component: Component[BackboneSpec], weights: Mapping[str, str]
) -> Tree:
    """The configuration with this backbone, without settings that the backbone does not have."""
    options = option_names(component.options_type())
    shared: Mapping[str, Any] = tree.get("backbone", {})
    own: Tree = {key: value for key, value in shared.items() if key in options}
    own["name"] = component.qualified
    own["weights"] = weights.get(component.name, weights.get("", "pretrained"))
    return {**tree, "backbone": {component.spec.modality: own}}


def _of_held_modalities(found: list[Candidate], registry: Registry) -> list[Candidate]:
    """Only those whose modality the data have, which some data sets know once they are built."""
    held: dict[str, bool] = {}
    problem: Exception | None = None
    for candidate in found:
        if candidate.modality in held:
            continue
        try:
            build_dataset(make_plan(candidate.tree, registry))
            held[candidate.modality] = True
        except DataError as error:
            held[candidate.modality], problem = False, error
    if problem is not None and not any(held.values()):
        raise problem
    left = [candidate for candidate in found if held[candidate.modality]]
    if not left:
        raise IncompatibleError("No installed backbone fits the task and the data set.")
    return left
