"""One process of the official way: reads a file of rows, asks its own engine, writes the next file.

    python benchmarks/official_stage.py STAGE FOLDER    # run by benchmarks/peers.py

The folder holds `recipe.yaml` (model, engine, sampling, seeds) and `asked.json` (rows planned and
kept, rows a call, tokens of a tag). What goes between stages is text. Prints one JSON object: the
seconds until the engine runs, tokens decoded, prompt tokens that the cache did not serve.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

STAGES = ("instructions", "responses", "difficulty", "quality", "category", "filter")


async def stage(name: str, folder: Path) -> dict[str, float]:
    """One stage of the official way, in a process of its own."""
    asked = read(folder / "asked.json")
    if name == "filter":
        rows = read(folder / "category.json")
        longest = sorted(rows, key=lambda row: len(row["response"]), reverse=True)
        write(folder / "filter.json", longest[: asked["kept"]])
        return {}
    from magpie_hub.engines.factory import start_engine
    from magpie_hub.generate.generator import engine_options, load_chat
    from magpie_hub.models.source import pin
    from magpie_hub.paths import home
    from magpie_hub.pipeline.run import open_recipe

    begun = time.perf_counter()
    recipe = open_recipe(folder / "recipe.yaml", {}, {})
    source = pin(recipe.model)
    chat = load_chat(recipe, source, home())
    engine = await start_engine(
        source, engine_options(recipe), home(), say=lambda line: print(line, file=sys.stderr)
    )
    loaded = time.perf_counter() - begun
    work = Stage(engine, chat, recipe, folder, asked)
    try:
        if name == "instructions":
            await work.instruct()
        elif name == "responses":
            await work.respond()
        else:
            await work.tag(name)
    finally:
        await engine.close()
    stats = engine.stats
    return {
        "loading_seconds": loaded,
        "decoded_tokens": stats.decoded_tokens,
        "prompt_tokens_computed": stats.prompt_tokens - (stats.cached_tokens or 0),
    }


class Stage:
    """What a stage does with its engine: reads a file of rows, writes the next."""

    def __init__(self, engine: Any, chat: Any, recipe: Any, folder: Path, asked: Any) -> None:
        from magpie_hub.generate.plan import Plan

        self._engine, self._chat, self._plan = engine, chat, Plan(recipe)
        self._folder, self._asked = folder, asked
        self._tokenizer = chat.codec.tokenizer

    async def instruct(self) -> None:
        """Instructions, as text."""
        rows = [{"id": row_id} for row_id in range(self._asked["planned"])]
        requests = []
        for row_id in range(len(rows)):
            sampling = self._plan.instruct(self._plan.row(row_id), 1, self._chat.stop_ids)
            requests.append((self._chat.pre_query, sampling))
        await self._fill(rows, "instruction", requests, "instructions")

    async def respond(self) -> None:
        """Their responses."""
        rows = read(self._folder / "instructions.json")
        requests = []
        for row in rows:
            sampling = self._plan.respond(self._plan.row(row["id"]), 1, self._chat.stop_ids)
            requests.append((self._prompt(row["instruction"]), sampling))
        await self._fill(rows, "response", requests, "responses")

    async def tag(self, name: str) -> None:
        """One of the three passes."""
        from benchmarks.tags import PASSES
        from magpie_hub.engines.base import Sampling

        before = dict(zip(STAGES[2:5], STAGES[1:4], strict=True))[name]
        rows = read(self._folder / f"{before}.json")
        task, form, _ = PASSES[name]
        vocabulary = range(len(self._tokenizer))
        brace = [i for i in vocabulary if "}" in self._chat.codec.decode((i,))]
        most = self._asked["tag_tokens"]
        sampling = Sampling(most, temperature=0.0, stop_ids=(*self._chat.stop_ids, *brace))
        requests = []
        for row in rows:
            asks = (
                f"# Instruction\n\n{task}\n\n## User Query\n```\n{row['instruction']}\n```\n\n"
                f"## Output Format\nFill in the brackets and answer with this JSON only.\n{form}\n"
            )
            requests.append((self._prompt(asks), sampling))
        await self._fill(rows, name, requests, name)

    def _prompt(self, words: str) -> list[int]:
        """A user's words through the model's chat template, tokenised as one text."""
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": words}], tokenize=False, add_generation_prompt=True
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    async def _fill(
        self, rows: list[dict[str, Any]], column: str, requests: list[Any], name: str
    ) -> None:
        """Completes the requests, a call after the other, and writes the rows."""
        size = self._asked["batch"]
        for start in range(0, len(rows), size):
            call = requests[start : start + size]
            made = await asyncio.gather(*(self._engine.generate(*request) for request in call))
            for row, one in zip(rows[start : start + size], made, strict=True):
                text = self._tokenizer.decode(one.ids, skip_special_tokens=True)
                row[column] = text.strip()
        write(self._folder / f"{name}.json", rows)


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, what: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(what, ensure_ascii=False, indent=2), encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(stage(sys.argv[1], Path(sys.argv[2])))))
