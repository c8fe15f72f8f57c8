"""What a plugin declares: frozen descriptions of its components.

A spec names the code that does the work by path (`build="package.module:attribute"`) and is
resolved only on use. So listing, checking and refusing components never imports torch, whatever the
module behind the path imports.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, get_type_hints

import msgspec

from mmft_core.errors import MmftError, PluginError, first_line
from mmft_core.plugin_errors import describe_error

API_VERSION = 2
"""The version of the plugin contract. A plugin states the one it needs as `MMFT_API_VERSION`."""
OLDEST_API_VERSION = 1
"""The oldest version for which a plugin may have been written."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

ANY_MODALITIES = ("*",)
"""For `TaskSpec.modalities`: the task takes whatever mix of modalities it is given. For
`DatasetSpec.modalities`: samples hold what the context asks for."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every component declares.

    Attributes:
        checks: path of the conformance kit's checks for this kind, if its contract is defined by a
            plugin; all others are in `mmft_testing`.
        name: what the user types; lower-case letters, digits, dots, hyphens and underscores.
        summary: one line for `mmft plugins`.
        build: "package.module:attribute" of the function or object that builds the component; each
            kind says what it must be.
        extras: optional-dependency groups of the plugin's distribution that must be installed.
    """

    kind: ClassVar[str]
    checks: ClassVar[str] = ""

    name: str
    summary: str
    build: str
    extras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise PluginError(
                f"{self.kind} name {self.name!r} is not lower-case letters, digits, '.', '-', '_'."
            )
        for path in (self.build, *(getattr(self, name, None) for name in ("options", "describe"))):
            if path is not None and not (isinstance(path, str) and _PATH.fullmatch(path)):
                raise PluginError(
                    f"{self.kind} '{self.name}': {path!r} is not a 'package.module:attribute' path."
                )
        tuples = ("extras", "modalities", "targets", "provides", "parts", "needs", "opens", "usage")
        for attribute in tuples:
            value = getattr(self, attribute, ())
            if isinstance(value, str):
                raise PluginError(
                    f"{self.kind} '{self.name}': {attribute} is the string {value!r}, not a tuple."
                )
        own: Any = type(self)
        for attribute, annotation in _annotations(own).items():
            try:
                value = msgspec.convert(getattr(self, attribute), annotation)
            except msgspec.ValidationError as error:
                raise PluginError(
                    f"{self.kind} '{self.name}': {attribute} is not valid: {first_line(error)}."
                ) from None
            if attribute in tuples:  # A plugin may have given a list.
                object.__setattr__(self, attribute, value)

    @property
    def modality_names(self) -> tuple[str, ...]:
        """The modalities that the component deals in; empty for a metric."""
        return ()


@cache
def _annotations(spec: Any) -> dict[str, Any]:
    hints = get_type_hints(spec)
    return {field.name: hints[field.name] for field in fields(spec)}


@dataclass(frozen=True, kw_only=True)
class ConfigurableSpec(Spec):
    """What components with options declare.

    Attributes:
        options: path of a frozen dataclass with a default for every field, or None for none.
            Its module must not import torch, so that `mmft plugins show` stays instant.
    """

    options: str | None = None

    @property
    def table(self) -> str:
        """What stands before an option's name after `--set`: "backbone."."""
        return f"{self.kind}."


