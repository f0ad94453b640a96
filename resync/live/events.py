"""What a watch reports: its status after every event, as a JSON line or a line of text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from ..errors import printable
from ..report.limits import Limits
from ..report.result import json_line, ms, rounded
from ..report.text import clock, delay_text
from .window import Estimate

STATE_WORDS = {"no_face": "no face visible", "no_speech": "no speech: the audio is silent", "undecided": "no clear offset"}


@dataclass(frozen=True)
class Status:
    """How things stand.

    time_s: now, since the epoch; connected: whether the input is open; estimate: the latest one of this connection, None before it;
    answer: the latest certain one, and answered_s when that was; alarm: whether it is on, None before the first decision; alarms:
    how many times it was raised; answers: how many estimates were certain; dropped_s: video that was not analysed because the machine
    was too slow; watched_s: since the start.
    """

    input: str
    limits: Limits
    time_s: float
    connected: bool = False
    estimate: Estimate | None = None
    answer: Estimate | None = None
    answered_s: float | None = None
    alarm: bool | None = None
    alarms: int = 0
    answers: int = 0
    reconnects: int = 0
    dropped_s: float = 0.0
    watched_s: float = 0.0


class WatchEvent(NamedTuple):
    """Something that happened, and the status after it.

    kind: estimate, alarm, cleared, no_face, no_speech, connected, lost, ended or summary, or waiting: where there is nothing to estimate
    for as long as there would have been an estimate. reason: of lost and ended.
    """

    kind: str
    status: Status
    reason: str | None = None

    def to_json(self) -> str:
        """One line, with the same fields for every event; a value that is not known is null."""
        status, estimate = self.status, self.status.estimate
        delay_ms = ms(estimate.delay_s) if estimate else None
        row = {
            "event": self.kind,
            "time": datetime.fromtimestamp(status.time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "input": status.input,
            "connected": status.connected,
            "state": estimate.state if estimate else None,
            "stream_s": rounded(estimate.end_s) if estimate else None,
            "analysed_s": rounded(estimate.analysed_s, 2) if estimate else None,
            "audio_delay_ms": delay_ms,
            "uncertainty_ms": ms(estimate.uncertainty_s) if estimate else None,
            "certainty": rounded(estimate.certainty) if estimate else None,
            "limits": vars(status.limits),
            "verdict": status.limits.verdict(delay_ms),
            "alarm": status.alarm,
            "alarms": status.alarms,
            "answers": status.answers,
            "reconnects": status.reconnects,
            "dropped_s": rounded(status.dropped_s, 2),
            "watched_s": rounded(status.watched_s, 2),
            "reason": self.reason,
        }
        return json_line(row)

    def to_text(self) -> str:
        """One line, with the local time."""
        return printable(f"{datetime.fromtimestamp(self.status.time_s):%Y-%m-%d %H:%M:%S}  {self.kind:<9}  {self._detail()}")

    def _detail(self) -> str:
        status, estimate = self.status, self.status.estimate
        if self.kind == "summary":
            return summary_text(status)
        if self.kind == "connected":
            return status.input
        if self.reason:
            return self.reason
        if estimate is None:
            return ""
        text = f"{clock(estimate.end_s)}  {estimate_text(estimate)}"
        if self.kind == "alarm":
            limits = status.limits
            return f"{text}; beyond {limits.name} ({limits.early_ms:g} ms early to {limits.late_ms:g} ms late)"
        return f"{text}; alarm" if status.alarm and self.kind == "estimate" else text


def estimate_text(estimate: Estimate) -> str:
    """An estimate in words."""
    if estimate.delay_s is None or estimate.uncertainty_s is None or estimate.certainty is None:
        return STATE_WORDS[estimate.state]
    interval = f"+-{1000 * estimate.uncertainty_s:.0f} ms, certainty {estimate.certainty:.2f}"
    return f"audio is {delay_text(1000 * estimate.delay_s)}, {interval}"


def summary_text(status: Status) -> str:
    """What was seen in all, in words."""
    last = f"last answer: {estimate_text(status.answer)}" if status.answer else "no answer"
    counts = ((status.answers, "answer"), (status.alarms, "alarm"), (status.reconnects, "reconnect"))
    words = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
    dropped = f", {status.dropped_s:.0f} s not analysed: the machine is too slow" if status.dropped_s >= 1 else ""
    return f"watched for {clock(status.watched_s)}: {words}{dropped}; {last}"
