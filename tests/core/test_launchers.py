"""A launcher that an outside package adds, used by name; and broken ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mmft_testing import plugin_checks
from tests.conftest import Finished
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

HOOK = """
    from mmft_core import LauncherSpec, hookimpl

    @hookimpl
    def register_launcher():
        return [
            LauncherSpec(
                name="pigeon",
                summary="By pigeon post",
                build="acme_work:Pigeon",
                options="acme_options:PigeonOptions",
            )
        ]
"""
OPTIONS = """
    from dataclasses import dataclass
    from typing import Annotated
    from msgspec import Meta

    @dataclass(frozen=True, kw_only=True)
    class PigeonOptions:
        loft: Annotated[str, Meta(description="Where it lives.")] = "roof"
"""
WORK = """
    from mmft_launch.launcher import Launcher

    class Pigeon(Launcher):
        submit = "release"

        def __init__(self, options, job):
            self.options, self.job = options, job

        def text(self, file=None):
            return f"from {self.options.loft}: {self.job.machines} x {self.job.arguments[0]}"

        def start(self):
            print("it flies")
            return 3
"""
LAUNCH = ("launch", "--machines=2", "--processes=1", "--with=pigeon")
RUN = ("--", "run", "--task=image-cls", "--backbone=resnet18")


def install(site: Site, work: str = WORK) -> None:
    site.install("mmft-acme", {"acme": "acme"}, acme=HOOK, acme_options=OPTIONS, acme_work=work)


def test_it_is_listed_and_used_by_name(site: Site, mmft: Mmft, tmp_path: Path) -> None:
    install(site)
    assert "pigeon" in mmft("plugins", "--kind", "launcher").out
    shown = mmft(*LAUNCH, "--set=loft=barn", "--show", *RUN)
    assert shown.out == "from barn: 2 x run", shown.err
    told = mmft(*LAUNCH, "--file", tmp_path / "note", *RUN)
    assert f"release {tmp_path / 'note'}" in told.out
    assert (tmp_path / "note").read_text() == "from roof: 2 x run"
    started = mmft(*LAUNCH, *RUN)
    assert (started.code, started.out) == (3, "it flies\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [("'fly'", None), ("id(object())", "its text is"), ("file and str(file)", "its text is")],
)
def test_the_kit_checks_its_text(site: Site, text: str, fault: str | None) -> None:
    install(site, WORK.replace("return f", f"return {text} #"))
    checks = {param.id: param.values[0] for param in plugin_checks("acme")}
    with pytest.raises(AssertionError, match=fault) if fault else contextlib.nullcontext():
        checks["acme/pigeon-describes_its_job"]()


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("def Pigeon(options, job): return job", "'acme/pigeon' built a Job, not a Launcher"),
    ],
)
def test_a_broken_one_is_told_and_disturbs_no_other(
    site: Site, mmft: Mmft, work: str, words: str
) -> None:
    install(site, work)
    ended = mmft(*LAUNCH, *RUN)
    assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err
    assert mmft("launch", "--processes=1", "--show", *RUN).code == 0
