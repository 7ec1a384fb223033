"""The funnel in words: where the planned rows went, in the order in which they were asked.

A reason is a code ("instruction_2.repetition:loop", "selection.reward"); details behind a colon
are added up; `stats.json` and the config `raw` have them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from magpie_hub.gates.registry import GATES
from magpie_hub.selection.rules import RULES, UNJUDGED
from magpie_hub.selection.select import LEFT_OUT

_CODE = re.compile(r"(?P<side>instruction|response)(_(?P<turn>\d+))?\.(?P<what>.+)")

REASONS: Mapping[str, str] = MappingProxyType(
    {
        **{name: gate.doc for name, gate in GATES.items()},
        "thinking": "thinks where no thinking is wanted",
        "unfinished_thinking": "thinks without an end",
        "duplicate": "the same as in an earlier row",
        "quality": "tagged below the bar before a response was paid for",
    }
)
"""What a reason of the gates says, by its name."""

SELECTION: Mapping[str, str] = MappingProxyType(
    {reason: words for rule in RULES for reason, words in rule.doc.items()}
    | LEFT_OUT
    | {"unjudged": UNJUDGED}
)
"""What a reason of the selection says."""


class Step(NamedTuple):
    """A line of the funnel.

    Attributes:
        stage: Whose words were looked at ("instruction", "response of turn 2"), or "selection".
        code: The reason, without details.
        says: The reason in words; "" if it is not known.
        rows: Rows that were rejected for it.
        left: Rows that are left after it.
    """

    stage: str
    code: str
    says: str
    rows: int
    left: int


def funnel_steps(funnel: Mapping[str, Any]) -> list[Step]:
    """The lines of a funnel, in the order of the stages, of each stage the largest loss first.

    Args:
        funnel: `planned`, `rejected` (rows by reason) and `delivered`.
    """
    rejected: Counter[str] = Counter()
    for reason, rows in funnel["rejected"].items():
        rejected[_bare(reason)] += rows
    order = sorted(rejected.items(), key=lambda item: (_place(item[0]), -item[1], item[0]))
    found, left = [], funnel["planned"]
    for code, rows in order:
        left -= rows
        found.append(Step(_stage(code), code, _says(code), rows, left))
    return found


def _bare(reason: str) -> str:
    code = reason.split(":", 1)[0]
    return "selection.unjudged" if code.startswith("selection.unjudged.") else code


def _place(code: str) -> tuple[int, int, int]:
    """Sort key of a reason, in the order in which rows are checked: turn, side, last steps."""
    found = _CODE.fullmatch(code)
    if found is None:
        return (2**31, 0, int(code.removeprefix("selection.") in LEFT_OUT))
    step = {"duplicate": 1, "quality": 2}.get(found["what"], 0)
    return (int(found["turn"] or 1), int(found["side"] == "response"), step)


def _stage(code: str) -> str:
    found = _CODE.fullmatch(code)
    if found is None:
        return "selection" if code.startswith("selection.") else ""
    return found["side"] + (f" of turn {found['turn']}" if found["turn"] else "")


def _says(code: str) -> str:
    if code.startswith("selection."):
        return SELECTION.get(code.removeprefix("selection."), "")
    found = _CODE.fullmatch(code)
    return REASONS.get(found["what"], "") if found else ""
