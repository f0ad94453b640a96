"""Clips to a training cache, made by the same code that the tool runs when it analyses a file."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from ..config import CropConfig, FaceConfig, MelConfig
from ..crops import mouth_crops
from ..errors import DataError, ResyncError
from ..faces import make_detector
from .cache import Entry, read_index, wide_crop, write_crops, write_mels
from .clips import find_clips, read_clip


def prepare(
    clips: Path,
    out: Path,
    *,
    index: Path | None = None,
    faces: FaceConfig = FaceConfig(),
    crop: CropConfig = CropConfig(),
    mel: MelConfig = MelConfig(),
    jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Entry]:
    """Fill the cache folder `out` from the clips below `clips`; returns its index.

    index: tab-separated, with columns file, split, source, speaker and suspected_delay_ms;
    without it every clip is `train`, its folder names the speaker, and it counts as in sync. Clips already in the cache are
    kept, so a broken run can be taken up again. Raises DataError when there is nothing to read.
    """
    rows = list(_rows(clips, index))
    if not rows:
        raise DataError(f"{index}: no clips named there")
    for folder in ("crops", "mels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    done = {e.file: e for e in read_index(out)} if (out / "index.jsonl").exists() else {}
    todo = [r for r in rows if r["file"] not in done]
    with ProcessPoolExecutor(jobs or os.cpu_count()) as pool, open(out / "index.jsonl", "a") as log:
        tasks = [pool.submit(_prepare_one, clips, out, r, faces, crop, mel) for r in todo]
        for i, task in enumerate(tasks):
            entries, complaint = task.result()
            for entry in entries:
                log.write(json.dumps(asdict(entry)) + "\n")
            log.flush()
            if progress:
                progress(i + 1, len(tasks), complaint)
    return read_index(out)


def _rows(clips: Path, index: Path | None) -> Iterator[dict]:
    if index is None:
        for path in find_clips(clips):
            file = str(path.relative_to(clips))
            yield {"file": file, "split": "train", "source": clips.name, "speaker": path.parent.name, "suspected_delay_ms": "0"}
        return
    try:
        with open(index, newline="") as f:
            table = csv.DictReader(f, delimiter="\t")
            if missing := {"file", "split", "source", "speaker"} - set(table.fieldnames or ()):
                raise DataError(f"{index}: no column {', '.join(sorted(missing))}; the first line must name the columns, tab-separated")
            yield from table
    except OSError as e:
        raise DataError(f"{index}: cannot be read ({e.strerror})") from e


@lru_cache(maxsize=1)
def _detector(config: FaceConfig):
    return make_detector(config.detector, replace(config, threads=1))  # one process a core already


def _prepare_one(clips: Path, out: Path, row: dict, faces: FaceConfig, crop: CropConfig, mel: MelConfig) -> tuple[list[Entry], str]:
    """One clip into the cache: its entries, and a complaint when there are none."""
    path = clips / row["file"]
    name = Path(row["file"]).with_suffix("").as_posix().replace("/", "__")
    try:
        clip = read_clip(path, _detector(faces), faces, mel)
    except ResyncError as e:
        return [], str(e)
    delay = row.get("suspected_delay_ms") or ""
    entries = []
    for i, track in enumerate(clip.tracks):
        entry = Entry(
            name=f"{name}.{i}",
            file=row["file"],
            split=row["split"],
            source=row["source"],
            speaker=row["speaker"],
            start=clip.start + track.start,
            frames=len(track.landmarks),
            delay_ms=float(delay) if delay else None,
        )
        write_crops(out / "crops" / f"{entry.name}.mkv", mouth_crops(clip.grays, track, wide_crop(crop)))
        write_mels(out / "mels" / f"{entry.name}.npy", clip.mels)
        entries.append(entry)
    return entries, ""
