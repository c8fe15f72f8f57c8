"""An index of embeddings: a library of files, searched by a model in milliseconds.

    Library      what is to be found: files, or the samples of a data set
    Store        where its embeddings are brought, with an id for each
    Index        where they are searched

`update` brings a library to a store for `mmft index`; a `Searcher` asks an index for `mmft search`.
Two keep an index. FAISS: a folder's files are the truth (`VectorStore`), the index beside them is
made of them (`Nearest`). Qdrant: a collection is both, a server's or that of a folder. `opening`
finds out which.
"""

from mmft_core.index.items import Identity, Items
from mmft_core.index.keeping import Hit, Index, Quality, Store
from mmft_core.index.library import DatasetLibrary, FileLibrary, Library
from mmft_core.index.searching import Answer, Searcher
from mmft_core.index.store import VectorStore
from mmft_core.index.updating import Change, update

__all__ = [
    "Answer",
    "Change",
    "DatasetLibrary",
    "FileLibrary",
    "Hit",
    "Identity",
    "Index",
    "Items",
    "Library",
    "Quality",
    "Searcher",
    "Store",
    "VectorStore",
    "update",
]
