"""When an alarm is raised and cleared. Pure: estimates in, changes out."""

from __future__ import annotations

from typing import Literal

from ..config import LiveConfig
from ..report.limits import Limits
from .window import Estimate

Change = Literal["alarm", "cleared"]


class Alarm:
    """Raised when the delay is beyond the limits, cleared when it is within them by a margin.

    Either takes estimates that agree with each other over `confirm_s`; estimates without a certain answer count for nothing. So one
    wrong estimate raises no alarm, and a delay close to a limit does not make it flicker.
    is_on: None until the first decision.
    """

    def __init__(self, limits: Limits, live: LiveConfig = LiveConfig()):
        self._limits, self._live = limits, live
        self.is_on: bool | None = None
        self._run: list[Estimate] = []  # first and last of the estimates that agree

    def update(self, estimate: Estimate) -> Change | None:
        """Take the next estimate; returns what it changes."""
        live = self._live
        if estimate.delay_s is None or estimate.certainty is None or estimate.certainty < live.min_certainty:
            return None
        if not self._agrees(estimate):
            self._run = [estimate]
        self._run = [self._run[0], estimate]
        if estimate.end_s - self._run[0].end_s < live.confirm_s:
            return None
        beyond, changed = self._is_beyond(estimate), self.is_on
        if beyond is not None:
            self.is_on = beyond
        if self.is_on == changed:
            return None
        return "alarm" if self.is_on else "cleared" if changed else None

    def restart(self) -> None:
        """Forget the estimates so far, but not whether the alarm is on: the clock of the stream begins anew."""
        self._run = []

    def _agrees(self, estimate: Estimate) -> bool:
        if not self._run:
            return False
        last, live = self._run[-1], self._live
        assert estimate.delay_s is not None and last.delay_s is not None
        is_recent = estimate.end_s - last.end_s <= live.window_s
        return is_recent and abs(estimate.delay_s - last.delay_s) <= live.agree_s and self._is_beyond(estimate) == self._is_beyond(last)

    def _is_beyond(self, estimate: Estimate) -> bool | None:
        """Whether a delay is beyond the limits; None where it is within them, but not by enough to clear the alarm."""
        assert estimate.delay_s is not None
        excess_ms = self._limits.excess_ms(1000 * estimate.delay_s)
        if excess_ms > 0:
            return True
        margin_ms = min(1000 * self._live.margin_s, (self._limits.early_ms + self._limits.late_ms) / 4)
        return None if self.is_on and excess_ms > -margin_ms else False
