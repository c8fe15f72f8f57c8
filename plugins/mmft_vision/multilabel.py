"""Multi-label classification of images: the shared task on an image backbone."""

from __future__ import annotations

from mmft_classification.multilabel import MultiLabel
from mmft_classification.options import MultiLabelOptions
from mmft_core.contracts import TaskContext


def build(options: MultiLabelOptions, context: TaskContext) -> MultiLabel:
    """Build the task on the image backbone."""
    return MultiLabel("image", options, context)
