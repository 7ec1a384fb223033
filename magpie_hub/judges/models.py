"""The models that judge: which ones, at which revision, and how they are loaded.

A recipe that names no revision keeps the one that its rows were judged with first: it is written
into their journal, so a commit to the model's repository labels nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from magpie_hub.engines.registry import local_engine
from magpie_hub.models.source import ModelSource, fetch, fetch_tokenizer, pin
from magpie_hub.paths import home as default_home
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.judges import LoadedModelConfig, ModelConfig

REVISIONS = "judges"
"""The journal's meta key of the judges' pinned revisions."""


@dataclass(frozen=True)
class JudgeModel:
    """A judge's model: pinned once, fetched when the judge begins to work.

    Attributes:
        name: A Hub id, a folder, or what an installed package carries.
        revision: Branch, tag or commit; None for the newest.
        home: The folder of packaged models; None for the user's own.
        options: How it is loaded.
    """

    name: str
    revision: str | None = None
    home: Path | None = None
    options: EngineOptions = field(default_factory=EngineOptions)

    @cached_property
    def pinned(self) -> ModelSource:
        """The model at a pinned revision.

        Raises:
            ModelError: Not found, gated, not reachable, or not a model.
        """
        return pin(self.name, self.revision)

    @property
    def settings(self) -> dict[str, Any]:
        """Model and revision, for a judge's settings; a revision that is given is not looked up.

        Raises:
            ModelError: None is given, and none can be found.
        """
        return {"model": self.name, "revision": self.revision or self.pinned.revision}

    @property
    def engine_settings(self) -> dict[str, Any]:
        """As `settings`, with what determines an engine's answers."""
        loaded = ("quantization", "max_model_len")
        return self.settings | {key: getattr(self.options, key) for key in loaded}

    def described(self) -> ModelSource:
        """The model with its configuration and tokenizer here, yet no weights.

        Raises:
            ModelError: As `pinned`; or it needs remote code that is not granted.
        """
        return fetch_tokenizer(self.pinned, self._home, trust_remote_code=self.trust_remote_code)

    def whole(self) -> ModelSource:
        """The model with its weights.

        Raises:
            ModelError: As `described`; or it is incomplete.
        """
        return fetch(self.pinned, self._home, trust_remote_code=self.trust_remote_code)

    def check_engine(self, *, constrained: bool = False) -> None:
        """Looks whether an engine can run it here.

        Raises:
            UserError: None can; see `magpie_hub.engines.factory.plan_engine`.
        """
        from magpie_hub.engines.factory import plan_engine

        plan_engine(self.pinned, self.options, constrained=constrained)

    @property
    def trust_remote_code(self) -> bool:
        """Whether the model may run its repository's own code."""
        return self.options.trust_model_code

    @property
    def _home(self) -> Path:
        return self.home or default_home()


@dataclass(frozen=True, slots=True)
class JudgeSetup:
    """What a recipe's judges are made from.

    Attributes:
        recipe: The recipe.
        generator: Its generator, pinned.
        home: The folder of packaged models.
        revisions: As `pin_judges` returns them.
    """

    recipe: Recipe
    generator: ModelSource
    home: Path
    revisions: Mapping[str, str]

    def model(self, name: str) -> JudgeModel:
        """The model of a judge that is on, loaded as its section says, else as the generator."""
        recipe, config = self.recipe, self.recipe.judges.models[name]
        options = EngineOptions(
            engine=local_engine(recipe.engine),
            dtype=recipe.dtype,
            gpu_memory_utilization=recipe.gpu_memory_utilization,
            enforce_eager=recipe.enforce_eager,
            in_process=recipe.in_process,
            trust_model_code=recipe.trust_model_code,
            **loading(config, recipe),
        )
        return JudgeModel(str(config.model), self.revisions[model_key(config)], self.home, options)


def loading(config: ModelConfig, recipe: Recipe) -> dict[str, Any]:
    """The engine options that a judge's section sets."""
    if not isinstance(config, LoadedModelConfig):
        return {}
    return {
        "quantization": config.quantization,
        "max_model_len": config.max_model_len,
        "tensor_parallel_size": config.tensor_parallel_size or recipe.tensor_parallel_size,
    }


def judge_models(recipe: Recipe) -> dict[str, ModelConfig]:
    """The models that judge, by judge; the generator is not among them when it tags."""
    models = recipe.judges.models
    if tags_itself(recipe):
        del models["tags"]
    return models


def tags_itself(recipe: Recipe) -> bool:
    """Whether the generator is the tagger, so that one engine does both."""
    tags = recipe.judges.tags
    return (
        tags is not None
        and tags.model in (None, recipe.model)
        and tags.revision in (None, recipe.model_revision)
        and tags.quantization in (None, recipe.quantization)
    )


def pin_judges(recipe: Recipe, known: Mapping[str, str]) -> dict[str, str]:
    """Pins the judges' models.

    Args:
        recipe: The recipe.
        known: Revisions that this journal's rows were judged with, by `model_key`.

    Returns:
        Revisions by `model_key`, the known ones among them.

    Raises:
        ModelError: A model cannot be found.
    """
    pinned = dict(known)
    for config in judge_models(recipe).values():
        if (key := model_key(config)) not in pinned:
            pinned[key] = pin(str(config.model), config.revision).revision
    return pinned


def judges_pinned(recipe: Recipe, known: Mapping[str, str]) -> bool:
    """Whether all judges' revisions are known."""
    return all(model_key(config) in known for config in judge_models(recipe).values())


def model_key(config: ModelConfig) -> str:
    """A judge's model as the recipe names it: "model", or "model@revision"."""
    return f"{config.model}@{config.revision}" if config.revision else str(config.model)
