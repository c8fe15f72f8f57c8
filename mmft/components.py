"""What is installed: backbones, data sets, tasks, metrics, and the other components of plugins."""

from __future__ import annotations

from mmft.wording import in_python
from mmft_core import Registry, discover


@in_python()
def plugins(kind: str | None = None, modality: str | None = None) -> Registry:
    """The components that are installed, as `mmft plugins` lists them.

    Args:
        kind: only those of one kind: "backbone", "dataset", "task", "metric", "callback", ...
        modality: only those for one modality, such as "image".

    Returns:
        Components, over which you can iterate; each has a `name`, a `kind` and a `spec`.

    Raises:
        ConfigError: there is no such kind or modality.
    """
    return discover().select(kind, modality)
