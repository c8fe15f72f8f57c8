"""Checks of callbacks."""

from __future__ import annotations

from mmft_core import CallbackSpec, Component
from mmft_core.contracts import Callback
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench


def follows_runs(bench: Workbench, component: Component[CallbackSpec]) -> None:
    """Its `build`, called with its default options, gives a `Callback`."""
    skip_without_extras(component)
    made = component.build(component.options_type()())
    assert isinstance(made, Callback), f"it built a {type(made).__name__}, not a Callback"


CHECKS = [follows_runs]
