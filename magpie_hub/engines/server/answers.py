"""What a server may answer: read from the bytes, strictly, here alone.

A server, or a proxy before it, may answer anything: another program's JSON, ids that are floats,
bytes that are no text, gigabytes. What is not exactly what was asked for is a `BadAnswer`, one
line; nothing of it reaches a row.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magpie_hub.errors import EngineError, one_line

MOST_BYTES = 32 * 2**20
"""Of one answer; a completion of 100,000 tokens takes less than two million."""

Id = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]


class BadAnswer(EngineError):
    """A server answered something that is not what was asked for."""


class _Read(BaseModel):
    """Types as they stand: no 1.0 or true for 1. Fields that are not read may be anything."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Served(_Read):
    """A model that a server lists.

    Attributes:
        id: What it is called there.
        root: What it was loaded from, as vLLM says.
        owned_by: Who serves it, such as "vllm".
        max_model_len: Its context in tokens, as vLLM says.
    """

    id: Name
    root: str | None = None
    owned_by: str | None = None
    max_model_len: Annotated[int, Field(ge=1)] | None = None

    def is_called(self, name: str) -> bool:
        """Whether this is the model of that name: by its own, or by the last part of its path."""
        last = name.rstrip("/").rpartition("/")[2]
        known = [called for called in (self.id, self.root) if called]
        return any(called.rstrip("/").rpartition("/")[2] == last for called in known)


class Models(_Read):
    """The list of a server's models."""

    data: list[Served]


class Version(_Read):
    """What vLLM's server says of itself."""

    version: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,100}$")]


class _Details(_Read):
    cached_tokens: Annotated[int, Field(ge=0)] | None = None


class _Usage(_Read):
    prompt_tokens_details: _Details | None = None


class Choice(_Read):
    """One completion.

    Attributes:
        token_ids: The new ids; None from a server that knows text alone.
        finish_reason: Why it ended, in the server's words.
        stop_reason: The stop id or text on which it ended, if it says.
    """

    token_ids: list[Id] | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


class Answer(_Read):
    """What comes back for a prompt."""

    object: Literal["text_completion"] = "text_completion"
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1)]
    usage: _Usage | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens that the server had in its cache, if it says."""
        details = self.usage.prompt_tokens_details if self.usage else None
        return details.cached_tokens if details else None


Kind = TypeVar("Kind", bound=_Read)


def read(kind: type[Kind], body: bytes, what: str) -> Kind:
    """Reads an answer's body.

    Args:
        kind: What it should hold.
        body: The bytes that came.
        what: What it should be, in words: "a completion".

    Raises:
        BadAnswer: It holds anything else; the line says what is wrong first.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        wrong = f"{place}: {first['msg']}" if place else first["msg"]
        raise BadAnswer(f"answered something that is not {what} ({one_line(wrong, 500)})") from None


async def keep_short(response: Any) -> None:
    """A hook of the `openai` client's: an answer that grows without end is given up.

    What it raises is an error of that client's, which then does not ask again.

    Args:
        response: As it comes in, its body not read yet.
    """
    import openai

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        # How much it unpacks to would not be known before it has.
        raise openai.OpenAIError("answered in an encoding that was not asked for")
    library = importlib.import_module(type(response).__module__.partition(".")[0])
    body = response.stream

    class Short(library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            came = 0
            async for part in body:
                came += len(part)
                if came > MOST_BYTES:
                    raise openai.OpenAIError(f"answered more than {MOST_BYTES >> 20} MiB")
                yield part

        async def aclose(self) -> None:
            await body.aclose()

    response.stream = Short()
