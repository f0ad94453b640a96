"""What version 0.3 stored in its results caches, JSON lines, so that its results need not be computed again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..api import FixOptions
from ..config import Config
from ..media.probe import probe, require_video
from ..remux.paths import Overwrite
from ..syncnet.checkpoint import sha256_of
from .settings import recording_stamp, weights_path

MAGIC = b'{"file": '  # at the start of such a file
ANALYSIS = 1  # the version of its analysis
_CONFIG = "media faces curve decide sampling device weights".split()
_OPTIONS = "force fix_drift fix_jumps reencode each_track overwrite export plot".split()


def read_rows(path: Path) -> Iterator[tuple[bytes, str, str, int, int, int, str, str]]:
    """The rows of the table of a new cache, from the lines of an old one. Raises OSError."""
    for line in path.read_bytes().splitlines():
        with suppress(ValueError, KeyError, TypeError):  # what a run that was killed left unfinished
            row = json.loads(line)
            result, (size, mtime_ns) = row["result"], row["stamp"]
            written, outputs = result.get("written"), []
            if written:
                with suppress(OSError):  # the output is gone, so the file is not done
                    outputs.append((os.path.abspath(written["file"]), os.path.getsize(written["file"])))
            texts = json.dumps(outputs), json.dumps(result | {"written": written})
            task = "fix" if "written" in result else "check"
            yield os.fsencode(row["file"]), row["settings"], task, ANALYSIS, size, mtime_ns, *texts


def settings_digest(config: Config, audio: Path | None, options: FixOptions) -> str:
    """The digest by which version 0.3 found the results for these settings."""
    names = {"Config": (_CONFIG, config), "FixOptions": (_OPTIONS, replace(options, overwrite=Overwrite.NEVER))}
    old = {name: f"{name}({', '.join(f'{field}={getattr(of, field)!r}' for field in fields)})" for name, (fields, of) in names.items()}
    digest, recording = sha256_of(weights_path(config)), recording_stamp(audio)
    return hashlib.sha256(f"('0.3.0', {digest!r}, {old['Config']}, {recording!r}, {old['FixOptions']})".encode()).hexdigest()[:16]


def completed(result: dict[str, Any], source: Path) -> dict[str, Any]:
    """A result with the fields that version 0.3 did not know. Raises MediaError."""
    info = probe(source)
    video = require_video(info)
    faces = [{"certainty": None, "uncertainty_ms": None} | face for face in result["faces"]]
    new = {"width": video.width, "height": video.height, "timecode": info.timecode, "video_start_s": round(video.start_s, 4)}
    return result | new | {"faces": faces}
