"""An index of embeddings: a library of files, searched by a model in milliseconds.

    Library      what is to be found: files, or the samples of a data set
    Store        what keeps its embeddings: a component, such as `faiss`
    Writer       where they are brought, with an id for each
    Index        where they are searched

`update` brings a library to a writer for `mmft index`; a `Searcher` asks an index for `mmft
search`. `opening` finds the store of an index in the registry; `store` has what an author of one
needs. FAISS: a folder's files are the source (`VectorStore`), and the index beside them is built
from them (`Nearest`). Qdrant: a collection is both, a server's or that of a folder.
"""

from mmft_core import CommandSpec, StoreSpec, hookimpl


@hookimpl
def register_command() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="index",
            summary="Embed a library of files so that it can be searched in milliseconds.",
            build="mmft_search.index_command:index",
            section="Search",
        ),
        CommandSpec(
            name="search",
            summary="Find the items of an index that are most similar to a file or a text.",
            build="mmft_search.search_command:search",
            section="Search",
        ),
    ]


@hookimpl
def register_store() -> list[StoreSpec]:
    return [
        StoreSpec(
            name="faiss",
            summary="Files in a folder, searched by FAISS: fast on one machine",
            build="mmft_search.faiss_store:FaissStore",
            options="mmft_search.options:FaissOptions",
            extras=("index",),
        ),
        StoreSpec(
            name="qdrant",
            summary="A Qdrant server, which many processes search, or Qdrant's files in a folder",
            build="mmft_search.qdrant_store:QdrantStore",
            options="mmft_search.options:QdrantOptions",
            extras=("qdrant",),
        ),
    ]
