"""What reads an exported model back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmft_core.registry import Registry
    from mmft_core.run.artifacts import LoadedModel


class ExportReader(ABC):
    """Reads the folders of one format, so that `predict`, `eval` and `serve` take them as runs.

    `ExporterSpec.build` names what makes one, called without arguments. What `mmft export` can
    write as well is an `mmft_export.formats.Exporter`.
    """

    @abstractmethod
    def load(
        self, folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
    ) -> LoadedModel:
        """Load the model of an export.

        Args:
            folder: holds `export.json`, whose "kind" is the exporter's name.
            settings: of the task, changed by the user.

        Raises:
            ExportError: it is damaged.
        """
