"""The judges section of a recipe: what labels the rows, and with which models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from magpie_hub.recipe.base import MOST, Line, PublicName, Section, Words

KEYS = {"base": "reward.base", "safety": "guard"}
"""A judge's key in this section, if it differs from its name."""


class ModelConfig(Section):
    """A judge's model; with `revision` null the newest revision is used and pinned."""

    model: Line | None = None
    model_name: PublicName | None = Field(
        None,
        description="The model's name in rows and on the card, if it is a local folder.",
    )
    revision: Line | None = None


class LoadedModelConfig(ModelConfig):
    """A judge's model and how it is loaded; null: as for the generator."""

    quantization: Line | None = None
    max_model_len: int | None = Field(None, ge=16, le=MOST)
    tensor_parallel_size: int | None = Field(None, ge=1, le=MOST)


class TagsConfig(LoadedModelConfig):
    """The tagger of difficulty, quality and category.

    With `model` null the generator tags, in the engine that is loaded already. With
    `before_responding` the generator tags an instruction before it responds, and an instruction
    below the selection's `min_quality` gets no response.
    """

    mode: Literal["compact", "explained"] = "compact"
    before_responding: bool = False


class BaseAnswerConfig(LoadedModelConfig):
    """The base model; the reward difference compares a response with its answer."""

    model: Line


class RewardConfig(LoadedModelConfig):
    """The reward model, and the base model for the reward difference."""

    model: Line = "sfairXC/FsfairX-LLaMA3-RM-v0.1"
    base: BaseAnswerConfig | None = None


class SafetyConfig(LoadedModelConfig):
    """A guard model of the Llama Guard family."""

    model: Line = "meta-llama/Meta-Llama-Guard-2-8B"


class NeighborsConfig(ModelConfig):
    """Near-duplicates: squared L2 on unit vectors, 0.05 as published (cosine ≥ 0.975)."""

    model: Line = "sentence-transformers/all-mpnet-base-v2"
    distance: float = Field(0.05, gt=0, le=4)
    against: tuple[Line, ...] = Field(
        (), description="Published sets that no row may repeat: release folders or Hub ids."
    )


class Judges(Section):
    """The judges, which label the rows; null switches a judge off."""

    tags: TagsConfig | None = None
    reward: RewardConfig | None = None
    guard: SafetyConfig | None = None
    language: bool = False
    neighbors: NeighborsConfig | None = None
    left_out: dict[Words, Words] = Field(
        default_factory=dict,
        description="Written by a run: judges that could not work with the run's model, and why.",
    )

    @property
    def left_out_text(self) -> str:
        """What was left out, in words: "tags, guard (the model cannot be had here)"."""
        names: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            names.setdefault(why, []).append(name)
        return "; ".join(f"{', '.join(judges)} ({why})" for why, judges in names.items())

    @property
    def at_work(self) -> dict[str, Section | Literal[True]]:
        """The sections of the judges that are on, by judge, in the order in which they label.

        A base answer comes before the reward, which scores it.
        """
        names = {key: name for name, key in KEYS.items()}
        found: dict[str, Section | Literal[True]] = {}
        for key in type(self).model_fields:
            section = getattr(self, key)
            if key == "left_out" or not section:
                continue
            if isinstance(section, RewardConfig) and section.base:
                found["base"] = section.base
            found[names.get(key, key)] = section
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the judges that are on: tags, base, reward, safety, language, neighbors."""
        return tuple(self.at_work)

    @property
    def models(self) -> dict[str, ModelConfig]:
        """The sections of the judges that are on and have a model, by judge."""
        return {
            name: section
            for name, section in self.at_work.items()
            if isinstance(section, ModelConfig)
        }
