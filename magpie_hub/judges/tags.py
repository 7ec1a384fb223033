"""Judge `tags`: difficulty, quality and category of an instruction, by a language model.

Only the instruction is shown, never the response, and the enumerations are those of the published
sets (Figures 16 to 18 of arXiv 2406.08464v2), "Others" included. The reply is constrained by a
regular expression, so no label is outside the enumerations; the words of the prompts are our own.
One call a row in either mode:

* compact: three labels, about a dozen tokens;
* explained: also intent, knowledge, a review of the quality and further categories. A reply that
  only seems to explain is a failure (`magpie_hub.judges.explanation`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.base import Completion, Engine, Sampling
from magpie_hub.judges.base import Judge, JudgeContext, Save, each
from magpie_hub.judges.columns import Column
from magpie_hub.judges.explanation import explanation_failure
from magpie_hub.judges.models import JudgeModel, JudgeSetup, tags_itself
from magpie_hub.judges.sanitize import escape_special_tokens, special_marks
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.fingerprint import fingerprint
from magpie_hub.recipe.selection import Difficulty, Quality
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label
from magpie_hub.store.rows import QualityThreshold

PROMPT = 3
"""Version of how a message is put in and a reply is read; raised when they would give other labels.
The words of prompt and reply need no version."""

Mode = Literal["compact", "explained"]

DIFFICULTIES: dict[Difficulty, str] = {
    "very easy": "anybody could answer at once",
    "easy": "everyday knowledge and a moment's thought",
    "medium": "some knowledge of a field, or a few steps of thought",
    "hard": "solid knowledge of a field, or many steps that depend on each other",
    "very hard": "an expert's knowledge and long, careful work",
}
QUALITIES: dict[Quality, str] = {
    "very poor": "cannot be understood, or is no message at all",
    "poor": "vague or confused; what is wanted has to be guessed",
    "average": "understandable, with important details missing",
    "good": "clear, with the details that matter",
    "excellent": "clear, specific and well put; nothing has to be guessed",
}
CATEGORIES = {
    "Information seeking": "facts or explanations",
    "Reasoning": "logical thinking, puzzles, conclusions",
    "Planning": "a plan or strategy for something to be done",
    "Editing": "a given text corrected, rephrased or translated",
    "Coding & Debugging": "code written, explained or repaired",
    "Math": "a calculation, proof or mathematical concept",
    "Role playing": "the assistant speaking as somebody",
    "Data analysis": "data interpreted, summarised or computed with",
    "Creative writing": "stories, poems, scripts and the like",
    "Advice seeking": "guidance on a personal or professional matter",
    "Brainstorming": "many ideas",
    "Others": "none of these",
}

EXPLAINED = ("intent", "knowledge", "review")
"""Lines of an explained reply that are in the tagger's own words."""

MAX_TOKENS = {"compact": 32, "explained": 1024}
"""Bounds of a reply; an explained one of ordinary words stays far below."""

LEAST_TOKENS = {"compact": 32, "explained": 256}
"""Room that a reply must have in the context, or the instruction is too long to be tagged."""


_EXPLAINS = "unless the tagger explains"


