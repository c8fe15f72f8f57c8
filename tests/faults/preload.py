"""Imported once by the process that all others are forked from: all that a run imports."""

import gc
import importlib
import os

from mmft_core.discovery import discover

for module in (
    "mmft_core.cli.run",
    "mmft_core.cli.display",
    "mmft_core.cli.summary",
    "mmft_core.cli.predict",
    "mmft_core.run.runner",
    "mmft_report.callback",
    "pandas",  # pyarrow imports it when it makes a table.
    "tests.faults.tiny_net",
):
    importlib.import_module(module)

os.fsync = lambda descriptor: None  # As the fixture `no_waiting_for_disks` has it.

for component in discover():
    if component.plugin in ("vision", "classification"):
        component.options_type()
        importlib.import_module(component.spec.build.partition(":")[0])

gc.freeze()  # No process looks for garbage among these.
