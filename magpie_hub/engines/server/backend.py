"""A server as one of the engines: another machine has the model."""

from __future__ import annotations

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device
from magpie_hub.engines.registry import Backend, StartRequest
from magpie_hub.errors import UserError
from magpie_hub.recipe.engine import EngineOptions


class ServerBackend(Backend):
    """Taken where `base_url` is set; needs the model's tokenizer here, and no more of it."""

    name = "server"
    title = "a server"
    remote = True

    def check(self, options: EngineOptions, device: Device | None, constrained: bool) -> None:
        """Refuses what is set where the server is started."""
        if options.batch_invariant:
            raise UserError(
                "batch_invariant is set where vLLM starts: give the server VLLM_BATCH_INVARIANT=1, "
                "and leave it out here."
            )

    async def start(self, request: StartRequest) -> Engine:
        """Connects."""
        from magpie_hub.engines.server.engine import ServerEngine

        return await ServerEngine.start(
            request.source, request.options, constrained=request.constrained
        )


BACKEND = ServerBackend()