@dataclass(frozen=True, kw_only=True)
class PartSpec(ConfigurableSpec):
    """What the parts of a run declare: backbones, datasets, tasks and metrics.

    Their `build` is a callable `build(options, context)`; `mmft_core.contracts` says which context
    it receives and what it returns.

    Attributes:
        defaults: recommended settings by dotted key ("engine.lr", "backbone.image_size"). Settings
            of the user override them, and those of a part are skipped if it has no such option.
        from_scratch: settings of training (engine, optimizer, schedule) recommended instead if all
            backbones start from random weights.
        scratch: the name of `from_scratch` in mmft 0.1; it can still be passed, but not read.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    from_scratch: Mapping[str, Any] = field(default_factory=dict, hash=False)
    scratch: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scratch:
            object.__setattr__(self, "from_scratch", self.scratch)
            object.__setattr__(self, "scratch", {})


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(PartSpec):
    """An encoder.

    Attributes:
        modality: what it reads: "image", "text", "audio", ... If it reads several together, the
            name follows from `modalities`: "image+text", in alphabetical order. Its settings and
            weights are under this name, and tasks refer to it by this name.
        modalities: all that it reads, if there are several.
        provides: its outputs: "pooled" features (B, D), "sequence" features (B, T, D),
            "generation" of text (then it is a `Generator`), "prefix" if it also generates text
            after vectors in place of tokens.
        default_dataset: the data set of a run without `--dataset`, if the task can learn from it;
            "" for the task's default.
        parts: names of the networks that it may consist of (`Backbone.parts`), such as "language"
            and "vision", which `engine.tune` can tune differently.
    """

    kind = "backbone"

    modality: str = ""
    modalities: tuple[str, ...] = ()
    provides: tuple[str, ...] = ("pooled",)
    default_dataset: str = ""
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        joined = "+".join(sorted(set(self.modalities))) or self.modality
        if not joined or (self.modality and self.modality != joined):
            raise PluginError(
                f"{self.kind} '{self.name}': give either `modality`, or `modalities` where it "
                "reads several."
            )
        object.__setattr__(self, "modality", joined)
        object.__setattr__(self, "modalities", self.modalities or (self.modality,))

    @property
    def modality_names(self) -> tuple[str, ...]:
        return self.modalities


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PartSpec):
    """A source of samples.

    Attributes:
        modalities: the modalities of its samples, or `ANY_MODALITIES`.
        targets: the targets that it can provide: "class", "labels" (any number of classes),
            "text", "number", "pair" (a string that is equal for inputs that belong together),
            "none". Its context says which of them the task learns.
        opens: the paths that it reads if a user gives one instead of a name: file suffixes
            (".csv"), "/" for a folder. Such a dataset has an option `path`.
        bundled: whether it works without any download.
        describe: path of a `describe(options, context)` that returns lines on how the data were
            understood, such as the kind of each column; `--dry-run` shows them.
        inspectors: for each modality, the path of an `Inspector` of its raw inputs, for
            `mmft data check`.
    """

    kind = "dataset"

    modalities: tuple[str, ...]
    targets: tuple[str, ...]
    opens: tuple[str, ...] = ()
    bundled: bool = False
    describe: str | None = None
    inspectors: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def modality_names(self) -> tuple[str, ...]:
        return self.modalities


@dataclass(frozen=True, kw_only=True)
class TaskSpec(PartSpec):
    """What is learned on top of backbones.

    Attributes:
        modalities: one backbone is needed for each; with `ANY_MODALITIES` the user chooses.
            "image+text" requires one backbone that reads both (see `BackboneSpec.modalities`).
        count: for a task of any modalities, the minimum and maximum number of modalities.
        joint: for a task of any modalities, whether its backbones may read several modalities each,
            as "image+text".
        partial: whether samples may lack some of the modalities, if each backbone reads one.
        target: the target that it learns; compare `DatasetSpec.targets`.
        unseen_classes: whether it can be evaluated on classes that it did not learn.
        needs: what it requires of every backbone; compare `BackboneSpec.provides`.
        writes: modalities whose backbones generate the prediction and read no input, with what it
            requires of these instead of `needs`.
        predicts: the kind of its predictions: "classes", "numbers", "text", "likelihoods",
            "embeddings", "pairs" (see `mmft_core.contracts.Outputs`), or a new kind; metrics are
            chosen by it.
        default_dataset: what a run without `--dataset` uses.
        default_metrics: the metrics of a run without `--metric`.
        monitor: the metric by which the best model is chosen, as "metric" or "metric/part".
        pipeline: the task's name on model hubs (`pipeline_tag`), such as "image-classification";
            empty if it has none.
        pipelines: the same for a task of any modalities, by what it reads: {"image":
            "image-to-text"}; several are joined in alphabetical order, "image+text".
        captions: settings that give its records timed "segments" or "words" for captions; None if
            they have no times.
        usage: commands to suggest after a run, the most useful first; {run} stands for its folder.
            Empty for `mmft predict`.
    """

    kind = "task"

    modalities: tuple[str, ...]
    target: str
    predicts: str
    count: tuple[int, int] = (1, 8)
    joint: bool = False
    partial: bool = False
    unseen_classes: bool = False
    needs: tuple[str, ...] = ("pooled",)
    writes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    default_dataset: str | None = None
    default_metrics: tuple[str, ...] = ()
    monitor: str = "loss"
    pipeline: str = ""
    pipelines: Mapping[str, str] = field(default_factory=dict, hash=False)
    captions: Mapping[str, Any] | None = field(default=None, hash=False)
    usage: tuple[str, ...] = ()

    @property
    def modality_names(self) -> tuple[str, ...]:
        return read_by(self.modalities)

    def needs_of(self, modality: str) -> tuple[str, ...]:
        """What it asks of the backbone of a modality."""
        return self.writes.get(modality, self.needs)

    def partial_for(self, backbones: Iterable[str]) -> bool:
        """Whether samples may lack some modalities, given what each backbone reads.

        One that reads "image+text" needs both.
        """
        return self.partial and not any("+" in backbone for backbone in backbones)

    def pipeline_of(self, reads: Iterable[str]) -> str:
        """Its name on model hubs if it reads these modalities; empty if it has none."""
        return self.pipelines.get("+".join(sorted(reads)), self.pipeline)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PartSpec):
    """A measure of how good predictions are.

    Attributes:
        measures: the kind of predictions that it evaluates; compare `TaskSpec.predicts`.
        higher_is_better: whether higher values are better, for choosing the best model.
    """

    kind = "metric"

    measures: str
    higher_is_better: bool = True

    @property
    def table(self) -> str:
        return f"metric.{self.name}."


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Spec):
    """A command of `mmft`. Its `build` names a `click.Command`, imported when it is called.

    Attributes:
        section: the heading under which `mmft --help` lists it.
        distributed: whether the processes that torchrun started may run it together; any other
            command refuses to.
    """

    kind = "command"

    section: str = "Other commands"
    distributed: bool = False


@dataclass(frozen=True, kw_only=True)
class CallbackSpec(ConfigurableSpec):
    """A callback that follows a run, such as a report or an experiment tracker.

    Its `build` is called with its options and returns a `Callback`.

    Attributes:
        default: whether every run has it, unless the user leaves it out.
    """

    kind = "callback"

    default: bool = False

    @property
    def table(self) -> str:
        return f"callback.{self.name}."


@dataclass(frozen=True, kw_only=True)
class ExporterSpec(Spec):
    """A format of exports. Its `build` is called without arguments and gives an `ExportReader`.

    Its name is what `mmft export --format` takes, and the "kind" in `export.json`.
    """

    kind = "exporter"


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(ConfigurableSpec):
    """A way to update weights. Its `build(options, context)` gets an `OptimizerContext` and gives
    a `torch.optim.Optimizer`.

    Its name is a value of `engine.optimizer`; its options are set as `optimizer.OPTION`.
    """

    kind = "optimizer"


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(ConfigurableSpec):
    """A course of the learning rate. Its `build(options, context)` gets a `ScheduleContext` and
    gives a `torch.optim.lr_scheduler.LRScheduler`.

    Its name is a value of `engine.schedule`; its options are set as `schedule.OPTION`.
    """

    kind = "schedule"


@dataclass(frozen=True, kw_only=True)
class LauncherSpec(ConfigurableSpec):
    """A way to start a run in several processes. Its `build(options, job)` gets an
    `mmft_launch.launcher.Job` and gives an `mmft_launch.launcher.Launcher`.

    Its name is what `mmft launch --with` takes; its options are set by `--set OPTION=VALUE`.
    """

    kind = "launcher"
    checks = "mmft_launch.testing:CHECKS"

    @property
    def table(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class StoreSpec(ConfigurableSpec):
    """What keeps the embeddings of an index, and searches them. Its `build(options, place)` gets an
    `mmft_search.store.Place` and gives an `mmft_search.store.Store`.

    Its name is what `mmft index --store` takes; its options are set as `store.OPTION`.
    """

    kind = "store"
    checks = "mmft_search.testing:CHECKS"


KINDS: Mapping[str, type[Spec]] = {
    spec.kind: spec
    for spec in (
        BackboneSpec,
        DatasetSpec,
        TaskSpec,
        MetricSpec,
        OptimizerSpec,
        ScheduleSpec,
        CommandSpec,
        CallbackSpec,
        ExporterSpec,
        LauncherSpec,
        StoreSpec,
    )
}
"""Every kind of component, in the order in which they are listed. A kind has a hook,
`register_KIND`, whose plugins return specs of this type."""
PARTS = tuple(kind for kind, spec in KINDS.items() if issubclass(spec, PartSpec))
"""The kinds that a run consists of."""


def read_by(backbones: Iterable[str]) -> tuple[str, ...]:
    """All modalities that some backbones read; "image+text" counts as two."""
    return tuple(dict.fromkeys(m for backbone in backbones for m in backbone.split("+")))


def resolve(path: str) -> Any:
    """Import and return what a "package.module:attribute" path names.

    Raises:
        PluginError: the module does not import, or lacks the attribute.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except MmftError:
        raise
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{path!r} cannot be loaded: {first_line(error)}.") from error
    except Exception as error:  # The module is foreign code.
        cause = describe_error(error, module_name.partition(".")[0])
        raise PluginError(f"{path!r} cannot be loaded: {cause}.") from error
    return found
