"""`resync demo`: make a talking clip, break its sync, fix it, check it. Needs no file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .config import Config
from .errors import OutputError
from .pipeline import analyze, fix
from .report import Outcome, Report
from .synth import talking_clip, write_clip

OK_MS = 40.0  # one frame at 25 fps may be left


def run(folder: Path, delay_ms: float, seed: int, seconds: float, tell: Callable[[str], None], say: Callable[[str], None]) -> int:
    """Write original.mp4, broken.mp4 and fixed.mp4 into `folder`; returns 0, or 3 when the clip was not put right.

    tell: gets the result lines; say: gets the talk. Raises OutputError and what `fix` raises.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{folder}: the folder cannot be made ({e.strerror}); name another one") from e
    original, broken, fixed = (folder / f"{name}.mp4" for name in ("original", "broken", "fixed"))
    say(f"making a talking clip of {seconds:g} s (a portrait from scikit-image, a synthetic voice) ...")
    clip = talking_clip(seconds=seconds, seed=seed)
    write_clip(clip, original)
    write_clip(clip, broken, audio_delay_ms=delay_ms)
    say(f"{broken}: its sound was moved {delay_ms:+g} ms; fixing it ...")
    report, written = fix(broken, fixed, Config(), overwrite=True)
    tell(Outcome(report.file, report, str(fixed), None if written is None else written.to_dict()).to_text())
    if written is None:
        return 3
    left = analyze(fixed, Config())
    tell(left.to_text())
    return _verdict(report, left, delay_ms, tell)


def _verdict(found: Report, left: Report, delay_ms: float, tell: Callable[[str], None]) -> int:
    right = left.audio_delay_ms is not None and abs(left.audio_delay_ms) <= OK_MS
    error = abs((found.audio_delay_ms or 0.0) - delay_ms)
    tell(f"broken by {delay_ms:+.0f} ms, found {found.audio_delay_ms:+.0f} ms (off by {error:.0f} ms): {'fixed' if right else 'NOT fixed'}")
    return 0 if right else 3
