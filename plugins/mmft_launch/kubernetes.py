"""Job files for Kubernetes: a TrainJob of Kubeflow's trainer, or a plain JobSet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from mmft_core.errors import ConfigError
from mmft_launch.launcher import PORT, Job, Launcher
from mmft_launch.options import JobSetOptions, KubernetesOptions

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?")
_NODE = "node"
"""The name of job and container in Kubeflow's torch runtime, which ours have as well."""


class _Kubernetes(Launcher):
    submit = "kubectl apply -f"

    def __init__(self, options: Any, job: Job) -> None:
        """Raises:
        ConfigError: there is no image.
        """
        if not options.image:
            raise ConfigError(
                "Kubernetes needs a container image that contains mmft.",
                hint="Give --set image=IMAGE.",
            )
        self.options, self.job = options, job


class TrainJob(_Kubernetes):
    def text(self, file: Path | None = None) -> str:
        return _train_job(self.job, self.options)


class JobSet(_Kubernetes):
    def text(self, file: Path | None = None) -> str:
        return _job_set(self.job, self.options)


def _train_job(job: Job, settings: KubernetesOptions) -> str:
    """A TrainJob on Kubeflow's runtime "torch-distributed", which tells torchrun of all nodes.

    Raises:
        ConfigError: a setting is not one that Kubernetes accepts.
    """
    patch = {"template": {"spec": {"template": {"spec": _storage(settings)}}}, "name": _NODE}
    template = {"spec": {"replicatedJobs": [patch]}}
    spec: dict[str, Any] = {
        "runtimeRef": {"name": "torch-distributed"},
        "trainer": {
            "image": settings.image,
            "numNodes": job.machines,
            "numProcPerNode": job.processes,
            "resourcesPerNode": _resources(job, settings),
            "command": ["bash", "-ec"],
            "args": [_script(job, "torchrun", settings)],
        },
        "runtimePatches": [
            {"manager": "mmft/launch", "trainingRuntimeSpec": {"template": template}}
        ],
    }
    return _dump("trainer.kubeflow.org/v1alpha1", "TrainJob", settings, spec)


def _job_set(job: Job, settings: JobSetOptions) -> str:
    """A JobSet: one job with a pod for each machine, which find each other by the first's name.

    Raises:
        ConfigError: a setting is not one that Kubernetes accepts.
    """
    head = f"{settings.name}-{_NODE}-0-0.{settings.name}"
    torchrun = (
        f'torchrun --nnodes={job.machines} --node-rank="$JOB_COMPLETION_INDEX" '
        f"--nproc-per-node={job.processes} --master-addr={head} --master-port={PORT}"
    )
    storage = _storage(settings)
    (mounts,) = storage["containers"]
    container = {
        **mounts,
        "image": settings.image,
        "command": ["bash", "-ec"],
        "args": [_script(job, torchrun, settings)],
        "ports": [{"containerPort": PORT}],
        "resources": _resources(job, settings),
    }
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": storage["volumes"]}
    replicated = {
        "name": _NODE,
        "replicas": 1,
        "template": {
            "spec": {
                "completionMode": "Indexed",
                "parallelism": job.machines,
                "completions": job.machines,
                "backoffLimit": 0,
                "template": {"spec": pod},
            }
        },
    }
    spec = {
        "failurePolicy": {"maxRestarts": settings.restarts},
        "network": {"enableDNSHostnames": True},
        "replicatedJobs": [replicated],
    }
    return _dump("jobset.x-k8s.io/v1alpha2", "JobSet", settings, spec)


def _script(job: Job, torchrun: str, settings: KubernetesOptions) -> str:
    return job.shell(torchrun, settings.cpus, settings.mount if settings.claim else None)


def _storage(settings: KubernetesOptions) -> dict[str, Any]:
    """Volumes and where they are found: memory that processes share, and data and runs."""
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    if settings.claim is not None:
        claim = {"claimName": settings.claim}
        volumes.append({"name": "data", "persistentVolumeClaim": claim})
        mounts.append({"name": "data", "mountPath": settings.mount})
    return {"volumes": volumes, "containers": [{"name": _NODE, "volumeMounts": mounts}]}


def _resources(job: Job, settings: KubernetesOptions) -> dict[str, Any]:
    asked: dict[str, Any] = {"cpu": settings.cpus * job.processes}
    if settings.memory is not None:
        asked["memory"] = settings.memory
    gpus = {"nvidia.com/gpu": job.gpus} if job.gpus else {}
    return {"requests": asked | gpus, **({"limits": gpus} if gpus else {})}


def _dump(version: str, kind: str, settings: KubernetesOptions, spec: dict[str, Any]) -> str:
    if not _NAME.fullmatch(settings.name):
        raise ConfigError(
            f"--name {settings.name} is not a name that Kubernetes accepts.",
            hint="Give lower-case letters, digits and dashes, at most 42, a letter first.",
        )
    metadata = {"name": settings.name}
    if settings.namespace is not None:
        metadata["namespace"] = settings.namespace
    content = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)
    return text


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes scripts as blocks, line by line, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
