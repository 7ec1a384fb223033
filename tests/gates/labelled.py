"""Labelled texts, and how well each gate sees what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from magpie_hub.gates.base import Gate, Message
from magpie_hub.gates.registry import GATES, build_gates

TEXTS = Path(__file__).with_name("labelled.yaml")


@dataclass(frozen=True, slots=True)
class Text:
    """One labelled text.

    Attributes:
        candidate: What the gates look at.
        wrong: The gates that are to object.
    """

    message: Message
    wrong: frozenset[str]


class Figures(NamedTuple):
    """How well one gate does.

    Attributes:
        shown: Texts that it was shown: those of its roles.
        wrong: Of these, those that are labelled with it.
        caught: Of those, the ones that it rejects.
        spoilt: What it rejects although it is not labelled with it.
    """

    shown: int
    wrong: int
    caught: int
    spoilt: int

    @property
    def precision(self) -> float:
        """Share of what is rejected that is wrong; 1 if nothing is rejected."""
        return self.caught / (self.caught + self.spoilt) if self.caught + self.spoilt else 1.0

    @property
    def recall(self) -> float:
        """Share of what is wrong that is rejected; 1 if nothing is wrong."""
        return self.caught / self.wrong if self.wrong else 1.0


@cache
def texts() -> tuple[Text, ...]:
    """All labelled texts."""
    return tuple(_read())


def _read() -> Iterator[Text]:
    for entry in yaml.safe_load(TEXTS.read_text(encoding="utf-8")):
        asked, answer = entry["ask"], entry.get("answer")
        if strangers := entry.keys() - {"ask", "answer", "wrong", "finish"}:
            raise ValueError(f"{asked!r}: {strangers}")
        wrong = frozenset(entry.get("wrong", ()))
        if strangers := wrong - GATES.keys():
            raise ValueError(f"{asked!r}: no gate is called {strangers}")
        yield Text(
            Message(
                role="user" if answer is None else "assistant",
                turn=1,
                text=asked if answer is None else answer,
                ids=(),
                finish_reason=entry.get("finish", "stop"),
                instruction="" if answer is None else asked,
            ),
            wrong,
        )


@cache
def gates() -> dict[str, Gate]:
    """Every gate that needs no parameter, by name."""
    asked_for = {"language": False, "length": False}
    sides = build_gates({name: asked_for.get(name, True) for name in GATES})
    return {gate.name: gate for side in sides for gate in side}


def figures(gate: Gate) -> Figures:
    """Holds a gate against every text of its roles."""
    shown = [text for text in texts() if text.message.role in gate.roles]
    rejected = [text for text in shown if gate(text.message)]
    caught = sum(gate.name in text.wrong for text in rejected)
    return Figures(
        shown=len(shown),
        wrong=sum(gate.name in text.wrong for text in shown),
        caught=caught,
        spoilt=len(rejected) - caught,
    )
