"""A command that starts Python as multiprocessing and sweeps do."""

import subprocess
import sys

import click


@click.command()
def children() -> None:
    for arguments in (["-c", "import multiprocessing.spawn"], ["-m", "mmft_core", "--help"]):
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
