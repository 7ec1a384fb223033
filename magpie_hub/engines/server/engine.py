"""The server engine: an OpenAI-compatible server that takes and gives token ids.

What it speaks is `/v1/completions` with a list of ids as the prompt and `return_token_ids`, as
vLLM's server does (0.10.2 or newer). A server that answers with text alone is refused at the
start: re-tokenised text is not what the model wrote. So is one that does not keep to a pattern,
where patterns are wanted. The server owns the model, the batch and the dtype; this side keeps many
requests in flight and leaves retries (429, 5xx, broken connections, `Retry-After`) to the `openai`
client. What comes back is read by `magpie_hub.engines.server.answers`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from magpie_hub.engines.base import (
    Completion,
    EngineInfo,
    EngineStats,
    FinishReason,
    Sampling,
    loops,
)
from magpie_hub.engines.regex import end_ids, with_ends
from magpie_hub.engines.server.answers import (
    Answer,
    BadAnswer,
    Models,
    Served,
    Version,
    keep_short,
    read,
)
from magpie_hub.errors import EngineError, UserError, one_line
from magpie_hub.models.files import Config, read_as
from magpie_hub.models.source import load_tokenizer
from magpie_hub.recipe.sampling import LoopDetection
from magpie_hub.text import address

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from magpie_hub.models.source import ModelSource
    from magpie_hub.recipe.engine import EngineOptions

SLOTS = 256
DEFAULT_MAX_MODEL_LEN = 4096
DEFAULT_TIMEOUT = 600.0
DEFAULT_MAX_RETRIES = 6

_NEEDED = "use a server that takes and returns token ids, such as vLLM 0.10.2 or newer"
_HONOUR = "it must honour stop_token_ids and ignore_eos"
_NEEDED_FOR_PATTERNS = "use a server that knows structured_outputs, such as vLLM 0.12 or newer"


class ServerEngine:
    """Sends prompts to a server.

    Attributes:
        info: What answers, as far as it says.
        stats: Counters of this client; what only the server could know stays None.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        info: EngineInfo,
        detects: bool,
        vocabulary: int | None,
    ) -> None:
        """Takes a client that `start` has tried out."""
        self.info = info
        self.stats = EngineStats(running=0)
        self._client = client
        self._model = model
        self._detects = detects
        self._vocabulary = vocabulary
        self._ends: tuple[int, ...] | None = None

    @classmethod
    async def start(
        cls,
        source: ModelSource,
        options: EngineOptions,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        constrained: bool = False,
    ) -> ServerEngine:
        """Connects, finds the model, and checks with a few tokens what the server can do.

        Args:
            source: Of this, the name, which is that of the served model, and where it is fetched
                the size of the vocabulary. With patterns, the tokenizer, too.
            options: `base_url` is needed; `max_num_seqs` bounds the requests in flight (256) and
                `max_model_len` the context, if it is less than the server's.
            timeout: Seconds that one request may take.
            max_retries: How often a request is sent again.
            constrained: Whether requests may have a pattern.

        The API key comes from OPENAI_API_KEY. Redirects are not followed: neither prompts nor key
        go where nobody sent them.

        Raises:
            UserError: No server there, it serves another model, or it refuses the key; or the
                package `openai` is not installed.
            EngineError: The server returns no token ids, or does not keep to a pattern.
        """
        try:
            import openai
        except ImportError as error:
            raise UserError(
                "engine server needs the package openai: pip install 'magpie-hub[server]'"
            ) from error
        slots = options.max_num_seqs or SLOTS
        # The class of limits comes with the client: which httpx it is made of has changed.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=slots, max_keepalive_connections=slots
        )
        # A request that waits for a free connection is not late yet, so `pool` has no limit.
        retry = openai.Timeout(timeout, connect=min(timeout, 10.0), pool=None)
        client = openai.AsyncOpenAI(
            base_url=options.base_url,
            api_key=_key(),
            max_retries=max_retries,
            timeout=retry,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultAsyncHttpxClient(
                limits=limits,
                timeout=retry,
                follow_redirects=False,
                event_hooks={"response": [keep_short]},
            ),
        )
        try:
            engine = await cls._connect(client, source, options, slots)
            if constrained:
                await engine._learn_patterns(source, options)
            return engine
        except BaseException:
            await client.close()
            raise

    @classmethod
    async def _connect(
        cls, client: AsyncOpenAI, source: ModelSource, options: EngineOptions, slots: int
    ) -> ServerEngine:
        shown = address(str(options.base_url))
        served = await _served_model(client, shown, source.name)
        theirs, ours = served.max_model_len, options.max_model_len
        max_model_len = min(filter(None, (theirs, ours)), default=DEFAULT_MAX_MODEL_LEN)
        info = EngineInfo(
            name="server",
            version=await _version(client, served),
            device=shown,
            dtype="unknown",
            slots=slots,
            max_model_len=max_model_len,
            settings={
                "base_url": shown,
                "served_model": served.id,
                "max_num_seqs": slots,
                "max_model_len": max_model_len,
            },
        )
        # One token, in which no loop can be; the field is there for the server to take or refuse.
        probe = Sampling(
            max_tokens=0, temperature=0, loop=LoopDetection(min_pattern=1, max_pattern=1, count=2)
        )
        vocabulary = _vocabulary(source)
        for detects in (True, False):
            engine = cls(client, served.id, info, detects, vocabulary)
            try:
                await engine._ask((1,), probe)
            except _Refused as error:
                # A server may refuse the field for loop detection: then go without it.
                if not detects:
                    raise EngineError(str(error)) from error
            else:
                break
        return engine

    async def _learn_patterns(self, source: ModelSource, options: EngineOptions) -> None:
        """Finds what ends a pattern, and tries one: a server may pass over a field unheard."""
        tokenizer = load_tokenizer(source, options.trust_model_code)
        self._ends = end_ids(tokenizer, self._vocabulary)
        probe = Sampling(max_tokens=8, temperature=0, pattern="7{5}")
        try:
            answer = await self._ask((1,), with_ends(probe, self._ends))
        except _Refused as error:
            raise EngineError(f"{error}; {_NEEDED_FOR_PATTERNS}") from error
        text = tokenizer.decode(answer.ids)
        if (answer.finish_reason, text) != ("stop", "77777"):
            raise EngineError(
                f"the server at {self.info.device} does not keep to a pattern: it answered "
                f"{text!r} to '7{{5}}'; {_NEEDED_FOR_PATTERNS}"
            )

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Completes one prompt; see `Engine.generate`."""
        if not 0 < len(prompt) < self.info.max_model_len:
            raise EngineError(
                f"a prompt must hold 1 to {self.info.max_model_len - 1} tokens, not {len(prompt)}"
            )
        sampling = with_ends(sampling, self._ends)
        self.stats.prompt_tokens += len(prompt)
        self.stats.running = (self.stats.running or 0) + 1
        try:
            completion = await self._ask(prompt, sampling)
        finally:
            self.stats.running -= 1
        self.stats.decoded_tokens += len(completion.ids) + (completion.stop_id is not None)
        if completion.cached_tokens is not None:
            self.stats.cached_tokens = (self.stats.cached_tokens or 0) + completion.cached_tokens
        return completion

    async def rest(self) -> None:
        """Does nothing: the server has a device of its own."""

    async def wake(self) -> None:
        """Does nothing; see `rest`."""

    async def close(self) -> None:
        """Closes the connections; the server goes on."""
        await self._client.close()

    async def _ask(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        import openai

        # The limit does not count the stop token, so one more token is asked for to look for it.
        room = self.info.max_model_len - len(prompt)
        fields: dict[str, Any] = {
            "return_token_ids": True,
            "ignore_eos": True,
            "stop_token_ids": list(sampling.stop_ids),
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
        }
        if self._detects and (loop := sampling.loop):
            fields["repetition_detection"] = {
                "min_pattern_size": loop.min_pattern,
                "max_pattern_size": loop.max_pattern,
                "min_count": loop.count,
            }
        if sampling.pattern is not None:
            fields["structured_outputs"] = {"regex": sampling.pattern}
        asked = min(sampling.max_tokens + 1, room)
        try:
            answer = await self._client.completions.with_raw_response.create(
                model=self._model,
                prompt=list(prompt),
                max_tokens=asked,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                extra_body=fields,
            )
            return self._completion(read(Answer, answer.content, "a completion"), sampling, asked)
        except openai.APIStatusError as error:
            text = f"the server at {self.info.device} answered {error.status_code}: {_said(error)}"
            raise (_Refused if error.status_code == 400 else EngineError)(text) from error
        except (openai.OpenAIError, BadAnswer) as error:
            raise EngineError(f"the server at {self.info.device}: {_line(error)}") from error

    def _completion(self, answer: Answer, sampling: Sampling, asked: int) -> Completion:
        """Makes a completion of a server's, or says what it must not be."""
        choice = answer.choices[0]
        if choice.token_ids is None:
            raise BadAnswer(f"returns no token ids; {_NEEDED}")
        ids = tuple(choice.token_ids)
        if len(ids) > asked:
            raise BadAnswer(f"returned {len(ids)} tokens where at most {asked} were asked for")
        if self._vocabulary is not None and ids and max(ids) >= self._vocabulary:
            raise BadAnswer(
                f"returned the token id {max(ids)}, and the model's go up to "
                f"{self._vocabulary - 1}; it must serve the model that the recipe names"
            )
        reason = choice.finish_reason
        stop_id: int | None = None
        if reason == "stop":
            said = choice.stop_reason
            # Some servers keep the stop token among the ids, some only name it.
            if ids and ids[-1] in sampling.stop_ids:
                stop_id, ids = ids[-1], ids[:-1]
            elif isinstance(said, int) and said in sampling.stop_ids:
                stop_id = said
            else:
                raise BadAnswer(
                    f"stopped on {one_line(repr(said), 80)}, which is none of the stop ids; "
                    f"{_HONOUR}"
                )
        elif reason not in ("length", "repetition"):
            raise BadAnswer(f"ended a completion with {one_line(repr(reason), 80)}")
        if not set(ids).isdisjoint(sampling.stop_ids):
            raise BadAnswer(f"went on after a stop id; {_HONOUR}")
        finished = cast(FinishReason, reason)
        if reason == "length" and sampling.loop and loops(ids, sampling.loop):
            # A server without loop detection runs a loop into the limit.
            finished = "repetition"
        return Completion(ids[: sampling.max_tokens], finished, stop_id, answer.cached_tokens)


