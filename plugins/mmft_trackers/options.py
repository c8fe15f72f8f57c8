"""Where trackers keep runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class MlflowOptions:
    """Options of MLflow."""

    uri: Annotated[
        str | None,
        Meta(
            description="Address of a server or a database; unset uses a database beside the runs, "
            "in mlflow/."
        ),
    ] = None
    experiment: Annotated[
        str, Meta(min_length=1, description="Experiment that the run belongs to.")
    ] = "mmft"


@dataclass(frozen=True, kw_only=True)
class WandbOptions:
    """Options of Weights & Biases."""

    project: Annotated[str, Meta(min_length=1, description="Project that the run belongs to.")] = (
        "mmft"
    )
    entity: Annotated[
        str | None, Meta(description="User or team; unset uses the user's default.")
    ] = None
    mode: Annotated[
        Literal["online", "offline"] | None,
        Meta(description="offline needs no network; unset uses WANDB_MODE, else online."),
    ] = None
