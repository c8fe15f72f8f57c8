"""What must be equal for features to be shared: network, weights and preprocessing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmft_core.config.plan import PlanPart
from mmft_core.contracts import Backbone
from mmft_core.engine import kept_weights
from mmft_core.precision import Inference
from mmft_core.specs import BackboneSpec
from mmft_core.utils.files import storage_errors

FORMAT = 1


def identify(
    part: PlanPart[BackboneSpec], backbone: Backbone, keeps: Sequence[str], inference: Inference
) -> dict[str, Any]:
    """Everything that a sample's features depend on, except the sample.

    Args:
        keeps: what is kept of the features: "pooled", "sequence".

    Raises:
        StorageError: there is no room for what the backbone saves beside its weights.
    """
    return {
        "format": FORMAT,
        "backbone": part.component.qualified,
        "version": f"{part.component.distribution} {part.component.version}",
        "options": asdict(part.options),
        "weights": kept_weights.digest(backbone),
        "assets": _assets(backbone),
        "keeps": sorted(keeps),
        "device": inference.device.type,
        "precision": inference.precision,
    }


def digest(identity: Mapping[str, Any]) -> str:
    """A short name for an identity."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _assets(backbone: Backbone) -> str:
    """The digest of what the backbone saves beside its weights, such as a tokenizer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with storage_errors(folder):
            backbone.save_assets(folder)
        total = hashlib.sha256()
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            total.update(str(file.relative_to(folder)).encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
