"""The device: what this machine computes on, and whether a model fits there.

Answers come before anything is loaded, and without touching a GPU: a process that has opened one
can no longer fork workers that use it, which vLLM does.
"""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from magpie_hub.errors import DeviceError
from magpie_hub.models.source import ModelSource
from magpie_hub.recipe.engine import EngineOptions
from magpie_hub.torch_env import import_torch

GIB = 1 << 30

GPU_SHARE = 0.92
"""vLLM's own default of `gpu_memory_utilization`."""

GPU_WORKSPACE = 2 * GIB
"""Per GPU, beside weights and KV cache: CUDA context, activations of one batch, CUDA graphs.
vLLM reports 1–2 GiB of peak activations for 8B to 70B models at its default batch of tokens."""

CPU_WORKSPACE = GIB // 2
"""The same on a CPU: the Python process with torch and vLLM loaded, and activations."""

MIN_SEQUENCES = 4
"""Sequences of full length whose KV cache must fit: with fewer, a GPU idles between the layers."""

BYTES_PER_WEIGHT = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}

# Weight plus its share of the scales; embeddings and norms, which stay in 16 bit, are the margin
# that `needed_bytes` adds on top for a model quantized while it loads.
BYTES_PER_QUANTIZED_WEIGHT = {"fp8": 1.0, "int8": 1.0, "bitsandbytes": 0.56, "mxfp8": 1.03}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: As the driver says it, for example "NVIDIA H200".
        memory: Bytes in total.
    """

    name: str
    memory: int


@dataclass(frozen=True, slots=True)
class Device:
    """What there is to compute on.

    Attributes:
        kind: "cuda" if there is a GPU that torch can use (AMD's too), else "cpu".
        gpus: Visible GPUs, in order.
        memory: Bytes of main memory that this process may use in total.
        free: Of these, available now.
        cores: CPU cores that this process may use.
    """

    kind: Literal["cuda", "cpu"]
    gpus: tuple[Gpu, ...]
    memory: int
    free: int
    cores: int

    @property
    def label(self) -> str:
        """One phrase for a message, such as "2 x NVIDIA H200 (139 GiB each)"."""
        if not self.gpus:
            return f"CPU ({self.cores} cores, {_gib(self.memory)} of memory)"
        first = self.gpus[0]
        each = " each" if len(self.gpus) > 1 else ""
        return f"{len(self.gpus)} x {first.name} ({_gib(first.memory)}{each})"


def find_device() -> Device:
    """Looks at this machine."""
    memory, free = _main_memory()
    gpus = _gpus()
    return Device("cuda" if gpus else "cpu", gpus, memory, free, _cores())


def threads(device: Device) -> int:
    """Returns how many threads compute on a CPU: OMP_NUM_THREADS if it is set, else its cores."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(said) if said.isdigit() and int(said) else device.cores


def weight_bytes(source: ModelSource, options: EngineOptions) -> int | None:
    """Returns the bytes of a model's weights as they will be held; None where unknown.

    A checkpoint that is quantized as stored is held so. Another is held in the asked dtype, or
    quantized while it loads if `options.quantization` says so.
    """
    if source.quantization or source.parameters is None:
        return source.weight_bytes
    if factor := BYTES_PER_QUANTIZED_WEIGHT.get(options.quantization or ""):
        return int(source.parameters * factor * 1.05)
    if factor := BYTES_PER_WEIGHT.get(options.dtype):
        return int(source.parameters * factor)
    # "auto" runs a float32 checkpoint in 16 bit, and every other one as it is stored.
    return min(source.weight_bytes or source.parameters * 2, source.parameters * 2)


def needed_bytes(
    source: ModelSource, options: EngineOptions, device: Device, gpus: int = 1
) -> int | None:
    """Returns the bytes that a model needs to run at all, over all its GPUs; None where unknown.

    That is the weights, the KV cache of a few sequences, and workspace. It is a floor: throughput
    wants several times that cache.

    Args:
        source: The model.
        options: Of these, dtype, quantization and max_model_len count.
        device: Where it would run.
        gpus: GPUs that one copy is spread over.
    """
    weights = weight_bytes(source, options)
    if weights is None:
        return None
    length = options.max_model_len or default_context(source, device)
    cache = MIN_SEQUENCES * length * (source.kv_bytes_per_token or 0)
    workspace = GPU_WORKSPACE * gpus if device.gpus else CPU_WORKSPACE
    return weights + cache + workspace


def settle_dtype(source: ModelSource, options: EngineOptions, device: Device) -> EngineOptions:
    """Returns the options with "auto" made float32 where 16 bit would only be slow.

    An x86 CPU without AVX-512 has no bfloat16 instructions, and its libraries convert number by
    number: the small model, 24 slots, two cores of AVX2, decoded 17 tokens a second in bfloat16
    and 78 in float32. Where the model fits in 16 bit alone, it stays so.
    """
    if options.dtype != "auto" or device.gpus or options.quantization or source.quantization:
        return options
    wide = options.model_copy(update={"dtype": "float32"})
    needed = needed_bytes(source, wide, device)
    if needed is None or needed > usable_bytes(wide, device) or not _slow_in_16_bit():
        return options
    return wide


def _slow_in_16_bit() -> bool:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import_torch()
    import torch

    return torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")


def default_context(source: ModelSource, device: Device) -> int:
    """Returns the context length that is used if the user sets none.

    Magpie's rows are short (the published sets allow 2,048 new tokens an answer): a longer
    context would only cost cache.
    """
    limit = 8192 if device.gpus else 4096
    return min(source.context_length or limit, limit)


def usable_bytes(options: EngineOptions, device: Device, gpus: int = 1) -> int:
    """Returns the bytes that an engine may take: a share of `gpus` GPUs, or of main memory."""
    if not device.gpus:
        return int(device.free * 0.9)
    share = options.gpu_memory_utilization or GPU_SHARE
    return int(share * sum(gpu.memory for gpu in device.gpus[:gpus]))


def gpus_per_copy(source: ModelSource, options: EngineOptions, device: Device) -> int:
    """Returns over how many GPUs one copy of the model is spread.

    What `options` says, else the smallest power of two that holds it: fewer GPUs talk less to
    each other. The number of attention heads divides by powers of two in practice.
    """
    if options.tensor_parallel_size:
        return options.tensor_parallel_size
    present = max(1, len(device.gpus) // options.data_parallel_size)
    gpus = 1
    while gpus * 2 <= present:
        needed = needed_bytes(source, options, device, gpus)
        if needed is None or needed <= usable_bytes(options, device, gpus):
            break
        gpus *= 2
    return gpus


def check_fit(source: ModelSource, options: EngineOptions, device: Device) -> None:
    """Refuses a model that this machine cannot hold, before it is loaded.

    Raises:
        DeviceError: One line: what is needed, what is present, and what to do instead.
    """
    gpus = gpus_per_copy(source, options, device)
    needed = needed_bytes(source, options, device, gpus)
    usable = usable_bytes(options, device, gpus)
    if needed is None or needed <= usable:
        return
    ways = ["choose a smaller model"]
    if device.gpus and gpus < len(device.gpus) // options.data_parallel_size:
        ways.append(f"set tensor_parallel_size above {gpus}")
    if not options.quantization and not source.quantization and device.gpus:
        ways.append("set quantization: fp8")
    ways.append("set engine: server with the base_url of a machine that holds it")
    raise DeviceError(
        f"{source.name} needs about {_gib(needed)} and {_gib(usable)} can be used of "
        f"{device.label}; {', '.join(ways[:-1])}, or {ways[-1]}."
    )


def _gpus() -> tuple[Gpu, ...]:
    if importlib.util.find_spec("torch") is None:
        return ()
    import_torch()
    import torch

    # Counted through the driver's management library, which leaves CUDA itself closed.
    count = torch.cuda.device_count()
    if count == 0:
        return ()
    return _gpus_by_nvml(count) or tuple(
        Gpu(properties.name, properties.total_memory)
        for properties in map(torch.cuda.get_device_properties, range(count))
    )


def _gpus_by_nvml(count: int) -> tuple[Gpu, ...]:
    """Asks NVIDIA's management library; () where it is missing or numbers GPUs another way."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    indices = visible.split(",")[:count]
    if not all(index.strip().isdigit() for index in indices):
        return ()  # named by UUID, or slices of a GPU (MIG)
    try:
        import pynvml  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(int(index)) for index in indices]
        found = []
        for handle in handles:
            name = pynvml.nvmlDeviceGetName(handle)
            name = name.decode() if isinstance(name, bytes) else name
            found.append(Gpu(name, int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)))
        return tuple(found)
    except pynvml.NVMLError:
        return ()


def _main_memory() -> tuple[int, int]:
    """Returns total and available bytes, a container's limit taken into account."""
    import psutil

    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for limit_file, used_file in _cgroup_files():
        limit, used = _number(limit_file), _number(used_file)
        if limit is not None and limit < total:
            total = limit
            free = min(free, max(0, limit - (used or 0)))
    return total, free


def node_memory() -> int | None:
    """Returns the free bytes of the smallest NUMA node; None where the system has none.

    vLLM binds a CPU worker to the memory of one node, which may be much less than the machine's.
    """
    found = []
    names = {"MemFree:", "Active(file):", "Inactive(file):", "SReclaimable:"}
    for path in Path("/sys/devices/system/node").glob("node[0-9]*/meminfo"):
        # A line reads "Node 0 MemTotal:  9529556 kB".
        lines = [line.split() for line in path.read_text().splitlines()]
        if any(line[2] == "MemTotal:" and int(line[3]) for line in lines):
            found.append(1024 * sum(int(line[3]) for line in lines if line[2] in names))
    return min(found, default=None)


def _cgroup_files() -> list[tuple[Path, Path]]:
    root = Path("/sys/fs/cgroup")
    return [
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such controller, or "max"
        return None


def _cores() -> int:
    """Returns the physical cores that this process may use; hyperthreads do not add up."""
    import psutil

    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    physical, threads = psutil.cpu_count(logical=False), psutil.cpu_count()
    cores = logical or 1
    if physical and threads and physical < threads:
        cores = max(1, cores * physical // threads)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def _gib(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number < 10 * GIB else f"{number / GIB:.0f} GiB"