class TagsJudge(Judge):
    """Tags instructions; see `magpie_hub.judges.base.Judge`.

    Args:
        generator: The generator, which tags where no other model does.
        mode: Labels only, or every published column.
        model: The tagger, where it is another model.
    """

    name = "tags"
    says = "difficulty, quality and category of the instruction"
    off = "**No tags:** rows were not judged for difficulty, quality or category."
    packages = ("xgrammar",)
    constrained = True
    columns = (
        Column(
            "task_category",
            "text",
            "The task, one of twelve.",
            counted="labels",
            values=tuple(CATEGORIES),
            in_examples=True,
            drift="mix",
        ),
        Column("other_task_category", "texts", "Further tasks that it is as well."),
        Column("task_category_generator", "text", "The tagger.", names_model=True),
        Column(
            "difficulty",
            "text",
            "From `very easy` to `very hard`, by what answering takes.",
            counted="labels",
            values=tuple(DIFFICULTIES),
            heading="Difficulty and quality",
            in_examples=True,
            drift="mix",
        ),
        Column("intent", "text", "What the user wants, in a phrase.", _EXPLAINS, in_examples=True),
        Column("knowledge", "text", "What answering takes, in a phrase.", _EXPLAINS),
        Column("difficulty_generator", "text", "The tagger.", names_model=True),
        Column(
            "input_quality",
            "text",
            "From `very poor` to `excellent`: how clear and specific the instruction is.",
            counted="labels",
            values=tuple(QUALITIES),
            heading="Difficulty and quality",
            in_examples=True,
            drift="mix",
        ),
        Column("quality_explanation", "text", "The tagger's reason for that quality.", _EXPLAINS),
        Column("quality_generator", "text", "The tagger.", names_model=True),
    )

    def __init__(
        self, generator: ModelSource, mode: Mode = "compact", model: JudgeModel | None = None
    ) -> None:
        self.model = model
        self._generator = generator
        self._mode: Mode = mode

    @classmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The tagger of `judges.tags`."""
        tags = setup.recipe.judges.tags
        if tags is None:
            raise ValueError("the recipe has no tagger")
        other = None if tags_itself(setup.recipe) else setup.model(cls.name)
        return cls(setup.generator, tags.mode, other)

    @property
    def model_name(self) -> str:
        """The tagger, which may be the generator."""
        return self.model.name if self.model else self._generator.name

    def settings(self) -> dict[str, Any]:
        """What determines the labels."""
        if self.model is None:
            return tag_settings(self._generator.name, self._generator.revision, self._mode)
        loaded = self.model.engine_settings
        return loaded | tag_settings(loaded["model"], loaded["revision"], self._mode)

    def check(self) -> None:
        """Looks whether an engine can run the tagger; the generator is looked at by itself."""
        if self.model is not None:
            self.model.check_engine(constrained=True)

    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Tags every input, as many at once as the engine has slots."""
        async with context.start() as engine:
            tagger = Tagger(engine, context.chat(), self.model_name, self._mode)

            async def one(item: TurnText) -> None:
                save([await tagger.label_of(item)])

            await each(items, one, engine)


def tag_settings(model: str, revision: str, mode: Mode) -> dict[str, Any]:
    """What determines tags, as plain data; prompt and reply count by their words, too."""
    said = {"prompt": PROMPT, "words": _words_of(mode)}
    return {"model": model, "revision": revision, "mode": mode, **said}


def quality_threshold(recipe: Recipe, generator: ModelSource) -> QualityThreshold | None:
    """What a first instruction must reach before it is answered, by the recipe."""
    tags, least = recipe.judges.tags, recipe.selection.min_quality
    if tags is None or not tags.before_responding or least is None:
        return None
    levels = tuple(QUALITIES)
    judge = tag_settings(generator.name, generator.revision, tags.mode)
    return QualityThreshold(frozenset(levels[levels.index(least) :]), fingerprint(judge))


@cache
def _words_of(mode: Mode) -> str:
    """12 hexadecimal digits of all that is asked, and of what may be replied, at which length."""
    bounds = f"{MAX_TOKENS[mode]} {LEAST_TOKENS[mode]}"
    asked = "\0".join((tagger_prompt(mode, "\0"), reply_pattern(mode), bounds))
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


