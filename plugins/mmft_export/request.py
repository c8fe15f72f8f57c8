"""What is asked of an export, and whether that can be had."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mmft_core.config import Tree
from mmft_core.errors import ConfigError, ExportError, RunDirectoryError
from mmft_core.inference import opening
from mmft_core.run import LoadedModel


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is asked of an export.

    Attributes:
        kind: the format: the name of an exporter.
        quantize: one of the exporter's `quantizations`; None for full precision.
        output: the folder; None for a place in the run's.
        dataset: the data that it is compared on; None for the run's own.
        settings: of these data, as {"dataset": {"target_column": "topic"}}.
        samples: how many of them.
        batch_size: for which latency is measured, beside 1.
        most: by how much the monitored metric may be worse.
    """

    kind: str = "onnx"
    quantize: str | None = None
    output: Path | None = None
    dataset: str | None = None
    settings: Tree = field(default_factory=dict)
    samples: int = 64
    batch_size: int = 32
    most: float = 0.02

    def place(self, run: Path) -> Path:
        return self.output or run / "export" / opening.form(self.kind, self.quantize)

    def check(self) -> None:
        """Raises:
        ConfigError: this is not to be had together.
        """
        if self.settings and self.dataset is None:
            raise ConfigError(
                "--set is for --dataset.", hint="Leave it out, or name a data set by --dataset."
            )


def check_output(output: Path) -> None:
    """Raises:
    RunDirectoryError: something else than an export would be replaced.
    """
    taken = output.is_file() or (output.is_dir() and any(output.iterdir()))
    if taken and opening.find_export(output) != output:
        raise RunDirectoryError(
            f"{output} exists already and is not an export.", hint="Give another --output."
        )


def check_weights(model: LoadedModel) -> None:
    for modality in model.task.backbones:
        if model.task.backbone(modality).quantized:
            raise ExportError(
                f"The {modality} backbone's weights are quantized, and only torch can run them.",
                hint="Train without backbone.load_bits to export.",
            )
