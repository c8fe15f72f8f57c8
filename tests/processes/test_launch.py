"""`mmft launch`: the command that it stands for, and job files that clusters can read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmft_core.config.engine_config import EngineConfig
from mmft_core.engine.device import make_accelerator
from mmft_core.errors import ConfigError
from tests.conftest import Finished

Mmft = Callable[..., Finished]

RUN = ("--", "run", "--task", "image-cls", "--backbone", "resnet18", "-o", "runs/my photos")
CLUSTER = ("launch", "--machines=3", "--processes=2")


def test_the_command_is_shown(mmft: Mmft) -> None:
    shown = mmft("launch", "--processes=2", "--show", *RUN[:-2])
    assert shown.out.split() == [
        *("torchrun", "--standalone", "--nproc-per-node=2"),
        *("-m", "mmft_core", *RUN[1:-2]),
    ]
    several = mmft(*CLUSTER, "--meet", "one:29500", "--show", *RUN).out
    assert "--nnodes=3" in several and "--rdzv-endpoint=one:29500" in several
    assert "-o 'runs/my photos'" in several


def test_a_script_for_slurm(mmft: Mmft, tmp_path: Path) -> None:
    file = tmp_path / "job.sh"
    settings = ("--set", "partition=gpu", "--set", "time=12:00:00", "--set", "memory=64G")
    assert str(file) in mmft(*CLUSTER, "--slurm", file, *settings, *RUN).out
    shown = mmft(*CLUSTER, "--with=slurm", "--show", *settings, *RUN).out
    assert shown.replace("FILE", file.name) == file.read_text()
    assert subprocess.run(["bash", "-n", file], check=False).returncode == 0
    text = file.read_text()
    directives = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in text.splitlines()
        if line.startswith("#SBATCH")
    )
    assert directives["nodes"] == "3" and directives["gpus-per-node"] == "2"
    assert directives["time"] == "12:00:00" and directives["partition"] == "gpu"
    assert directives["mem"] == "64G" and directives["cpus-per-task"] == "16"
    again = mmft(*CLUSTER, "--slurm", file, *RUN)
    assert again.code == 2 and f"{file} exists already." in again.err
    assert file.read_text() == text


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_is_started_again_goes_on(mmft: Mmft, tmp_path: Path, begun: bool) -> None:
    """The script is done, with stand-ins for what only a cluster has."""
    file, run = tmp_path / "job.sh", tmp_path / "runs" / "my photos"
    mmft(*CLUSTER, "--slurm", file, *RUN)
    for name, does in {"srun": 'printf "%s\\n" "$@"', "scontrol": "echo first"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    if begun:
        run.mkdir(parents=True)
        (run / "config.toml").touch()
    where = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "n", "SLURM_JOB_ID": "7"}
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(
        [bash, file], cwd=tmp_path, env=where, capture_output=True, text=True, check=True
    )
    called = done.stdout.splitlines()
    assert called[:2] == ["--cpus-per-task=16", "torchrun"], "srun asks for its own CPUs"
    assert "--rdzv-endpoint=first:29500" in called and "--rdzv-id=7" in called
    expected = ["run", "--resume", "runs/my photos"] if begun else list(RUN[1:])
    assert called[called.index("mmft_core") + 1 :] == expected


def test_accelerate_is_not_to_decide_what_settings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="engine.parallel=fsdp"):
        make_accelerator(EngineConfig())


def pod_of(jobs: list[dict[str, Any]]) -> Any:
    (job,) = jobs
    return job["template"]["spec"]["template"]["spec"]


def test_a_train_job(mmft: Mmft, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    settings = ("--set", "image=me/mmft:1", "--set", "claim=shared", "--set", "namespace=us")
    assert mmft(*CLUSTER, "--kubernetes", file, *settings, *RUN).code == 0
    job = yaml.safe_load(file.read_text())
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert job["metadata"] == {"name": "mmft", "namespace": "us"}
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 2)
    assert trainer["resourcesPerNode"]["limits"] == {"nvidia.com/gpu": 2}
    (patch,) = job["spec"]["runtimePatches"]
    pod = pod_of(patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"])
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "shared"}} in pod["volumes"]
    bash_reads(trainer["args"])
    assert trainer["args"][0].startswith("cd /data\n"), "runs/my photos is on the volume"


def test_a_job_set(mmft: Mmft, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    settings = ("--set", "image=me/mmft:1", "--set", "name=photos")
    assert mmft(*CLUSTER, "--gpus=0", "--jobset", file, *settings, *RUN).code == 0
    job = yaml.safe_load(file.read_text())
    assert (job["apiVersion"], job["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = job["spec"]["replicatedJobs"]
    template = replicated["template"]["spec"]
    assert (template["completions"], template["completionMode"]) == (3, "Indexed")
    (container,) = pod_of(job["spec"]["replicatedJobs"])["containers"]
    assert "limits" not in container["resources"], "no GPUs were asked for"
    assert "--master-addr=photos-node-0-0.photos" in container["args"][0]
    bash_reads(container["args"])


def bash_reads(scripts: list[str]) -> None:
    (script,) = scripts
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0
    assert "'runs/my photos'" in script
    assert 'OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"' in script, "torchrun would give one thread"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("launch", "--processes=2", "--", "predict", "x"), "`mmft predict x` was given"),
        (("launch", "--processes=2"), "nothing was given"),
        ((*CLUSTER, *RUN), "need to know where to meet"),
        ((*CLUSTER, "--meet=node1", *RUN), "--meet node1 is not HOST:PORT."),
        ((*CLUSTER, "--meet=a:1", "--show", *RUN, "--lr=fast"), "'fast' is not a valid float"),
        ((*CLUSTER, "--meet=a:1", "--show", *RUN, "--metric=acuracy"), "mean 'accuracy'"),
        ((*CLUSTER, "--slurm=x.sh", *RUN, "--set=engine.stpes=3"), "mean 'steps'"),
        ((*CLUSTER, "--slurm=x.sh", "--", "run"), "needs to know where its run is"),
        ((*CLUSTER, "--slurm=x.sh", "--set=time=soon", *RUN), "is not a time"),
        ((*CLUSTER, "--slurm=x.sh", "--set=partitoin=gpu", *RUN), "Did you mean 'partition'?"),
        ((*CLUSTER, "--jobset=x.yaml", *RUN), "needs a container image"),
        ((*CLUSTER, "--jobset=x.yaml", "--set=image=i", "--set=name=A_b", *RUN), "is not a name"),
        ((*CLUSTER, "--jobset=x.yaml", "--slurm=y", *RUN), "Only one job file"),
        ((*CLUSTER, "--with=slurm", *RUN), "has to be written, and submitted"),
        ((*CLUSTER, "--with=slurn", *RUN), "no launcher named 'slurn'. Did you mean 'slurm'?"),
        ((*CLUSTER, "--kubernetes=x", "--set=image=i", "--set=restarts=1", *RUN), "no option"),
        ((*CLUSTER, "--set=name=x", "--meet=a:1", *RUN), "There is no option 'torchrun.name'"),
    ],
)
def test_mistakes(
    mmft: Mmft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = mmft(*arguments)
    assert ended.code == 2 and words in ended.err
    assert not list(tmp_path.iterdir())
