"""Multi-label classification of texts: the shared task on a text backbone."""

from __future__ import annotations

from mmft_classification.multilabel import MultiLabel
from mmft_classification.options import MultiLabelOptions
from mmft_core.contracts import TaskContext


def build(options: MultiLabelOptions, context: TaskContext) -> MultiLabel:
    """Build the task on the text backbone."""
    return MultiLabel("text", options, context)
