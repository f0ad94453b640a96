"""The status of a watch for Prometheus: a file for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..remux.paths import output_errors
from .events import Status


def write_metrics(status: Status, path: Path) -> None:
    """Write the file, or replace it as a whole. Raises OutputError."""
    registry = CollectorRegistry()
    registry.register(StatusCollector(status))
    with output_errors(path):
        # Its temporary file does not end with .prom: the collector would read that, too.
        write_to_textfile(str(path), registry)


class StatusCollector(Collector):
    """The metrics of one status; those that are not known are left out."""

    def __init__(self, status: Status):
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, each with the input as its label."""
        status, answer = self._status, self._status.answer
        gauges: dict[str, tuple[str, float | None]] = {
            "resync_audio_delay_seconds": ("A/V offset of the last answer; positive: the audio is late", answer and answer.delay_s),
            "resync_audio_delay_uncertainty_seconds": ("Half-width of its 90 % interval", answer and answer.uncertainty_s),
            "resync_certainty": ("Certainty of the last answer, 0 to 1", answer and answer.certainty),
            "resync_last_answer_timestamp_seconds": ("When that was", status.answered_s),
            "resync_limit_early_seconds": ("Audio may be early by this", status.limits.early_ms / 1000),
            "resync_limit_late_seconds": ("Audio may be late by this", status.limits.late_ms / 1000),
            "resync_alarm": ("1 while the A/V offset is beyond the limits", status.alarm),
            "resync_connected": ("1 while the input is open", status.connected),
            "resync_last_update_timestamp_seconds": ("When these metrics were written", status.time_s),
        }
        for name, (words, value) in gauges.items():
            if value is not None:
                gauge = GaugeMetricFamily(name, words, labels=["input"])
                gauge.add_metric([status.input], float(value))
                yield gauge
        counters = {
            "resync_answers": ("Estimates that gave an answer", status.answers),
            "resync_alarms": ("Alarms raised", status.alarms),
            "resync_reconnects": ("Connections after the first one", status.reconnects),
            "resync_dropped_seconds": ("Video not analysed because the machine was too slow", status.dropped_s),
        }
        for name, (words, value) in counters.items():
            counter = CounterMetricFamily(name, words, labels=["input"])
            counter.add_metric([status.input], float(value))
            yield counter
