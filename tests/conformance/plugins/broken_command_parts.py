"""What `broken_commands` offers."""

import click


def function() -> None:
    """Look like a command."""


@click.command()
def silent() -> None:
    pass


@click.command()
@click.option("--size", type=int)
def option(size: int | None) -> None:
    """Take an option."""


@click.group()
def group() -> None:
    """Have a command of its own."""


@group.command()
def inner() -> None:
    pass
