"""What vLLM's scheduler says after each step, kept as `EngineStats`."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from magpie_hub.engines.base import EngineStats


def step_counter(stats: EngineStats) -> Any:
    """Returns a class of vLLM stat loggers that does nothing but keep `stats`."""
    from vllm.v1.metrics.loggers import AggregateStatLoggerBase

    running: dict[int, int] = {}
    steps: dict[int, int] = defaultdict(int)

    class StepCounter(AggregateStatLoggerBase):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

        def log_engine_initialized(self) -> None:
            pass

        def record(
            self,
            scheduler_stats: Any,
            iteration_stats: Any,
            mm_cache_stats: Any = None,
            engine_idx: int = 0,
        ) -> None:
            if iteration_stats is not None:
                stats.decoded_tokens += iteration_stats.num_generation_tokens
            if scheduler_stats is None:
                return
            # The scheduler counts after a step, when those that ended in it have left.
            left = len(iteration_stats.finished_requests) if iteration_stats else 0
            running[engine_idx] = scheduler_stats.num_running_reqs
            steps[engine_idx] += 1
            stats.running = sum(running.values())
            # Copies of the model step side by side: one step of all of them is one step.
            stats.steps = max(steps.values())
            stats.busy_slot_steps = (
                (stats.busy_slot_steps or 0) + scheduler_stats.num_running_reqs + left
            )
            stats.cached_tokens = (
                stats.cached_tokens or 0
            ) + scheduler_stats.prefix_cache_stats.hits

    return StepCounter


def keep_only(counter: Any, engine: Any) -> None:
    """Drops the loggers that vLLM adds: they take time each step, and are not read."""
    manager = engine.logger_manager
    manager.stat_loggers = [kept for kept in manager.stat_loggers if isinstance(kept, counter)]
