"""Slows down whoever guesses passwords."""

from __future__ import annotations

import threading
from collections import deque

from engine.values import EpochMs, Millis


class Throttle:
    """Counts failures by key in a sliding window, in this process. Safe to call from several threads."""

    def __init__(self, most: int, window: Millis) -> None:
        self._most = most
        self._window = window
        self._lock = threading.Lock()
        self._failures: dict[str, deque[EpochMs]] = {}

    def wait(self, key: str, now: EpochMs) -> Millis:
        """How long the key must wait before its next try; 0 when it may try now."""
        with self._lock:
            failures = self._trimmed(key, now)
            return failures[0] + self._window - now if len(failures) >= self._most else 0

    def failed(self, key: str, now: EpochMs) -> None:
        """Count a failure."""
        with self._lock:
            if len(self._failures) > 10_000:  # an attacker's made-up names must not fill the memory
                for known in list(self._failures):
                    self._trimmed(known, now)
            self._trimmed(key, now)
            self._failures.setdefault(key, deque(maxlen=self._most)).append(now)

    def forget(self, key: str) -> None:
        """A success wipes the slate."""
        with self._lock:
            self._failures.pop(key, None)

    def _trimmed(self, key: str, now: EpochMs) -> deque[EpochMs]:
        failures = self._failures.get(key)
        if failures is None:
            return deque()
        while failures and failures[0] <= now - self._window:
            failures.popleft()
        if not failures:
            del self._failures[key]
        return failures
