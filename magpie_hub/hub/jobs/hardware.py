"""Flavors: the machines of HF Jobs, and which of them holds a recipe's generator.

Names, GPU memory and prices are those of `hf jobs hardware` as the Hub's documentation lists them
(huggingface.co/docs/hub/jobs-configuration and jobs-pricing, October 2026). The Hub says GB; they
are taken as 10⁹ bytes, which is a few percent less than the cards report.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from magpie_hub.engines.device import GIB, GPU_SHARE
from magpie_hub.errors import UserError
from magpie_hub.recipe.config import Recipe


@dataclass(frozen=True, slots=True)
class Flavor:
    """A machine that a job may have.

    Attributes:
        name: As HF Jobs call it.
        gpus: GPUs in it.
        gigabytes: Memory of all its GPUs, in GB.
        dollars: Price of an hour, by which the cheaper of two equals is taken.
    """

    name: str
    gpus: int
    gigabytes: int
    dollars: float

    def usable_gib(self, share: float = GPU_SHARE) -> float:
        """GPU memory in GiB of which an engine takes that share."""
        return share * self.gigabytes * 1e9 / GIB


FLAVORS = (
    Flavor("cpu-basic", 0, 0, 0.01),
    Flavor("cpu-upgrade", 0, 0, 0.03),
    Flavor("cpu-xl", 0, 0, 1.00),
    Flavor("cpu-performance", 0, 0, 1.90),
    Flavor("t4-small", 1, 16, 0.40),
    Flavor("t4-medium", 1, 16, 0.60),
    Flavor("l4x1", 1, 24, 0.80),
    Flavor("l4x4", 4, 96, 3.80),
    Flavor("l40sx1", 1, 48, 1.80),
    Flavor("l40sx4", 4, 192, 8.30),
    Flavor("l40sx8", 8, 384, 23.50),
    Flavor("a10g-small", 1, 24, 1.00),
    Flavor("a10g-large", 1, 24, 1.50),
    Flavor("a10g-largex2", 2, 48, 3.00),
    Flavor("a10g-largex4", 4, 96, 5.00),
    Flavor("a100-large", 1, 80, 2.50),
    Flavor("a100x4", 4, 320, 10.00),
    Flavor("a100x8", 8, 640, 20.00),
    Flavor("h200", 1, 141, 5.00),
    Flavor("h200x2", 2, 282, 10.00),
    Flavor("h200x4", 4, 564, 20.00),
    Flavor("h200x8", 8, 1128, 40.00),
    Flavor("rtx-pro-6000", 1, 96, 2.75),
    Flavor("rtx-pro-6000x2", 2, 192, 5.50),
    Flavor("rtx-pro-6000x4", 4, 384, 11.00),
    Flavor("rtx-pro-6000x8", 8, 768, 22.00),
)


def choose_flavor(recipe: Recipe, name: str | None = None) -> Flavor:
    """The flavor that a recipe's job gets.

    Args:
        recipe: Its `memory_gib` is what must fit into the share of a flavor's GPUs that the
            engine takes.
        name: The flavor that was asked for; None for the smallest that fits.

    Raises:
        UserError: There is no such flavor, or the generator does not fit into it or into any.
    """
    share = recipe.gpu_memory_utilization or GPU_SHARE
    needed = recipe.memory_gib or 0.0
    fitting = sorted(
        (flavor for flavor in FLAVORS if flavor.usable_gib(share) >= needed),
        key=lambda flavor: (flavor.gigabytes, flavor.dollars),
    )
    if name is None:
        if not fitting:
            raise UserError(
                f"{recipe.name}: {recipe.model} needs {needed:g} GiB of device memory, more than "
                "any flavor of HF Jobs has"
            )
        return fitting[0]
    flavor = next((flavor for flavor in FLAVORS if flavor.name == name), None)
    if flavor is None:
        known = [each.name for each in FLAVORS]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"--flavor {name}: no such flavor; {hint}there are {', '.join(known)}")
    if flavor not in fitting:
        there = f"{flavor.usable_gib(share):.0f} GiB can be used there" if flavor.gpus else "no GPU"
        way = f"{fitting[0].name} is the smallest that does" if fitting else "none does"
        raise UserError(
            f"--flavor {name}: it does not hold {recipe.model}, which needs {needed:g} GiB of "
            f"device memory ({there}); {way}"
        )
    return flavor
