"""Loading of exported models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmft_core.registry import Registry
    from mmft_core.run.artifacts import LoadedModel


class ExportReader(ABC):
    """Reads folders of one format, so that `predict`, `eval` and `serve` can use them like runs.

    `ExporterSpec.build` names a function without arguments that returns one. For a format that
    `mmft export` can also write, it is an `mmft_export.formats.Exporter`.
    """

    @abstractmethod
    def load(
        self, folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
    ) -> LoadedModel:
        """Load the model of an export.

        Args:
            folder: contains `export.json`, whose "kind" is the exporter's name.
            settings: settings of the task that the user changed.

        Raises:
            ExportError: it is damaged.
        """
