"""SMPTE timecode: that of a source, and arithmetic on it, drop-frame and non-drop-frame."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

#: Frame rates of timelines and timecode.
_NTSC_RATES = tuple(Fraction(1000 * n, 1001) for n in (24, 30, 48, 60, 120))
FRAME_RATES = (*_NTSC_RATES, *map(Fraction, (24, 25, 30, 48, 50, 60, 100, 120)))
_MULTIPLES = (1, 2, 3, 4)  # 12.5 and 15 fps run on timelines of 25 and 30 fps
_SAME_RATE = 4e-4  # relative; 30 and 29.97 fps differ by 1e-3
TIMECODE = r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d\d?)"  # hh:mm:ss:ff, with a semicolon or a point before ff for drop-frame


class Timecode(NamedTuple):
    """A timecode. frames: number of frames since 00:00:00:00; rate: frames per second; drop: whether frame numbers are dropped."""

    frames: int
    rate: Fraction
    drop: bool = False

    @classmethod
    def parse(cls, text: str, rate: Fraction) -> Timecode:
        """The timecode written as hh:mm:ss:ff, with a semicolon (or a point) before ff for drop-frame. Raises ValueError.

        Drop-frame exists at 29.97, 59.94 and 119.88 fps only; at other rates the mark has no meaning.
        """
        match = re.fullmatch(TIMECODE, text.strip())
        if not match:
            raise ValueError(f"{text!r} is not a timecode")
        hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
        base = round(rate)
        if minutes > 59 or seconds > 59 or frames >= base:
            raise ValueError(f"{text!r} is not a timecode at {float(rate):g} frames per second")
        drop = match[4] != ":" and can_drop(rate)
        minutes += 60 * hours
        number = (60 * minutes + seconds) * base + frames
        return cls(number - (_dropped(rate) * (minutes - minutes // 10) if drop else 0), rate, drop)

    @property
    def seconds(self) -> Fraction:
        """Real time since 00:00:00:00, in s."""
        return self.frames / self.rate

    def plus(self, frames: int) -> Timecode:
        """The timecode so many frames later."""
        return self._replace(frames=self.frames + frames)

    def __str__(self) -> str:
        base, number = round(self.rate), self.frames
        if self.drop:
            # The first numbers of every minute are skipped, except in every tenth.
            dropped = _dropped(self.rate)
            per_minute, per_ten = 60 * base - dropped, 600 * base - 9 * dropped
            tens, rest = divmod(number, per_ten)
            number += dropped * (9 * tens + max(0, (rest - dropped) // per_minute))
        seconds, frame = divmod(number % (24 * 3600 * base), base)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        return f"{hour:02d}:{minute:02d}:{second:02d}{';' if self.drop else ':'}{frame:02d}"


def can_drop(rate: Fraction) -> bool:
    """Whether drop-frame timecode exists at a frame rate."""
    return rate.denominator == 1001 and round(rate) % 30 == 0


def _dropped(rate: Fraction) -> int:
    """Frame numbers dropped per minute: 2 at 29.97 fps, 4 at 59.94 fps."""
    return round(rate) // 15


def timeline_rate(fps: float) -> Fraction:
    """The frame rate of a timeline for a video of fps frames per second: the same, a multiple of it, or else the nearest in FRAME_RATES."""
    for multiple in _MULTIPLES:
        for rate in FRAME_RATES:
            if abs(multiple * fps / rate - 1) < _SAME_RATE:
                return rate
    return min(FRAME_RATES, key=lambda rate: abs(fps - rate))


def start_timecode(text: str | None, fps: float) -> Timecode:
    """The timecode of the first frame of a video: `text`, or 00:00:00:00 where there is none or it does not fit the frame rate."""
    rate = timeline_rate(fps)
    try:
        return Timecode.parse(text or "", rate)
    except ValueError:
        return Timecode(0, rate)
