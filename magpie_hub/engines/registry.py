"""The engines by name: what each can do, whether it can run here, and how it is started.

An engine is a folder of its name with a `backend.py` that holds its `BACKEND`. The recipe lists the
names (`magpie_hub.recipe.engine.EngineName`); what "auto" means follows from their order.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device
from magpie_hub.errors import UserError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineName, EngineOptions


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What an engine is to be started with.

    Attributes:
        source: A fetched model; of a remote engine's, the tokenizer at least.
        options: What the user set, and what was chosen since.
        say: Takes one line at a time for the user.
        constrained: Whether requests may have a pattern (`Sampling.pattern`).
        short_job: Whether the work is too short to be worth a compilation.
        main_guarded: Whether the main module may be imported again without harm.
    """

    source: ModelSource
    options: EngineOptions
    say: Callable[[str], None]
    constrained: bool = False
    short_job: bool = False
    main_guarded: bool = False


class Backend:
    """One engine: its traits, what it refuses, and its start.

    Attributes:
        name: As the recipe says it.
        title: As a sentence says it.
        remote: Another machine has the model: no device, no weights and no choice by "auto".
        restarts: Memory runs out while it starts or as a whole; it is then started with less.
        sleeps: On GPUs it gives memory back to another model and keeps its weights, if it is
            started with these `engine_args`; empty if it cannot.
        one_a_process: A process holds one of its kind; another model's has to go elsewhere.
    """

    name: str
    title: str
    remote = False
    restarts = False
    sleeps: ClassVar[dict[str, object]] = {}
    one_a_process = False

    def obstacle(self, device: Device) -> str | None:
        """Says why it cannot run on a device, without importing it; None if it can."""
        return None

    def broken(self, options: EngineOptions) -> str | None:
        """Imports it and says what is wrong if that fails."""
        return None

    def install(self, device: Device) -> str:
        """What to do where it cannot run."""
        return "choose another engine"

    def check(self, options: EngineOptions, device: Device | None, constrained: bool) -> None:
        """Refuses what it cannot do, before anything is loaded; a remote one is given no device.

        Raises:
            UserError: One line that names the setting.
        """
        if options.batch_invariant:
            raise UserError(
                f"batch_invariant is a mode of vLLM, and {self.name} runs here; leave it out."
            )

    async def start(self, request: StartRequest) -> Engine:
        """Loads the model.

        Raises:
            UserError: A setting that it does not know or cannot take.
            EngineError: It did not start; `OutOfMemory` if that is why.
        """
        raise NotImplementedError


def backend(name: str) -> Backend:
    """Returns the engine of a name; one that is not known counts as a plain local engine."""
    if name not in NAMES:
        return Backend()
    found: Backend = importlib.import_module(f"{__package__}.{name}.backend").BACKEND
    return found


NAMES: tuple[str, ...] = tuple(name for name in get_args(EngineName) if name != "auto")


def local_backends() -> list[Backend]:
    """The engines that run on this machine, the preferred one first."""
    return [one for one in map(backend, NAMES) if not one.remote]


def local_engine(name: EngineName) -> EngineName:
    """Which engine loads another model than the generator, whose engine may be remote."""
    return "auto" if backend(name).remote else name
