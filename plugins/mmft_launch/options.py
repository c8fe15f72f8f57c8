"""Options of launchers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """Options of slurm."""

    name: Annotated[str, Meta(description="Name of the job.")] = "mmft"
    time: Annotated[str, Meta(description="Time limit: minutes, HH:MM:SS or D-HH:MM:SS.")] = (
        "24:00:00"
    )
    partition: Annotated[str | None, Meta(description="Partition to submit to.")] = None
    account: Annotated[str | None, Meta(description="Account to charge.")] = None
    cpus: Annotated[Count, Meta(description="CPUs of each process.")] = 8
    memory: Annotated[
        str | None,
        Meta(description="Memory of each machine, such as 64G; unset uses the cluster's default."),
    ] = None
    environment: Annotated[
        str | None,
        Meta(description="Virtual environment to activate, on storage that all machines share."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class KubernetesOptions:
    """Options of kubernetes."""

    image: Annotated[str, Meta(description="Container image that contains mmft; required.")] = ""
    name: Annotated[str, Meta(description="Name of the job.")] = "mmft"
    namespace: Annotated[str | None, Meta(description="Namespace; unset uses the current one.")] = (
        None
    )
    claim: Annotated[
        str | None,
        Meta(
            description="Persistent volume claim for data and runs that all machines can write "
            "(ReadWriteMany)."
        ),
    ] = None
    mount: Annotated[
        str,
        Meta(
            description="Where the claim is mounted in the container; relative paths of the run "
            "lead there."
        ),
    ] = "/data"
    cpus: Annotated[Count, Meta(description="CPUs of each process.")] = 4
    memory: Annotated[
        str | None,
        Meta(description="Memory of each machine, such as 64Gi; unset uses the cluster's default."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class JobSetOptions(KubernetesOptions):
    """Options of jobset."""

    restarts: Annotated[
        int, Meta(ge=0, description="How often a failed job is restarted and resumed.")
    ] = 3
