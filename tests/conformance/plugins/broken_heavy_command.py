"""A command whose module imports torch."""

import click
import torch


@click.command()
def heavy() -> None:
    """Say which torch it is."""
    click.echo(torch.__version__)
