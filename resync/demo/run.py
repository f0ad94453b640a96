"""`resync demo`: generate a talking-head clip, delay its audio, fix it and verify the result. Needs no input file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..api import Analyzer, FixOptions
from ..config import Config
from ..errors import OutputError, UndecidedError
from ..remux.paths import Overwrite
from ..report.result import Outcome
from ..report.text import outcome_text, report_text
from .clip import talking_clip, write_clip

MAX_RESIDUAL_MS = 40.0  # accepted delay of the fixed file: one frame at 25 fps
NOT_FIXED = UndecidedError.exit_code


def run(folder: Path, delay_ms: float, seed: int, seconds: float, print_result: Callable[[str], None], log: Callable[[str], None]) -> int:
    """Write original.mp4, broken.mp4 and fixed.mp4 to `folder`. Returns the exit code: 0, or 3 if the clip was not fixed.

    print_result receives the reports, log the progress messages. Existing files that resync wrote are replaced.
    Raises OutputError for any other media file of these names and for a folder that cannot be created, and what `Analyzer.fix` raises.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot create the folder ({error.strerror}); choose another one") from error
    original, broken, fixed = (folder / f"{name}.mp4" for name in ("original", "broken", "fixed"))
    log(f"generating a {seconds:g} s clip of a talking head ...")
    clip = talking_clip(seconds=seconds, seed=seed)
    write_clip(clip, original)
    write_clip(clip, broken, audio_delay_ms=delay_ms)
    log(f"{broken}: audio shifted by {delay_ms:+g} ms; fixing it ...")
    analyzer = Analyzer(Config())
    report, written = analyzer.fix(broken, fixed, FixOptions(overwrite=Overwrite.OWN))
    print_result(outcome_text(Outcome(report.file, report, str(fixed), None if written is None else written.to_dict())))
    if written is None or report.audio_delay_ms is None:
        return NOT_FIXED
    check = analyzer.analyze(fixed)
    print_result(report_text(check))
    is_fixed = check.audio_delay_ms is not None and abs(check.audio_delay_ms) <= MAX_RESIDUAL_MS
    error_ms = abs(report.audio_delay_ms - delay_ms)
    verdict = "fixed" if is_fixed else "NOT fixed"
    print_result(f"applied delay {delay_ms:+.0f} ms, measured {report.audio_delay_ms:+.0f} ms (error {error_ms:.0f} ms): {verdict}")
    return 0 if is_fixed else NOT_FIXED
