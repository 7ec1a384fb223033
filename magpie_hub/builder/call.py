"""Checks the keywords of a call of `load_dataset`: ours, and those that never reach the builder.

`datasets` keeps some keywords for itself, even if they have no effect on a local folder; and if no
config is named, its message does not help when keywords are given.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import datasets

from magpie_hub.errors import UserError
from magpie_hub.recipe.load import RENAMED
from magpie_hub.recipe.overrides import OVERRIDES
from magpie_hub.recipe.settings import NAME

OURS = (*OVERRIDES, NAME)
_THEIRS = set(inspect.signature(datasets.DatasetBuilder.__init__).parameters)


def check_call(keywords: Mapping[str, Any], configs: Sequence[str]) -> None:
    """Refuses keywords that would be ignored, and a call without a config if there are several.

    Args:
        keywords: The builder's keywords.
        configs: Names of the builder folder's configs.

    Raises:
        UserError: One line that names the keyword, and what to use instead.
    """
    for name, override in RENAMED.items():
        if _swallowed(name) or keywords.get(name):
            raise UserError(
                f"{name}: datasets takes this for a dataset on the Hub, and it never reaches the "
                f"recipe; the generator's is {override}"
            )
    folder = str(keywords.get("base_path") or ".")
    if not folder.startswith((".", "/")):
        folder = f"./{folder}"
    if keywords.get("config_name") is None and len(configs) > 1:
        raise UserError(
            f"{folder}: which config? There are {', '.join(configs)}; name one, as in "
            f"load_dataset({folder!r}, {configs[0]!r}, …)"
        )
    for name, value in keywords.items():
        if value is None or name in OURS:
            continue
        if name in ("version", "description"):
            raise UserError(f"{name}: no setting of a run (settings={{…}} takes the recipe's keys)")
        if name == "features":
            raise UserError(
                "features: the columns follow from the recipe; change them afterwards, as with "
                ".cast(features) or .select_columns([…])"
            )
        if name in ("data_dir", "data_files") and keywords.get("base_path"):
            raise UserError(f"{name}: a config of {folder} has its recipe; name the config instead")
        if name not in _THEIRS:
            near = difflib.get_close_matches(name, OURS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(
                f"{name}: no such setting; {hint}there are {', '.join(sorted(OURS))}; "
                f"{NAME}={{…}} takes any key of the recipe"
            )


def _swallowed(name: str) -> Any:
    """The value of a keyword that `load_dataset` keeps for itself.

    `load_dataset` does not pass it on, so it is read from its frame on the stack.
    """
    frame = sys._getframe()
    found = None
    while frame is not None:
        if frame.f_globals.get("__name__") == "datasets.load" and frame.f_code.co_name in (
            "load_dataset",
            "load_dataset_builder",
        ):
            found = found or frame.f_locals.get(name)
        frame = frame.f_back  # type: ignore[assignment]
    return found
