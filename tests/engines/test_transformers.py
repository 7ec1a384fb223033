"""The transformers engine on a real small model, in float32 so that batch shapes hardly show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magpie_hub.engines.base import Completion, Engine, EngineInfo, Sampling, loops
from magpie_hub.engines.transformers.engine import TransformersEngine
from magpie_hub.errors import EngineError, ModelError, UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.sampling import LoopDetection

USER = (1, 4093, 198)  # "<|im_start|>user\n"
TEXT = (504, 3575, 282, 4649, 314)  # "The capital of France is"
GREEDY = Sampling(max_tokens=12, temperature=0)


def run_all(
    engine: TransformersEngine, *requests: tuple[tuple[int, ...], Sampling]
) -> list[Completion]:
    async def main() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(*request) for request in requests))

    return asyncio.run(main())


def run(engine: TransformersEngine, prompt: tuple[int, ...], sampling: Sampling) -> Completion:
    return run_all(engine, (prompt, sampling))[0]


@pytest.fixture(scope="module")
def engine(small_model: ModelSource) -> Iterator[TransformersEngine]:
    options = EngineOptions(max_num_seqs=4, max_model_len=128, dtype="float32")
    engine = asyncio.run(TransformersEngine.start(small_model, options))
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def greedy(engine: TransformersEngine) -> Completion:
    return run(engine, TEXT, GREEDY)


def test_it_is_an_engine_that_says_what_runs(engine: TransformersEngine) -> None:
    assert isinstance(engine, Engine)
    assert engine.info.name == "transformers"
    assert (engine.info.slots, engine.info.max_model_len) == (4, 128)
    assert engine.info.dtype == "float32"
    assert engine.stats.cached_tokens is None


def test_greedy_is_what_generate_says(small_model: ModelSource, greedy: Completion) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(small_model.path, dtype=torch.float32)
    ids = torch.tensor([TEXT])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=12,
        eos_token_id=None,
    )
    assert greedy.ids == tuple(out[0, len(TEXT) :].tolist())
    assert greedy.finish_reason == "length"


def test_a_row_draws_the_same_alone_and_among_others(engine: TransformersEngine) -> None:
    how = Sampling(max_tokens=12, seed=7)
    alone = run(engine, USER, how)
    others = [(TEXT * n, replace(how, seed=n, max_tokens=3 * n)) for n in range(1, 6)]
    among = run_all(engine, *others, (USER, how))[-1]
    # Over batch shapes logits differ in their last bits, so only the first tokens are certain.
    assert among.ids[:8] == alone.ids[:8]
    assert run(engine, USER, how) == alone


def test_seeds_draw_differently(engine: TransformersEngine) -> None:
    seeds = [0, 1, 2**62, 2**63 - 1]
    drawn = run_all(engine, *((USER, Sampling(max_tokens=8, seed=seed)) for seed in seeds))
    assert len({completion.ids for completion in drawn}) == len(seeds)


def test_it_stops_on_a_stop_id_and_leaves_it_out(
    engine: TransformersEngine, greedy: Completion
) -> None:
    stop = greedy.ids[4]
    stopped = run(engine, TEXT, replace(GREEDY, stop_ids=(49000, stop)))
    assert stopped.finish_reason == "stop"
    assert stopped.stop_id == stop
    assert stopped.ids == greedy.ids[: greedy.ids.index(stop)]


def test_the_limit_does_not_count_the_stop_token(
    engine: TransformersEngine, greedy: Completion
) -> None:
    limit = greedy.ids.index(greedy.ids[4])
    how = replace(GREEDY, max_tokens=limit, stop_ids=(greedy.ids[4],))
    assert run(engine, TEXT, how).finish_reason == "stop"
    cut = run(engine, TEXT, replace(GREEDY, max_tokens=limit))
    assert (cut.ids, cut.finish_reason, cut.stop_id) == (greedy.ids[:limit], "length", None)


def test_the_context_is_a_limit_too(engine: TransformersEngine) -> None:
    full = run(engine, TEXT * 25, replace(GREEDY, max_tokens=50))
    assert (len(full.ids), full.finish_reason) == (3, "length")
    for prompt in ((), TEXT * 26):
        with pytest.raises(EngineError, match="a prompt must hold 1 to 127 tokens"):
            run(engine, prompt, GREEDY)


def test_a_loop_ends_the_completion(engine: TransformersEngine) -> None:
    detection = LoopDetection(min_pattern=1, max_pattern=8, count=3)
    looped = run(engine, (28120, 28120) * 8, replace(GREEDY, max_tokens=60, loop=detection))
    assert looped.finish_reason == "repetition"
    assert loops(looped.ids, detection)
    assert not loops(looped.ids[:-1], detection)


@given(
    st.lists(st.integers(0, 2), max_size=24),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(2, 4),
)
def test_a_loop_is_one_pattern_at_the_tail(ids: list[int], low: int, more: int, count: int) -> None:
    patterns = (ids[len(ids) - size :] for size in range(low, low + more + 1) if size <= len(ids))
    expected = any(
        ids[-len(p) * count :] == p * count for p in patterns if len(p) * count <= len(ids)
    )
    detection = LoopDetection(min_pattern=low, max_pattern=low + more, count=count)
    assert loops(ids, detection) == expected


def test_narrow_sampling_is_greedy_and_rows_keep_their_own_parameters(
    engine: TransformersEngine, greedy: Completion
) -> None:
    how = Sampling(max_tokens=12, temperature=1.3, seed=3)
    narrow = [replace(how, top_k=1), replace(how, top_p=1e-6), replace(how, min_p=1.0)]
    drawn = run_all(engine, *((TEXT, sampling) for sampling in [*narrow, how]))
    assert [completion.ids for completion in drawn[:3]] == [greedy.ids] * 3
    assert drawn[3].ids != greedy.ids


def test_repetition_penalty_works_on_the_row_alone(engine: TransformersEngine) -> None:
    prompt = (28120, 28120) * 8
    how = replace(GREEDY, repetition_penalty=1.5)
    alone = run(engine, prompt, how)
    assert alone.ids != run(engine, prompt, GREEDY).ids
    # Padding must not count as tokens seen, nor a neighbour's.
    assert run_all(engine, (prompt, how), (TEXT * 20, GREEDY))[0].ids == alone.ids


def test_rows_come_in_while_others_decode(engine: TransformersEngine) -> None:
    before = engine.stats.busy_slot_steps, engine.stats.steps
    finished: list[int] = []

    async def one(i: int) -> None:
        # The first is long; the eleven others must pass it by on the three slots beside it.
        tokens = 60 if i == 0 else 3 + i
        completion = await engine.generate(USER, Sampling(max_tokens=tokens, seed=i))
        assert len(completion.ids) == tokens
        finished.append(i)

    async def main() -> None:
        await asyncio.gather(*(one(i) for i in range(12)))

    asyncio.run(main())
    assert sorted(finished) == list(range(12))
    assert finished[-1] == 0
    busy = (engine.stats.busy_slot_steps or 0) - (before[0] or 0)
    steps = (engine.stats.steps or 0) - (before[1] or 0)
    assert busy / (steps * engine.info.slots) > 0.5


def test_tokens_are_counted(engine: TransformersEngine, greedy: Completion) -> None:
    before = replace(engine.stats)
    run(engine, TEXT, replace(GREEDY, stop_ids=(greedy.ids[4],)))
    run(engine, TEXT, replace(GREEDY, max_tokens=2))
    assert engine.stats.prompt_tokens - before.prompt_tokens == 2 * len(TEXT)
    assert (
        engine.stats.decoded_tokens - before.decoded_tokens == greedy.ids.index(greedy.ids[4]) + 3
    )


def test_cancelling_frees_the_slot(engine: TransformersEngine, greedy: Completion) -> None:
    async def main() -> None:
        how = Sampling(max_tokens=100)
        endless = [asyncio.create_task(engine.generate(USER, how)) for _ in range(6)]
        await asyncio.sleep(0.3)
        for task in endless:
            task.cancel()
        steps = engine.stats.steps or 0
        assert (await engine.generate(TEXT, GREEDY)).ids == greedy.ids
        assert (engine.stats.steps or 0) - steps < 20
        assert all(task.cancelled() for task in endless)

    asyncio.run(main())


def test_closing_fails_what_is_in_flight_and_what_comes_after(small_model: ModelSource) -> None:
    async def main() -> None:
        engine = await TransformersEngine.start(small_model, EngineOptions(max_num_seqs=2))
        tasks = [asyncio.create_task(engine.generate(USER, Sampling(500))) for _ in range(4)]
        await asyncio.sleep(0.2)
        await engine.close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, EngineError)
        await engine.close()
        with pytest.raises(EngineError, match="closed"):
            await engine.generate(USER, GREEDY)

    asyncio.run(main())


@pytest.mark.engine
def test_a_model_that_dies_is_an_error_for_all() -> None:
    class Broken:
        device = "cpu"

        def forward(self, input_ids: Any) -> None: ...

        def __call__(self, **inputs: Any) -> None:
            raise RuntimeError("a cable\nwas pulled")

    async def main() -> None:
        engine = TransformersEngine(Broken(), EngineInfo("transformers", "0", "cpu", "none", 2, 64))
        tasks = [engine.generate((1, 2), GREEDY) for _ in range(5)]
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, EngineError)
            assert "died: RuntimeError: a cable was pulled" in str(outcome)
        with pytest.raises(EngineError, match="a cable was pulled"):
            await engine.generate((1,), GREEDY)
        await engine.close()

    asyncio.run(main())


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["sliding", "recurrent"])
def test_a_cache_that_cannot_be_cut_is_rebuilt(kind: str, tmp_path: Any) -> None:
    import torch
    from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
    if kind == "sliding":
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
        model = MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=6))
    else:
        model = MambaForCausalLM(MambaConfig(**sizes, state_size=4))
    model.save_pretrained(tmp_path)
    source = ModelSource(name="tiny", revision="r", kind="local", path=tmp_path)
    options = EngineOptions(max_num_seqs=4, max_model_len=128)

    async def main() -> None:
        engine = await TransformersEngine.start(source, options)
        requests = [
            (tuple(range(3, 4 + i)), Sampling(max_tokens=4 + 7 * (i % 4), temperature=0))
            for i in range(10)
        ]
        together = await asyncio.gather(*(engine.generate(*request) for request in requests))
        alone = [await engine.generate(*request) for request in requests]
        assert [c.ids for c in together] == [c.ids for c in alone]
        await engine.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (EngineOptions(quantization="fp8"), "quantization"),
        (EngineOptions(tensor_parallel_size=2), "tensor_parallel_size"),
        (EngineOptions(data_parallel_size=2), "data_parallel_size"),
        (EngineOptions(engine_args={"swap_space": 2}), "engine_args"),
        (EngineOptions(max_model_len=10**6), "max_model_len 1000000 is more than"),
    ],
)
def test_what_it_cannot_honour_is_refused(
    small_model: ModelSource, options: EngineOptions, word: str
) -> None:
    with pytest.raises(UserError, match=word):
        asyncio.run(TransformersEngine.start(small_model, options))


def test_a_folder_without_a_model_is_one_line(tmp_path: Any) -> None:
    source = ModelSource(name="nobody/nothing", revision="r", kind="local", path=tmp_path)
    with pytest.raises(ModelError, match="nobody/nothing cannot be loaded") as caught:
        asyncio.run(TransformersEngine.start(source, EngineOptions()))
    assert "\n" not in str(caught.value)


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    import torch

    from magpie_hub.engines.transformers.batch import Row
    from magpie_hub.engines.transformers.sampling import draw_tokens

    loop = asyncio.new_event_loop()
    probable = torch.tensor([0.5, 0.0, 0.3, 0.2])
    rows = [Row((1,), Sampling(1, seed=s), loop, loop.create_future()) for s in range(4000)]
    drawn = torch.tensor(draw_tokens(rows, probable.log().repeat(len(rows), 1)))
    loop.close()
    shares = torch.bincount(drawn, minlength=4) / len(rows)
    assert shares[1] == 0
    assert torch.allclose(shares, probable, atol=0.03)
