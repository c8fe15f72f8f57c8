"""Audio classification: the classification task on an audio backbone."""

from __future__ import annotations

from mmft_audio.options import AudioClassificationOptions
from mmft_classification.task import Classification
from mmft_core.contracts import TaskContext


def build(options: AudioClassificationOptions, context: TaskContext) -> Classification:
    """Build the task on the audio backbone."""
    return Classification(
        "audio",
        context.backbones["audio"],
        context.info.classes,
        dropout=options.dropout,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        train=context.train,
    )
