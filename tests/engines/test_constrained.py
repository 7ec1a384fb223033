"""Constrained decoding: what a pattern means, and that every engine keeps to it."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magpie_hub.engines.base import Completion, Engine, Sampling
from magpie_hub.engines.regex import end_ids, portable, with_ends
from magpie_hub.engines.transformers.engine import TransformersEngine
from magpie_hub.errors import EngineError, UserError
from magpie_hub.models.source import ModelSource, load_tokenizer
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.sampling import LoopDetection
from tests.tiny import write_tiny_model

LABELS = (
    "(very easy|easy|medium|hard|very hard), (very poor|poor|average|good|excellent), "
    "(Information seeking|Coding & Debugging|Others)"
)


def run_all(engine: Engine, *requests: tuple[list[int], Sampling]) -> list[Completion]:
    async def main() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(*request) for request in requests))

    return asyncio.run(main())


# ---- what a pattern means ----

CHARACTERS = st.characters(min_codepoint=1, max_codepoint=0x2FF) | st.sampled_from("日😀\ud7ff^-]")


@st.composite
def atoms(draw: st.DrawFn) -> tuple[str, str]:
    """A piece of a pattern, and a text that may match it."""
    some = draw(st.lists(CHARACTERS, min_size=1, max_size=4))
    escaped = "".join(map(re.escape, some))
    return draw(
        st.one_of(
            st.just((escaped, "".join(some))),
            st.tuples(st.sampled_from([r"[^\n]", r"\n"]), st.sampled_from(some) | CHARACTERS),
        )
    )


@st.composite
def longer(draw: st.DrawFn, inner: st.SearchStrategy[tuple[str, str]]) -> tuple[str, str]:
    (one, text), (other, more) = draw(inner), draw(inner)
    count = draw(st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{1,}"]))
    return draw(
        st.sampled_from(
            [
                (one + other, text + more),
                (f"({one}|{other})", draw(st.sampled_from([text, more]))),
                (f"(?:{one}){count}", text * draw(st.integers(0, 3))),
            ]
        )
    )


@pytest.fixture(scope="module")
def spells() -> Callable[[str, str], bool]:
    """Says whether xgrammar takes a text for a whole match of a pattern."""
    xgrammar = pytest.importorskip("xgrammar")
    info = xgrammar.TokenizerInfo(["a", "</s>"], stop_token_ids=[1])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)

    def spells(pattern: str, text: str) -> bool:
        matcher = xgrammar.GrammarMatcher(compiler.compile_regex(pattern))
        return (not text or matcher.accept_string(text)) and matcher.is_completed()

    return spells


@given(st.recursive(atoms(), longer, max_leaves=4))
def test_a_portable_pattern_means_the_same_to_python_and_to_xgrammar(
    spells: Callable[[str, str], bool], both: tuple[str, str]
) -> None:
    pattern, text = both
    plain = portable(pattern)
    matches = re.fullmatch(pattern, text, re.ASCII) is not None
    assert (re.fullmatch(plain, text) is not None) == matches
    assert spells(plain, text) == matches
    assert not matches or re.fullmatch(pattern, text), "what matches in ASCII matches at all"


def test_every_ascii_character_stands_for_itself(spells: Callable[[str, str], bool]) -> None:
    characters = [chr(code) for code in range(1, 128)]
    for character, other in zip(characters, ["ÿ", *characters[:-1]], strict=True):
        escaped = re.escape(character)
        assert spells(portable(escaped), character)
        assert not spells(portable(escaped), other)


@pytest.mark.parametrize(
    "pattern",
    [
        *("^a", "a$", r"\bA", r"a\Z", r"\x41", r"(a)\1", "a(?=b)b", "(?i)a", "(?P<x>a)", "(?#x)a"),
        *("a*+", "a*?", "a{,3}", "a{", r"\d", ".", "[ab]", "[^a]", "[[:alpha:]]", "\0", "[\0]"),
        *("(a", "[a-", "a**", "a{99999999999}", "\ud800"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_dialects_read_differently_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(EngineError, match="the pattern is refused") as refused:
        portable(pattern)
    assert "\n" not in str(refused.value)


# ---- the transformers engine ----


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    path = write_tiny_model(tmp_path_factory.mktemp("tiny"))
    return ModelSource(name="tiny", revision="r", kind="local", path=path)


@pytest.fixture(scope="module")
def tokenizer(tiny: ModelSource) -> Any:
    return load_tokenizer(tiny)


@pytest.fixture(scope="module")
def engine(tiny: ModelSource) -> Iterator[TransformersEngine]:
    pytest.importorskip("xgrammar")
    options = EngineOptions(max_num_seqs=8, max_model_len=256)
    engine = asyncio.run(TransformersEngine.start(tiny, options, constrained=True))
    yield engine
    asyncio.run(engine.close())


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)
CHOICES = st.lists(WORDS, min_size=1, max_size=4).map(
    lambda words: f"({'|'.join(map(re.escape, words))})"
)
FREE = st.sampled_from([r"[^\n]{1,9}", "(a|bc){3,6}", r"\n{1,3}"])
LABEL_PATTERNS = st.lists(CHOICES | FREE, min_size=1, max_size=3).map(", ".join)


@settings(max_examples=10)
@given(st.lists(LABEL_PATTERNS, min_size=1, max_size=4), st.integers(0, 2**62))
def test_every_row_matches_its_pattern_and_its_neighbours_draw_as_ever(
    engine: TransformersEngine, tokenizer: Any, patterns: list[str], seed: int
) -> None:
    free = Sampling(max_tokens=10, seed=seed)
    held = [replace(free, max_tokens=100, seed=seed + i, pattern=p) for i, p in enumerate(patterns)]
    alone = run_all(engine, ([5, 6, 7], free))[0]
    *labels, among = run_all(engine, *(([5, 6, 7], one) for one in [*held, free]))
    assert among == alone
    for pattern, label in zip(patterns, labels, strict=True):
        assert re.fullmatch(pattern, tokenizer.decode(label.ids))
        assert (label.finish_reason, label.stop_id in tokenizer.all_special_ids) == ("stop", True)


def test_no_special_token_stands_in_for_its_letters(
    engine: TransformersEngine, tokenizer: Any
) -> None:
    name = "<|im_start|>"
    assert len(tokenizer.encode(name)) == 1
    how = Sampling(max_tokens=60, pattern=re.escape(name))
    for label in run_all(engine, *(([5], replace(how, seed=seed)) for seed in range(16))):
        assert label.finish_reason == "stop"
        assert len(label.ids) == len(name), "it is spelt out letter by letter"


def test_what_is_asked_for_still_holds_under_a_pattern(
    engine: TransformersEngine, tokenizer: Any
) -> None:
    a, b = tokenizer.encode("ab")
    how = Sampling(max_tokens=40, temperature=0, pattern="(ab){9}", stop_ids=(256,))
    whole, cut, looped, other_end, sharp = run_all(
        engine,
        ([5], how),
        ([5], replace(how, max_tokens=7)),
        ([5], replace(how, loop=LoopDetection(min_pattern=1, max_pattern=4, count=3))),
        ([5], replace(how, pattern="a", stop_ids=(b,))),
        ([5], replace(how, pattern="(a|b){9}", temperature=2.0, repetition_penalty=1.5, top_k=1)),
    )
    assert whole.ids == (a, b) * 9
    assert (cut.ids, cut.finish_reason) == ((a, b, a, b, a, b, a), "length")
    assert (looped.ids, looped.finish_reason) == ((a, b) * 3, "repetition")
    assert (other_end.ids, other_end.finish_reason) == ((a,), "stop")
    assert (set(sharp.ids), len(sharp.ids)) == ({a, b}, 9)
    exact = replace(how, max_tokens=18)
    assert run_all(engine, ([5], exact))[0].finish_reason == "stop", "the stop token is not counted"


def test_a_pattern_that_cannot_be_spelt_fails_its_row_alone(
    engine: TransformersEngine, tokenizer: Any
) -> None:
    (a,) = tokenizer.encode("a")

    async def main() -> list[Any]:
        stuck = Sampling(max_tokens=9, pattern="aa", stop_ids=(a,))
        fine = replace(stuck, pattern="bb")
        both = (engine.generate([5], stuck), engine.generate([5], fine))
        return list(await asyncio.gather(*both, return_exceptions=True))

    failed, label = asyncio.run(main())
    assert isinstance(failed, EngineError)
    assert "no token of this model" in str(failed)
    assert tokenizer.decode(label.ids) == "bb"


def test_a_draw_against_the_pattern_is_an_error_and_no_label(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when a model's logits are no numbers.
    monkeypatch.setattr(
        "magpie_hub.engines.transformers.engine.draw_tokens", lambda rows, logits: [9] * len(rows)
    )
    with pytest.raises(EngineError, match="token 9 was drawn against"):
        run_all(engine, ([5], Sampling(max_tokens=9, pattern="a")))


def test_a_refused_pattern_leaves_the_engine_running(engine: TransformersEngine) -> None:
    with pytest.raises(EngineError, match="refused"):
        run_all(engine, ([5], Sampling(max_tokens=9, pattern="a(?=b)")))
    with pytest.raises(EngineError, match="stop token id 9999 is out of the vocabulary"):
        run_all(engine, ([5], Sampling(max_tokens=9, pattern="a", stop_ids=(9999,))))
    assert run_all(engine, ([5], Sampling(max_tokens=9, pattern="a")))[0].finish_reason == "stop"


def test_an_engine_that_was_not_started_for_patterns_says_so(tiny: ModelSource) -> None:
    async def main() -> None:
        engine = await TransformersEngine.start(tiny, EngineOptions())
        with pytest.raises(EngineError, match="constrained=True"):
            await engine.generate([5], Sampling(max_tokens=9, pattern="a"))
        await engine.close()

    asyncio.run(main())


def test_a_missing_package_is_named_before_anything_loads(
    tiny: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magpie_hub.engines.factory import plan_engine

    monkeypatch.setitem(sys.modules, "xgrammar", None)
    options = EngineOptions(engine="transformers")
    for plan in (
        lambda: plan_engine(tiny, options, constrained=True),
        lambda: asyncio.run(TransformersEngine.start(tiny, options, constrained=True)),
    ):
        with pytest.raises(UserError, match=r"pip install 'magpie-hub\[judges\]'"):
            plan()
    assert plan_engine(tiny, options).name == "transformers", "without patterns nothing is missing"


def test_a_pattern_needs_something_to_end_on() -> None:
    with pytest.raises(EngineError, match="stop_ids"):
        with_ends(Sampling(max_tokens=9, pattern="a"), ())


def test_ids_that_the_model_does_not_know_end_nothing(tokenizer: Any) -> None:
    assert set(end_ids(tokenizer, None)) == {256, 257}
    assert end_ids(tokenizer, 257) == (256,)


# ---- vLLM ----


@pytest.fixture(scope="module")
def small_tokenizer(small_model: ModelSource) -> Any:
    return load_tokenizer(small_model)


def question(tokenizer: Any, text: str) -> list[int]:
    turns = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)


def test_vllm_keeps_to_a_pattern_and_leaves_the_others_alone(
    vllm_engine: Engine, small_tokenizer: Any
) -> None:
    prompts = [question(small_tokenizer, f"How hard is question {i}?") for i in range(16)]
    free = Sampling(max_tokens=6, temperature=0, stop_ids=(2,))
    alone = run_all(vllm_engine, (prompts[0], free))[0]
    held = [
        (prompt, Sampling(max_tokens=60, seed=i, pattern=LABELS))
        for i, prompt in enumerate(prompts)
    ]
    *labels, among = run_all(vllm_engine, *held, (prompts[0], free))
    for label in labels:
        assert re.fullmatch(LABELS, small_tokenizer.decode(label.ids))
        assert label.finish_reason == "stop"
        assert label.stop_id in small_tokenizer.all_special_ids
    assert len({label.ids for label in labels}) > 4
    assert among.ids == alone.ids


def test_vllm_ends_a_pattern_nowhere_but_at_its_end(
    vllm_engine: Engine, small_tokenizer: Any
) -> None:
    text = r"[^\n]{30,40}\n"
    # A warm model reaches for its end-of-turn token long before.
    how = Sampling(max_tokens=80, temperature=1.5, stop_ids=(2,), pattern=text)
    prompt = question(small_tokenizer, "Say yes.")
    for label in run_all(vllm_engine, *((prompt, replace(how, seed=i)) for i in range(16))):
        assert label.finish_reason == "stop"
        assert re.fullmatch(text, small_tokenizer.decode(label.ids))
        assert not set(label.ids) & set(small_tokenizer.all_special_ids)
    cut = run_all(vllm_engine, (prompt, replace(how, max_tokens=3)))[0]
    assert (len(cut.ids), cut.finish_reason) == (3, "length")


def test_vllm_runs_on_after_a_refused_pattern(vllm_engine: Engine) -> None:
    how = Sampling(max_tokens=9, pattern="yes|no")
    for refused in ("a(?=b)", "(a"):
        with pytest.raises(EngineError, match="refused"):
            run_all(vllm_engine, ([5], replace(how, pattern=refused)))
    assert run_all(vllm_engine, ([5], how))[0].finish_reason == "stop"


def test_a_vllm_that_is_too_old_is_refused_before_anything_loads(
    small_model: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("needs vLLM")
    import vllm.sampling_params

    from magpie_hub.engines.vllm.engine import VllmEngine

    monkeypatch.delattr(vllm.sampling_params, "StructuredOutputsParams")
    with pytest.raises(UserError, match="too old"):
        asyncio.run(VllmEngine.start(small_model, EngineOptions(), constrained=True))


# ---- a server ----


@pytest.fixture
def script() -> Iterator[Any]:
    pytest.importorskip("aiohttp.web")
    pytest.importorskip("openai")
    from tests.engines.test_server import Script

    with Script() as script:
        yield script


def ask_server(script: Any, source: ModelSource, how: Sampling) -> Completion:
    from magpie_hub.engines.server.engine import ServerEngine

    async def main() -> Completion:
        options = EngineOptions(base_url=script.url, max_num_seqs=4)
        engine = await ServerEngine.start(source, options, constrained=True)
        try:
            return await engine.generate([5, 6], how)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_a_server_is_sent_the_pattern_and_the_ends(
    script: Any, tiny: ModelSource, tokenizer: Any
) -> None:
    from tests.engines.test_server import completion

    script.pattern_probe = completion([*tokenizer.encode("77777"), 256], stop_reason=256)
    script.answers = [completion([*tokenizer.encode("not"), 257], stop_reason=257)]
    label = ask_server(script, tiny, Sampling(max_tokens=9, stop_ids=(2,), pattern="yes|no[^\\n]"))
    assert (tokenizer.decode(label.ids), label.stop_id) == ("not", 257)
    assert script.asked[0]["structured_outputs"] == {"regex": portable(r"yes|no[^\n]")}
    assert script.asked[0]["stop_token_ids"] == [2, 256, 257]


def test_a_server_without_patterns_is_found_out_at_the_start(
    script: Any, tiny: ModelSource, tokenizer: Any
) -> None:
    from tests.engines.test_server import completion

    how = Sampling(max_tokens=9, pattern="yes")
    script.pattern_probe = (400, {"error": {"message": "no such field"}}, {})
    with pytest.raises(EngineError, match="no such field; use a server that knows structured_out"):
        ask_server(script, tiny, how)
    for heedless in (
        completion([*tokenizer.encode("Sure: 77"), 256], stop_reason=256),
        completion([*tokenizer.encode("777777777")], "length"),
    ):
        script.pattern_probe = heedless
        with pytest.raises(EngineError, match="does not keep to a pattern"):
            ask_server(script, tiny, how)
    assert not script.asked
