"""`[tracking]`: which trackers are told of a run, and where they keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

TrackerName = Literal["tensorboard", "mlflow", "wandb"]


@dataclass(frozen=True, kw_only=True)
class MlflowConfig:
    """Where MLflow keeps runs."""

    uri: Annotated[
        str | None,
        Meta(description="Of a server or a data base; unset for one beside the run, in mlflow/."),
    ] = None
    experiment: Annotated[str, Meta(min_length=1, description="That the run is of.")] = "mmft"


@dataclass(frozen=True, kw_only=True)
class WandbConfig:
    """Where Weights & Biases keeps runs."""

    project: Annotated[str, Meta(min_length=1, description="That the run is of.")] = "mmft"
    entity: Annotated[
        str | None, Meta(description="User or team; unset for the user's default.")
    ] = None
    mode: Annotated[
        Literal["online", "offline"] | None,
        Meta(description="offline needs no network; unset for WANDB_MODE, else online."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Who is told of a run. No one, unless it is asked for."""

    to: Annotated[
        tuple[TrackerName, ...], Meta(description="tensorboard, mlflow, wandb, several or none.")
    ] = ()
    mlflow: Annotated[MlflowConfig, Meta(description="Of MLflow.")] = field(
        default_factory=MlflowConfig
    )
    wandb: Annotated[WandbConfig, Meta(description="Of Weights & Biases.")] = field(
        default_factory=WandbConfig
    )
