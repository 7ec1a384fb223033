"""transformers as one of the engines: it runs wherever torch does."""

from __future__ import annotations

import importlib.util

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device
from magpie_hub.engines.registry import Backend, StartRequest
from magpie_hub.engines.transformers.constrained import check_installed
from magpie_hub.errors import UserError
from magpie_hub.recipe.engine import EngineOptions


class TransformersBackend(Backend):
    """Where memory runs out it goes on with fewer rows by itself."""

    name = "transformers"
    title = "transformers"

    def check(self, options: EngineOptions, device: Device | None, constrained: bool) -> None:
        """Refuses to start without its packages, and a mode of vLLM's."""
        super().check(options, device, constrained)
        packages = ("torch", "transformers")
        missing = [name for name in packages if not importlib.util.find_spec(name)]
        if missing:
            raise UserError(
                f"engine: transformers needs {' and '.join(missing)}: "
                f"pip install {' '.join(missing)}."
            )
        if constrained:
            check_installed()

    async def start(self, request: StartRequest) -> Engine:
        """Loads the model in this process."""
        from magpie_hub.engines.transformers.engine import TransformersEngine

        return await TransformersEngine.start(
            request.source, request.options, constrained=request.constrained, say=request.say
        )


BACKEND = TransformersBackend()