class Tagger:
    """Tags one instruction at a time; the rollout uses it too, before a response is generated.

    Args:
        engine: The running tagger.
        chat: Its chat format.
        model: Its name, for the ``*_generator`` columns.
        mode: Labels only, or every published column.
    """

    def __init__(self, engine: Engine, chat: ChatFormat, model: str, mode: Mode) -> None:
        self._engine = engine
        self._chat = chat
        self._model = model
        self._mode: Mode = mode
        self._around = tagger_prompt(mode, "\0").split("\0")
        self._around_ids = [chat.codec.encode(text) for text in self._around]
        self._marks = special_marks(chat.codec)

    async def label_of(self, item: TurnText) -> Label:
        """A row's tags, or why there are none.

        Raises:
            EngineError: The engine failed.
        """
        prompt = self._prompt(item.instruction)
        room = self._engine.info.max_model_len - len(prompt)
        if room < LEAST_TOKENS[self._mode]:
            return Label(item.row_id, failure="too_long")
        sampling = Sampling(
            max_tokens=min(room, MAX_TOKENS[self._mode]),
            temperature=0.0,
            stop_ids=self._chat.stop_ids,
            pattern=reply_pattern(self._mode),
        )
        return self._read(item, await self._engine.generate(prompt, sampling))

    def _prompt(self, instruction: str) -> list[int]:
        # The head has ids of its own, whatever follows it: equal ids are what the cache serves.
        head, tail = self._around_ids
        words = self._chat.codec.encode(escape_special_tokens(instruction, self._marks))
        return self._chat.answer_prompt((), (*head, *words, *tail))

    def _read(self, item: TurnText, completion: Completion) -> Label:
        row_id = item.row_id
        if completion.finish_reason != "stop":
            return Label(row_id, failure="cut_off")
        text = self._chat.decode(completion.ids)
        found = re.fullmatch(reply_pattern(self._mode, named=True), text.strip())
        if found is None:  # An engine that broke its word.
            return Label(row_id, failure=f"unparsable:{text[:60]!r}")
        said = {key: " ".join(value.split()) for key, value in found.groupdict().items()}
        explained = {line: said[line] for line in EXPLAINED if line in said}
        if explained:
            prompt = "".join(self._around)
            if failure := explanation_failure(explained, item.instruction, prompt):
                return Label(row_id, failure=failure)
        category = said["category"]
        others = said.get("others", "none").split(", ")
        further = [name for name in dict.fromkeys(others) if name not in (category, "none")]
        return Label(
            row_id,
            {
                "task_category": category,
                "other_task_category": further,
                "task_category_generator": self._model,
                "difficulty": said["difficulty"],
                "intent": said.get("intent"),
                "knowledge": said.get("knowledge"),
                "difficulty_generator": self._model,
                "input_quality": said["quality"],
                "quality_explanation": said.get("review"),
                "quality_generator": self._model,
            },
        )


def reply_pattern(mode: Mode, *, named: bool = False) -> str:
    """The regular expression of a reply; with named groups for reading it."""

    def group(name: str, body: str) -> str:
        return f"(?P<{name}>{body})" if named else f"({body})"

    difficulty = group("difficulty", _any(DIFFICULTIES))
    quality = group("quality", _any(QUALITIES))
    category = group("category", _any(CATEGORIES))
    if mode == "compact":
        return f"{difficulty}; {quality}; {category}"
    words = "[^\\n]{1,200}"
    further = f"none|({_any(CATEGORIES)})(, ({_any(CATEGORIES)}))?"
    return (
        f"Intent: {group('intent', words)}\n"
        f"Knowledge: {group('knowledge', words)}\n"
        f"Difficulty: {difficulty}\n"
        f"Review: {group('review', words)}\n"
        f"Quality: {quality}\n"
        f"Category: {category}\n"
        f"Others: {group('others', further)}"
    )


def _any(names: Iterable[str]) -> str:
    return "|".join(names)


def tagger_prompt(mode: Mode, message: str) -> str:
    """The tagger's whole prompt as text."""
    import jinja2  # Here, so that what is cached loads without it.

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "prompts"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tags.jinja").render(
        mode=mode,
        difficulties=DIFFICULTIES,
        qualities=QUALITIES,
        categories=CATEGORIES,
        message=message,
    )
