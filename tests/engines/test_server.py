"""The server engine: against a scripted server for what goes wrong, and against vLLM's own."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magpie_hub.engines.base import Completion, Engine, Sampling
from magpie_hub.engines.server.engine import ServerEngine
from magpie_hub.engines.vllm.arguments import MENDS_CPU
from magpie_hub.errors import EngineError, MagpieError, UserError
from magpie_hub.models.source import ModelSource, load_tokenizer
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.sampling import LoopDetection

web = pytest.importorskip("aiohttp.web")
pytest.importorskip("openai")

TINY = ModelSource(name="tiny", revision="r", kind="hub")
HOW = Sampling(
    max_tokens=8, seed=5, stop_ids=(2,), loop=LoopDetection(min_pattern=1, max_pattern=4, count=3)
)
MODELS: dict[str, Any] = {"object": "list", "data": [{"id": "tiny", "max_model_len": 64}]}


def completion(ids: list[int] | None, reason: str = "stop", **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": "", "finish_reason": reason, "token_ids": ids, **extra}
    return {"id": "c", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}


class Script:
    """A server on loopback that answers the probe properly, then as it is told.

    `answers` are taken one a request, the last one again and again: a JSON body, a
    (status, body, headers) triple, "reset", "hang", "endless", raw text or bytes.
    """

    def __init__(self) -> None:
        self.models: Any = MODELS
        self.answers: list[Any] = [completion([7, 8, 2], stop_reason=2)]
        self.probe: Any = completion([7], "length")
        self.pattern_probe: Any = None
        self.refuses: Callable[[dict[str, Any]], bool] = lambda body: False
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Script:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/version", self._version)
        app.router.add_post("/v1/completions", self._complete)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _list(self, request: Any) -> Any:
        return await self._reply(request, self.models)

    async def _version(self, request: Any) -> Any:
        return web.json_response({"version": "1.2.3"})

    async def _complete(self, request: Any) -> Any:
        body = await request.json()
        if self.refuses(body):
            return await self._reply(request, (400, {"error": {"message": "no such field"}}, {}))
        if body["prompt"] == [1]:
            held = "structured_outputs" in body
            return await self._reply(request, self.pattern_probe if held else self.probe)
        self.asked.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await self._reply(request, answer)

    async def _reply(self, request: Any, answer: Any) -> Any:
        if answer == "reset":
            request.transport.abort()
            return web.Response()
        if answer == "hang":
            await self._over.wait()
        if answer == "endless":
            stream = web.StreamResponse()
            await stream.prepare(request)
            with contextlib.suppress(ConnectionError):
                while not self._over.is_set():
                    await stream.write(b" " * 2**20)
            return stream
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/json")
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="application/json")
        if isinstance(answer, tuple):
            status, body, headers = answer
            return web.json_response(body, status=status, headers=headers)
        return web.json_response(answer)


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as script:
        yield script


def start_and_ask(
    script: Script, *prompts: tuple[int, ...], how: Sampling = HOW, **overrides: Any
) -> tuple[ServerEngine, list[Completion]]:
    async def main() -> tuple[ServerEngine, list[Completion]]:
        options = EngineOptions(base_url=script.url, max_num_seqs=4)
        engine = await ServerEngine.start(TINY, options, **overrides)
        try:
            return engine, await asyncio.gather(*(engine.generate(p, how) for p in prompts))
        finally:
            await engine.close()

    return asyncio.run(main())


def refusal(script: Script, error: type[MagpieError], **overrides: Any) -> str:
    with pytest.raises(error) as caught:
        start_and_ask(script, (5, 6), **overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_an_engine_that_says_what_answers(script: Script) -> None:
    script.models = {
        "object": "list",
        "data": [{"id": "of/tiny", "owned_by": "vllm", "max_model_len": 64}],
    }
    engine, _ = start_and_ask(script)
    assert isinstance(engine, Engine)
    assert engine.info.name == "server"
    assert engine.info.version == "vllm 1.2.3"
    assert engine.info.device == script.url
    assert (engine.info.slots, engine.info.max_model_len) == (4, 64)
    assert engine.info.settings["served_model"] == "of/tiny"


def test_ids_go_in_and_come_out(script: Script) -> None:
    engine, (answer,) = start_and_ask(script, (5, 6))
    assert answer == Completion((7, 8), "stop", 2)
    asked = script.asked[0]
    assert asked["prompt"] == [5, 6]
    assert asked["max_tokens"] == 9  # the stop token is not counted
    assert asked["seed"] == 5
    assert asked["stop_token_ids"] == [2]
    assert asked["ignore_eos"] is True
    assert asked["return_token_ids"] is True
    assert asked["repetition_detection"] == {
        "min_pattern_size": 1,
        "max_pattern_size": 4,
        "min_count": 3,
    }
    assert (engine.stats.prompt_tokens, engine.stats.decoded_tokens, engine.stats.running) == (
        2,
        3,
        0,
    )


def test_a_stop_token_that_is_only_named_counts_too(script: Script) -> None:
    script.answers = [completion([7, 8], stop_reason=2)]
    assert start_and_ask(script, (5,))[1] == [Completion((7, 8), "stop", 2)]


def test_the_limit_and_loops(script: Script) -> None:
    script.answers = [completion(list(range(10, 19)), "length")]
    assert start_and_ask(script, (5,))[1] == [Completion(tuple(range(10, 18)), "length")]
    script.answers = [completion([9, 9, 9], "repetition")]
    assert start_and_ask(script, (5,))[1] == [Completion((9, 9, 9), "repetition")]
    # A server without loop detection runs into the limit.
    script.answers = [completion([3, 4, 3, 4, 3, 4], "length")]
    assert start_and_ask(script, (5,))[1][0].finish_reason == "repetition"


def test_a_server_that_refuses_loop_detection_is_asked_without(script: Script) -> None:
    script.refuses = lambda body: "repetition_detection" in body
    _, answers = start_and_ask(script, (5,))
    assert answers[0].ids == (7, 8)
    assert "repetition_detection" not in script.asked[0]


def test_the_context_bounds_prompt_and_answer(script: Script) -> None:
    start_and_ask(script, (5,) * 60)
    assert script.asked[0]["max_tokens"] == 4
    with pytest.raises(EngineError, match="a prompt must hold 1 to 63 tokens, not 64"):
        start_and_ask(script, (5,) * 64)


def test_it_waits_as_long_as_the_server_asks(script: Script) -> None:
    busy = (429, {"error": {"message": "busy"}}, {"Retry-After": "1"})
    script.answers = [busy, completion([7, 2], stop_reason=2)]
    began = time.monotonic()
    _, answers = start_and_ask(script, (5,))
    assert answers[0].ids == (7,)
    assert len(script.asked) == 2
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    "trouble", [(500, {"error": {"message": "oops"}}, {}), (503, {}, {}), "reset"]
)
def test_passing_trouble_is_tried_again(script: Script, trouble: Any) -> None:
    script.answers = [trouble, completion([7, 2], stop_reason=2)]
    _, answers = start_and_ask(script, (5,))
    assert answers[0].ids == (7,)
    assert script.asked[0] == script.asked[1]


def test_lasting_trouble_is_one_line(script: Script) -> None:
    script.answers = [(500, {"error": {"message": "out of\nmemory"}}, {})]
    assert "answered 500: out of memory" in refusal(script, EngineError, max_retries=1)
    assert len(script.asked) == 2
    script.answers = ["reset"]
    assert "Connection error" in refusal(script, EngineError, max_retries=0)
    script.answers = ["hang"]
    assert "timed out" in refusal(script, EngineError, max_retries=0, timeout=0.3).lower()


def test_a_refused_request_carries_the_servers_words_and_is_not_tried_again(script: Script) -> None:
    script.answers = [(400, {"error": {"message": "the prompt is too long"}}, {})]
    assert "answered 400: the prompt is too long" in refusal(script, EngineError)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "{not json",
        "[]",
        '"ok"',
        {"object": "text_completion", "choices": []},
        completion([1], "abort"),
    ],
)
def test_an_answer_that_is_no_completion_is_one_line(script: Script, answer: Any) -> None:
    script.answers = [answer]
    assert script.url in refusal(script, EngineError, max_retries=0)


def test_a_server_without_token_ids_is_refused_at_the_start(script: Script) -> None:
    script.probe = completion(None, "length")
    assert "returns no token ids; use a server" in refusal(script, EngineError)
    assert not script.asked


def test_a_server_that_stops_on_ids_of_its_own_is_found_out(script: Script) -> None:
    script.answers = [completion([7, 8], stop_reason=None)]
    assert "none of the stop ids" in refusal(script, EngineError)


def test_of_several_models_the_one_of_that_name_is_taken(script: Script) -> None:
    script.models = {"object": "list", "data": [{"id": "of/tiny"}, {"id": "o"}, {"id": "tiny"}]}
    engine, _ = start_and_ask(script, (5,))
    assert script.asked[0]["model"] == "tiny"
    assert engine.info.max_model_len == 4096
    script.models = {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}
    assert "does not serve tiny; it serves a, b" in refusal(script, UserError)


def test_the_only_model_of_a_server_must_be_the_recipes(script: Script) -> None:
    script.models = {"object": "list", "data": [{"id": "llama"}]}
    said = refusal(script, UserError)
    assert "does not serve tiny; it serves llama" in said
    assert "--served-model-name" in said
    script.models = {"object": "list", "data": [{"id": "llama", "root": "/models/tiny"}]}
    start_and_ask(script, (5,))
    assert script.asked[0]["model"] == "llama"


@pytest.mark.parametrize("models", ["<html>hello</html>", {"detail": "?"}, (404, {}, {}), "reset"])
def test_what_is_no_such_server_is_the_callers_mistake(script: Script, models: Any) -> None:
    script.models = models
    assert f"no OpenAI-compatible server answers at {script.url}" in refusal(script, UserError)


def test_a_refused_key_names_the_variable(script: Script) -> None:
    script.models = (401, {"error": {"message": "who are you"}}, {})
    assert "OPENAI_API_KEY" in refusal(script, UserError)


def test_a_key_that_no_request_can_carry_is_not_repeated(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sé\ncret")
    said = refusal(script, UserError)
    assert "OPENAI_API_KEY" in said
    assert "cret" not in said


def test_a_redirect_is_not_followed(script: Script) -> None:
    away = (307, {}, {"Location": "http://user:secret@elsewhere.example/v1/completions?key=k"})
    script.answers = [away]
    said = refusal(script, EngineError)
    assert "redirects to http://elsewhere.example/v1/completions; set base_url" in said
    script.models = (301, {}, {"Location": "https://elsewhere.example/v1/models"})
    assert "redirects to https://elsewhere.example/v1/models" in refusal(script, UserError)


def test_nobody_there_names_the_url() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UserError, match="no OpenAI-compatible server answers at") as caught:
        asyncio.run(ServerEngine.start(TINY, EngineOptions(base_url=url)))
    assert "secret" not in str(caught.value)


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"magpie-hub\[server\]"):
        asyncio.run(ServerEngine.start(TINY, EngineOptions(base_url="http://127.0.0.1:1/v1")))


def test_cancelling_one_request_leaves_the_others(script: Script) -> None:
    script.answers = ["hang", completion([7, 2], stop_reason=2)]

    async def main() -> None:
        engine = await ServerEngine.start(TINY, EngineOptions(base_url=script.url, max_num_seqs=2))
        slow = asyncio.create_task(engine.generate((5,), HOW))
        await asyncio.sleep(0.2)
        slow.cancel()
        assert (await engine.generate((6,), HOW)).ids == (7,)
        assert engine.stats.running == 0
        await engine.close()
        await engine.close()

    asyncio.run(main())


# ---- spoilt answers ----

VOCABULARY = 100
BAD_ID = st.one_of(
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(max_value=-1),
    st.integers(min_value=VOCABULARY),
    st.lists(st.integers(0, 9), max_size=2),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
RIGHT = completion([7, 8, 2], stop_reason=2, usage={"prompt_tokens_details": {"cached_tokens": 1}})


def could_be_right(value: Any) -> bool:
    if isinstance(value, list):
        return all(type(id) is int and 0 <= id < VOCABULARY for id in value)
    return value in ("stop", "length", "repetition", 2)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A right answer with one thing in it wrong, or no answer at all."""
    kind = draw(st.sampled_from(["id", "field", "json", "bytes", "cut", "deep", "more"]))
    answer = copy.deepcopy(RIGHT)
    choice = answer["choices"][0]
    if kind == "id":
        choice["token_ids"].insert(draw(st.integers(0, 2)), draw(BAD_ID))
    elif kind == "field":
        name = draw(st.sampled_from(["choices", "token_ids", "finish_reason", "stop_reason"]))
        wrong = draw(JSON.filter(lambda value: not could_be_right(value)))
        (answer if name == "choices" else choice)[name] = wrong
        if name == "stop_reason":
            choice["token_ids"] = [7, 8]
    elif kind == "json":
        return json.dumps(draw(JSON)).encode()
    elif kind == "bytes":
        return draw(st.binary(max_size=40))
    elif kind == "cut":
        whole = json.dumps(answer).encode()
        return whole[: draw(st.integers(0, len(whole) - 1))]
    elif kind == "deep":
        return b'{"choices":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    else:
        choice["token_ids"] = [7] * draw(st.integers(10, 50))
    return json.dumps(answer).encode()


