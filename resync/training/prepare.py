"""Clips to a compact cache, made by the same code that the tool runs when it analyses a file.

The cache is a folder: `index.jsonl` (one line a face track), `crops/NAME.mkv` (mouth crops,
a little wider than the network's input so that training can move and scale them, as H.264)
and `mels/NAME.npy` (log-mel frames of the whole clip, uint8). Nothing else is needed to train.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..config import FPS, CropConfig, FaceConfig, MelConfig
from ..crops import mouth_crops
from ..errors import DataError, ResyncError
from ..faces import make_detector
from ..media import picture_phase, probe, read_frames, read_sound, require_video_and_sound
from ..mels import log_mel
from ..tracks import link, scan

MARGIN = 1.25  # cached crops are this much wider than the network's input ...
FINENESS = 1.4  # ... and have this many more pixels a unit, so that another crop side can be tried
MEL_LOW, MEL_STEP = -7.0, 1 / 30  # uint8 mel = (log10 power - MEL_LOW) / MEL_STEP
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".webm", ".flv", ".m4v", ".ts"}


@dataclass(frozen=True)
class Entry:
    """One face track of the cache. Times are frames of 25 fps from the clip's start.

    delay_ms: how late the clip's own sound is believed to be; None = not known.
    """

    name: str
    file: str
    split: str
    source: str
    speaker: str
    start: int
    frames: int
    delay_ms: float | None


def wide_crop(config: CropConfig) -> CropConfig:
    """The geometry of cached crops: `config` with a margin around it."""
    return replace(config, side_units=config.side_units * MARGIN, size=round(config.size * MARGIN * FINENESS))


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
        raise DataError(f"{clips}: no video files below this folder")
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
    (out / "geometry.json").write_text(json.dumps({"crop": asdict(crop), "mel": asdict(mel)}))
    return read_index(out)


def read_index(cache: Path) -> list[Entry]:
    """Entries of a cache. Raises DataError when `cache` is none."""
    try:
        return [Entry(**json.loads(line)) for line in open(cache / "index.jsonl")]
    except (OSError, TypeError, ValueError) as e:
        raise DataError(f"{cache}: not a training cache ({e}); make one with: resync prepare") from e


def read_crops(cache: Path, entry: Entry) -> np.ndarray:
    """Cached mouth crops of one track: uint8 [frames, S, S]. Reads with PyAV or, where that is missing, OpenCV."""
    path = cache / "crops" / f"{entry.name}.mkv"
    frames = list(_decode(path))
    if len(frames) != entry.frames:
        raise DataError(f"{path}: {len(frames)} frames, the index says {entry.frames}; remove the cache and prepare it again")
    return np.stack(frames)


def read_mels(cache: Path, entry: Entry) -> np.ndarray:
    """Cached log-mel frames of the track's clip from its start: float16 [n, bands]."""
    packed = np.load(cache / "mels" / f"{entry.name}.npy")
    return (packed * np.float16(MEL_STEP) + np.float16(MEL_LOW)).astype(np.float16)


def _rows(clips: Path, index: Path | None) -> Iterator[dict]:
    if index is None:
        for path in sorted(p for p in clips.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES):
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
        require_video_and_sound(probe(path))
        frames = list(read_frames(path, nearest=True))
        seen = scan((f.image for f in frames), _detector(faces), faces)
        tracks = link(seen, faces)
        mels = log_mel(read_sound(path, start_s=picture_phase(frames)), mel) if tracks else np.empty(0)
    except ResyncError as e:
        return [], str(e)
    if not tracks:
        return [], f"{path}: no face"
    delay = row.get("suspected_delay_ms") or ""
    entries = []
    for i, track in enumerate(tracks):
        entry = Entry(
            name=f"{name}.{i}",
            file=row["file"],
            split=row["split"],
            source=row["source"],
            speaker=row["speaker"],
            start=frames[0].index + track.start,
            frames=len(track.landmarks),
            delay_ms=float(delay) if delay else None,
        )
        _encode(out / "crops" / f"{entry.name}.mkv", mouth_crops(seen.grays, track, wide_crop(crop)))
        packed = np.clip(np.round((mels - MEL_LOW) / MEL_STEP), 0, 255).astype(np.uint8)
        np.save(out / "mels" / f"{entry.name}.npy", packed)
        entries.append(entry)
    return entries, ""


def _encode(path: Path, crops: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = crops.shape[1:]
        stream.pix_fmt = "gray"
        stream.codec_context.color_range = 2  # full range, as crops are
        for image in crops:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")))
        container.mux(stream.encode())


def _decode(path: Path) -> Iterator[np.ndarray]:
    try:
        import av
    except ImportError:
        import cv2

        reader = cv2.VideoCapture(str(path))
        while (frame := reader.read()[1]) is not None:
            yield frame[:, :, 0]
        return
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray()[: frame.height]  # luma as stored: a conversion would stretch its range
