"""Text classification: the classification task on texts."""

from __future__ import annotations

from mmft_classification.task import Classification
from mmft_core.contracts import TaskContext
from mmft_text.options import TextClassificationOptions


def build(options: TextClassificationOptions, context: TaskContext) -> Classification:
    """Build the task on the text backbone."""
    return Classification(
        "text",
        context.backbones["text"],
        context.info.classes,
        dropout=options.dropout,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        train=context.train,
    )
