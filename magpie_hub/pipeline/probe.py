"""Probing a model: its derived chat format, and what it writes when given nothing else.

Shows in a minute whether a model can be used: how many of a few instructions pass the gates, how
many leak the template or hold their own answer, how long they are, and two responses.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import EngineInfo
from magpie_hub.gates.base import Gate, Message
from magpie_hub.gates.registry import build_gates, first_reason
from magpie_hub.generate.generator import engine_options, load_chat
from magpie_hub.generate.plan import Plan
from magpie_hub.generate.rollout import read_instruction, read_response
from magpie_hub.models.source import ModelSource, pin
from magpie_hub.paths import home
from magpie_hub.pipeline.open import set_up
from magpie_hub.pipeline.run import Say, open_recipe
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.load import parse_recipe

RESPONSES = 2
"""Responses that are drawn."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One instruction or response that the model wrote.

    Attributes:
        text: Its words, a response's without its thinking.
        tokens: Their number of tokens.
        reason: Why a gate rejects it; None if it passes.
    """

    text: str
    tokens: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Probe:
    """What probing a model found.

    Attributes:
        model: Its name.
        revision: Its pinned revision.
        chat: Its chat format.
        engine: What the samples were drawn with.
        samples: Its instructions.
        responses: Its responses to the first of them, those that pass before the others.
    """

    model: str
    revision: str
    chat: ChatFormat
    engine: EngineInfo
    samples: tuple[Sample, ...]
    responses: tuple[Sample, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        reasons = _reasons(self.samples)
        return {
            "model": self.model,
            "revision": self.revision,
            "chat": self.chat.to_json(),
            "engine": {"name": self.engine.name, "device": self.engine.device},
            "samples": len(self.samples),
            "yield": _yield(self.samples),
            "leaks": sum(
                count
                for reason, count in reasons.items()
                if reason.split(":")[0] in ("leak", "answer_inside")
            ),
            "mean_tokens": statistics.fmean(sample.tokens for sample in self.samples),
            "reasons": dict(reasons.most_common()),
            "instructions": [asdict(sample) for sample in self.samples],
            "response_yield": _yield(self.responses),
            "response_reasons": dict(_reasons(self.responses).most_common()),
            "responses": [asdict(sample) for sample in self.responses],
        }

    def to_text(self) -> str:
        """Lines for a terminal."""
        found = self.to_json()
        lines = [f"{self.model} at revision {self.revision}", "", "chat format"]
        chat = found["chat"]
        for part in ("pre_query", "post_query", "next_query"):
            if chat[part] is None:
                lines.append(f"  {part:<11} none: the template takes a single turn")
            else:
                lines += [f"  {part:<11} {chat[part]['text']!r}", f"  {'':<11} {chat[part]['ids']}"]
        lines += [
            f"  {'stop':<11} {' '.join(chat['stop_tokens'])}",
            f"  {'':<11} {chat['stop_ids']}",
        ]
        if chat["answer_stop_ids"] != chat["stop_ids"]:
            lines += [
                f"  {'answer stop':<11} {' '.join(chat['answer_stop_tokens'])}",
                f"  {'':<11} {chat['answer_stop_ids']}",
            ]
        lines.append(f"  {'system':<11} {chat['system_style']}")
        if (marks := chat["thinking_marks"]) is not None:
            state = "on" if chat["thinking"] else "off"
            lines.append(f"  {'thinking':<11} {state}, between {marks[0]!r} and {marks[1]!r}")
        if told := {**chat["switch"], **chat["template_kwargs"]}:
            lines.append(f"  {'variables':<11} {told}")
        lines += ["", f"{found['samples']} instructions, given the pre-query template alone:"]
        lines += [_line(sample) for sample in self.samples]
        lines += ["", f"{len(self.responses)} responses, to the first that can be answered:"]
        lines += [_line(sample) for sample in self.responses]
        lines += [
            "",
            f"yield {found['yield']:.0%}, leaks {found['leaks']}, "
            f"mean length {found['mean_tokens']:.0f} tokens" + _counts(found["reasons"]),
        ]
        if self.responses:
            lines.append(
                f"yield of responses {found['response_yield']:.0%}"
                + _counts(found["response_reasons"])
            )
        lines += [
            f"engine {self.engine.name} on {self.engine.device}",
        ]
        return "\n".join(lines)


def _reasons(samples: Sequence[Sample]) -> Counter[str]:
    return Counter(sample.reason for sample in samples if sample.reason)


def _yield(samples: Sequence[Sample]) -> float | None:
    passed = sum(sample.reason is None for sample in samples)
    return passed / len(samples) if samples else None


def _counts(reasons: dict[str, int]) -> str:
    text = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f"; {text}" if text else ""


def _line(sample: Sample) -> str:
    text = " ".join(sample.text.split())
    text = text if len(text) <= 88 else text[:87] + "…"
    return f"  {'pass' if sample.reason is None else sample.reason:<16} {text}"


def choose_model(
    model: str, recipe: str | Path | None = None, *, how: str = "{name}", **overrides: Any
) -> tuple[Recipe, ModelSource]:
    """Finds the model and decides how it is probed; loads and writes nothing.

    Args:
        model: A Hub id or a folder.
        recipe: Whose chat overrides, sampling and gates to take; defaults otherwise.
        how: How the caller writes a setting, for messages.
        **overrides: Settings of the run, by the recipe's names.

    Raises:
        UserError: No such model, or a setting that is refused.
    """
    overrides["model"] = model
    if recipe is not None:
        chosen = open_recipe(recipe, overrides, how=how)
    else:
        base = {
            "name": "probe",
            "description": "A probe.",
            "model": model,
            "instruct": {"max_tokens": 512},
            "respond": {"max_tokens": 1024},
        }
        read = partial(parse_recipe, yaml.safe_dump(base), "probe")
        chosen = set_up(read, "probe", overrides, os.environ, how)
    return chosen, pin(chosen.model, chosen.model_revision)


def probe_model(recipe: Recipe, source: ModelSource, *, samples: int, say: Say) -> Probe:
    """Derives a model's chat format, generates instructions and two responses.

    Args:
        recipe: How they are sampled.
        source: The model.
        samples: How many instructions.
        say: Takes lines for the user.

    Raises:
        UserError: The model, its template or the device cannot be used.
        EngineError: The engine failed.
    """
    return asyncio.run(_probe(recipe, source, samples, say))


async def _probe(recipe: Recipe, source: ModelSource, samples: int, say: Say) -> Probe:
    from magpie_hub.engines.factory import start_engine

    chat = load_chat(recipe, source, home())
    engine = await start_engine(source, engine_options(recipe), home(), say=say, rows=samples)
    plan = Plan(recipe)
    gates = build_gates(recipe.gates.rules)

    async def draw(row_id: int) -> Message:
        row = plan.row(row_id)
        prompt = chat.query_prompt((), row.system.text if row.system else None)
        completion = await engine.generate(prompt, plan.instruct(row, 1, chat.stop_ids))
        return read_instruction(chat, 1, completion)

    async def answer(row_id: int, query: Message) -> Sample:
        prompt = chat.answer_prompt((), query.ids)
        sampling = plan.respond(plan.row(row_id), 1, chat.answer_stop_ids)
        done = await engine.generate(prompt, sampling)
        return sample(gates.response, read_response(chat, 1, done, query.text))

    def sample(gates: tuple[Gate, ...], message: Message) -> Sample:
        return Sample(message.text, len(message.ids), first_reason(gates, message))

    try:
        queries = await asyncio.gather(*(draw(row_id) for row_id in range(samples)))
        drawn = [sample(gates.instruction, query) for query in queries]
        # Instructions that pass come first; the others still show how the model responds.
        order = sorted(range(samples), key=lambda row_id: drawn[row_id].reason is not None)
        asked = [row_id for row_id in order if queries[row_id].ids][:RESPONSES]
        answers = await asyncio.gather(*(answer(row_id, queries[row_id]) for row_id in asked))
    finally:
        await engine.close()
    return Probe(source.name, source.revision, chat, engine.info, tuple(drawn), tuple(answers))
