"""The settings of training. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (Hu et al., 2021), the settings of `tune = "lora"`."""

    rank: Annotated[int, Meta(ge=1, description="Of the product that is added to a weight.")] = 16
    alpha: Annotated[float, Meta(gt=0, description="The product counts alpha / rank.")] = 16.0
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Of what goes into the adapters, in training.")
    ] = 0.0
    targets: Annotated[
        tuple[str, ...],
        Meta(
            description="Roles of the layers that get adapters: attention, mlp, convolution, all."
        ),
    ] = ("all",)
    save: Annotated[
        Literal["merged", "adapter"],
        Meta(
            description="The whole model with the adapters in its weights, or these alone, in a "
            "folder that PEFT loads."
        ),
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
        Meta(
            description="auto: bf16 where the device computes in it, fp16 on older GPUs; a model "
            "is judged and used in fp32 on a CPU."
        ),
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

    @property
    def learns(self) -> bool:
        """Whether anything is learned; without a step, a model is only judged."""
        return self.steps is not None or self.epochs > 0
