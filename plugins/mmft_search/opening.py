"""Finding the store of an index in the registry, and opening it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmft_core import Component, Registry, StoreSpec
from mmft_core.config import convert
from mmft_core.errors import (
    PluginError,
    RunDirectoryError,
    UnknownComponentError,
    with_install_hint,
)
from mmft_search import folder as folders
from mmft_search.items import Identity
from mmft_search.store import Index, Place, Store, Writer


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """The store that the user asks for.

    Attributes:
        store: its name; None for that of the existing index, or else the default.
        options: those that are set.
    """

    store: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        """Whether the user asks for anything."""
        return self.store is not None or bool(self.options)


def check_installed(folder: Path, request: StoreRequest, registry: Registry) -> None:
    """Raises:
    UnknownComponentError: there is no such store.
    MissingExtraError: packages that it needs are not installed.
    """
    kept = folders.recorded(folder) or folders.Kept()
    if request.store is not None:
        kept = folders.Kept(name=request.store)
    _component(registry, kept).check_extras()


def begin(
    folder: Path, identity: Identity, request: StoreRequest, registry: Registry
) -> Writer[Any]:
    """Begin an empty index, in place of any other that is there.

    Raises:
        StorageError: it cannot be written, or the server cannot be reached.
        RunDirectoryError: the server has such an index, of somebody else.
    """
    before = folders.recorded(folder)
    kept = before or folders.Kept()
    if request.anything:  # A newly named store does not inherit the former one's options.
        kept = folders.Kept(name=request.store or kept.name, options=dict(request.options))
    component = _component(registry, kept)
    store = _make(component, kept.options, Place(folder=folder, identity=identity))
    former = None
    if before is not None and before.name in (component.name, component.qualified):
        former = convert(before.options, component.options_type(), component.kind)
    store.clear(former)
    folders.begin(folder, folders.Record(identity=identity, store=_kept(component, store)))
    return store.writer()


def open_writer(folder: Path, request: StoreRequest, registry: Registry) -> Writer[Any]:
    """Open an index to add to it.

    Raises:
        RunDirectoryError: there is none, it is damaged, or kept elsewhere than requested.
        StorageError: the server cannot be reached.
    """
    record = folders.read(folder)
    kept, place = record.store, Place(folder=folder, identity=record.identity)
    component = _component(registry, kept)
    if request.store not in (None, component.name, component.qualified):
        raise _kept_elsewhere(folder, component.name)
    store = _make(component, kept.options, place)
    if request.options:
        other = _make(component, {**kept.options, **request.options}, place)
        if other.where != store.where:
            raise _kept_elsewhere(folder, store.where)
        store = other
        folders.write(folder, replace(record, store=_kept(component, store)))
    return store.writer()


def open_index(folder: Path, registry: Registry, *, exact: bool = False) -> Index:
    """Open an index to search it.

    Args:
        exact: compare with every item.

    Raises:
        UnknownComponentError: there is no such store here.
        MissingExtraError: packages that its store needs are not installed.
        RunDirectoryError: there is none, it is empty, unfinished or damaged.
        StorageError: the server cannot be reached.
    """
    record = folders.read(folder)
    component = _component(registry, record.store)
    place = Place(folder=folder, identity=record.identity)
    return _make(component, record.store.options, place).index(exact=exact)


def _component(registry: Registry, kept: folders.Kept) -> Component[StoreSpec]:
    """Raises:
    UnknownComponentError: it is not installed; says what to install.
    """
    try:
        return registry.get(StoreSpec, kept.name)
    except UnknownComponentError as error:
        packages = [kept.package] if kept.package else []
        raise with_install_hint(error, "index", packages) from None


def _make(component: Component[StoreSpec], options: Mapping[str, Any], place: Place) -> Store:
    """Raises:
    ConfigError: an option is wrong.
    MissingExtraError: packages that it needs are not installed.
    PluginError: the plugin built something else.
    """
    typed = convert(options, component.options_type(), component.kind)
    built = component.build(typed, place)
    if not isinstance(built, Store):
        raise PluginError(
            f"Store '{component.qualified}' built a {type(built).__name__}, not a Store."
        )
    if built.options is None:
        built.options = typed
    return built


def _kept(component: Component[StoreSpec], store: Store) -> folders.Kept:
    """What a folder records about its store."""
    defaults = asdict(component.options_type()())
    options = {k: v for k, v in asdict(store.options).items() if v != defaults[k]}
    package = f"{component.distribution}=={component.version}"
    return folders.Kept(name=component.qualified, options=options, package=package)


def _kept_elsewhere(folder: Path, keeper: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"The index in {folder} is kept by {keeper}.",
        hint="Leave --store and its options out, add --rebuild to build it again, or choose "
        "another --output.",
    )
