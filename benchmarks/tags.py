"""What tagging costs, beside the usual way: three free-text passes over every row.

    .venv/bin/python benchmarks/tags.py [--rows 24] [--slots 32]

The usual way asks for difficulty, quality and category one after the other, each time for a JSON
object that explains before it labels, the message in the middle of the prompt (the shape of the
official scripts, in words of our own; at most 1,024 tokens, ended by "}"). Ours asks once, the
message last, under a constraint. Both run on the same engine, model and instructions, which the
model itself has written. Prints one JSON object: tokens decoded and prompt tokens that the prefix
cache did not serve, a row; the share of labels that can be read; how often the compact and the
explained mode agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Engine, Sampling
from magpie_hub.engines.factory import start_engine
from magpie_hub.generate.generator import engine_options, load_chat
from magpie_hub.judges.base import each
from magpie_hub.judges.tags import CATEGORIES, DIFFICULTIES, QUALITIES, Mode, Tagger
from magpie_hub.models.source import pin
from magpie_hub.paths import home
from magpie_hub.pipeline.run import open_recipe
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

PASSES: dict[str, tuple[str, str, Mapping[Any, str]]] = {
    "difficulty": (
        "State what the person wants, what one must know to help, and how hard that is.",
        '{"intent": "The person wants to [...]", "knowledge": "To help, one must know [...]", '
        '"difficulty": "[very easy/easy/medium/hard/very hard]"}',
        DIFFICULTIES,
    ),
    "quality": (
        "Judge how clear, specific and coherent the query is. First assess its strengths and "
        "weaknesses, then rate it.\n" + "\n".join(f"- {k}: {v}" for k, v in QUALITIES.items()),
        '{"explanation": "[...]", "input_quality": "[very poor/poor/average/good/excellent]"}',
        QUALITIES,
    ),
    "category": (
        "Name the main task of the query and any further ones.",
        "## Tags\n"
        + "\n".join(f"- {k}: {v}" for k, v in CATEGORIES.items())
        + '\n\n{"primary_tag": "[one tag]", "other_tags": ["[tag]", "[tag]"]}',
        CATEGORIES,
    ),
}
FREE_TOKENS = 1024
MEASURES = ("difficulty", "input_quality", "task_category")


class Tokens:
    """What an engine has spent since this was made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        stats = self._engine.stats
        return stats.decoded_tokens, stats.prompt_tokens - (stats.cached_tokens or 0)

    def a_row(self, rows: int) -> dict[str, float]:
        """Tokens a row."""
        decoded, prefilled = (
            round((now - then) / rows, 1)
            for now, then in zip(self._now(), self._before, strict=True)
        )
        return {"decoded": decoded, "prompt_tokens_not_cached": prefilled}


async def three_passes(
    engine: Engine, chat: ChatFormat, items: Sequence[TurnText]
) -> dict[str, Any]:
    """The usual way; also how many of its labels can be read."""
    codec = chat.codec
    brace = [i for i in range(engine_vocabulary(codec)) if "}" in codec.decode((i,))]
    tokens, read = Tokens(engine), list[bool]()
    for task, form, labels in PASSES.values():
        ask = Asking(engine, chat, task, form, labels, (*chat.stop_ids, *brace), read)
        await each(items, ask.one, engine)
    return tokens.a_row(len(items)) | {"labels_that_can_be_read": round(sum(read) / len(read), 3)}


class Asking(NamedTuple):
    """One pass of the usual way."""

    engine: Engine
    chat: ChatFormat
    task: str
    form: str
    labels: Mapping[Any, str]
    stop: tuple[int, ...]
    read: list[bool]

    async def one(self, item: TurnText) -> None:
        """Asks about one instruction, and notes whether the label can be read."""
        codec = self.chat.codec
        prompt = (
            f"# Instruction\n\n{self.task}\n\n## User Query\n```\n{item.instruction}\n```\n\n"
            "## Output Format\nFill in the brackets and answer with this JSON only.\n"
            f"{self.form}\n"
        )
        ids = [*self.chat.answer_prompt((), codec.encode(prompt)), *codec.encode("{")]
        most = min(FREE_TOKENS, self.engine.info.max_model_len - len(ids))
        how = Sampling(most, temperature=0.0, stop_ids=self.stop)
        answer = await self.engine.generate(ids, how)
        self.read.append(readable("{" + codec.decode(answer.ids) + "}", self.labels))


