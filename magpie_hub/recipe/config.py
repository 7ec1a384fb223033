"""The fields of a recipe, their types, ranges and defaults.

Every model here is frozen and strict: an unknown key, a wrong type or numbers that do not add up
are refused (`magpie_hub.recipe.load` turns pydantic's findings into one line). One run may change a
field whose schema says ``override``: the field has the same name as a command-line option, a
builder keyword and a ``MAGPIE_*`` environment variable (`magpie_hub.recipe.overrides`).
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
    """Which gates are on, and when they run.

    A gate's value in `rules` is true, false, or a mapping of the gate's parameters.
    """

    before_responding: bool = Field(
        True, description="False generates a response for a rejected instruction too, as the paper."
    )
    duplicate: bool = Field(
        True, description="Keep only the lowest row of equal first instructions."
    )
    rules: dict[str, bool | dict[str, JsonValue]] = Field(default_factory=dict)

    @field_validator("rules", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        return json_lists(given)


class Card(Section):
    """The parts of the dataset card that are not computed from the data."""

    pretty_name: Line | None = None
    license: Line | None = Field(None, description="Hub licence id; the generator's by default.")
    language: tuple[Line, ...] | None = Field(
        None, description="Language codes; by default those that the language judge found."
    )
    tags: tuple[Line, ...] = ()
    blocks: dict[Name, Words] = Field(
        default_factory=dict,
        description="Markdown that replaces blocks of the card's template, by block name; "
        "{{ super() }} includes the replaced text.",
    )
    beside: tuple[Line, ...] = Field(
        (),
        description="Instruction sets that the coverage map shows beside this one: "
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
    """Where `push` publishes, and which findings of the scan were reviewed."""

    repo_id: Line | None = Field(
        None, description="NAMESPACE/NAME; by default magpie-NAME in the namespace of the token."
    )
    private: bool = False
    collection: Line | None = Field(
        None, description="Title of a collection of the namespace; push adds the dataset to it."
    )
    reviewed: tuple[Words, ...] = Field(
        (),
        description="Reviewed findings of the scan for secrets and personal data, as scan prints "
        "them; they do not stop a push.",
    )

    @field_validator("repo_id")
    @classmethod
    def _repo_id(cls, said: str | None) -> str | None:
        return said and check_repo_id(said)


class _Dataset(Section):
    """The first keys of a recipe: what is generated, with which model."""

    name: Name
    description: Words

    rows: int = overridable(1000, "Rows delivered, exactly.", ge=1, le=MOST)
    oversample: float = overridable(
        1.0,
        "Passing rows per delivered row; those with the longest responses are kept.",
        ge=1,
        le=100,
    )
    turns: int = overridable(1, "User turns of each conversation.", ge=1, le=8)
    seed: int = overridable(42, "Seed from which all rows' seeds follow.", ge=0, lt=2**63)
    min_yield: float = overridable(
        0.05, "Stop when a smaller share of the last 200 rows passes.", ge=0, le=1
    )

    model: Line = overridable(..., "The generator: a Hub id or a folder.")
    model_name: PublicName | None = overridable(
        None,
        "The generator's name in rows and on the card, if it is a local folder; needed for a push.",
    )
    model_revision: Line | None = overridable(None, "Commit, branch or tag of the generator.")
    memory_gib: float | None = Field(
        None,
        gt=0,
        description="Device memory in GiB that the generator needs; checked before the download.",
    )
    judging: Literal["auto", "on", "off"] = overridable(
        "auto",
        "off: no judges, no selection. on: all judges of the recipe must work. auto: as on, but if "
        "a run names another model, judges that cannot work here are left out, with their "
        "selection rules.",
    )

    @field_validator("judging", mode="before")
    @classmethod
    def _switch(cls, given: Any) -> Any:
        # YAML reads on and off, without quotes, as true and false.
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given


class Recipe(EngineOptions, _Dataset):
    """Everything that determines a dataset.

    The sections are in the order of the pipeline: instruct, respond, later turns, gates, judges,
    selection, card, hub, regenerate.
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
            raise ValueError("oversample needs selection.longest, which is off")
        tags = self.judges.tags
        if tags and tags.before_responding and tags.model not in (None, self.model):
            raise ValueError(
                "judges.tags.before_responding tags with the generator; leave judges.tags.model out"
            )
        if (
            tags
            and tags.model is None
            and not (
                tags.revision in (None, self.model_revision)
                and tags.quantization in (None, self.quantization)
            )
        ):
            raise ValueError(
                "judges.tags.revision and judges.tags.quantization are for another tagger than "
                "the generator; name it (judges.tags.model)"
            )
        if tags and tags.before_responding and self.selection.min_quality is None:
            raise ValueError(
                "judges.tags.before_responding needs selection.min_quality: instructions below it "
                "get no response"
            )
        return self
