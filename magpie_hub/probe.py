"""Probing a model: its derived chat format, and what it writes when given nothing else.

Shows in a minute whether a model can be used: how many of a few instructions pass the gates, how
many leak the template or hold their own answer, how long they are.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engine.base import EngineInfo
from magpie_hub.gates import build_gates, first_reason
from magpie_hub.generator import engine_options, load_chat
from magpie_hub.home import home
from magpie_hub.job import Say, open_recipe
from magpie_hub.models import ModelSource, pin
from magpie_hub.plan import Plan
from magpie_hub.recipe.knobs import turn_knobs
from magpie_hub.recipe.model import Recipe
from magpie_hub.rollout import user_words


@dataclass(frozen=True, slots=True)
class Sample:
    """One instruction that the model wrote.

    Attributes:
        text: Its words.
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
    """

    model: str
    revision: str
    chat: ChatFormat
    engine: EngineInfo
    samples: tuple[Sample, ...]

    @property
    def passed(self) -> list[Sample]:
        """Samples that pass every gate."""
        return [sample for sample in self.samples if sample.reason is None]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        reasons = Counter(sample.reason for sample in self.samples if sample.reason)
        return {
            "model": self.model,
            "revision": self.revision,
            "chat": self.chat.to_json(),
            "engine": {"name": self.engine.name, "device": self.engine.device},
            "samples": len(self.samples),
            "yield": len(self.passed) / len(self.samples),
            "leaks": sum(
                count
                for reason, count in reasons.items()
                if reason.split(":")[0] in ("leak", "answer_inside")
            ),
            "mean_tokens": statistics.fmean(sample.tokens for sample in self.samples),
            "reasons": dict(reasons.most_common()),
            "instructions": [
                {"text": sample.text, "tokens": sample.tokens, "reason": sample.reason}
                for sample in self.samples
            ],
        }

    def to_text(self) -> str:
        """For a person."""
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
            f"  {'system':<11} {chat['system_style']}",
        ]
        lines += ["", f"{found['samples']} instructions, given the pre-query template alone:"]
        for sample in self.samples:
            text = " ".join(sample.text.split())
            text = text if len(text) <= 88 else text[:87] + "…"
            lines.append(f"  {'pass' if sample.reason is None else sample.reason:<16} {text}")
        reasons = ", ".join(f"{reason} {count}" for reason, count in found["reasons"].items())
        lines += [
            "",
            f"yield {found['yield']:.0%}, leaks {found['leaks']}, "
            f"mean length {found['mean_tokens']:.0f} tokens" + (f"; {reasons}" if reasons else ""),
            f"engine {self.engine.name} on {self.engine.device}",
        ]
        return "\n".join(lines)


def choose_model(
    model: str, recipe: str | Path | None = None, *, how: str = "{name}", **knobs: Any
) -> tuple[Recipe, ModelSource]:
    """Finds the model and decides how it is probed; loads and writes nothing.

    Args:
        model: A Hub id or a folder.
        recipe: Whose chat overrides, sampling and gates to take; defaults otherwise.
        how: How the caller spells a setting in messages.
        **knobs: Settings of the run, by the recipe's names.

    Raises:
        UserError: No such model, or a setting that is refused.
    """
    knobs["model"] = model
    if recipe is not None:
        chosen = open_recipe(recipe, knobs, how=how)
    else:
        base = Recipe.model_validate(
            {
                "name": "probe",
                "description": "A probe.",
                "model": model,
                "instruct": {"max_tokens": 512},
            }
        )
        chosen = turn_knobs(base, knobs, os.environ, how)
    return chosen, pin(chosen.model, chosen.model_revision)


def probe_model(recipe: Recipe, source: ModelSource, *, samples: int, say: Say) -> Probe:
    """Derives a model's chat format and draws instructions.

    Args:
        recipe: How they are drawn.
        source: The model.
        samples: How many.
        say: Told what is going on.

    Raises:
        UserError: The model, its template or the device will not do.
        EngineError: The engine failed.
    """
    return asyncio.run(_probe(recipe, source, samples, say))


async def _probe(recipe: Recipe, source: ModelSource, samples: int, say: Say) -> Probe:
    from magpie_hub.engine.choose import start_engine

    chat = load_chat(recipe, source, home())
    engine = await start_engine(source, engine_options(recipe), home(), say=say, rows=samples)
    plan = Plan(recipe)
    gates = build_gates(recipe.gates.rules).instruction

    async def draw(row_id: int) -> Sample:
        row = plan.row(row_id)
        prompt = chat.query_prompt((), row.system.text if row.system else None)
        completion = await engine.generate(prompt, plan.instruct(row, 1, chat.stop_ids))
        words = user_words(chat, 1, completion)
        return Sample(words.text, len(words.ids), first_reason(gates, words.candidate(chat)))

    try:
        drawn = await asyncio.gather(*(draw(row_id) for row_id in range(samples)))
    finally:
        await engine.close()
    return Probe(source.name, source.revision, chat, engine.info, tuple(drawn))
