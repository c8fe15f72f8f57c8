"""Routes in the form of OpenAI's API, so that its clients ask this server.

Which of them there are follows from what the model can do: a task that answers chats (`Chatting`),
one that predicts embeddings of texts, one that writes recordings down.
"""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mmft_core.inference import Predictor
from mmft_serve.chats import ChatRoute
from mmft_serve.chatting import Chatting
from mmft_serve.openai_types import EmbeddingsRequest, converted, model, models
from mmft_serve.refused import RefusedError
from mmft_serve.service import Service

CHAT, EMBEDDINGS, TRANSCRIPTIONS, MODELS = (
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/audio/transcriptions",
    "/v1/models",
)
PATHS = (CHAT, EMBEDDINGS, TRANSCRIPTIONS, MODELS)
_TOKEN = "text"


@dataclass(frozen=True)
class Models:
    """The names under which a server is asked.

    Attributes:
        names: what has to be done so that the network is that model, by name; the first is the run.
    """

    names: Mapping[str, Callable[[], None]]

    def around(self, compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """What computes, as the run's own model does."""
        own = next(iter(self.names.values()))

        def computed(batch: Any) -> Any:
            own()
            return compute(batch)

        return computed

    def check(self, name: str) -> None:
        """Raises:
        RefusedError: there is no such model.
        """
        if name not in self.names:
            known = ", ".join(self.names)
            sentence = f"There is no model '{name[:100]}'; there is {known}."
            raise RefusedError(404, sentence, code="model_not_found")


def add_routes(router: APIRouter, service: Service, predictor: Predictor, served: Models) -> None:
    """Add the routes that fit what the model can do, if there are any."""
    spec, task = predictor.model.component.spec, predictor.model.task
    started, added = int(time.time()), False
    if isinstance(task, Chatting):
        chat = ChatRoute(service, predictor, task, served.check, served.names)

        @router.post(CHAT)
        async def completions(request: Request) -> Response:
            """Answer a chat; with "stream" piece by piece, as server-sent events."""
            return await chat.answer(request)

        added = True
    texts = [m for m, p in predictor.model.processors.items() if p.parse(_TOKEN) is not None]
    if spec.predicts in ("embeddings", "pairs") and texts:
        _add_embeddings(router, service, served, texts[0])
        added = True
    heard = [m for m, p in predictor.model.processors.items() if ".wav" in p.suffixes]
    if (
        spec.predicts in ("text", "transcripts")
        and len(predictor.model.processors) == len(heard) == 1
    ):
        _add_transcriptions(router, service, served, heard[0])
        added = True
    if not added:
        return

    @router.get(MODELS)
    async def listed() -> dict[str, Any]:
        """The models that can be asked."""
        return models(list(served.names), started)

    @router.get(MODELS + "/{name:path}")
    async def one(name: str) -> dict[str, Any]:
        """One of them."""
        served.check(name)
        return model(name, started)


def _add_embeddings(router: APIRouter, service: Service, served: Models, modality: str) -> None:
    @router.post(EMBEDDINGS)
    async def embeddings(request: Request) -> dict[str, Any]:
        """Embed texts."""
        async with service.admitted(request) as body:
            content = await service.in_pool(body, service.parser.object, body.content)
            asked = converted(content, EmbeddingsRequest)
            served.check(asked.model)
            if asked.dimensions is not None:
                raise RefusedError(400, "'dimensions' is not supported by this server.")
            texts = [asked.input] if isinstance(asked.input, str) else asked.input
            body.release()
            replies = await asyncio.gather(
                *(service.answer_given(request, {modality: text}) for text in texts)
            )
        rows = [_vector(reply.record, modality) for reply in replies]
        form = _packed if asked.encoding_format == "base64" else list
        data = [
            {"object": "embedding", "index": k, "embedding": form(row)}
            for k, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return {"object": "list", "data": data, "model": asked.model, "usage": usage}


def _vector(record: Mapping[str, Any], modality: str) -> list[float]:
    found = record["embedding"]
    vector: list[float] = found[modality] if isinstance(found, Mapping) else found
    return vector


def _packed(row: list[float]) -> str:
    """Numbers as base64 of 32-bit floats, which OpenAI's client asks for."""
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


def _add_transcriptions(router: APIRouter, service: Service, served: Models, modality: str) -> None:
    @router.post(TRANSCRIPTIONS)
    async def transcriptions(request: Request) -> Response:
        """Write a recording down."""
        async with service.admitted(request) as body:
            parser = service.parser.form
            fields = await service.in_pool(body, parser, request.headers, body.content)
            served.check(str(fields.get("model", "")))
            form = str(fields.get("response_format", "json"))
            if form not in ("json", "text", "verbose_json"):
                raise RefusedError(400, f"The format '{form[:40]}' is not supported.")
            if "file" not in fields:
                raise RefusedError(400, "The request holds no 'file'.")
            reply = await service.answer_given(request, {modality: fields["file"]})
        text = next((v for v in reply.record.values() if isinstance(v, str)), "")
        if form == "text":
            return PlainTextResponse(text + "\n")
        more = dict(reply.record) if form == "verbose_json" else {}
        return JSONResponse({**more, "text": text})
