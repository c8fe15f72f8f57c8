"""The hooks: how a plugin offers its components.

A plugin is a module that a distribution names in the entry-point group `mmft`:

    # pyproject.toml
    [project.entry-points.mmft]
    flowers = "mmft_flowers"

    # mmft_flowers/__init__.py: imports nothing heavy
    from mmft_core import BackboneSpec, hookimpl

    @hookimpl
    def register_backbone():
        return [
            BackboneSpec(
                name="flowernet",
                summary="A small convolutional network for flowers",
                modality="image",
                build="mmft_flowers.flowernet:build",          # resolved when first used
                options="mmft_flowers.options:FlowerNetOptions",
            )
        ]

    # mmft_flowers/flowernet.py: may import torch
    def build(options, context):
        return FlowerNet(options.width)

After `pip install`, `mmft plugins` lists `flowernet` and `mmft run --backbone flowernet` uses it.
`mmft_core.contracts` says what `build` receives and returns for each kind; the conformance kit,
`mmft_testing`, checks it. Each hook may be left out.

A module attribute `MMFT_API_VERSION` states the version of this contract that a plugin was written
for; without it, version 1 is meant. A hook that this mmft does not know is reported, and the
plugin's other hooks work.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from mmft_core.specs import (
    BackboneSpec,
    CallbackSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    LauncherSpec,
    MetricSpec,
    OptimizerSpec,
    ScheduleSpec,
    StoreSpec,
    TaskSpec,
)

PROJECT = "mmft"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_backbone() -> Sequence[BackboneSpec]:  # type: ignore[empty-body]
    """Return the backbones that the plugin offers."""


@hookspec
def register_dataset() -> Sequence[DatasetSpec]:  # type: ignore[empty-body]
    """Return the datasets that the plugin offers."""


@hookspec
def register_task() -> Sequence[TaskSpec]:  # type: ignore[empty-body]
    """Return the tasks that the plugin offers."""


@hookspec
def register_metric() -> Sequence[MetricSpec]:  # type: ignore[empty-body]
    """Return the metrics that the plugin offers."""


@hookspec
def register_optimizer() -> Sequence[OptimizerSpec]:  # type: ignore[empty-body]
    """Return the optimizers that the plugin offers."""


@hookspec
def register_schedule() -> Sequence[ScheduleSpec]:  # type: ignore[empty-body]
    """Return the learning-rate schedules that the plugin offers."""


@hookspec
def register_command() -> Sequence[CommandSpec]:  # type: ignore[empty-body]
    """Return the commands that the plugin adds to `mmft`."""


@hookspec
def register_callback() -> Sequence[CallbackSpec]:  # type: ignore[empty-body]
    """Return the callbacks that the plugin offers."""


@hookspec
def register_exporter() -> Sequence[ExporterSpec]:  # type: ignore[empty-body]
    """Return the formats of exports that the plugin offers."""


@hookspec
def register_launcher() -> Sequence[LauncherSpec]:  # type: ignore[empty-body]
    """Return the ways to start runs in several processes that the plugin offers."""


@hookspec
def register_store() -> Sequence[StoreSpec]:  # type: ignore[empty-body]
    """Return the vector stores that the plugin offers, for indexes to be kept in."""
