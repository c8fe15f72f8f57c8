"""The registry: an immutable table of every component that plugins offer."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import msgspec

from mmft_core.errors import (
    AmbiguousNameError,
    ConfigError,
    MissingExtraError,
    PluginError,
    UnknownComponentError,
    did_you_mean,
    first_line,
)
from mmft_core.plugin_errors import FAULT
from mmft_core.specs import (
    ANY_MODALITIES,
    KINDS,
    ConfigurableSpec,
    MetricSpec,
    Spec,
    TaskSpec,
    resolve,
)
from mmft_core.utils.extras import extra_installed, missing_error

S = TypeVar("S", bound=Spec, covariant=True)
T = TypeVar("T", bound=Spec)


@dataclass(frozen=True)
class NoOptions:
    """The options of a component that has none."""


@functools.cache
def _fault_of_options(options_type: type[Any]) -> str:
    """What is wrong with a class of options, as a clause; "" for nothing."""
    try:
        hints = typing.get_type_hints(options_type, include_extras=True)
    except Exception as error:  # Annotations are foreign code.
        return f"an annotation of {options_type.__name__} cannot be resolved: {first_line(error)}"
    for option in dataclasses.fields(options_type):
        default = option.default
        if option.default_factory is not dataclasses.MISSING:
            default = option.default_factory()
        if default is dataclasses.MISSING:
            return f"the option {option.name} of {options_type.__name__} has no default"
        try:
            msgspec.convert(default, hints[option.name])
        except (msgspec.ValidationError, TypeError) as error:
            return (
                f"the default of {options_type.__name__}.{option.name}, {default!r}, does not fit "
                f"its annotation: {first_line(error).replace('`', '')}"
            )
    return ""


@dataclass(frozen=True, kw_only=True)
class Component(Generic[S]):
    """A spec together with who supplied it."""

    spec: S
    plugin: str
    distribution: str
    version: str

    @property
    def kind(self) -> str:
        return self.spec.kind

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def qualified(self) -> str:
        """The name that is unique whatever else is installed: "plugin/name"."""
        return f"{self.plugin}/{self.spec.name}"

    @property
    def full_name(self) -> str:
        """What messages call it: "backbone 'flowers/flowernet' of mmft-flowers 1.0"."""
        return f"{self.kind} '{self.qualified}' of {self.distribution} {self.version}"

    def missing_extras(self) -> tuple[str, ...]:
        """The extras that the component needs and that are not (wholly) installed."""
        return tuple(e for e in self.spec.extras if not extra_installed(self.distribution, e))

    def options_type(self) -> type[Any]:
        """The dataclass of the component's options.

        Raises:
            PluginError: the spec does not name one, or an option has no default, or one that its
                own annotation does not allow.
        """
        if not isinstance(self.spec, ConfigurableSpec) or self.spec.options is None:
            return NoOptions
        found = resolve(self.spec.options)
        if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
            fault = f"{self.spec.options} is not a dataclass"
        else:
            fault = _fault_of_options(found)
        if fault:
            raise PluginError(
                f"The options of the {self.full_name} cannot be used: {fault}.", hint=FAULT
            )
        return cast("type[Any]", found)

    def build(self, *given: Any, **named: Any) -> Any:
        """Call the component's `build` with what its kind says: options and context, for a part.

        Raises:
            MissingExtraError: packages that it needs are not installed.
        """
        self.check_extras()
        try:
            build = resolve(self.spec.build)
        except PluginError as error:
            # Packages may be missing although the installed metadata know of no such extra.
            if self.spec.extras and isinstance(error.__cause__, ModuleNotFoundError):
                raise self._missing(self.spec.extras) from error
            raise
        return build(*given, **named)

    make = build
    """Its former name for what is no part of a run."""

    def check_extras(self) -> None:
        """Raises:
        MissingExtraError: packages that it needs are not installed.
        """
        if missing := self.missing_extras():
            raise self._missing(missing)

    def _missing(self, extras: Sequence[str]) -> MissingExtraError:
        return missing_error(f"{self.kind} '{self.name}'", extras, self.distribution)

    def load(self) -> Any:
        """Import what the component's `build` names.

        Raises:
            MissingExtraError: packages that it needs are not installed.
            PluginError: it cannot be imported.
        """
        try:
            return resolve(self.spec.build)
        except PluginError:
            self.check_extras()
            raise


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A plugin, or a part of one, that cannot be used, and why."""

    plugin: str
    distribution: str
    version: str
    cause: str

    def __str__(self) -> str:
        return f"{self.plugin} ({self.distribution} {self.version}): {self.cause}"


