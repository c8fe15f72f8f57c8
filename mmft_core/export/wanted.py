"""What is asked of an export, and whether that can be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmft_core.artifacts import LoadedModel
from mmft_core.errors import ConfigError, ExportError, RunDirectoryError
from mmft_core.export.folder import find_export
from mmft_core.export.formats import WEIGHTS, graph_format


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of an export.

    Attributes:
        kind: the format, of `mmft_core.export.formats.FORMATS`.
        quantize: int8 or int8-static; None for full precision.
        output: the folder; None for a place in the run's.
        dataset: the data that it is compared on; None for the run's own.
        samples: how many of them.
        batch_size: for which latency is measured, beside 1.
        most: by how much the monitored figure may be worse.
    """

    kind: str = "onnx"
    quantize: str | None = None
    output: Path | None = None
    dataset: str | None = None
    samples: int = 64
    batch_size: int = 32
    most: float = 0.02

    def place(self, run: Path) -> Path:
        name = self.kind if self.quantize is None else f"{self.kind}-{self.quantize}"
        return self.output or run / "export" / name

    def check(self) -> None:
        """Raises:
        ConfigError: this is not to be had together.
        MissingExtraError: it needs packages that are not installed.
        """
        if self.quantize is not None and self.kind != "onnx":
            raise ConfigError(
                f"--quantize {self.quantize} is for --format onnx, not {self.kind}.",
                hint="Leave one of them out.",
            )
        if self.kind != WEIGHTS:
            graph_format(self.kind)


def check_output(output: Path) -> None:
    """Raises:
    RunDirectoryError: something else than an export would be replaced.
    """
    taken = output.is_file() or (output.is_dir() and any(output.iterdir()))
    if taken and find_export(output) != output:
        raise RunDirectoryError(
            f"{output} is there already, and is no export.", hint="Give another --output."
        )


def check_weights(model: LoadedModel) -> None:
    for modality in model.task.backbones:
        if model.task.backbone(modality).quantized:
            raise ExportError(
                f"The {modality} backbone's weights are held in few bits, which only torch "
                "computes with.",
                hint="Train without backbone.load_bits to export.",
            )
