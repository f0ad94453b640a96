"""What the reading thread hands over to the analysis: a bounded queue of frames, and events in between."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from threading import Condition
from typing import TypeAlias

from ..media.video import Frame
from .window import AudioRing


@dataclass(frozen=True)
class Connected:
    """The input was opened."""


@dataclass(frozen=True)
class NewClock:
    """The frames that follow, and the audio in `ring`, count from a new zero: after a connection, and where timestamps jump."""

    ring: AudioRing


@dataclass(frozen=True)
class Lost:
    """The connection was lost, or could not be made; it is tried again, or waited for."""

    reason: str


@dataclass(frozen=True)
class Ended:
    """Nothing more will come. error: why, where that is an error."""

    reason: str
    error: Exception | None = None


_POLL_S = 1.0  # a wait takes no longer than this: an infinite one is not allowed
Item: TypeAlias = Frame | Connected | NewClock | Lost | Ended


class Feed:
    """A queue of at most max_frames frames.

    When it is full, the reader waits; when it has not been empty since, for max_behind_s, frames are dropped until it is. So the
    analysis never falls behind for long, and gets few, but long spans without gaps. dropped: number of frames.
    """

    def __init__(self, max_frames: int, max_behind_s: float):
        self._max_frames, self._max_behind_s = max_frames, max_behind_s
        self._items: deque[Item] = deque()
        self._frames = 0
        self._full_since: float | None = None
        self._is_dropping = self._is_closed = False
        self._changed = Condition()
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Add an event, or a frame unless it is dropped."""
        with self._changed:
            if isinstance(item, Frame):
                if not self._has_room():
                    self.dropped += 1
                    return
                self._frames += 1
            self._items.append(item)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Whether the next frame is kept; waits for room, as long as the analysis does not lag too much."""
        if not self._frames:
            self._full_since, self._is_dropping = None, False
        while self._frames >= self._max_frames and not self._is_dropping:
            now = time.monotonic()
            self._full_since = now if self._full_since is None else self._full_since
            left_s = self._full_since + self._max_behind_s - now
            self._is_dropping = self._is_closed or left_s <= 0
            if not self._is_dropping:
                self._changed.wait(min(left_s, _POLL_S))
        return not self._is_dropping

    def get(self, timeout_s: float) -> Item | None:
        """The next item, None where none comes in time."""
        with self._changed:
            if not self._items and not self._changed.wait_for(lambda: self._items, timeout_s):
                return None
            item = self._items.popleft()
            self._frames -= isinstance(item, Frame)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let a waiting reader go on; its frames are dropped."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
