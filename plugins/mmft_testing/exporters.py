"""Checks of formats of exports."""

from __future__ import annotations

from mmft_core import Component, ExporterSpec
from mmft_core.contracts import ExportReader
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench


def reads_exports(bench: Workbench, component: Component[ExporterSpec]) -> None:
    """Its `build`, called without arguments, gives an `ExportReader`."""
    skip_without_extras(component)
    made = component.build()
    assert isinstance(made, ExportReader), f"it built a {type(made).__name__}, not an ExportReader"


CHECKS = [reads_exports]
