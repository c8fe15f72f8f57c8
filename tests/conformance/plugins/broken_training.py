"""Optimizers and schedules that break the contract in one way each."""

from mmft_core import OptimizerSpec, ScheduleSpec, hookimpl

COMMON = {"summary": "Broken."}


@hookimpl
def register_optimizer() -> list[OptimizerSpec]:
    return [
        OptimizerSpec(name=name, build=f"broken_training_parts:{build}", **COMMON)
        for name, build in {
            "no-optimizer": "no_optimizer",
            "matrices-only": "matrices_only",
            "ascends": "ascends",
            "forgets": "Forgetful",
        }.items()
    ]


@hookimpl
def register_schedule() -> list[ScheduleSpec]:
    return [
        ScheduleSpec(name=name, build=f"broken_training_parts:{build}", **COMMON)
        for name, build in {
            "no-schedule": "no_optimizer",
            "one-rate": "one_rate",
            "below-zero": "below_zero",
            "starts-again": "StartsAgain",
        }.items()
    ]
