"""The settings of training. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

from msgspec import Meta

from mmft_core.config.tuning_choice import Tunings


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (Hu et al., 2021), the settings of `tune = "lora"`."""

    rank: Annotated[int, Meta(ge=1, description="Rank of the low-rank update.")] = 16
    alpha: Annotated[
        float, Meta(gt=0, description="Scale of the update: it is multiplied by alpha / rank.")
    ] = 16.0
    dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Dropout on the input of the adapters.")
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
            description="What to save: the whole model with the adapters merged into its "
            "weights, or only the adapters, as PEFT loads them."
        ),
    ] = "merged"


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How to train. The same for every task."""

    epochs: Annotated[
        int,
        Meta(
            ge=0,
            description="Passes over the training split; 0 evaluates the model without training.",
        ),
    ] = 10
    steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Number of optimizer steps; replaces epochs."),
    ] = None
    batch_size: Annotated[
        int, Meta(ge=1, description="Samples per forward pass, over all processes.")
    ] = 32
    batch_total: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Total size of a forward pass including padding, in seconds of audio "
            "or characters of text; replaces batch_size."
        ),
    ] = None
    gradient_accumulation_steps: Annotated[
        int,
        Meta(
            ge=1,
            description="Forward passes per optimizer step.",
            extra={"formerly": ("accumulate",)},
        ),
    ] = 1
    optimizer: Annotated[
        str,
        Meta(
            description="Optimizer, one of `mmft plugins --kind optimizer`; its options are set as "
            "optimizer.OPTION."
        ),
    ] = "adamw"
    lr: Annotated[float, Meta(gt=0, description="Peak learning rate.")] = 5e-4
    head_lr: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Learning rate of everything that starts from random weights: the "
            "head, and backbones without pretrained weights; unset uses lr.",
            extra={"formerly": ("fresh_lr",)},
        ),
    ] = None
    weight_decay: Annotated[
        float,
        Meta(ge=0, description="Weight decay; not applied to biases and normalization layers."),
    ] = 0.05
    schedule: Annotated[
        str,
        Meta(
            description="Learning rate schedule, one of `mmft plugins --kind schedule`; its "
            "options are set as schedule.OPTION."
        ),
    ] = "cosine"
    warmup: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share of all steps during which the learning rate rises linearly.",
        ),
    ] = 0.05
    clip_norm: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Maximum norm of the gradient; unset disables clipping."),
    ] = 1.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(
            description="Precision of training. auto is bf16 on GPUs that have it, fp16 on older "
            "ones, and on a CPU the faster of bf16 and fp32 by timed steps; on a CPU, models are "
            "evaluated and used in fp32."
        ),
    ] = "auto"
    tune: Annotated[
        str,
        Meta(
            description="What is trained: full, head, last=N (the last N backbone layers), "
            "gradual (one more layer each epoch), gradual=N (every N epochs), or lora (adapters); "
            "by modality as image=head,text=lora; by part of a backbone that has parts as "
            "frozen,language=lora."
        ),
    ] = "full"
    lora: Annotated[LoraConfig, Meta(description="Settings of the adapters of tune=lora.")] = field(
        default_factory=LoraConfig
    )
    cache_features: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="Compute the features of frozen backbones once and cache them for this "
            "and later runs; auto does so if no augmentation or dropout changes them."
        ),
    ] = "auto"
    compile: Annotated[
        bool,
        Meta(
            description="Compile the training step with torch.compile: this takes a minute or more "
            "at the start, but then steps are faster with most models."
        ),
    ] = False
    gradient_checkpointing: Annotated[
        bool,
        Meta(
            description="Recompute activations in the backward pass instead of storing them: "
            "less memory, more time."
        ),
    ] = False
    layer_decay: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Factor by which each lower layer's learning rate is multiplied "
            "(layer-wise decay).",
        ),
    ] = 1.0
    ema: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(
            description="Decay of an exponential moving average of the weights; if set, the "
            "average is evaluated and saved."
        ),
    ] = None
    seed: Annotated[int, Meta(ge=0, description="Random seed.")] = 0
    eval_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Steps between evaluations; unset evaluates after each epoch."),
    ] = None
    eval_samples: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Number of val samples on which metrics are computed during training, the "
            "same ones at each evaluation; unset uses all. The loss, and the metrics of the "
            "finished model, are always computed on all. Useful for tasks that generate text, "
            "which is slow."
        ),
    ] = None
    checkpoint_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Steps between checkpoints; unset writes one at each evaluation."),
    ] = None
    monitor: Annotated[
        str | None,
        Meta(
            description="Metric that selects the best model, such as accuracy, f1/macro or loss. "
            "Ties go to the lower val loss."
        ),
    ] = None
    patience: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Stop early after this many evaluations without an improvement."),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Worker processes that load data; unset chooses by the number of CPUs, and "
            "for longer training by timed steps."
        ),
    ] = None
    threads: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="CPU threads for computation; unset chooses by timed steps, and uses fewer "
            "while other processes use the CPUs."
        ),
    ] = None
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Meta(
            description="Strategy for several processes: ddp gives each the whole model, fsdp a "
            "shard of weights, gradients and optimizer state."
        ),
    ] = "ddp"
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Meta(
            description="Device: auto uses a GPU if there is one; cuda requires one; cpu ignores "
            "GPUs."
        ),
    ] = "auto"
    log_every: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Steps between lines of metrics.jsonl; unset is 10, or fewer if "
            "training is short."
        ),
    ] = None

    @cached_property
    def tuning(self) -> Tunings:
        """What `tune` says of each backbone.

        Raises:
            ConfigError: it is not valid.
        """
        return Tunings.parse(self.tune)

    def passes(self, samples: int) -> float:
        """How often a training passes over its samples; approximate with `batch_total`."""
        if self.steps is None:
            return self.epochs
        return self.steps * self.gradient_accumulation_steps * self.batch_size / samples

    @property
    def learns(self) -> bool:
        """Whether anything is learned; without a step, a model is only evaluated."""
        return self.steps is not None or self.epochs > 0