@pytest.fixture(scope="module")
def spoiling() -> Iterator[tuple[Script, ServerEngine, asyncio.AbstractEventLoop]]:
    """One server and one engine for many examples; the engine knows its model's vocabulary."""
    loop = asyncio.new_event_loop()
    with Script() as script:
        options = EngineOptions(base_url=script.url, max_num_seqs=4)
        engine = loop.run_until_complete(ServerEngine.start(TINY, options, max_retries=0))
        engine._vocabulary = VOCABULARY
        yield script, engine, loop
        loop.run_until_complete(engine.close())
    loop.close()


@settings(max_examples=300)
@given(body=spoilt())
def test_a_spoilt_answer_is_one_line_and_never_a_completion(
    spoiling: tuple[Script, ServerEngine, asyncio.AbstractEventLoop], body: bytes
) -> None:
    script, engine, loop = spoiling
    script.answers = [body]
    with pytest.raises(EngineError) as caught:
        loop.run_until_complete(engine.generate((5, 6), HOW))
    said = str(caught.value)
    assert said.startswith(f"the server at {script.url}")
    assert said.isprintable()
    assert len(said) < 1000
    assert engine.stats.running == 0


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    models=st.one_of(
        JSON.map(lambda data: json.dumps(data).encode()),
        JSON.map(lambda data: json.dumps({"data": data}).encode()),
        JSON.map(lambda data: json.dumps({"data": [{"id": "tiny", "x": 1}, data]}).encode()),
        JSON.filter(lambda data: type(data) is not int or data < 1)
        .filter(lambda data: data is not None)
        .map(lambda data: json.dumps({"data": [{"id": "tiny", "max_model_len": data}]}).encode()),
        st.binary(max_size=40),
    )
)
def test_a_spoilt_list_of_models_is_the_callers_mistake_in_one_line(
    spoiling: tuple[Script, ServerEngine, asyncio.AbstractEventLoop], models: bytes
) -> None:
    script, _, loop = spoiling
    script.models = models
    with pytest.raises(UserError) as caught:
        loop.run_until_complete(ServerEngine.start(TINY, EngineOptions(base_url=script.url)))
    said = str(caught.value)
    assert said.isprintable()
    assert script.url in said


