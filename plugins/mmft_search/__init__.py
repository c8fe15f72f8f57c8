"""An index of embeddings: a library of files, searched by a model in milliseconds.

    Library      what is to be found: files, or the samples of a data set
    Store        where its embeddings are brought, with an id for each
    Index        where they are searched

`update` brings a library to a store for `mmft index`; a `Searcher` asks an index for `mmft search`.
Two keep an index. FAISS: a folder's files are the truth (`VectorStore`), the index beside them is
made of them (`Nearest`). Qdrant: a collection is both, a server's or that of a folder. `opening`
finds out which.
"""

from mmft_core import CommandSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="index",
            summary="Embed a library of files so that it can be searched in milliseconds.",
            build="mmft_search.index_command:index",
            section="Search",
            extras=("index",),
        ),
        CommandSpec(
            name="search",
            summary="Find the items of an index that are most similar to a file or a text.",
            build="mmft_search.search_command:search",
            section="Search",
            extras=("index",),
        ),
    ]
