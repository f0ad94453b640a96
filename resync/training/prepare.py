"""Clips to a training cache, decoded and cropped by the same code that analyses a file."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain, count
from pathlib import Path

from ..config import CropConfig, FaceConfig, MelConfig
from ..errors import DataError, ResyncError
from ..faces.crops import mouth_crops
from ..faces.detect import Detector, make_detector
from .cache import INDEX_NAME, Entry, read_index, wide_crop, write_crops, write_mels
from .clips import find_clips, read_clip, require_below
from .conditions import background_level, face_yaw


@dataclass(frozen=True)
class _Settings:
    """What every worker process needs."""

    clips: Path
    cache: Path
    faces: FaceConfig
    crop: CropConfig
    mel: MelConfig


def prepare_cache(
    clips: Path,
    cache: Path,
    *,
    index: Path | None = None,
    faces: FaceConfig = FaceConfig(),
    crop: CropConfig = CropConfig(),
    mel: MelConfig = MelConfig(),
    jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Entry]:
    """Fill the folder `cache` from the clips below `clips`; returns all entries of its index.

    index: tab-separated, with columns file, split, source, speaker and optionally suspected_delay_ms and language. Without it every
    clip is `train`, its folder names the speaker, and it counts as in sync. Clips already in the cache are
    skipped, so an interrupted run can be resumed. jobs: worker processes, by default one per core.
    progress: called after each clip with the clips done, their total, and why the clip was left out ("" if it was not).
    Raises DataError if there are no clips, or if a worker process dies.
    """
    rows = list(_read_rows(clips, index))
    if not rows:
        raise DataError(f"{index}: no clips listed")
    for folder in ("crops", "mels"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
        if any((cache / folder).iterdir()) and not (cache / INDEX_NAME).exists():
            raise DataError(f"{cache / folder}: holds files, but {cache} is no training cache; name another folder")
    cached = _cached_clips(cache)
    rows = [row for row in rows if row["file"] not in cached]
    names = cache_names([row["file"] for row in rows], cached)
    settings = _Settings(clips, cache, faces, crop, mel)
    with open(cache / INDEX_NAME, "a") as index_file, closing(_prepare_clips(settings, rows, names, jobs)) as results:
        for done, (entries, complaint) in enumerate(results, 1):
            index_file.writelines(json.dumps(asdict(entry)) + "\n" for entry in entries)
            index_file.flush()
            if progress:
                progress(done, len(rows), complaint)
    return read_index(cache)


def _prepare_clips(
    settings: _Settings, rows: list[dict[str, str]], names: dict[str, str], jobs: int | None
) -> Generator[tuple[list[Entry], str], None, None]:
    """Results of `_prepare_clip` for all rows, in order, computed by worker processes. Raises DataError if one dies."""
    try:
        with ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
            try:
                for task in [pool.submit(_prepare_clip, settings, row, names[row["file"]]) for row in rows]:
                    yield task.result()
            finally:
                pool.shutdown(cancel_futures=True)  # when interrupted, do not finish all clips first
    except BrokenProcessPool as e:
        raise DataError(
            f"{settings.cache}: a worker process was killed, perhaps for lack of memory; run the same command again with fewer --jobs"
        ) from e


def cache_names(files: list[str], cached: dict[str, str]) -> dict[str, str]:
    """A name in the cache for each file, different from one another and from the names in `cached` (by file).

    It is the path with __ for / and without suffix; with suffix, and if need be a number, where another
    file has that name already.
    """
    names: dict[str, str] = {}
    taken = set(cached.values())
    for file in files:
        if file not in names:
            full = Path(file).as_posix().replace("/", "__")
            short = Path(file).with_suffix("").as_posix().replace("/", "__")
            numbered = (f"{full}-{n}" for n in count(2))
            names[file] = next(name for name in chain((short, full), numbered) if name not in taken)
            taken.add(names[file])
    return names


def _cached_clips(cache: Path) -> dict[str, str]:
    """Name in the cache by file of the clips that are there already.

    Older versions gave clips that differ only in suffix the same name, so that one overwrote the
    other: these are removed from the index, to be prepared again.
    """
    if not (cache / INDEX_NAME).exists():
        return {}
    entries = read_index(cache)
    files = defaultdict(set)
    for entry in entries:
        files[entry.name].add(entry.file)
    overwritten = {file for same_name in files.values() if len(same_name) > 1 for file in same_name}
    if overwritten:
        entries = [entry for entry in entries if entry.file not in overwritten]
        temporary = cache / f"{INDEX_NAME}.tmp"
        temporary.write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in entries))
        temporary.replace(cache / INDEX_NAME)
    return {entry.file: entry.name.rpartition(".")[0] for entry in entries}


def _read_rows(clips: Path, index: Path | None) -> Iterator[dict[str, str]]:
    """One dict per clip, with the columns of the index. Raises DataError."""
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
            for row in table:
                if None in row.values() or not _is_number(row.get("suspected_delay_ms") or "0"):
                    raise DataError(f"{index}: line {table.line_num} has too few columns, or a suspected_delay_ms that is not a number")
                require_below(row["file"], index)
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise DataError(f"{index}: cannot read ({e}); give a tab-separated text file") from e


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@lru_cache(maxsize=1)
def _load_detector(config: FaceConfig) -> Detector:
    return make_detector(config.detector, replace(config, threads=1))  # there is one process per core already


def _prepare_clip(settings: _Settings, row: dict[str, str], name: str) -> tuple[list[Entry], str]:
    """Write one clip to the cache: its entries, and a complaint if there are none."""
    try:
        clip = read_clip(settings.clips / row["file"], _load_detector(settings.faces), settings.faces, settings.mel)
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
            face_px=round(track.size, 1),
            yaw=round(face_yaw(track.landmarks), 3),
            background_db=round(background_level(clip.mels), 1),
            fps=round(clip.fps, 3) if clip.fps else None,
            language=row.get("language") or None,
        )
        write_crops(settings.cache / "crops" / f"{entry.name}.mkv", mouth_crops(clip.gray_images, track, wide_crop(settings.crop)))
        write_mels(settings.cache / "mels" / f"{entry.name}.npy", clip.mels)
        entries.append(entry)
    return entries, ""
