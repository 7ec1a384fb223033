"""The gates by name, and how a recipe's `gates` section becomes a set of them.

To add a gate: write its file (a frozen dataclass derived from `gates.base.Gate`) and put its class
into `GATES`. To change one, raise its `version` too (a test says when). Gates are asked in the
order of `GATES` and the first reason counts, so what says most about a row comes first. Exact
duplicates are not for a gate to find: they depend on other rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from magpie_hub.errors import RecipeError
from magpie_hub.gates.answer_inside import AnswerInside
from magpie_hub.gates.base import Gate, Message
from magpie_hub.gates.broken_code import BrokenCode
from magpie_hub.gates.colon import Colon
from magpie_hub.gates.cut_off import CutOff
from magpie_hub.gates.echo import Echo
from magpie_hub.gates.empty import Empty
from magpie_hub.gates.foreign_opening import ForeignOpening
from magpie_hub.gates.fragment import Fragment
from magpie_hub.gates.garbage import Garbage
from magpie_hub.gates.language import LanguageGate
from magpie_hub.gates.leak import Leak
from magpie_hub.gates.length import Length
from magpie_hub.gates.no_request import NoRequest
from magpie_hub.gates.other_language import OtherLanguage
from magpie_hub.gates.placeholder import Placeholder
from magpie_hub.gates.refusal import Refusal
from magpie_hub.gates.repeated_items import RepeatedItems
from magpie_hub.gates.repetition import Repetition
from magpie_hub.gates.self_reference import SelfReference
from magpie_hub.gates.small_talk import SmallTalk
from magpie_hub.gates.speaker import Speaker
from magpie_hub.gates.system_prompt import SystemPromptGate
from magpie_hub.gates.urls import Urls
from magpie_hub.recipe.config import Recipe

GATES: dict[str, type[Gate]] = {
    gate.name: gate
    for gate in (
        Repetition,
        CutOff,
        Empty,
        Leak,
        Garbage,
        Colon,
        AnswerInside,
        Speaker,
        ForeignOpening,
        Fragment,
        Echo,
        OtherLanguage,
        RepeatedItems,
        BrokenCode,
        SystemPromptGate,
        NoRequest,
        Placeholder,
        Refusal,
        SelfReference,
        SmallTalk,
        Urls,
        Length,
        LanguageGate,
    )
}
"""Every gate by name, in the order in which they are asked."""

OFF = frozenset(name for name, gate in GATES.items() if gate.opt_in)
"""Gates that a recipe must ask for. Gates with parameters that must be given are off too."""

READING = 1
"""Version of how text is read before any gate: the faults that a chat format finds in a response,
and which first instructions are the same. Raise it when the same text would be judged otherwise."""


class GateSet(NamedTuple):
    """The gates of one recipe.

    Attributes:
        instruction: The gates for instructions, asked before a response is generated.
        response: The gates for responses.
    """

    instruction: tuple[Gate, ...]
    response: tuple[Gate, ...]

    def resolved(self) -> list[list[Any]]:
        """What the gates' verdicts depend on: [side, name, version, parameters] of each gate."""
        return [
            [side, gate.name, gate.version, _parameters(gate)]
            for side, gates in zip(self._fields, self, strict=True)
            for gate in gates
        ]


def build_gates(config: Mapping[str, object] | None = None, *, to_run: bool = True) -> GateSet:
    """Builds the gates that a recipe asks for.

    Args:
        config: Gate name to True (with its defaults), False (off) or a mapping of its parameters.
            A gate that is not named is on, unless it is in `OFF` or has parameters that must be
            given.
        to_run: Also check that the packages of the gates are installed. False to read a recipe on
            a machine that does not run it.

    Returns:
        The gates of both sides, in the order of `GATES`.

    Raises:
        RecipeError: Unknown gate or parameter, or a value out of range.
        UserError: A gate's package is not installed.

    Example:
        >>> gates = build_gates({"colon": False, "garbage": {"max_scripts": 2}})
        >>> [gate.name for gate in gates.response]
        ['repetition', 'cut_off', 'empty', 'leak', 'garbage']
    """
    config = config or {}
    for name in config:
        if name not in GATES:
            raise RecipeError(f"gates: no gate is called {name!r}; there are {', '.join(GATES)}")
    built: list[Gate] = []
    for name, cls in GATES.items():
        gate = _build(name, cls, config.get(name))
        if gate is None:
            continue
        if to_run:
            gate.check_installed()
        built.append(gate)
    return GateSet(
        tuple(gate for gate in built if "user" in gate.roles),
        tuple(gate for gate in built if "assistant" in gate.roles),
    )


def first_reason(gates: tuple[Gate, ...], message: Message) -> str | None:
    """Returns the first reason against the candidate, or None if it passes all gates.

    A fault that the chat format found comes before any gate.
    """
    if message.fault is not None:
        return message.fault
    for gate in gates:
        if reason := gate(message):
            return reason
    return None


def verdict_settings(recipe: Recipe) -> dict[str, Any]:
    """What the gates' verdicts on generated text depend on, as plain data.

    Args:
        recipe: The recipe. The packages of its gates need not be installed.
    """
    return {
        "reading": READING,
        "before_responding": recipe.gates.before_responding,
        "duplicate": recipe.gates.duplicate,
        "gates": build_gates(recipe.gates.rules, to_run=False).resolved(),
    }


def _parameters(gate: Any) -> dict[str, Any]:
    given = {field.name: getattr(gate, field.name) for field in fields(gate)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}


def _build(name: str, cls: type[Any], wanted: object) -> Gate | None:
    known = {field.name: field for field in fields(cls)}
    required = [key for key, field in known.items() if field.default is MISSING]
    if wanted is None and (required or name in OFF):
        return None
    if wanted is False:
        return None
    if wanted is None or wanted is True:
        wanted = {}
    if not isinstance(wanted, Mapping):
        raise RecipeError(f"gates.{name}: true, false or its parameters, not {wanted!r}")
    for key in wanted:
        if key not in known:
            allowed = f"it has {', '.join(known)}" if known else "it has none"
            raise RecipeError(f"gates.{name}: no parameter is called {key!r}; {allowed}")
    if missing := [key for key in required if key not in wanted]:
        raise RecipeError(f"gates.{name}: {missing[0]} must be given")
    given: dict[str, Any] = {
        # YAML knows lists only; a frozen gate holds tuples.
        key: tuple(value) if isinstance(value, list) else value
        for key, value in wanted.items()
    }
    gate: Gate = cls(**given)
    return gate
