"""The generator of a recipe: its engine's settings, its chat format, and whether it fits here."""

from __future__ import annotations

from pathlib import Path

from magpie_hub.chat.format import ChatFormat
from magpie_hub.engines.sizing import TURN_TOKENS
from magpie_hub.errors import DeviceError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.recipe.variants import variant_names


def engine_options(recipe: Recipe) -> EngineOptions:
    """The engine's part of a recipe."""
    fields = EngineOptions.model_fields
    return EngineOptions.model_construct(**{name: getattr(recipe, name) for name in fields})


def row_tokens(recipe: Recipe) -> int:
    """Tokens that a row of a recipe has when it is finished, on average, both sides of all turns.

    As in the published sets, or what the recipe allows if that is less.
    """
    first = recipe.instruct.max_tokens + recipe.respond.max_tokens
    later = recipe.later_turns.max_tokens + recipe.respond.max_tokens
    return min(TURN_TOKENS, first) + (recipe.turns - 1) * min(TURN_TOKENS, later)


def load_chat(recipe: Recipe, source: ModelSource, home: Path) -> ChatFormat:
    """Derives the generator's chat format, with the recipe's overrides.

    Raises:
        ModelError: There is no tokenizer.
        ChatFormatError: The chat format cannot be derived from its template.
    """
    from magpie_hub.chat.derive import derive
    from magpie_hub.models.source import fetch_tokenizer, generation_eos, load_tokenizer

    local = fetch_tokenizer(source, home, trust_remote_code=recipe.trust_model_code)
    tokenizer = load_tokenizer(local, trust_remote_code=recipe.trust_model_code)
    return derive(tokenizer, generation_eos=generation_eos(local), options=recipe.chat)


def check_memory(recipe: Recipe) -> None:
    """Refuses a generator that is too large for this machine, before the Hub is asked for it."""
    if recipe.memory_gib is None or recipe.base_url is not None:
        return
    from magpie_hub.engines.device import GIB, find_device, usable_bytes

    device = find_device()
    usable = usable_bytes(engine_options(recipe), device, len(device.gpus)) / GIB
    if usable < recipe.memory_gib:
        small = ", ".join(name for name in variant_names() if name.startswith("smol"))
        raise DeviceError(
            f"{recipe.name}: {recipe.model} needs {recipe.memory_gib:g} GiB of device memory, and "
            f"{usable:.0f} GiB can be used of {device.label}; name a smaller model (model), a "
            f"server that has it (engine server, base_url), or a variant that runs here ({small})"
        )
