"""Optimizers and learning-rate schedules: torch's, by name."""

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
            ("muon", "Muon for matrices, AdamW for all else", "Muon", "MuonOptions"),
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
            ("cosine", "Warm-up, then down along half a cosine", "cosine", "DecayOptions"),
            ("linear", "Warm-up, then down along a line", "linear", "DecayOptions"),
            ("constant", "Warm-up, then the peak to the end", "constant", None),
            (
                "warmup-stable-decay",
                "Warm-up, then the peak, then down along a line at the end",
                "warmup_stable_decay",
                "StableOptions",
            ),
            ("one-cycle", "Up and down along half cosines", "one_cycle", "OneCycleOptions"),
        )
    ]
