"""Cards of small data, for tests of their content."""

from __future__ import annotations

import re
from typing import Any

from magpie_hub.recipe.load import parse_recipe
from magpie_hub.release.card.data import CardData
from tests.release import card_data as sample

FEATURES = [{"name": "uuid", "dtype": "string"}, {"name": "messages", "list": "string"}]
SMALL = [
    {
        "config_name": name,
        "features": FEATURES,
        "splits": [{"name": "train", "num_bytes": 1, "num_examples": 4}],
        "download_size": 1500,
    }
    for name in ("default", "raw")
]
"""What `info` takes where columns do not matter."""


def plain(turns: int = 1, **changes: Any) -> CardData:
    """A card without judges."""
    said = f"{{name: toy, description: A toy., model: toy/model, turns: {turns}}}"
    recipe = parse_recipe(said, "toy")
    stats = sample.stats(turns) | {"labels": {}, "numbers": {}, "failures": {}, "spent": []}
    del stats["repeats"]
    given = {"recipe": recipe, "stats": stats, "siblings": (), "changelog": (), "pictures": ()}
    examples = [sample.row(0, turns, ())]
    return sample.card_data(**{"info": SMALL[:1], "examples": examples, **given, **changes})


def with_blocks(turns: int = 2, /, **blocks: str) -> CardData:
    data = plain(turns)
    card = data.recipe.card.model_copy(update={"blocks": blocks})
    return plain(turns, recipe=data.recipe.model_copy(update={"card": card}))


def sections(text: str) -> list[str]:
    """Headings of the second degree."""
    return re.findall(r"^## (.*)$", text, re.MULTILINE)
