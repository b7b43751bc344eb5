"""In which order a worker reads its queues."""

from __future__ import annotations

from kombu.utils.scheduling import round_robin_cycle

CLOCK = "clock"


class ClockFirst(round_robin_cycle):
    """The clock's queue before all others, which take turns.

    Its messages are few and short, and they expire. Read in turn with a heap of jobs, each would be too old by then, and
    nothing would be due until the heap is gone.
    """

    def consume(self, n: int) -> list[str]:
        return sorted(self.items[:n], key=lambda queue: queue != CLOCK)
