"""The judges section of a recipe: what labels the rows, and with which models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from magpie_hub.recipe.base import MOST, Line, PublicName, Section, Words

KEYS = {"base": "reward.base", "safety": "guard"}
"""A judge's key in this section, where that is not its name."""
PUBLIC = "What it is called in rows and on the card, where it is a folder of this machine."


class JudgeModel(Section):
    """A model that judges, and how it is loaded; `revision` null takes the newest and pins it."""

    model: Line
    model_name: PublicName | None = Field(None, description=PUBLIC)
    revision: Line | None = None
    quantization: Line | None = None
    max_model_len: int | None = Field(None, ge=16, le=MOST)
    tensor_parallel_size: int | None = Field(None, ge=1, le=MOST)


class Tags(Section):
    """The tagger of difficulty, quality and category.

    `model` null tags with the generator, in the engine that is loaded already. With
    `before_responding`, an instruction under the selection's `min_quality` costs no response; the
    tagger is then the generator.
    """

    model: Line | None = None
    model_name: PublicName | None = Field(None, description=PUBLIC)
    revision: Line | None = None
    quantization: Line | None = None
    max_model_len: int | None = Field(None, ge=16, le=MOST)
    tensor_parallel_size: int | None = Field(None, ge=1, le=MOST)
    mode: Literal["compact", "explained"] = "compact"
    before_responding: bool = False


class Reward(JudgeModel):
    """The reward model, and the base model whose answers the reward difference is taken from."""

    model: Line = "sfairXC/FsfairX-LLaMA3-RM-v0.1"
    base: JudgeModel | None = None


class Guard(JudgeModel):
    """A guard model of the Llama-Guard kind."""

    model: Line = "meta-llama/Meta-Llama-Guard-2-8B"


class Neighbors(Section):
    """Near-duplicates: squared L2 on unit vectors, 0.05 as published (cosine ≥ 0.975)."""

    model: Line = "sentence-transformers/all-mpnet-base-v2"
    model_name: PublicName | None = Field(None, description=PUBLIC)
    revision: Line | None = None
    distance: float = Field(0.05, gt=0, le=4)
    against: tuple[Line, ...] = Field(
        (), description="Sets already published, folders or Hub ids, that nothing may repeat."
    )


class Judges(Section):
    """What labels the rows; null switches a judge off."""

    tags: Tags | None = None
    reward: Reward | None = None
    guard: Guard | None = None
    language: bool = False
    neighbors: Neighbors | None = None
    left_out: dict[Words, Words] = Field(
        default_factory=dict,
        description="Judges that could not work with the model that a run named, and why; a run "
        "writes it down.",
    )

    @property
    def said_out(self) -> str:
        """What was left out, in words: "tags, guard (the model cannot be had here)"."""
        names: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            names.setdefault(why, []).append(name)
        return "; ".join(f"{', '.join(judges)} ({why})" for why, judges in names.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The judges at work: tags, base, reward, safety, language, neighbors."""
        at_work = {
            "tags": self.tags,
            "base": self.reward and self.reward.base,
            "reward": self.reward,
            "safety": self.guard,
            "language": self.language,
            "neighbors": self.neighbors,
        }
        return tuple(name for name, judge in at_work.items() if judge)
