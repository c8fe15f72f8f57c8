"""Weights for other software: each network under its published names, the rest beside them.

`MODALITY/model.safetensors` is the network's own state dict, with its configuration and tokenizer
in the same folder where it has such: what transformers' `from_pretrained` and torchvision's
`load_state_dict` take. `head.safetensors` is what the task adds.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from mmft_core.contracts import Task
from mmft_core.errors import ExportError

_FILE, _HEAD = "model.safetensors", "head.safetensors"


def write(task: Task, folder: Path) -> list[Path]:
    """Write all weights of a task; gives the files."""
    files = []
    for modality, network in _networks(task).items():
        target = folder / modality
        target.mkdir()
        task.backbone(modality).save_assets(target)
        save_model(network, str(target / _FILE), metadata={"format": "pt"})
        files.append(target / _FILE)
    rest = {k: t.detach().contiguous() for k, t in task.state_dict().items() if _is_rest(task, k)}
    if rest:
        save_file(rest, folder / _HEAD, metadata={"format": "pt"})
        files.append(folder / _HEAD)
    return files


def read(task: Task, folder: Path) -> None:
    """Fill in what `write` wrote.

    Raises:
        ExportError: it does not fit the task.
    """
    try:
        for modality, network in _networks(task).items():
            load_model(network, folder / modality / _FILE)
        rest = load_file(folder / _HEAD) if (folder / _HEAD).is_file() else {}
        missing, unknown = task.load_state_dict(rest, strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ExportError(f"The weights in {folder} do not fit the task: {error}.") from error
    strange = [*(key for key in missing if _is_rest(task, key)), *unknown]
    if strange:
        raise ExportError(f"The weights in {folder} do not fit the task, by '{strange[0]}'.")


def _networks(task: Task) -> dict[str, nn.Module]:
    """Each backbone's network, whose parameters have the published names."""
    backbones = {modality: task.backbone(modality) for modality in task.backbones}
    return {m: b.get_submodule(b.published) for m, b in backbones.items()}


def _is_rest(task: Task, key: str) -> bool:
    prefixes = (f"backbones.{m}.{task.backbone(m).published}".rstrip(".") for m in task.backbones)
    return not any(key.startswith(f"{prefix}.") for prefix in prefixes)
