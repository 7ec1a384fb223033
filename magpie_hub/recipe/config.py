"""The fields of a recipe, their types, ranges and defaults.

Every model here is frozen and strict: an unknown key, a wrong type or numbers that do not add up
are refused (`magpie_hub.recipe.load` turns pydantic's findings into one line). A field whose
schema says ``override`` may be changed for one run: it bears the same name as a command-line
option, a builder keyword and a ``MAGPIE_*`` environment variable (`magpie_hub.recipe.overrides`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from magpie_hub.recipe.base import (
    MOST,
    Line,
    Name,
    PublicName,
    Section,
    Words,
    json_lists,
    overridable,
)
from magpie_hub.recipe.chat import ChatOptions
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.judges import KEYS, Judges
from magpie_hub.recipe.names import check_language, check_license, check_repo_id
from magpie_hub.recipe.regenerate import Regenerate
from magpie_hub.recipe.sampling import Instruct, LaterTurns, Respond
from magpie_hub.recipe.selection import Selection


class Gates(Section):
    """Which gates are at work, and when.

    A gate's value is true, false, or a mapping of that gate's parameters.
    """

    before_responding: bool = Field(
        True, description="False pays for the response of a rejected instruction too, as the paper."
    )
    duplicate: bool = Field(True, description="Of equal first instructions the lowest row stays.")
    rules: dict[str, bool | dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("rules", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        return json_lists(given)


class Card(Section):
    """What the dataset card cannot compute."""

    pretty_name: Line | None = None
    license: Line | None = Field(None, description="Hub licence id; the generator's by default.")
    language: tuple[Line, ...] | None = Field(
        None, description="Codes of its languages; by default those that the judge language found."
    )
    tags: tuple[Line, ...] = ()
    blocks: dict[Name, Words] = Field(
        default_factory=dict,
        description="Markdown in place of a block of the card's template, by the block's name; "
        "{{ super() }} stands for what it replaces.",
    )
    beside: tuple[Line, ...] = Field(
        (),
        description="Instruction sets to show beside this one on the coverage map: "
        "release folders or dataset names.",
    )

    @field_validator("license")
    @classmethod
    def _license(cls, said: str | None) -> str | None:
        return said and check_license(said)

    @field_validator("language")
    @classmethod
    def _language(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return codes and tuple(check_language(code) for code in codes)


class Hub(Section):
    """Where `push` publishes, and what was reviewed before."""

    repo_id: Line | None = Field(
        None, description="NAMESPACE/NAME; magpie-NAME of whoever pushes by default."
    )
    private: bool = False
    collection: Line | None = Field(
        None, description="Title of the namespace's collection that the dataset is put into."
    )
    reviewed: tuple[Words, ...] = Field(
        (),
        description="Findings of the scan for secrets and personal data that a person has "
        "looked at and let pass.",
    )

    @field_validator("repo_id")
    @classmethod
    def _repo_id(cls, said: str | None) -> str | None:
        return said and check_repo_id(said)


class _Dataset(Section):
    """What is made, of which model; the first keys of a recipe."""

    name: Name
    description: Words

    rows: int = overridable(1000, "Rows delivered, exactly.", ge=1, le=MOST)
    oversample: float = overridable(
        1.0, "Passing rows per delivered row; the longest responses of them are kept.", ge=1, le=100
    )
    turns: int = overridable(1, "User turns of each conversation.", ge=1, le=8)
    seed: int = overridable(42, "Seed of the whole recipe.", ge=0, lt=2**63)
    min_yield: float = overridable(
        0.05, "Give up when a smaller share of the last 200 rows passes.", ge=0, le=1
    )

    model: Line = overridable(..., "The generator: a Hub id or a folder.")
    model_name: PublicName | None = overridable(
        None,
        "What the generator is called in rows and on the card, where it is a folder of this "
        "machine; a push asks for it.",
    )
    model_revision: Line | None = overridable(None, "Commit, branch or tag of the generator.")
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="Device memory that the generator needs; checked before it is fetched.",
    )
    judging: Literal["auto", "on", "off"] = overridable(
        "auto",
        "off leaves judges and selection out; auto does so, when a run names another model, with "
        "the judges that cannot work here; on insists on all of them.",
    )

    @field_validator("judging", mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        # YAML reads on and off, without quotes, as true and false.
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given


class Recipe(EngineOptions, _Dataset):
    """Everything that determines a dataset.

    Sections follow the flow: instruct, respond, later turns, gates, judges, selection, card, hub,
    regenerate. Top-level scalars marked as overrides may be overridden for one run.
    """

    chat: ChatOptions = ChatOptions()
    instruct: Instruct = Instruct()
    respond: Respond = Respond()
    later_turns: LaterTurns = LaterTurns()
    gates: Gates = Gates()
    judges: Judges = Judges()
    selection: Selection = Selection()
    card: Card = Card()
    hub: Hub = Hub()
    regenerate: Regenerate = Regenerate()

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if lacking := self.selection.needs() - set(self.judges.names):
            named = ", ".join(sorted(f"judges.{KEYS.get(name, name)}" for name in lacking))
            raise ValueError(f"the selection needs labels of judges that are off: {named}")
        if self.oversample > 1 and not self.selection.longest:
            raise ValueError("oversample is for selection.longest, which is off")
        tags = self.judges.tags
        if tags and tags.before_responding and tags.model not in (None, self.model):
            raise ValueError(
                "judges.tags.before_responding tags with the generator; leave judges.tags.model out"
            )
        if tags and tags.before_responding and self.selection.min_quality is None:
            raise ValueError(
                "judges.tags.before_responding needs selection.min_quality, which says what is "
                "worth a response"
            )
        return self