@dataclass(frozen=True)
class Registry:
    """Everything that was found: components and failures. Passed along, never global."""

    components: tuple[Component[Spec], ...] = ()
    failures: tuple[Failure, ...] = field(default=())

    def __iter__(self) -> Iterator[Component[Spec]]:
        return iter(self.components)

    def of(self, spec: type[T]) -> tuple[Component[T], ...]:
        """All components of one kind, such as `BackboneSpec`."""
        found = tuple(c for c in self.components if isinstance(c.spec, spec))
        return cast("tuple[Component[T], ...]", found)

    def get(self, spec: type[T], name: str) -> Component[T]:
        """Return the component of one kind and of that name, bare or as "plugin/name".

        Raises:
            UnknownComponentError: there is none; broken plugins are named, because one of them
                might have offered it.
            AmbiguousNameError: several plugins offer the bare name.
        """
        candidates = self.of(spec)
        found = [c for c in candidates if name in (c.name, c.qualified)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"'{c.qualified}'" for c in found)
            raise AmbiguousNameError(
                f"Several plugins offer a {spec.kind} named '{name}'.", hint=f"Say which: {names}."
            )
        raise UnknownComponentError(self._unknown(spec.kind, name, candidates))

    def find(self, name: str) -> tuple[Component[Spec], ...]:
        """Return the components of that name, one of each kind that has one.

        Raises:
            UnknownComponentError, AmbiguousNameError: as `get` does.
        """
        kinds = {c.kind for c in self.components if name in (c.name, c.qualified)}
        if not kinds:
            raise UnknownComponentError(self._unknown(None, name, self.components))
        return tuple(self.get(spec, name) for kind, spec in KINDS.items() if kind in kinds)

    def select(self, kind: str | None = None, modality: str | None = None) -> Registry:
        """The components of one kind, or for one modality. Failures stay.

        Of the metrics, which have no modality, those remain that can evaluate a remaining task.

        Raises:
            ConfigError: there is no such kind, or nothing deals with that modality.
        """
        chosen = self.components
        if modality is not None:
            known = {m for c in chosen for m in c.spec.modality_names} - set(ANY_MODALITIES)
            if modality not in known:
                raise ConfigError(
                    f"No component deals with the modality '{modality}'."
                    f"{did_you_mean(modality, known)}",
                    hint=f"There are: {', '.join(sorted(known)) or 'none'}.",
                )
            names = {modality, *ANY_MODALITIES}
            specs = [c.spec for c in chosen if names & set(c.spec.modality_names)]
            predicted = {spec.predicts for spec in specs if isinstance(spec, TaskSpec)}
            chosen = tuple(c for c in chosen if c.spec in specs or _measures(c.spec, predicted))
        if kind is not None:
            chosen = tuple(c for c in chosen if c.kind == kind_named(kind))
        return Registry(chosen, self.failures)

    def _unknown(self, kind: str | None, name: str, candidates: Iterable[Component[Spec]]) -> str:
        text = f"There is no {kind or 'component'} named '{name}'."
        plugin, _, own = name.rpartition("/")
        if not plugin or plugin in {c.plugin for c in self.components}:
            names = {n for c in candidates for n in (c.name, c.qualified)}
        else:  # The plugin is unknown: only this name in a similarly named plugin can be meant.
            names = {c.qualified for c in candidates if c.name == own}
        text += did_you_mean(name, names)
        other = [c.kind for c in self.components if c.kind != kind and c.name == name]
        if other:
            text += f" (There is a {other[0]} of that name.)"
        listing = f"mmft plugins --kind {kind}" if kind else "mmft plugins"
        text += f" `{listing}` lists what is available."
        if self.failures:
            broken = ", ".join(f"{f.plugin} ({f.cause})" for f in self.failures)
            text += f" It may belong to a plugin that did not load: {broken}"
        return text


def kind_named(name: str) -> str:
    """A kind of component, also by its plural.

    Raises:
        ConfigError: there is no such kind.
    """
    for kind in KINDS:
        if name in (kind, f"{kind}s"):
            return kind
    trackers = name.startswith("tracker")
    raise ConfigError(
        f"There is no kind of component named '{name}'.{did_you_mean(name, KINDS)}",
        hint="Experiment trackers are callbacks: --kind callback."
        if trackers
        else f"Kinds are: {', '.join(KINDS)}.",
    )


def _measures(spec: Spec, predicted: set[str]) -> bool:
    return isinstance(spec, MetricSpec) and spec.measures in predicted
