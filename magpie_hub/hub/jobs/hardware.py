"""Hardware: the machines of HF Jobs, and which of them holds a recipe's generator."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from magpie_hub.engines.device import GIB, GPU_SHARE
from magpie_hub.errors import UserError
from magpie_hub.hub.client import ask
from magpie_hub.recipe.config import Recipe

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobHardwareInfo

_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?(GB|TB)")
_BYTES = {"GB": 1e9, "TB": 1e12}


@dataclass(frozen=True, slots=True)
class Flavor:
    """A machine that a job may have.

    Attributes:
        name: As HF Jobs call it.
        memory: Bytes of all its GPUs together; 0 without a GPU.
        cost: Dollars per minute, by which the cheaper of two equals is taken.
    """

    name: str
    memory: float
    cost: float

    def usable_gib(self, share: float = GPU_SHARE) -> float:
        """GPU memory in GiB of which an engine takes that share."""
        return share * self.memory / GIB


def list_flavors(api: HfApi) -> list[Flavor]:
    """The machines that vLLM's image can use, as the Hub lists them, the smallest first.

    The Hub says GB; they are taken as 10⁹ bytes, a few percent less than the cards report.

    Raises:
        UserError, HubError, Busy: See `ask`.
    """

    def read() -> list[Flavor]:
        return [_flavor(machine) for machine in api.list_jobs_hardware() if _is_usable(machine)]

    flavors = ask("HF Jobs", "asking for the machines of", read)
    return sorted(flavors, key=lambda flavor: (flavor.memory, flavor.cost))


def _is_usable(machine: JobHardwareInfo) -> bool:
    # The image is for CUDA; other accelerators (TPUs, Inferentia) are of no use to it.
    return machine.accelerator is None or machine.accelerator.manufacturer.lower() == "nvidia"


def _flavor(machine: JobHardwareInfo) -> Flavor:
    """A machine of the list.

    Raises:
        LookupError: It is not listed as the Hub lists them.
    """
    per_minute = {"minute": 1.0, "hour": 1 / 60, "second": 60.0}[machine.unit_label]
    memory = 0.0
    if machine.accelerator is not None:
        found = _MEMORY.fullmatch(machine.accelerator.vram.strip())
        if found is None:
            raise LookupError(f"{machine.name} has {machine.accelerator.vram} of GPU memory")
        memory = float(found[1]) * _BYTES[found[2]]
    return Flavor(machine.name, memory, machine.unit_cost_usd * per_minute)


def choose_flavor(recipe: Recipe, flavors: Sequence[Flavor], name: str | None = None) -> Flavor:
    """The flavor that a recipe's job gets.

    Args:
        recipe: Its `memory_gib` must fit into the share of a flavor's GPUs that the engine takes.
        flavors: What there is, the smallest first.
        name: The flavor that was asked for; None for the smallest that fits.

    Raises:
        UserError: There is no such flavor, or the generator does not fit into it or into any.
    """
    share = recipe.gpu_memory_utilization or GPU_SHARE
    needed = recipe.memory_gib or 0.0
    fitting = [flavor for flavor in flavors if flavor.usable_gib(share) >= needed]
    if name is None:
        if not fitting:
            raise UserError(
                f"{recipe.name}: {recipe.model} needs {needed:g} GiB of device memory, more than "
                "any flavor of HF Jobs has"
            )
        return fitting[0]
    flavor = next((flavor for flavor in flavors if flavor.name == name), None)
    if flavor is None:
        known = [each.name for each in flavors]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"--flavor {name}: no such flavor; {hint}there are {', '.join(known)}")
    if flavor not in fitting:
        usable = flavor.usable_gib(share)
        there = f"{usable:.0f} GiB can be used there" if flavor.memory else "no GPU"
        way = f"{fitting[0].name} is the smallest that does" if fitting else "none does"
        raise UserError(
            f"--flavor {name}: it does not hold {recipe.model}, which needs {needed:g} GiB of "
            f"device memory ({there}); {way}"
        )
    return flavor
