"""The route of chats: those that wait while the model is busy are answered together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mmft_core.contracts import Extent
from mmft_core.inference import Predictor
from mmft_core.utils import out_of_memory
from mmft_serve.chatting import ChatAnswer, Chatting, Question
from mmft_serve.inputs import check_extent
from mmft_serve.model import Job
from mmft_serve.openai_types import ChatRequest, Completion, event, read_chat_request
from mmft_serve.refused import RefusedError
from mmft_serve.service import Service

_log = logging.getLogger(__name__)


class _Pieces:
    """What the model's thread tells, for the event loop to send on.

    It ends with the answer, or with what went wrong.

    Attributes:
        begun, ended: whether a piece has been told, and the answer.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = threading.Event()
        self.begun = self.ended = False

    def show(self, thought: str, said: str) -> bool:
        """Take a piece; for the model's thread. Says whether anybody waits for more."""
        if thought or said:
            self.begun = True
            self._put((thought, said))
        return not self._gone.is_set()

    def end(self, answer: ChatAnswer) -> None:
        """Take the answer; for the model's thread."""
        self.ended = True
        self._put(answer)

    def fail(self, future: Future[Any]) -> None:
        """Take what went wrong with a future, if anything has."""
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._put(error)

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
    _log.error("The model failed on a chat.", exc_info=error)
    return RefusedError(500, "The model failed on this chat; the server's log says why.")


@dataclass(frozen=True)
class _Waiting:
    """A chat that waits for the model."""

    asked: ChatRequest
    prepared: Any
    pieces: _Pieces

    def question(self) -> Question:
        """Raises:
        RefusedError: a part of another answer has been sent already.
        """
        if self.pieces.begun and self.asked.stream:  # The batch that it was in has failed.
            sentence = "The model failed while answering several chats at once; please try again."
            raise RefusedError(503, sentence)
        return Question(
            prepared=self.prepared,
            show=self.pieces.show,
            end=self.pieces.end,
            **self.asked.wishes(),
        )


@dataclass(frozen=True)
class ChatRoute:
    """What is answered where chats are asked for.

    Attributes:
        check: raises where there is no model of a name.
        models: what has to be done so that the network is that model, by name.
    """

    service: Service
    predictor: Predictor
    task: Chatting
    check: Callable[[str], None]
    models: Mapping[str, Callable[[], None]]

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
        self.check(asked.model)
        prepared = await service.in_pool(body, self._prepared, asked)
        body.release()
        pieces = _Pieces()
        stack.callback(pieces.leave)
        waiting = _Waiting(asked, prepared, pieces)
        future = service.batcher.submit(Job(self._answer, waiting, kind=asked.model))
        stack.callback(future.cancel)
        future.add_done_callback(pieces.fail)
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
        except RefusedError:
            raise
        except ValueError as error:
            code = "context_length_exceeded" if "tokens long" in str(error) else ""
            raise RefusedError(400, f"The chat cannot be answered: {error}.", code=code) from None
        except Exception as error:  # Processors raise anything on what they did not expect.
            if out_of_memory(error):
                raise
            _log.warning("A chat was refused.", exc_info=True)
            raise RefusedError(422, "The chat cannot be read.") from None

    def _answer(self, chats: Sequence[_Waiting]) -> None:
        """Answer chats that ask for the same model."""
        self.models[chats[0].asked.model]()
        questions = [chat.question() for chat in chats if not chat.pieces.ended]
        with self.predictor.inference.autocast():
            self.task.answer_chats(questions)


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
    """The complete answer, which must arrive within so many seconds."""
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
