"""Checks of launchers: those of all components with options, for what they start is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CHECKS: Sequence[Callable[..., Any]] = ()
