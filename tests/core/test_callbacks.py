"""Callbacks of an outside package, chosen by name; broken ones; objects of a Python program."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_core import discover
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Callback, Ending, Evaluated, FinishedRun, RunStart, TrainStep
from mmft_core.errors import StopTrainingError
from mmft_core.run import runner
from tests.conftest import Finished, run_arguments
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

pytestmark = pytest.mark.usefixtures("tiny_backbone")

SHORT = ("--set=engine.steps=2", "--set=dataset.val=0.03", "--set=dataset.test=0.03")
HOOK = """
    from mmft_core import CallbackSpec, hookimpl

    @hookimpl
    def register_callback():
        return [
            CallbackSpec(
                name="diary",
                summary="Notes what happens",
                build="acme_work:Diary",
                options="acme_options:Options",
            ),
        ]
"""
OPTIONS = """
    from dataclasses import dataclass
    from typing import Annotated

    from msgspec import Meta

    @dataclass(frozen=True, kw_only=True)
    class Options:
        file: Annotated[str, Meta(description="Name of the diary.")] = "diary.json"
"""
WORK = """
    import json
    from mmft_core.contracts import Callback


    class Diary(Callback):
        def __init__(self, options):
            self.options, self.notes = options, []

        def check(self, run):
            self.notes.append(["check", run.directory.exists()])

        def on_data(self, dataset):
            self.notes.append(["data", len(dataset.splits["val"])])

        def on_run_start(self, run):
            self.directory = run.directory
            self.notes.append(["run", run.settings["engine.steps"]])

        def on_train_start(self, event):
            self.notes.append(["train", event.step])

        def on_log(self, record):
            self.notes.append(["log", record.get("split", record["step"])])

        def on_finish(self, run):
            left = [(run.directory / name).exists() for name in ("model", "results.json")]
            self.notes.append(["finish", left])

        def on_end(self, ending):
            self.notes.append(["end", ending])
            text = json.dumps(self.notes)
            (self.directory / self.options.file).write_text(text)
"""
BROKEN = """
    from mmft_core import CallbackSpec, hookimpl

    @hookimpl
    def register_callback():
        def spec(name, build, **more):
            return CallbackSpec(name=name, summary="s", build=build, default=True, **more)

        return [
            spec("unimportable", "broken_work:Missing"),
            spec("optionless", "broken_work:Fine", options="no_such_module:Options"),
            spec("stranger", "broken_work:dict_of"),
            spec("unchecked", "broken_work:Unchecked"),
            spec("stumbling", "broken_work:Stumbling"),
        ]
"""
BROKEN_WORK = """
    from mmft_core.contracts import Callback

    def dict_of(options):
        return {}

    class Fine(Callback):
        def __init__(self, options):
            options.missing

    class Unchecked(Fine):
        def __init__(self, options): ...

        def check(self, run):
            raise RuntimeError("cannot check")

    class Stumbling(Unchecked):
        check = Callback.check

        def on_step(self, event):
            raise KeyError("stumbled")

        def on_end(self, ending):
            raise AssertionError("it is called again")
