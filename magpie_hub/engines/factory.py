"""Which engine runs: decided from what is asked, what is installed and what the device holds.

The decision imports no engine and loads nothing; its reason is one sentence for the user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device, check_fit, find_device, settle_dtype
from magpie_hub.engines.oom import start_with_less
from magpie_hub.engines.registry import Backend, StartRequest, backend, local_backends
from magpie_hub.engines.sizing import TURN_TOKENS, default_slots, is_short
from magpie_hub.errors import UserError
from magpie_hub.models.source import ModelSource, fetch, fetch_tokenizer
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.text import address


class EnginePlan(NamedTuple):
    """Which engine, and why.

    Attributes:
        backend: The engine.
        reason: One sentence without a full stop.
    """

    backend: Backend
    reason: str

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.backend.name


def plan_engine(
    source: ModelSource,
    options: EngineOptions,
    device: Device | None = None,
    *,
    constrained: bool = False,
) -> EnginePlan:
    """Decides which engine runs a model.

    Args:
        source: A pinned model; it need not be fetched.
        options: What the user set.
        device: What there is; None to look.
        constrained: Whether requests may have a pattern.

    Raises:
        UserError: Settings that contradict each other, or an engine that is not installed.
        DeviceError: The model does not fit on this device.
    """
    if options.base_url:
        server = backend("server")
        server.check(options, None, constrained)
        return EnginePlan(server, f"base_url is set ({address(options.base_url)})")
    device = device or find_device()
    plan = _plan_local(options, device)
    plan.backend.check(options, device, constrained)
    _check_gpus(options, device)
    check_fit(source, options, device)
    return plan


def _plan_local(options: EngineOptions, device: Device) -> EnginePlan:
    if options.engine != "auto":
        asked = backend(options.engine)
        if obstacle := asked.obstacle(device):
            raise UserError(
                f"engine: {asked.name} cannot run here: {obstacle}; {asked.install(device)}."
            )
        return EnginePlan(asked, "it is asked")
    reason = ""
    for one in local_backends():
        obstacle = one.obstacle(device)
        if obstacle is None:
            return EnginePlan(one, reason or f"{one.title} runs on {device.label}")
        reason = reason or f"{one.title} cannot run here ({obstacle})"
    raise UserError(f"no engine can run here: {reason}.")


async def start_engine(
    source: ModelSource,
    options: EngineOptions,
    home: Path,
    *,
    say: Callable[[str], None],
    rows: int | None = None,
    row_tokens: int = TURN_TOKENS,
    main_guarded: bool = False,
    constrained: bool = False,
) -> Engine:
    """Fetches the model, if it runs here, and starts the engine that `plan_engine` chooses.

    Where the device's memory runs out, vLLM is started again with less. How the engine runs is
    said in one line once it does.

    Args:
        source: A pinned model.
        options: What the user set.
        home: The user's data folder.
        say: Takes one line at a time for the user.
        rows: About how many rows are wanted; few of them are not worth a compilation.
        row_tokens: Tokens that a row has when it is finished, on average.
        main_guarded: Whether the main module may be imported again without harm, as the installed
            command's may; see `VllmEngine.start`.
        constrained: Whether requests may have a pattern (`Sampling.pattern`).

    Raises:
        UserError: As `plan_engine`, or the model cannot be had.
        DeviceError: The device's memory does not suffice, with fewer slots either.
        EngineError: The engine did not start.
    """
    chosen, reason = plan_engine(source, options, constrained=constrained)
    if chosen.remote:
        say(f"engine {chosen.name}: {reason}")
        source = fetch_tokenizer(source, home, trust_remote_code=options.trust_model_code)
        engine = await chosen.start(StartRequest(source, options, say, constrained))
        say(engine.info.summary())
        return engine
    device = find_device()
    if broken := chosen.broken(options):
        others = [one for one in local_backends() if one.name != chosen.name]
        if options.engine != "auto" or not others:
            raise UserError(
                f"engine: {chosen.name} does not import ({broken}); {chosen.install(device)}."
            )
        reason = f"{chosen.title} does not import ({broken})"
        chosen = others[0]
        chosen.check(options, device, constrained)
    settled = settle_dtype(source, options, device)
    if settled != options:
        reason += f", in {settled.dtype} since its CPU has no bfloat16 instructions"
    say(f"engine {chosen.name}: {reason}")
    source = fetch(source, home, trust_remote_code=options.trust_model_code)
    short = is_short(rows, row_tokens)
    request = StartRequest(source, settled, say, constrained, short, main_guarded)
    if chosen.restarts:

        async def start(options: EngineOptions) -> Engine:
            return await chosen.start(replace(request, options=options))

        slots = settled.max_num_seqs or default_slots(source, settled, device, row_tokens)
        first = settled.model_copy(update={"max_num_seqs": slots})
        engine = await start_with_less(start, first, source.name, device, say=say)
    else:
        engine = await chosen.start(request)
    say(engine.info.summary())
    return engine


def _check_gpus(options: EngineOptions, device: Device) -> None:
    spread, copies = options.tensor_parallel_size or 1, options.data_parallel_size
    wanted = spread * copies
    if wanted > max(1, len(device.gpus)):
        raise UserError(
            f"tensor_parallel_size {spread} x data_parallel_size {copies} wants {wanted} GPUs and "
            f"this machine has {len(device.gpus)}; lower them."
        )
    if copies > 1 and options.in_process:
        raise UserError(
            f"in_process cannot be true with data_parallel_size: {copies}, whose copies run in "
            f"processes of their own; drop one of them."
        )
