"""Optimizers and learning-rate schedules by name: torch's, and AdamW by bitsandbytes."""

from mmft_core import OptimizerSpec, ScheduleSpec, hookimpl


@hookimpl
def register_optimizer() -> list[OptimizerSpec]:
    return [
        OptimizerSpec(
            name=name,
            summary=summary,
            build=f"mmft_optimizers.optimizers:{build}",
            options=f"mmft_optimizers.options:{options}",
        )
        for name, summary, build, options in (
            ("adamw", "Adam with decoupled weight decay", "adamw", "AdamOptions"),
            ("adam", "Adam; weight decay is added to the gradient", "adam", "AdamOptions"),
            ("sgd", "Stochastic gradient descent with momentum", "sgd", "SgdOptions"),
            ("adafactor", "Adafactor: less memory than Adam", "adafactor", "AdafactorOptions"),
            ("muon", "Muon for matrices, AdamW for everything else", "Muon", "MuonOptions"),
        )
    ] + [
        OptimizerSpec(
            name=name,
            summary=summary,
            build=f"mmft_optimizers.bits:{build}",
            options="mmft_optimizers.options:BitsAdamOptions",
            extras=("quantize",),
        )
        for name, summary, build in (
            ("adamw-8bit", "AdamW with states in 8 bits: a quarter of the memory", "adamw_8bit"),
            (
                "paged-adamw",
                "AdamW with states that move to the CPU when a GPU is full",
                "paged_adamw",
            ),
            (
                "paged-adamw-8bit",
                "AdamW with 8-bit states that move to the CPU when a GPU is full",
                "paged_adamw_8bit",
            ),
        )
    ]


@hookimpl
def register_schedule() -> list[ScheduleSpec]:
    return [
        ScheduleSpec(
            name=name,
            summary=summary,
            build=f"mmft_optimizers.schedules:{build}",
            options=options and f"mmft_optimizers.options:{options}",
        )
        for name, summary, build, options in (
            ("cosine", "Warm-up, then cosine decay", "cosine", "DecayOptions"),
            ("linear", "Warm-up, then linear decay", "linear", "DecayOptions"),
            ("constant", "Warm-up, then constant", "constant", None),
            (
                "warmup-stable-decay",
                "Warm-up, then constant, then linear decay at the end",
                "warmup_stable_decay",
                "StableOptions",
            ),
            ("one-cycle", "Cosine rise, then cosine decay", "one_cycle", "OneCycleOptions"),
        )
    ]
