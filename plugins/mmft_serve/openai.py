"""Routes in the form of OpenAI's API, so that its clients ask this server.

Which of them there are follows from what the model can do: a task that answers chats (`Chatting`),
one that predicts embeddings of texts, one that writes recordings down.
"""

from __future__ import annotations

import asyncio
import base64
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mmft_core.contracts import Extent
from mmft_core.inference import Predictor
from mmft_core.utils import out_of_memory
from mmft_serve.chatting import ChatAnswer, Chatting
from mmft_serve.inputs import check_extent
from mmft_serve.model import Job
from mmft_serve.openai_types import (
    ChatRequest,
    Completion,
    EmbeddingsRequest,
    converted,
    event,
    model,
    models,
    read_chat_request,
)
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
        _Chat(service, predictor, task, served).add_to(router)
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


# --- chats ----------------------------------------------------------------------------------------


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


class _Pieces:
    """What the model's thread tells, for the event loop to send on.

    It ends with the answer, or with what went wrong.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = threading.Event()

    def show(self, thought: str, said: str) -> None:
        """Take a piece; for the model's thread.

        Raises:
            _GoneError: nobody waits for it.
        """
        if self._gone.is_set():
            raise _GoneError
        self._put((thought, said))

    def end(self, future: Future[Any]) -> None:
        """Take the end of a future."""
        if not future.cancelled():
            self._put(future.exception() or future.result())

    def leave(self) -> None:
        """Say that the client has gone, so that its answer is given up."""
        self._gone.set()

    async def next(self, seconds: float) -> Any:
        """The next piece (thought, said), or the answer.

        Raises:
            RefusedError: the model failed, or said nothing for so long.
        """
        try:
            async with asyncio.timeout(seconds):
                found = await self._queue.get()
        except TimeoutError:
            raise RefusedError(504, f"There was no answer within {seconds:g} s.") from None
        if isinstance(found, BaseException):
            raise _failure(found)
        return found

    def _put(self, item: Any) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


def _failure(error: BaseException) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    if out_of_memory(error):
        return RefusedError(413, "This chat needs more memory than the server has.")
    return RefusedError(500, f"The model failed on this chat: {type(error).__name__}.")


@dataclass(frozen=True)
class _Chat:
    """The route of chats."""

    service: Service
    predictor: Predictor
    task: Chatting
    served: Models

    def add_to(self, router: APIRouter) -> None:
        @router.post(CHAT)
        async def completions(request: Request) -> Response:
            """Answer a chat; with "stream" piece by piece, as server-sent events."""
            return await self.answer(request)

    async def answer(self, request: Request) -> Response:
        stack = AsyncExitStack()
        try:
            return await self._response(request, stack)
        finally:
            await stack.aclose()  # It is empty where a stream has taken what it holds.

    async def _response(self, request: Request, stack: AsyncExitStack) -> Response:
        """Args:
        stack: of what is given back when the answer has been sent.
        """
        service, seconds = self.service, self.service.settings.timeout
        body = await stack.enter_async_context(service.admitted(request))
        content = await service.in_pool(body, service.parser.object, body.content)
        asked = read_chat_request(content)
        self.served.check(asked.model)
        prepared = await service.in_pool(body, self._prepared, asked)
        body.release()
        pieces = _Pieces()
        stack.callback(pieces.leave)
        future = service.batcher.submit(self._job(asked, prepared, pieces))
        stack.callback(future.cancel)
        future.add_done_callback(pieces.end)
        completion = Completion(asked.model)
        if not asked.stream:
            answer = await _whole(pieces, seconds)
            request.state.waited = future.waited
            return JSONResponse(completion.whole(answer))
        first = await pieces.next(seconds)  # So that what fails at once has a status.
        request.state.waited = future.waited
        return _Held(_events(completion, asked, first, pieces, seconds), stack.pop_all())

    def _prepared(self, asked: ChatRequest) -> Any:
        limits = self.service.settings.extents

        def check(extent: Extent) -> None:
            check_extent("chat", extent, limits)

        try:
            return self.task.prepare_chat(asked.messages, asked.offered, check)
        except ValueError as error:
            code = "context_length_exceeded" if "tokens long" in str(error) else ""
            raise RefusedError(400, f"The chat cannot be answered: {error}.", code=code) from None

    def _job(self, asked: ChatRequest, prepared: Any, pieces: _Pieces) -> Job:
        def call() -> ChatAnswer:
            self.served.names[asked.model]()
            with self.predictor.inference.autocast():
                return self.task.answer_chat(prepared, pieces.show, **asked.wishes())

        return Job(call)


class _Held(StreamingResponse):
    """A stream that gives back what it holds, however it ends."""

    def __init__(self, events: AsyncIterator[bytes], held: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.held:
            await super().__call__(scope, receive, send)


async def _whole(pieces: _Pieces, seconds: float) -> ChatAnswer:
    """The answer when it is there, which it has to be within so many seconds."""
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            left = max(0.0, until - asyncio.get_running_loop().time())
            found = await pieces.next(left)
        except RefusedError as refusal:
            if refusal.status != 504:
                raise
            sentence = f"There was no answer within {seconds:g} s; ask for fewer tokens, or stream."
            raise RefusedError(504, sentence) from None
        if not isinstance(found, tuple):
            answer: ChatAnswer = found
            return answer


async def _events(
    completion: Completion, asked: ChatRequest, first: Any, pieces: _Pieces, seconds: float
) -> AsyncIterator[bytes]:
    """An answer as server-sent events."""
    yield event(completion.begin())
    found = first
    try:
        while isinstance(found, tuple):
            yield event(completion.piece(*found))
            found = await pieces.next(seconds)
    except RefusedError as refusal:  # Too late for a status.
        error = {"message": refusal.message, "type": "server_error", "param": None, "code": None}
        yield event({"error": error})
        return
    for chunk in completion.ending(found):
        yield event(chunk)
    if asked.stream_options is not None and asked.stream_options.include_usage:
        yield event(completion.usage(found))
    yield event("[DONE]")


# --- embeddings and transcriptions ----------------------------------------------------------------


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
