"""Metrics of the decision API. With several processes, prometheus-client adds them up through files.

What each request counts is counted in plain dicts first, and given to the library in bulk: before the metrics are read, once a
second, so that other processes' files show it, too, and at the end.

The labels are lists that we know: no id of a session, a customer or a caller's own words ever becomes one.
"""

from __future__ import annotations

import os
from typing import Any

import prometheus_client
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest, multiprocess

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client reads it when it is imported: set it before."""

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

# Half steps around what is promised: p50 3 ms, p99 10 ms, the deadline 200 ms.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5)


class _Found:
    """Of a metric: finds a child by one look, where the library takes microseconds, each time."""

    def labels(self, *values: Any, **_: Any) -> Any:
        """The child with these values, in the order of the names."""
        found: dict[tuple[Any, ...], Any] = self.__dict__.setdefault("_found", {})
        child = found.get(values)
        if child is None:
            child = found[values] = super().labels(*values)  # type: ignore[misc]  # of the metric that it is mixed into
        return child


class Counter(_Found, prometheus_client.Counter):
    """A counter."""

    def count(self, *values: Any) -> None:
        """Count one for these values of the labels; it shows after the next `flush`. From the event loop alone."""
        counts: dict[tuple[Any, ...], int] = self.__dict__.setdefault("_counts", {})
        counts[values] = counts.get(values, 0) + 1

    def flush(self) -> None:
        """Give what was counted to the library."""
        counts = self.__dict__.pop("_counts", {})
        for values, count in counts.items():
            self.labels(*values).inc(count)


class Histogram(_Found, prometheus_client.Histogram):
    """A histogram."""

    def note(self, value: float, *values: Any) -> None:
        """Note a value for these values of the labels; it shows after the next `flush`. From the event loop alone."""
        noted: dict[tuple[Any, ...], list[float]] = self.__dict__.setdefault("_noted", {})
        noted.setdefault(values, []).append(value)

    def flush(self) -> None:
        """Give what was noted to the library."""
        for values, noted in self.__dict__.pop("_noted", {}).items():
            child = self.labels(*values)
            for value in noted:
                child.observe(value)


class Metrics:
    """The metrics of one process (or of a test)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.requests = Counter("salience_api_requests", "Calls answered.", ["endpoint", "status"], registry=of)
        self.seconds = Histogram(
            "salience_api_seconds",
            "Time from the request line to the answer.",
            ["endpoint"],
            registry=of,
            buckets=_SECONDS,
        )
        self.problems = Counter("salience_api_problems", "Problems answered.", ["slug"], registry=of)
        self.events = Counter("salience_api_events", "Events taken in.", ["verdict"], registry=of)
        self.placements = Counter("salience_api_placements", "Placements decided.", ["outcome"], registry=of)
        self.degraded = Counter("salience_api_degraded", "Decisions that lacked something.", ["code"], registry=of)
        self.scores = Counter("salience_api_scores", "Answers of models.", ["status"], registry=of)
        self.evaluations = Counter(
            "salience_api_evaluations", "Evaluations of decisions: made, or one that still held.", ["how"], registry=of
        )
        self.lines = Counter("salience_api_bulk_lines", "Lines of bulk requests answered.", ["outcome"], registry=of)
        self.failures = Counter("salience_api_rule_failures", "Rules whose evaluation failed.", ["rule"], registry=of)
        self.circuits = Gauge(
            "salience_api_circuit",
            "Circuit breakers: 0 closed, 1 half-open, 2 open.",
            ["name"],
            registry=of,
            multiprocess_mode="livemax",
        )
        self.opened = Counter("salience_api_circuit_opened", "How often a circuit opened.", ["name"], registry=of)
        self.rejection = Gauge(
            "salience_api_rejection",
            "Share of calls to another side that its success rate turns away, 0 to 1.",
            ["name"],
            registry=of,
            multiprocess_mode="livemax",
        )
        self.shed = Counter("salience_api_shed", "Calls turned away by the success rate.", ["name"], registry=of)
        self.room = Gauge(
            "salience_api_room",
            "Requests that a process takes in at once: fewer than api.max_in_flight while it is late.",
            registry=of,
            multiprocess_mode="livemin",
        )
        self.dropped = Counter(
            "salience_api_log_dropped", "Entries of the decision log that could not be kept.", registry=of
        )
        self.pending = Gauge(
            "salience_api_log_pending",
            "Entries of the decision log not yet written.",
            registry=of,
            multiprocess_mode="livesum",
        )
        self.revision = Gauge(
            "salience_api_revision", "The revision that decides.", registry=of, multiprocess_mode="livemin"
        )

    def flush(self) -> None:
        """Give what requests counted since to the library."""
        for each in (self.requests, self.evaluations, self.placements, self.seconds):
            each.flush()

    def text(self) -> bytes:
        """All of them in Prometheus' text format; those of all processes where they share a folder."""
        self.flush()
        if MULTIPROCESS_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        of_all = CollectorRegistry()
        multiprocess.MultiProcessCollector(of_all)  # type: ignore[no-untyped-call]  # ships without types here
        return generate_latest(of_all)
