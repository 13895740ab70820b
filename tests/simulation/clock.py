"""The simulated clock: actions in order of their time, and the trace of what they do."""

from collections.abc import Callable
from heapq import heappop, heappush


class Clock:
    """Time in milliseconds, which passes only from one action to the next."""

    def __init__(self, trace: Callable[[str], None] | None) -> None:
        self.now_ms = 0
        self._trace = trace
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._queued = 0

    def at(self, when_ms: int, action: Callable[[], None]) -> None:
        """Do something at a time; after what was planned for the same time before."""
        self._queued += 1
        heappush(self._queue, (max(when_ms, self.now_ms), self._queued, action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do something later; delay_ms: at least 0."""
        self._queued += 1
        heappush(self._queue, (self.now_ms + delay_ms, self._queued, action))

    def step(self) -> None:
        """Do what comes next."""
        self.now_ms, _, action = heappop(self._queue)
        action()

    def say(self, *words: object) -> None:
        """Add a line to the trace; words that take time to find may be given as what finds them."""
        if self._trace is not None:
            said = [str(word() if callable(word) else word) for word in words]
            self._trace(f"{self.now_ms:6d} {' '.join(said)}")

    def strike(self, *words: object) -> None:
        """Add a line about a fault, which stands out."""
        self.say("***", *words)