def readable(text: str, labels: Mapping[Any, str]) -> bool:
    """Whether a reply is a JSON object with a label of the enumeration."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and any(
        isinstance(value, str) and value in labels for value in found.values()
    )


def engine_vocabulary(codec: Any) -> int:
    """Ids of the tokenizer."""
    return len(codec.tokenizer)


async def ours(
    engine: Engine, chat: ChatFormat, items: Sequence[TurnText], mode: Mode
) -> tuple[dict[str, Any], dict[int, Label]]:
    """One constrained call a row."""
    tagger, labels, tokens = (
        Tagger(engine, chat, "tagger", mode),
        dict[int, Label](),
        Tokens(engine),
    )

    async def one(item: TurnText) -> None:
        labels[item.row_id] = await tagger.label_of(item)

    await each(items, one, engine)
    share = sum(label.failure is None for label in labels.values()) / len(labels)
    return tokens.a_row(len(items)) | {"labels_that_can_be_read": round(share, 3)}, labels


async def measure(rows: int, slots: int) -> dict[str, Any]:
    """All three, on instructions that the model writes first."""
    recipe = open_recipe("smol", {"max_num_seqs": slots, "enforce_eager": True}, {})
    source = pin(recipe.model)
    chat = load_chat(recipe, source, home())
    engine = await start_engine(
        source,
        engine_options(recipe),
        home(),
        say=lambda line: print(line, file=sys.stderr),
        constrained=True,
    )
    try:
        drawn = await asyncio.gather(
            *(
                engine.generate(chat.pre_query, Sampling(192, seed=seed, stop_ids=chat.stop_ids))
                for seed in range(rows * 2)
            )
        )
        texts = [chat.decode(one.ids).strip() for one in drawn if one.finish_reason == "stop"]
        items = [TurnText(row_id, text) for row_id, text in enumerate(texts[:rows])]
        free = await three_passes(engine, chat, items)
        compact, short = await ours(engine, chat, items, "compact")
        explained, long = await ours(engine, chat, items, "explained")
        info = engine.info
    finally:
        await engine.close()
    both = [row for row in short if not short[row].failure and not long[row].failure]
    return {
        "rows": len(items),
        "engine": f"{info.name} {info.version}",
        "model": recipe.model,
        "three_passes": free,
        "compact": compact,
        "explained": explained,
        "decoded_compact_over_three_passes": round(compact["decoded"] / free["decoded"], 3),
        "not_cached_compact_over_three_passes": round(
            compact["prompt_tokens_not_cached"] / free["prompt_tokens_not_cached"], 3
        ),
        "agreement_of_compact_and_explained": {
            name: round(
                sum(short[row].values[name] == long[row].values[name] for row in both)
                / max(1, len(both)),
                3,
            )
            for name in MEASURES
        },
    }


def section(found: dict[str, Any]) -> str:
    """This benchmark's part of the report."""
    ways = [found["three_passes"], found["compact"], found["explained"]]
    decoded, not_cached = (
        " | ".join(str(way[key]) for way in ways) for key in ("decoded", "prompt_tokens_not_cached")
    )
    readable = " | ".join(f"{way['labels_that_can_be_read']:.1%}" for way in ways)
    agree = ", ".join(
        f"{name} {share:.0%}" for name, share in found["agreement_of_compact_and_explained"].items()
    )
    return f"""## Tagging

`benchmarks/tags.py`: {found["rows"]} instructions that {found["model"]} wrote, tagged by itself in
{found["engine"]}. Three passes: the usual way, free text that explains before it labels. Compact:
one constrained call for the labels; explained: one for every published column.

| tokens a row | three passes | compact | explained |
|---|---|---|---|
| decoded | {decoded} |
| of the prompt, not served from the cache | {not_cached} |
| labels that can be read | {readable} |

Compact over three passes: **{found["decoded_compact_over_three_passes"]}** of the decoded tokens,
**{found["not_cached_compact_over_three_passes"]}** of the prompt tokens. The two modes agree on
{agree} of the rows: so small a model guesses.
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--slots", type=int, default=32)
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(measure(chosen.rows, chosen.slots))))


if __name__ == "__main__":
    main()