def test_an_answer_without_end_is_given_up(script: Script) -> None:
    script.answers = ["endless"]
    assert "answered more than 32 MiB" in refusal(script, EngineError)
    assert len(script.asked) == 1
    script.answers = [(200, RIGHT, {"Content-Encoding": "gzip"})]
    assert "an encoding that was not asked for" in refusal(script, EngineError)


def test_a_server_that_runs_past_a_stop_id_is_found_out(script: Script) -> None:
    script.answers = [completion([7, 2, 8], "length")]
    assert "went on after a stop id" in refusal(script, EngineError)


# ---- vLLM's own server ----


@pytest.fixture(scope="module")
def vllm_url(small_model: ModelSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(small_model.path), "--served-model-name", small_model.name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    # On a CPU with AMX the server computes wrongly without it, as any does.
    command += ["--worker-extension-cls", MENDS_CPU]
    command += ["--max-model-len", "1024", "--max-num-seqs", "8", "--enable-prompt-tokens-details"]
    env = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        # A group of its own, so that the engine's process ends with the server's.
        server = subprocess.Popen(command, stdout=out, stderr=out, env=env, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(20)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.5)
    pytest.fail(f"vLLM's server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def test_vllms_server_speaks_token_ids(vllm_url: str, small_model: ModelSource) -> None:
    user = (1, 4093, 198)  # "<|im_start|>user\n"
    france = (504, 3575, 282, 4649, 314)  # "The capital of France is"
    greedy = Sampling(max_tokens=12, temperature=0)

    async def main() -> None:
        engine = await ServerEngine.start(small_model, EngineOptions(base_url=vllm_url))
        assert engine.info.max_model_len == 1024
        assert engine.info.version.startswith("vllm 0.")

        plain = await engine.generate(france, greedy)
        assert (len(plain.ids), plain.finish_reason, plain.stop_id) == (12, "length", None)

        stop = plain.ids[4]
        stopped = await engine.generate(france, replace(greedy, stop_ids=(stop,)))
        assert stopped.finish_reason == "stop"
        assert stopped.stop_id == stop
        assert stopped.ids == plain.ids[: plain.ids.index(stop)]

        first, again, other = [
            await engine.generate(user, Sampling(max_tokens=8, seed=seed))
            for seed in (2**63 - 1, 2**63 - 1, 11)
        ]
        assert first.ids == again.ids != other.ids

        # The end-of-sequence token is a token like any other until it is named a stop id.
        past = await engine.generate((*user, 2), replace(greedy, max_tokens=3))
        assert past.finish_reason == "length"

        many = [engine.generate(user, Sampling(max_tokens=4, seed=i)) for i in range(24)]
        assert len({completion.ids for completion in await asyncio.gather(*many)}) > 12
        await engine.close()

    asyncio.run(main())


def test_vllms_server_keeps_to_a_pattern(vllm_url: str, small_model: ModelSource) -> None:
    tokenizer = load_tokenizer(small_model)
    how = Sampling(max_tokens=40, pattern=r"(easy|hard), [^\n]{3,9}")

    async def main() -> None:
        options = EngineOptions(base_url=vllm_url)
        engine = await ServerEngine.start(small_model, options, constrained=True)
        many = [engine.generate((1, 4093, 198), replace(how, seed=i)) for i in range(8)]
        for label in await asyncio.gather(*many):
            assert label.finish_reason == "stop"
            assert re.fullmatch(str(how.pattern), tokenizer.decode(label.ids))
        # Whether a model loops by itself hangs on a bit; one that may say nothing else does.
        loops = Sampling(
            max_tokens=60,
            pattern="(ha ){60}",
            loop=LoopDetection(min_pattern=1, max_pattern=8, count=3),
        )
        looped = await engine.generate((1, 4093, 198), loops)
        assert looped.finish_reason == "repetition"
        assert len(looped.ids) < 60
        await engine.close()

    asyncio.run(main())


def test_vllms_server_says_why_it_refuses(vllm_url: str, small_model: ModelSource) -> None:
    async def main() -> None:
        engine = await ServerEngine.start(small_model, EngineOptions(base_url=vllm_url))
        with pytest.raises(EngineError, match="answered 400: .*top_p"):
            await engine.generate((1, 2, 3), Sampling(max_tokens=4, top_p=7.0))
        await engine.close()

    asyncio.run(main())
