"""The watch itself: frames from the reader to estimates, alarms and events."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import chain

from ..config import FPS, WINDOW_FRAMES, Config, LiveConfig
from ..media.video import Frame
from ..report.limits import Limits
from ..sync.scoring import Engine, embed_segment, extract_mouths
from .alarm import Alarm
from .events import Status, WatchEvent
from .feed import Connected, Ended, Feed, Item, Lost, NewClock
from .inputs import LiveInput
from .reader import StreamReader
from .window import AudioRing, Estimate, SlidingWindow, tested_ranges_s

_SPARE_AUDIO_S = 5.0  # the audio of a stream comes earlier or later than its video
_POLL_S = 0.5  # how often a wait for frames returns, for signals and deadlines
_ANNOUNCED = ("no_face", "no_speech")  # states that are events of their own


class Monitor:
    """Watches one input. exhaustive: analyse all of it, a recording from its beginning, and drop nothing."""

    def __init__(
        self, engine: Engine, config: Config, source: LiveInput, limits: Limits, live: LiveConfig = LiveConfig(), exhaustive: bool = False
    ):
        self._engine, self._config, self._live = engine, config, live
        self._feed = Feed(live.max_frames_ahead, math.inf if exhaustive else live.max_behind_s if source.is_pulled else 0.0)
        audio_s = live.window_s + live.step_s + 2 * max(tested_ranges_s(config, live)) + _SPARE_AUDIO_S
        self._reader = StreamReader(source, self._feed, config.media, live, audio_s, exhaustive)
        self._alarm = Alarm(limits, live)
        self._window = SlidingWindow(engine, config, live, AudioRing(audio_s))
        self._tail: deque[Frame] = deque(maxlen=WINDOW_FRAMES - 1)  # the last frames analysed: windows go on from them
        self._held: Item | None = None
        self._printed_s = 0.0
        self._was_connected = False
        self._announced: str | None = None  # the latest state that was an event, as long as it lasts
        self._lost_reason: str | None = None
        self._began = self._reported = time.monotonic()  # the start, and the latest event
        self._until = math.inf
        self.status = Status(source.name, limits, time.time())

    def events(self, duration_s: float | None = None, once: bool = False) -> Generator[WatchEvent, None, None]:
        """Yield the events as they come, until the input has ended for good, or after duration_s; once: until the first decision on the
        alarm. Close the generator to stop earlier. Raises MediaError for an input that cannot be read and is not tried again.
        """
        self._began = self._reported = time.monotonic()
        self._until = self._began + (math.inf if duration_s is None else duration_s)
        self._reader.start()
        try:
            while time.monotonic() < self._until:
                item = self._take(max(_POLL_S, self._reported + self._live.every_s - time.monotonic()))
                if item is None:
                    if time.monotonic() < self._until:
                        yield self._event("waiting")
                    continue
                yield from self._handle(item)
                if isinstance(item, Ended) or (once and self.status.alarm is not None):
                    return
        finally:
            self._reader.close()

    def summary(self) -> WatchEvent:
        """The last event: the input is closed."""
        return self._event("summary", connected=False)

    def _take(self, patience_s: float = math.inf) -> Item | None:
        """The next item of the feed, None where none comes in time."""
        until = min(self._until, time.monotonic() + patience_s)
        while self._held is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return None
            self._held = self._feed.get(min(left_s, _POLL_S))
        item, self._held = self._held, None
        return item

    def _handle(self, item: Item) -> Iterator[WatchEvent]:
        if isinstance(item, Frame):
            yield from self._analyse(item)
        elif isinstance(item, NewClock):
            self._window = SlidingWindow(self._engine, self._config, self._live, item.ring)
            self._tail.clear()
            self._alarm.restart()
            self._printed_s = 0.0
            self.status = replace(self.status, estimate=None)
        elif isinstance(item, Connected):
            reconnects, self._was_connected = self.status.reconnects + self._was_connected, True
            yield self._event("connected", connected=True, reconnects=reconnects)
        elif isinstance(item, Lost):
            if self.status.connected or item.reason != self._lost_reason:
                yield self._event("lost", item.reason, connected=False, estimate=None)
            self._lost_reason = item.reason
        else:
            if item.error:
                raise item.error
            yield self._event("ended", item.reason, connected=False)

    def _analyse(self, first: Frame) -> Iterator[WatchEvent]:
        """Embed a step of video that begins with this frame, and judge the window that ends with it."""
        if self._tail and self._tail[-1].index + 1 != first.index:
            self._tail.clear()
        mouths = extract_mouths(self._engine, chain(tuple(self._tail), self._step(first)), self._config)
        if len(mouths.ticks) < WINDOW_FRAMES:
            return
        estimate = self._window.add(embed_segment(self._engine, mouths))
        change = self._alarm.update(estimate)
        self._note(estimate)
        if self._is_news(estimate):
            yield self._event(estimate.state)
        if change:
            yield self._event(change, alarms=self.status.alarms + (change == "alarm"))
        if estimate.end_s - self._printed_s >= self._live.every_s - 0.5 / FPS:
            self._printed_s = estimate.end_s
            yield self._event("estimate")

    def _step(self, first: Frame) -> Iterator[Frame]:
        """Consecutive frames from this one on, for one step; what comes instead is held back."""
        item: Item | None = first
        for number in range(first.index, first.index + round(self._live.step_s * FPS)):
            if number > first.index:
                item = self._take()
            if not isinstance(item, Frame) or item.index != number:
                self._held = item
                return
            self._tail.append(item)
            yield item

    def _is_news(self, estimate: Estimate) -> bool:
        """Whether the state is an event: a whole window without faces or speech, after one with them."""
        if estimate.state not in _ANNOUNCED:
            self._announced = None
        elif estimate.end_s >= self._live.window_s - 0.5 / FPS and self._announced != estimate.state:
            self._announced = estimate.state
            return True
        return False

    def _note(self, estimate: Estimate) -> None:
        """Take an estimate into the status."""
        self.status = replace(self.status, estimate=estimate, alarm=self._alarm.is_on)
        if estimate.delay_s is not None:
            self.status = replace(self.status, answer=estimate, answered_s=time.time(), answers=self.status.answers + 1)

    def _event(self, kind: str, reason: str | None = None, **changes) -> WatchEvent:
        self._reported = time.monotonic()
        watched_s, dropped_s = self._reported - self._began, self._feed.dropped / FPS
        self.status = replace(self.status, time_s=time.time(), watched_s=watched_s, dropped_s=dropped_s, **changes)
        return WatchEvent(kind, self.status, reason)
