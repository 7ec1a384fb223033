"""Recipe sections `instruct`, `respond` and `later_turns`: how text is sampled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from magpie_hub.recipe.base import MOST, Name, Section, Words

# vLLM takes no more, nor do servers that speak OpenAI's protocol.
Temperature = Annotated[float, Field(ge=0, le=2)]
Mass = Annotated[float, Field(gt=0, le=1)]


class LoopDetection(Section):
    """When generated text counts as looping; the engine then stops it at once.

    A text loops if it ends with `count` repetitions of a pattern of `min_pattern` to `max_pattern`
    tokens. With the defaults: one word for 20 tokens, or one sentence five times.
    """

    min_pattern: int = Field(4, ge=1, le=MOST)
    max_pattern: int = Field(32, ge=1, le=MOST)
    count: int = Field(5, ge=2, le=MOST)

    @model_validator(mode="after")
    def _ordered(self) -> LoopDetection:
        if self.min_pattern > self.max_pattern:
            raise ValueError(
                f"min_pattern ({self.min_pattern}) is above max_pattern ({self.max_pattern})"
            )
        return self


class Point(Section):
    """One point of the sampling grid, with the number of rows sampled at it."""

    temperature: Temperature = 1.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST, description="0 is off.")
    min_p: float = Field(0.0, ge=0, lt=1, description="0 is off.")
    rows: int = Field(ge=1, le=MOST, description="Rows at this point, of the grid's `rows`.")


class Grid(Section):
    """The sampling grid of first instructions.

    `rows` is the size of the set that the grid describes; the points' rows add up to it. A run of
    any size has its rows in these proportions.
    """

    rows: int = Field(1, ge=1, le=MOST)
    points: tuple[Point, ...] = Field((Point(rows=1),), min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Grid:
        total = sum(point.rows for point in self.points)
        if total != self.rows:
            raise ValueError(f"the points' rows add up to {total}, not to the grid's {self.rows}")
        return self


class SystemPrompt(Section):
    """A system prompt for first instructions, chosen in proportion to its weight."""

    name: Name
    weight: int = Field(1, ge=1, le=MOST)
    text: Words


class Instruct(Section):
    """How the first user turn is sampled."""

    grid: Grid = Grid()
    max_tokens: int = Field(2048, ge=1, le=MOST)
    systems: tuple[SystemPrompt, ...] = Field(
        (), description="Weighted system prompts that steer the topic; none by default."
    )
    loop: LoopDetection | None = LoopDetection()

    @model_validator(mode="after")
    def _distinct(self) -> Instruct:
        names = [system.name for system in self.systems]
        if len(set(names)) != len(names):
            raise ValueError("two system prompts have the same name")
        return self


class Respond(Section):
    """How responses are sampled; greedy by default, as in the paper (App. E.1)."""

    temperature: Temperature = 0.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST)
    min_p: float = Field(0.0, ge=0, lt=1)
    repetition_penalty: float = Field(1.0, gt=0, le=2)
    max_tokens: int = Field(4096, ge=1, le=MOST)
    loop: LoopDetection | None = LoopDetection()


class LaterTurns(Section):
    """How user turns after the first are sampled.

    `system` is a system prompt for user turns only: it keeps a small model in the user's role
    (section 2.2 of arXiv 2406.08464v2). Responses are generated without it.
    """

    system: Words | None = (
        "A person and an AI assistant are in the middle of a conversation. Each new message from "
        "the person builds on what was said before: it asks for more depth, questions a point, "
        "changes a condition or moves on to something closely related. The assistant answers "
        "each message on its own merits, clearly and helpfully."
    )
    temperature: Temperature = 1.0
    top_p: Mass = 1.0
    top_k: int = Field(0, ge=0, le=MOST)
    min_p: float = Field(0.0, ge=0, lt=1)
    max_tokens: int = Field(2048, ge=1, le=MOST)
    loop: LoopDetection | None = LoopDetection()