class _Refused(EngineError):
    """The server takes the request itself for wrong."""


async def _served_model(client: AsyncOpenAI, address: str, name: str) -> Served:
    import openai

    try:
        page = await client.with_options(max_retries=1).models.with_raw_response.list()
        models = read(Models, page.content, "a list of models").data
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise UserError(f"the server at {address} refuses the key in OPENAI_API_KEY") from error
    except (openai.OpenAIError, BadAnswer) as error:
        raise UserError(
            f"no OpenAI-compatible server answers at {address} ({_line(error)}); "
            "start it, or correct base_url"
        ) from error
    exactly = [model for model in models if name in (model.id, model.root)]
    fitting = exactly or [model for model in models if model.is_called(name)]
    if not fitting:
        names = one_line(", ".join(model.id for model in models), 500) or "no model at all"
        raise UserError(
            f"the server at {address} does not serve {name}; it serves {names}: name that model in "
            f"the recipe, or if it is the same one have the server call it {name} (vLLM: "
            "--served-model-name)"
        )
    return fitting[0]


async def _version(client: AsyncOpenAI, served: Served) -> str:
    """What the server says of itself: vLLM answers /version beside /v1."""
    import openai

    owner = one_line(served.owned_by or "", 100) or "unknown"
    root = str(client.base_url).rstrip("/").removesuffix("/v1")
    try:
        answer = await client.with_options(max_retries=0).get(f"{root}/version", cast_to=str)
        return f"{owner} {read(Version, answer.encode(), 'a version').version}"
    except (openai.OpenAIError, BadAnswer):
        return owner


def _key() -> str:
    """The key to ask with.

    Raises:
        UserError: It cannot be part of a request; the message does not repeat it.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip() or "EMPTY"
    if not (key.isascii() and key.isprintable()):
        raise UserError("OPENAI_API_KEY holds characters that no key has; set it again")
    return key


def _vocabulary(source: ModelSource) -> int | None:
    """How many ids the model knows, if its configuration says."""
    if source.path is None:
        return None
    return read_as(Config, source.path / "config.json").language.vocab_size


def _said(error: Any) -> str:
    if 300 <= error.status_code < 400:
        place = address(error.response.headers.get("location", ""))
        return f"it redirects to {place}; set base_url to where the server is"
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body
    return _without_key(str(body or error.message))


def _line(error: Exception) -> str:
    if isinstance(getattr(error, "status_code", None), int):
        return f"it answered {error.status_code}: {_said(error)}"  # type: ignore[attr-defined]
    cause = error.__cause__
    text = str(error) or type(error).__name__
    return _without_key(f"{text} {cause}" if cause and str(cause) not in text else text)


def _without_key(text: str) -> str:
    """A server's words in one line, without the key that it was asked with."""
    key = _key()
    return one_line(text if key == "EMPTY" else text.replace(key, "***"), 500)
