"""Options of stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class FaissOptions:
    """Options of faiss."""

    kind: Annotated[
        Literal["auto", "flat", "hnsw", "ivf"],
        Meta(
            description="Index type: flat is exact; hnsw and ivf are for many items. auto chooses "
            "by size."
        ),
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class QdrantOptions:
    """Options of qdrant."""

    url: Annotated[
        str,
        Meta(
            description="URL of a server, whose API key is read from QDRANT_API_KEY; empty for "
            "files in the folder of the index."
        ),
    ] = ""
    collection: Annotated[
        str,
        Meta(description="Collection on the server; empty for one named after run and model."),
    ] = ""
