"""An index of embeddings: a library of files, searched by a model in milliseconds.

    Library      what is to be found: files, or the samples of a data set
    VectorStore  its embeddings on disk, with an id for each, a few thousand a file
    Nearest      the FAISS index made of them, with its measured recall

`update` brings the three together for `mmft index`, `answers` for `mmft search`. The store is the
truth: what is lost of `Nearest` is made again from it, and embedding goes on where it stopped.
"""

from mmft_core.index.library import DatasetLibrary, FileLibrary, Library
from mmft_core.index.nearest import KINDS, Nearest
from mmft_core.index.searching import Answer, Hit, Searcher
from mmft_core.index.store import Identity, VectorStore
from mmft_core.index.updating import Change, update

__all__ = [
    "KINDS",
    "Answer",
    "Change",
    "DatasetLibrary",
    "FileLibrary",
    "Hit",
    "Identity",
    "Library",
    "Nearest",
    "Searcher",
    "VectorStore",
    "update",
]
