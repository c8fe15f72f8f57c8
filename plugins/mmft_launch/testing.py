"""The conformance kit's checks of launchers. Nothing is started."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mmft_core import Component, LauncherSpec
from mmft_core.errors import ConfigError
from mmft_launch.launcher import Job, Launcher
from mmft_testing.tools import skip_without_extras
from mmft_testing.workbench import Workbench

ARGUMENTS = ("run", "--task=image-cls", "--backbone=resnet18", "--output=a run")


def describes_its_job(bench: Workbench, component: Component[LauncherSpec]) -> None:
    """For one machine and for two, it gives the text that starts the job, the same each time; or a
    `ConfigError`, if the user has to give an option.
    """
    skip_without_extras(component)
    for machines in (1, 2):
        job = Job(arguments=ARGUMENTS, machines=machines, processes=2, meet="first:29500")
        try:
            built = component.build(component.options_type()(), job)
            assert isinstance(built, Launcher), f"it built a {type(built).__name__}, no Launcher"
            with tempfile.TemporaryDirectory() as folder:
                texts = [built.text(), built.text(), built.text(Path(folder) / "job")]
                written = list(Path(folder).iterdir())
        except ConfigError:
            continue
        assert all(isinstance(text, str) and text for text in texts), f"its text is {texts[0]!r}"
        assert texts[0] == texts[1], "its text differs from one call to the next"
        assert not written, "text() wrote a file: `mmft launch` does so"


CHECKS = [describes_its_job]
