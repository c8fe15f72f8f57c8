"""Search by a finished retrieval run."""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="index",
            summary="Embed a library of files so that it can be searched in milliseconds.",
            build="mmft_core.cli.index:index",
            section="Search",
            extras=("index",),
        ),
        CommandSpec(
            name="search",
            summary="Find the items of an index that are most similar to a file or a text.",
            build="mmft_core.cli.search:search",
            section="Search",
            extras=("index",),
        ),
    ]