"""


def install(site: Site, work: str = WORK, options: str = OPTIONS) -> None:
    modules = {"acme": HOOK, "acme_work": work, "acme_options": options}
    site.install("mmft-acme", {"acme": "acme"}, **modules)


def test_it_is_used_by_name_with_options_and_broken_ones_disturb_nothing(
    site: Site, mmft: Mmft, tmp_path: Path
) -> None:
    install(site)
    modules = {"broken": BROKEN, "broken_work": BROKEN_WORK}
    site.install("mmft-broken", {"broken": "broken"}, **modules)
    output = tmp_path / "run"
    chosen = ("--callback", "diary", "--set", "callback.diary.file=d.json")
    ended = mmft(*run_arguments(output, *SHORT, *chosen, backbone="tiny"))
    assert ended.code == 0, ended.err
    steps = [["log", 1], ["log", 2], ["log", "val"], ["log", "test"]]
    assert json.loads((output / "d.json").read_text()) == [
        ["check", False],
        ["data", 50],
        ["run", 2],
        ["train", 0],
        *steps,
        ["finish", [True, False]],
        ["end", "finished"],
    ]
    assert (output / "report.html").is_file()
    said = ended.out + ended.err
    for name in ("unimportable", "optionless", "stranger", "unchecked", "stumbling"):
        assert said.count(f"Callback '{name}' failed and is not called again") == 1
    assert "'broken/stranger' built a dict, not a Callback" in said
    assert "KeyError: 'stumbled' (broken_work, line" in said and "Traceback" not in said
    listed = mmft("plugins", "--kind", "callback").out
    assert {line.split()[1] for line in listed.splitlines()[1:]} >= {"diary", "report", "mlflow"}


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("Diary = lambda options: {}", "not a Callback"),
        (
            WORK.replace(
                'self.notes.append(["check", run.directory.exists()])',
                "from mmft_core.errors import ConfigError; raise ConfigError('No paper.')",
            ),
            "No paper.",
        ),
    ],
)
def test_one_that_was_asked_for_must_work(
    site: Site, mmft: Mmft, tmp_path: Path, work: str, words: str
) -> None:
    install(site, work)
    ended = mmft(*run_arguments(tmp_path / "run", "--callback", "diary", backbone="tiny"))
    assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err
    assert not (tmp_path / "run").exists()


def test_one_may_end_a_training_without_an_error(site: Site, mmft: Mmft, tmp_path: Path) -> None:
    stop = "from mmft_core.errors import StopTrainingError; raise StopTrainingError('hopeless')"
    install(site, WORK.replace('self.notes.append(["train", event.step])', stop))
    run = tmp_path / "run"
    ended = mmft(*run_arguments(run, *SHORT, "--callback", "diary", backbone="tiny"))
    assert ended.code == 0, ended.err
    assert f"Stopped by a callback: hopeless. Resume with: mmft run --resume {run}" in ended.out
    assert json.loads((run / "diary.json").read_text())[-1] == ["end", "stopped"]


def test_how_they_are_chosen(site: Site, mmft: Mmft, tmp_path: Path) -> None:
    import tomllib

    install(site)
    file = tmp_path / "run.toml"

    def chosen(*more: str | Path) -> list[str]:
        ended = mmft(*run_arguments(tmp_path / "run", "--dry-run", *more, backbone="tiny"))
        assert ended.code == 0, ended.err
        return list(tomllib.loads(ended.out)["callbacks"])

    assert chosen() == ["report/report"]
    assert chosen("--callback", "acme/diary") == ["report/report", "acme/diary"]
    assert chosen("--callback", "report") == ["report/report"]
    assert chosen("--no-callback", "report/report") == []
    file.write_text('callbacks = ["diary"]\n[callback.diary]\nfile = "a"\n')
    assert chosen("-c", file) == ["acme/diary"]
    assert chosen("-c", file, "--callback", "report") == ["acme/diary", "report/report"]
    assert chosen("-c", file, "--set", "callbacks=+report") == ["acme/diary", "report/report"]
    for setting, words in (
        ("callbacks=5", "is not a list of names"),
        ('callbacks=["+diary", "report"]', "mixes names with and without a sign"),
        ("callbacks=diray", "Did you mean 'diary'?"),
        ("callback.diary.file=x", "the run has no callback 'diary'"),
        ("callback.report.colour=red", "There is no option 'callback.report.colour'"),
        ("callback.report=red", "is 'red', not a table"),
    ):
        arguments = run_arguments(tmp_path / "run", "--dry-run", "--set", setting, backbone="tiny")
        ended = mmft(*arguments)
        assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err


class Listener(Callback):
    def __init__(self) -> None:
        self.told: list[str] = []
        self.messages: list[str] = []

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_run_start(self, run: RunStart) -> None:
        self.told.append(f"start of {run.directory.name}")

    def on_evaluation(self, event: Evaluated) -> None:
        self.told.append(event.split)

    def on_finish(self, run: FinishedRun) -> None:
        self.told.append(f"finish of {run.plan.task.component.name} {sorted(run.evaluations)}")

    def on_end(self, ending: Ending) -> None:
        self.told.append(ending)


class Buggy(Callback):
    def on_evaluation(self, event: Evaluated) -> None:
        raise ValueError("oh no")


class Stop(Callback):
    def on_step(self, event: TrainStep) -> None:
        raise StopTrainingError


def plan(**more: object) -> Plan:
    tree = {
        "task": "image-cls",
        "backbone": {"image": {"name": "tiny", "image_size": 32}, "weights": "none"},
        "dataset": {"name": "digits", "val": 0.03, "test": 0.03},
        "engine": {"steps": 1, "workers": 0},
        **more,
    }
    return make_plan(tree, discover())


def test_a_program_passes_objects(tmp_path: Path) -> None:
    listener = Listener()
    found = runner.train(plan(callbacks=[]), tmp_path / "run", [listener, Buggy()])
    assert found.results is not None and not (tmp_path / "run" / "report.html").exists()
    (failed,) = [text for text in listener.messages if "is not called again" in text]
    assert "'Buggy'" in failed and "ValueError: oh no" in failed
    finish = "finish of image-cls ['test', 'val']"
    assert listener.told == ["start of run", "val", "test", finish, "finished"]


def test_one_may_stop_the_training(tmp_path: Path) -> None:
    listener = Listener()
    with pytest.raises(StopTrainingError):
        runner.train(plan(), tmp_path / "run", [listener, Stop()])
    assert listener.told[-1] == "stopped" and not (tmp_path / "run" / "results.json").exists()
    assert json.loads((tmp_path / "run" / "failure.json").read_text())["state"] == "stopped"
