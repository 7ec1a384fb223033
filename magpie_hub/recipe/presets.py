"""Published filters as thresholds, by name.

Table 5 of arXiv 2406.08464v2 gives seven filters, with tau1 = -12 and tau2 = 0 (App. C). It asks
for a reward above tau1, or a reward difference above tau2, and for a minimum neighbor distance
above 0; what the authors ran for the latter is the near-duplicate rule of `exp/gen_dis.py`, and
that is what the presets take. The table says nothing of instructions that end with ':'.

Two published accounts of the same filter differ from the table, and from each other:

* ``pro-300k-card``, the card of Magpie-Pro-300K-Filtered: reward of at least -10, repeated and
  incomplete instructions (ending with ':') removed.
* ``notebook``, `data_sft/data_filter.ipynb` of the official code: quality good or better, reward
  above -10, no ':' at the end, the near-duplicate rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal[
    "air-filter",
    "pro-filter",
    "pro-filter2",
    "pro-filter3",
    "pro-filter4",
    "pro-filter5",
    "pro-filter6",
    "pro-300k-card",
    "notebook",
]

_UNIQUE = {"drop_near_duplicates": True, "longest": True}
_TAU1 = {"reward_above": -12.0}
_TAU2 = {"reward_difference_above": 0.0}
_GOOD_EASY = {"min_quality": "good", "min_difficulty": "easy"}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "air-filter": {**_UNIQUE, **_TAU2, "min_quality": "good", "min_difficulty": "medium"},
    "pro-filter": {**_UNIQUE, **_TAU1, "min_quality": "average"},
    "pro-filter2": {**_UNIQUE, **_TAU1, **_GOOD_EASY},
    "pro-filter3": {**_UNIQUE, **_TAU1},
    "pro-filter4": {**_UNIQUE, **_TAU2, **_GOOD_EASY},
    "pro-filter5": {**_UNIQUE, **_TAU1, **_GOOD_EASY, "longest": False},
    "pro-filter6": {**_UNIQUE, **_TAU1, "difficulty_mix": {"easy": 0.5, "harder": 0.5}},
    "pro-300k-card": {
        **_UNIQUE,
        "min_quality": "average",
        "reward_at_least": -10.0,
        "drop_colon": True,
    },
    "notebook": {**_UNIQUE, "min_quality": "good", "reward_above": -10.0, "drop_colon": True},
}
"""Keys of a recipe's `selection` section, by preset."""

RIVALS = (("reward_above", "reward_at_least"), ("min_difficulty", "difficulty_mix"))
"""Keys of which a selection has at most one."""


def fill_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the keys of a section's preset to those that a person wrote.

    A key that is written wins over the preset's, null included, and one of two rivals replaces
    the other. Filling in twice changes nothing, so a section may be written out and read again.

    Args:
        given: The section as written; an unknown preset adds nothing.
    """
    preset = given.get("preset")
    filled = dict(PRESETS.get(preset, {})) if isinstance(preset, str) else {}
    for one, other in RIVALS:
        if given.get(one) is not None:
            filled.pop(other, None)
        elif given.get(other) is not None:
            filled.pop(one, None)
    return {**filled, **given}
