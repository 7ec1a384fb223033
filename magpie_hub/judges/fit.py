"""Which of a recipe's judges can work with another model than the recipe's own, on this machine.

A run that names another model keeps the judges that can work: what they need is installed, their
model can be had, and it fits. The others are left out with the thresholds that read their labels;
`judges.left_out` of the run's recipe says which and why, and the card says it again.
"""

from __future__ import annotations

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import ModelError
from magpie_hub.judges.models import loading
from magpie_hub.judges.registry import JUDGES
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.judges import KEYS, LoadedModelConfig
from magpie_hub.recipe.selection import READS, Selection

if TYPE_CHECKING:
    from magpie_hub.models.source import ModelSource

MOST_ON_A_CPU = 3_000_000_000
"""Parameters of a judge's model where there is no GPU: a larger one takes minutes a row."""

ABSENT = "the model cannot be had here"
LARGE = "the model is too large for this machine"
PACKAGE = "a package is not installed"
BASE = "its model is the base of the recipe's own generator"

_HELD_SECONDS = 300


def keep_what_works(recipe: Recipe, own: str) -> Recipe:
    """Leaves out the judges that cannot work.

    Args:
        recipe: With this run's overrides, and the judges as they are written.
        own: The recipe's own model, for which they were chosen.
    """
    judges = recipe.judges
    if judges.tags and judges.tags.model == own:
        # The generator tags itself, and so does another one.
        itself = dict.fromkeys(("model", "revision", "quantization"))
        judges = judges.model_copy(update={"tags": judges.tags.model_copy(update=itself)})
    why = _obstacles(recipe.model_copy(update={"judges": judges}))
    selection = recipe.selection.model_dump()
    lost = [
        key
        for key, read in READS.items()
        if recipe.selection.is_on(key) and why.keys() & map(_key, read)
    ]
    if lost:
        # What is left is not that preset any more.
        selection |= {"preset": None} | {key: _default(key) for key in lost}
    kept: dict[str, Any] = judges.model_dump() | {"left_out": why}
    for name in why:
        if name == "reward.base":
            if kept["reward"]:
                kept["reward"]["base"] = None
        else:
            kept[name] = type(judges).model_fields[name].default
    return Recipe.model_validate(recipe.model_dump() | {"judges": kept, "selection": selection})


def _default(key: str) -> Any:
    return Selection.model_fields[key].default


def _key(name: str) -> str:
    """A judge's key in the recipe."""
    return KEYS.get(name, name)


def _obstacles(recipe: Recipe) -> dict[str, str]:
    """Why judges cannot work, by their keys; nothing of those that can."""
    at_work = recipe.judges.at_work
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda name: _obstacle(name, recipe), at_work)
        why = {name: reason for name, reason in zip(at_work, said, strict=True) if reason}
    if "reward" in why:
        why.pop("base", None)
    return {_key(name): reason for name, reason in why.items()}


def _obstacle(name: str, recipe: Recipe) -> str | None:
    if name == "base":
        return BASE
    if any(importlib.util.find_spec(package) is None for package in JUDGES[name].packages):
        return PACKAGE
    config = recipe.judges.models.get(name)
    if config is None or config.model is None:
        return None
    try:
        source = pinned(config.model, config.revision)
    except ModelError:
        return ABSENT
    utilization = recipe.gpu_memory_utilization if isinstance(config, LoadedModelConfig) else None
    options = EngineOptions(
        dtype=recipe.dtype, gpu_memory_utilization=utilization, **loading(config, recipe)
    )
    return None if _fits(source, options) else LARGE


def pinned(model: str, revision: str | None) -> ModelSource:
    """A model, looked up once in a while: one call of a user opens a recipe several times.

    Raises:
        ModelError: See `magpie_hub.models.source.pin`.
    """
    return _pinned(model, revision, int(time.monotonic() / _HELD_SECONDS))


@cache
def _pinned(model: str, revision: str | None, _period: int) -> ModelSource:
    from magpie_hub.models.source import pin

    return pin(model, revision)


def _fits(source: ModelSource, options: EngineOptions) -> bool:
    if source.weight_bytes is None and source.parameters is None:
        return True  # its size is unknown
    from magpie_hub.engines.device import find_device, gpus_per_copy, needed_bytes, usable_bytes

    device = find_device()
    # All of the memory, not what is free now: what is left out must not change with the hour.
    device = replace(device, free=device.memory)
    parameters = source.parameters or (source.weight_bytes or 0) // 2
    if not device.gpus and parameters > MOST_ON_A_CPU:
        return False
    gpus = gpus_per_copy(source, options, device)
    needed = needed_bytes(source, options, device, gpus)
    return needed is None or needed <= usable_bytes(options, device, gpus)
