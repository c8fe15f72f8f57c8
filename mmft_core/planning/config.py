"""Configuration: layers of settings in, one tree out.

A tree is what a TOML file holds: nested dicts of plain values. Layers are merged, later ones
winning: recommended defaults of the chosen components, the TOML file, flags, `--set`.
`mmft_core.planning.plan` turns the tree into typed objects.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tomli_w
from msgspec import Meta

from mmft_core.errors import ConfigError
from mmft_core.files import printable

Tree: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (Hu et al., 2021), the settings of `tune = "lora"`."""

    rank: Annotated[int, Meta(ge=1, description="Of the product that is added to a weight.")] = 8
    alpha: Annotated[float, Meta(gt=0, description="The product counts alpha / rank.")] = 16.0
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Of what goes into the adapters, in training.")
    ] = 0.0
    targets: Annotated[
        tuple[str, ...],
        Meta(
            description="Roles of the layers that get adapters: attention, mlp, convolution, all; "
            "empty for attention where the backbone has it, else all."
        ),
    ] = ()
    save: Annotated[
        Literal["merged", "adapter"],
        Meta(description="The whole model with the adapters in its weights, or these alone."),
    ] = "merged"


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How to train. The same for every task."""

    epochs: Annotated[
        int, Meta(ge=0, description="Passes over the training split; 0 keeps the model as it is.")
    ] = 10
    steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Optimizer steps, in place of epochs."),
    ] = None
    batch_size: Annotated[
        int, Meta(ge=1, description="Samples of one forward pass, on all processes together.")
    ] = 32
    batch_total: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="In place of batch_size: what a forward pass holds in all, padding "
            "counted, in seconds of audio or characters of text."
        ),
    ] = None
    accumulate: Annotated[int, Meta(ge=1, description="Forward passes of one optimizer step.")] = 1
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd"], Meta(description="sgd is with Nesterov momentum 0.9.")
    ] = "adamw"
    lr: Annotated[float, Meta(gt=0, description="Peak learning rate.")] = 5e-4
    fresh_lr: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Of what starts from random weights: the head, and backbones without "
            "pretrained ones; unset for lr."
        ),
    ] = None
    weight_decay: Annotated[
        float, Meta(ge=0, description="Of weights; biases and norms have none.")
    ] = 0.05
    schedule: Annotated[
        Literal["cosine", "linear", "constant", "one-cycle"],
        Meta(description="Course of the learning rate after the warm-up."),
    ] = "cosine"
    warmup: Annotated[
        float, Meta(ge=0, lt=1, description="Share of all steps with a rising learning rate.")
    ] = 0.05
    clip_norm: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Largest norm of the gradient; unset for no clipping."),
    ] = 1.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(description="auto: bf16 where the device computes in it, fp16 on older GPUs."),
    ] = "auto"
    tune: Annotated[
        str,
        Meta(
            description="What is trained: full, head, last:N (the last N backbone layers), "
            "gradual (one more layer each epoch), gradual:N (every N epochs), or lora (adapters); "
            "by modality as image=head,text=lora."
        ),
    ] = "full"
    lora: Annotated[LoraConfig, Meta(description="How tune=lora does it.")] = field(
        default_factory=LoraConfig
    )
    cache_features: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="Compute the features of frozen backbones once and keep them, for this "
            "and other runs; auto: where nothing changes them at random."
        ),
    ] = "auto"
    gradient_checkpointing: Annotated[
        bool, Meta(description="Compute activations twice instead of keeping them: less memory.")
    ] = False
    layer_decay: Annotated[
        float, Meta(gt=0, le=1, description="Factor on the learning rate for each layer down.")
    ] = 1.0
    ema: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(description="Decay of a moving average of the weights, which is then evaluated."),
    ] = None
    seed: Annotated[int, Meta(ge=0, description="Of initialisation, order, augmentation.")] = 0
    eval_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Steps between evaluations; unset for once an epoch."),
    ] = None
    checkpoint_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Steps between checkpoints; unset for one at each evaluation."),
    ] = None
    monitor: Annotated[
        str | None,
        Meta(description="Figure that picks the best model, such as accuracy, f1/macro, loss."),
    ] = None
    patience: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Stop after this many evaluations without a better one."),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Processes that load data; unset chooses by the number of cores."),
    ] = None
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Meta(
            description="How several processes train: ddp, each with all of the model, or fsdp, "
            "each with a shard of weights, gradients and the optimizer's state."
        ),
    ] = "ddp"
    device: Annotated[
        Literal["auto", "cpu"], Meta(description="cpu: leave a GPU that is there unused.")
    ] = "auto"
    log_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Steps between lines of metrics.jsonl; unset for 10, or fewer where "
            "training is short."
        ),
    ] = None


def read_toml(path: Path) -> Tree:
    """Read a TOML file.

    Raises:
        ConfigError: it is missing or is not TOML; names line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def dump_toml(tree: Mapping[str, Any]) -> str:
    """Write a tree as TOML. Unset values, which TOML has no word for, become "none"."""
    return tomli_w.dumps(_plain(tree))


def ensure_text(tree: Mapping[str, Any]) -> None:
    """Check that all settings can be written to a file.

    Raises:
        ConfigError: one cannot, such as a path with bytes that are no UTF-8.
    """
    for key, value in flatten(tree).items():
        if isinstance(value, str) and value != printable(value):
            raise ConfigError(
                f"{key} = {printable(value)} is no UTF-8, so config.toml could not hold it.",
                hint="Rename the file or folder.",
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None:
        return "none"
    return str(value) if isinstance(value, Path) else value


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Merge trees; later ones win, table by table.

    A string that meets a table is the table's `name`: `task = "x"` is short for `task.name = "x"`.
    """
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            below, above = merged.get(key), value
            if isinstance(below, str) and isinstance(above, Mapping):
                below = {"name": below}
            elif isinstance(below, Mapping) and isinstance(above, str):
                above = {"name": above}
            if isinstance(above, Mapping):
                above = merge(below if isinstance(below, Mapping) else {}, above)
            merged[key] = above
    return merged


def nest(dotted: Mapping[str, Any]) -> Tree:
    """Turn {"engine.lr": 1} into {"engine": {"lr": 1}}."""
    tree: Tree = {}
    for key, value in dotted.items():
        *tables, last = key.split(".")
        tree = merge(tree, _wrap(tables, {last: value}))
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {"engine": {"lr": 1}} into {"engine.lr": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def parse_set(assignments: Iterable[str]) -> Tree:
    """Parse `--set KEY=VALUE` arguments. Values are TOML; what is not TOML is a string.

    Raises:
        ConfigError: an argument has no "=" or no key.
    """
    dotted: Tree = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise ConfigError(
                f"--set '{assignment}' is not KEY=VALUE.", hint="For example: --set engine.lr=3e-4"
            )
        dotted[key.strip()] = toml_value(text.strip())
    return nest(dotted)


def _wrap(tables: list[str], tree: Tree) -> Tree:
    for table in reversed(tables):
        tree = {table: tree}
    return tree


def toml_value(text: str) -> Any:
    """A value as TOML writes it; what is not TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
