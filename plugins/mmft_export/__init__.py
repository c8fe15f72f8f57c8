"""Exports: a model in a format of other software, and the way back to a task.

A task says which of its parts are graphs (`Task.graphs`), a format writes and runs them, and a task
without weights takes the runners in (`Task.adopt`): so whatever uses a run uses an export.
"""

from mmft_core import CommandSpec, ExporterSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="export",
            summary="Export a finished run to ONNX and other formats, and verify the export.",
            build="mmft_export.command:export",
            section="Deployment",
        ),
    ]


@hookimpl
def register_exporter() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="onnx",
            summary="ONNX graphs for ONNX Runtime, in full precision or 8 bits",
            build="mmft_export.onnx_format:Onnx",
            extras=("onnx",),
        ),
        ExporterSpec(
            name="torch-export",
            summary="Programs of torch.export (.pt2)",
            build="mmft_export.torch_format:TorchExport",
        ),
        ExporterSpec(
            name="litert",
            summary="LiteRT graphs (.tflite) for phones",
            build="mmft_export.litert_format:LiteRT",
            extras=("litert",),
        ),
        ExporterSpec(
            name="safetensors",
            summary="Weights that transformers, PEFT or torchvision load",
            build="mmft_export.weights_format:Safetensors",
        ),
    ]
