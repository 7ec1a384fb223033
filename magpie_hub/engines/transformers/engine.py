"""The transformers engine: runs wherever torch runs (CPU, CUDA, MPS), and needs nothing else.

One thread owns the model and decodes one batch, its rows being the slots. A row has its own random
stream, seeded with its request's seed, one uniform number a token, so its draws do not depend on
its neighbours. (Its logits do, in their last bits: the same seed in another batch gives the same
tokens until two candidates lie closer together than that. Equality over batch shapes is therefore
not promised.) A row leaves the batch as it finishes; new rows come in while the others decode.

Where the device's memory runs out, it goes on with half the rows. The others wait with what they
have written so far, and no draw is lost.

It holds no chat format and stops on `Sampling.stop_ids` alone. Only where it is started for
patterns does it have a tokenizer, to know what tokens spell.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magpie_hub.engines.base import Completion, EngineInfo, EngineStats, Sampling, loops
from magpie_hub.engines.device import find_device, settle_dtype, threads
from magpie_hub.engines.oom import is_shortage
from magpie_hub.engines.regex import with_ends
from magpie_hub.engines.transformers.batch import Batch, Row
from magpie_hub.engines.transformers.constrained import Grammars, check_installed, mask_tokens
from magpie_hub.engines.transformers.sampling import draw_tokens
from magpie_hub.errors import DeviceError, EngineError, ModelError, UserError, one_line
from magpie_hub.models.source import load_tokenizer
from magpie_hub.torch_env import importing

if TYPE_CHECKING:
    from magpie_hub.models.source import ModelSource
    from magpie_hub.recipe.engine import EngineOptions

SLOTS_CPU, SLOTS_GPU = 16, 64
DEFAULT_MAX_MODEL_LEN = 4096

# New rows wait until this share of the slots is free: a prefill stalls every row that decodes, and
# four rows prefilled together cost little more than one.
_ADMIT_SHARE = 0.25
# Padded tokens of one prefill, which bounds its memory.
_MAX_PREFILL = 32768


class TransformersEngine:
    """Decodes with `transformers` in this process.

    Attributes:
        info: What runs; its slots are halved where memory runs out.
        stats: Counters; `cached_tokens` stays None, for no prefix is shared.
    """

    def __init__(
        self,
        model: Any,
        info: EngineInfo,
        grammars: Grammars | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Takes a loaded causal language model; use `start` to load one.

        Args:
            model: The model, on its device.
            info: What it is.
            grammars: What compiles patterns; None if there will be none.
            say: Told, in a caller's event loop, of fewer slots, a line each.
        """
        self.info = info
        self._say = say
        self.stats = EngineStats(steps=0, busy_slot_steps=0, running=0)
        self._batch = Batch(model)
        self._grammars = grammars
        self._waiting: deque[Row] = deque()
        self._inbox: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._end: EngineError | None = None
        self._thread = threading.Thread(target=self._work, name="transformers-engine", daemon=True)
        self._thread.start()
        # Left running at exit, the thread would step into a dismantled interpreter.
        atexit.register(self._stop)

    @classmethod
    async def start(
        cls,
        source: ModelSource,
        options: EngineOptions,
        *,
        constrained: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> TransformersEngine:
        """Loads the model onto the best device of this machine.

        Args:
            source: A model that lies in a local folder.
            options: `max_num_seqs` defaults to 16 on a CPU and 64 elsewhere, `max_model_len` to
                the model's context or 4096, whichever is less, and `dtype` to the weights' own.
            constrained: Whether requests may have a pattern.
            say: Takes a line each time memory runs out and slots are reduced.

        Raises:
            UserError: Options that this engine cannot honour, or a package that is missing.
            ModelError: The model cannot be loaded.
            DeviceError: It does not fit.
        """
        _check_options(options)
        if not constrained:
            return cls(*await asyncio.to_thread(_load, source, options), say=say)
        check_installed()
        tokenizer = await asyncio.to_thread(load_tokenizer, source, options.trust_model_code)
        model, info = await asyncio.to_thread(_load, source, options)
        grammars = Grammars(tokenizer, model.config.get_text_config().vocab_size)
        return cls(model, info, grammars, say)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Completes one prompt; see `Engine.generate`."""
        if not 0 < len(prompt) < self.info.max_model_len:
            raise EngineError(
                f"a prompt must hold 1 to {self.info.max_model_len - 1} tokens, not {len(prompt)}"
            )
        grammars, matcher = self._grammars, None
        sampling = with_ends(sampling, None if grammars is None else grammars.ends)
        if grammars is not None and sampling.pattern is not None:
            # Compiling a new pattern may take a while, and other requests must not wait for it.
            matcher = await asyncio.to_thread(grammars.matcher, sampling.pattern, sampling.stop_ids)
        loop = asyncio.get_running_loop()
        row = Row(tuple(prompt), sampling, loop, loop.create_future(), matcher)
        self._inbox.put(row)
        # Looked at after the put: a worker that ends now has either seen the row or shows here.
        if self._end is not None:
            row.future.cancel()
            raise self._end
        self.stats.prompt_tokens += len(prompt)
        try:
            return await row.future
        finally:
            row.cancelled = True

    async def rest(self) -> None:
        """Does nothing: the weights stay where they are."""

    async def wake(self) -> None:
        """Does nothing; see `rest`."""

    async def close(self) -> None:
        """Ends the thread and frees the device; requests in flight fail with EngineError."""
        await asyncio.to_thread(self._stop)
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        self._inbox.put(None)
        self._thread.join()

    # ---- what runs in the thread ----

    def _work(self) -> None:
        import torch

        end = EngineError("the transformers engine is closed")
        before, wanted = torch.get_num_threads(), self.info.settings.get("threads")
        fewer = isinstance(wanted, int) and wanted < before
        if fewer:
            # torch counts the machine's cores, and not what a container may use of them.
            torch.set_num_threads(wanted)
        try:
            with torch.inference_mode():
                self._serve()
        except EngineError as error:
            end = error
        except Exception as error:  # noqa: BLE001 - whatever it was, all who wait must hear of it
            text = one_line(error, 500)
            end = EngineError(f"the transformers engine died: {type(error).__name__}: {text}")
        self._end = end
        self.stats.running = 0
        left = [*self._batch.rows, *self._waiting]
        while not self._inbox.empty():
            row = self._inbox.get()
            if row is not None:
                left.append(row)
        for row in left:
            if not row.done:
                row.fail(end)
        self._batch.free()
        if fewer:
            torch.set_num_threads(before)

    def _serve(self) -> None:
        batch, stats = self._batch, self.stats
        while self._receive(block=not batch.running and not self._waiting):
            slots, keep, new = self.info.slots, batch.running, list[Row]()
            if not keep or slots - len(keep) >= slots * _ADMIT_SHARE:
                new = self._take(slots - len(keep))
            stats.running = len(keep) + len(new)
            if not stats.running:
                continue
            drawn = self._step(keep, new)
            if drawn is None:
                self._halve([*keep, *new])
                continue
            stats.steps = (stats.steps or 0) + 1
            stats.busy_slot_steps = (stats.busy_slot_steps or 0) + stats.running
            for row, token in drawn:
                if not row.done:
                    stats.decoded_tokens += 1
                    self._append(row, token)
            stats.running = len(batch.running)

    def _step(self, keep: list[Row], new: list[Row]) -> list[tuple[Row, int]] | None:
        """Draws the next token of rows; None if memory ran out, and then no row has changed."""
        try:
            rows, logits = self._batch.advance(keep, new)
            mask_tokens(rows, logits)
            return list(zip(rows, draw_tokens(rows, logits), strict=True))
        except (RuntimeError, MemoryError) as error:
            if is_shortage(error):
                return None
            raise

    def _halve(self, rows: list[Row]) -> None:
        """Puts all rows back to the head of the waiting line, and lets half as many run."""
        slots = len(rows) // 2
        if slots < 1:
            raise EngineError(
                "the transformers engine ran out of device memory with a single row of "
                f"{len(rows[0].ids)} tokens; lower max_model_len or choose a smaller model"
            )
        self._batch.clear()
        self._waiting.extendleft(reversed(rows))
        self.info = replace(self.info, slots=slots)
        if self._say is not None:
            text = f"out of memory with {len(rows)} rows at once; continuing with {slots}"
            with contextlib.suppress(RuntimeError):  # the caller's event loop is closed
                rows[0].loop.call_soon_threadsafe(self._say, text)

    def _receive(self, block: bool) -> bool:
        """Moves what has come in to the waiting line; False when the engine is to close."""
        while block or not self._inbox.empty():
            row = self._inbox.get()
            if row is None:
                return False
            self._waiting.append(row)
            block = False
        return True

    def _take(self, free: int) -> list[Row]:
        """The next waiting rows that fit in the free slots and in one prefill."""
        taken: list[Row] = []
        longest = 0
        while self._waiting and len(taken) < free:
            row = self._waiting[0]
            longest = max(longest, len(row.prompt) + len(row.out))
            if taken and longest * (len(taken) + 1) > _MAX_PREFILL:
                break
            self._waiting.popleft()
            if not (row.done or row.cancelled):
                taken.append(row)
        return taken

    def _append(self, row: Row, token: int) -> None:
        sampling = row.sampling
        if token in sampling.stop_ids:
            row.finish("stop", token)
        elif len(row.out) == sampling.max_tokens:
            # The limit does not count the stop token, so one more token was drawn to look for it.
            self.stats.decoded_tokens -= 1
            row.finish("length")
        else:
            row.out.append(token)
            if row.matcher is not None and not row.matcher.accept_token(token):
                # Nothing that the mask left; a draw from logits that are no numbers can be.
                row.fail(EngineError(f"token {token} was drawn against the row's pattern"))
            elif len(row.prompt) + len(row.out) >= self.info.max_model_len:
                row.finish("length")
            elif sampling.loop is not None and loops(row.out, sampling.loop):
                row.finish("repetition")


def _check_options(options: EngineOptions) -> None:
    for name in ("quantization", "engine_args"):
        if getattr(options, name):
            raise UserError(f"engine transformers takes no {name}; leave it out or use engine vllm")
    if (options.tensor_parallel_size or 1) > 1 or options.data_parallel_size > 1:
        raise UserError(
            "engine transformers runs on one device; leave tensor_parallel_size and "
            "data_parallel_size out, or use engine vllm"
        )


@importing()
def _load(source: ModelSource, options: EngineOptions) -> tuple[Any, EngineInfo]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise UserError(
            "engine transformers needs torch and transformers: pip install torch transformers"
        ) from error
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = "cuda" if cuda else "mps" if mps else "cpu"
    if source.path is None:
        raise ModelError(f"{source.name} has no files here; fetch it first")
    trust = {"trust_remote_code": options.trust_model_code}
    try:
        config = transformers.AutoConfig.from_pretrained(source.path, **trust)
        dtype: Any = options.dtype
        if device == "cpu":
            dtype = settle_dtype(source, options, find_device()).dtype
        if dtype == "auto" and device == "cpu" and config.dtype == torch.float16:
            # CPUs compute float16 slowly and not in every operator.
            dtype = "float32"
        model = transformers.AutoModelForCausalLM.from_pretrained(source.path, dtype=dtype, **trust)
        model.eval()
        model = model.to(device)
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"{source.name} does not fit on this device ({device})") from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        text = one_line(error, 500)
        raise ModelError(f"{source.name} cannot be loaded: {text}") from error
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    wanted = options.max_model_len
    if wanted and context and wanted > context:
        raise UserError(f"max_model_len {wanted} is more than the {context} of {source.name}")
    max_model_len = wanted or min(context or DEFAULT_MAX_MODEL_LEN, DEFAULT_MAX_MODEL_LEN)
    slots = options.max_num_seqs or (SLOTS_CPU if device == "cpu" else SLOTS_GPU)
    info = EngineInfo(
        name="transformers",
        version=transformers.__version__,
        device=f"{torch.cuda.get_device_name()} x1" if cuda else device,
        dtype=str(model.dtype).removeprefix("torch."),
        slots=slots,
        max_model_len=max_model_len,
        settings={
            "dtype": str(dtype),
            "max_num_seqs": slots,
            "max_model_len": max_model_len,
            "refill_slots": max(1, math.ceil(slots * _ADMIT_SHARE)),
            "attention": getattr(model.config, "_attn_implementation", None),
            "trust_remote_code": options.trust_model_code,
        }
        | (
            {"threads": min(threads(find_device()), torch.get_num_threads())}
            if device == "cpu"
            else {}
        ),
    )
    return model, info
