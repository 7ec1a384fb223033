"""The judge contract: label rows, and save each label as soon as it is there.

A judge reads inputs (a row's texts) and knows nothing of journals or files. What it finds for a
row is a label: values by published column, or the reason why there are none. Every input gets
exactly one label, a hostile or broken one too; a judge never drops a row.

To add a judge: write its file with a subclass of `Judge`, give it a section in
`magpie_hub.recipe.judges`, and list it in `magpie_hub.judges.registry`. All else reads its class.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from magpie_hub.judges.columns import Column
from magpie_hub.judges.models import JudgeModel, JudgeSetup
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.store.journal import TurnText
from magpie_hub.store.labels import Label

if TYPE_CHECKING:
    from magpie_hub.chat.format import ChatFormat
    from magpie_hub.engines.base import Engine

SPARE = 4
"""Requests in flight beyond the engine's slots, so that a freed slot finds one waiting."""


Save = Callable[[Sequence[Label]], None]
"""Commits labels; called as often as is useful, since a kill loses what has not been saved."""


def _missing(*_: object) -> Any:
    raise RuntimeError("a judge asked for something that it was not given")


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """What a judge works with while it labels.

    Attributes:
        start: Hands out the running engine of the judge's model, and takes it back.
        chat: Gives that model's chat format.
        beside: Options of a model that the judge loads itself, beside the generator.
        label_of: The label of a row by one of the judges in `Judge.reads`, if it has one.
    """

    start: Callable[[], AbstractAsyncContextManager[Engine]] = _missing
    chat: Callable[[], ChatFormat] = _missing
    beside: Callable[[EngineOptions], EngineOptions] = lambda options: options
    label_of: Callable[[str, int], Label | None] = lambda judge, row_id: None


class JudgeInfo:
    """What the package needs to know of a judge without running it.

    Attributes:
        name: Short name: "tags", "reward", "safety", …; names its stage and its failures.
        says: What it says of a row, for the card.
        off: What the card says where it is off; "" for nothing.
        columns: The published columns that are there when it is on.
        packages: Modules that it needs beside the package's own requirements.
        instead: What it uses in place of a model, for the card.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    off: ClassVar[str] = ""
    columns: ClassVar[tuple[Column, ...]]
    packages: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[str] = ""


class Judge(JudgeInfo, ABC):
    """Something that labels rows one by one.

    A judge is built from plain settings and loads nothing heavy until `label` is awaited. It
    frees its model before `label` returns or raises.

    Attributes:
        reads: Names of the judges whose labels it reads; where they are on, they label first.
        constrained: Whether it asks its engine for constrained decoding.
        model: The model that it loads; None if it loads none, or works with the generator.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    constrained: ClassVar[bool] = False
    model: JudgeModel | None = None

    @classmethod
    @abstractmethod
    def of(cls, setup: JudgeSetup) -> Self:
        """The judge as a recipe sets it."""

    @property
    def model_name(self) -> str:
        """The model that it works with; "" for none."""
        return self.model.name if self.model else ""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that determines its labels (model, revision, prompts' version, mode, …).

        How the generator computes is left out: it names the folder of all labels.

        Raises:
            ModelError: No revision was given and none can be found.
        """

    @abstractmethod
    def check(self) -> None:
        """Looks, before the run, whether it can work here: packages, model, kind of model.

        Raises:
            UserError: It cannot; one line with the way out. Loads no weights.
        """

    @abstractmethod
    async def label(self, items: Sequence[TurnText], save: Save, context: JudgeContext) -> None:
        """Labels every input.

        Args:
            items: What is to be labelled, in any order.
            save: Takes labels as they come, in any order and batch size.
            context: What it works with.

        Raises:
            RunError: It had to stop; what was saved is kept.
        """


async def each(
    items: Sequence[TurnText], do: Callable[[TurnText], Awaitable[None]], engine: Engine
) -> None:
    """Does something for every input, as many at once as an engine has slots.

    The first failure ends the rest.

    Args:
        items: In the order in which they are begun.
        do: What is done; it asks the engine.
        engine: Whose slots are to be full.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await do(item)

    at_once = min(engine.info.slots + SPARE, len(items))
    tasks = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
