"""The training cache on disk: what `prepare` writes and training reads.

A folder with `index.jsonl` (one line a face track), `crops/NAME.mkv` (mouth crops, a little wider
than the network's input so that training can move and scale them, as H.264) and `mels/NAME.npy`
(log-mel frames of the whole clip, uint8). Reading needs NumPy and PyAV or OpenCV, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import FPS, CropConfig
from ..errors import DataError

MARGIN = 1.25  # cached crops are this much wider than the network's input ...
FINENESS = 1.4  # ... and have this many more pixels a unit, so that another crop side can be tried
MEL_LOW, MEL_STEP = -7.0, 1 / 30  # uint8 mel = (log10 power - MEL_LOW) / MEL_STEP


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


def share_of_cached(config: CropConfig) -> float:
    """Side of the network's crop as a share of the cached one's."""
    return config.side_units / wide_crop(CropConfig()).side_units


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


def write_crops(path: Path, crops: np.ndarray) -> None:
    """Write mouth crops uint8 [n, S, S] as H.264, nearly without loss."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = crops.shape[1:]
        stream.pix_fmt = "gray"
        stream.codec_context.color_range = 2  # full range, as crops are
        for image in crops:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")))
        container.mux(stream.encode())


def write_mels(path: Path, mels: np.ndarray) -> None:
    """Write log-mel frames [n, bands] as uint8."""
    np.save(path, np.clip(np.round((mels - MEL_LOW) / MEL_STEP), 0, 255).astype(np.uint8))


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
        for picture in container.decode(video=0):
            yield picture.to_ndarray()[: picture.height]  # luma as stored: a conversion would stretch its range
