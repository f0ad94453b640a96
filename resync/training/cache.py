"""The training cache on disk, which `prepare` writes and training reads.

A folder with `index.jsonl` (one line a face track), `crops/NAME.mkv` (mouth crops as H.264, larger
than the network's input so that training can shift and scale them) and `mels/NAME.npy` (log-mel
frames of the whole clip, uint8). Reading needs NumPy and either PyAV or OpenCV, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..config import FPS, CropConfig
from ..errors import DataError

INDEX_NAME = "index.jsonl"
MARGIN = 1.25  # side of a cached crop relative to the network's crop
OVERSAMPLING = 1.4  # pixels per face unit of a cached crop relative to the network's crop, so that other crop sides can be tried
MEL_LOW, MEL_STEP = -7.0, 1 / 30  # uint8 mel = (log10 power - MEL_LOW) / MEL_STEP


@dataclass(frozen=True)
class Entry:
    """One face track of the cache; the fields are the keys of a line of the index.

    start, frames: first frame and length of the track, in frames of 25 fps from the start of the clip;
    delay_ms: how late the clip's audio is according to the index, None if unknown. The rest are conditions, None if unknown:
    face_px: mean height of the face in px; yaw and background_db: see conditions.py; fps: frame rate of the clip.
    """

    name: str
    file: str
    split: str
    source: str
    speaker: str
    start: int
    frames: int
    delay_ms: float | None
    face_px: float | None = None
    yaw: float | None = None
    background_db: float | None = None
    fps: float | None = None
    language: str | None = None


def wide_crop(config: CropConfig) -> CropConfig:
    """Geometry of the cached crops: `config` with a margin around it."""
    return replace(config, side_units=config.side_units * MARGIN, size=round(config.size * MARGIN * OVERSAMPLING))


def relative_crop_side(config: CropConfig) -> float:
    """Side of the network's crop divided by the side of the cached crop."""
    return config.side_units / wide_crop(CropConfig()).side_units


def read_index(cache: Path) -> list[Entry]:
    """Entries of a cache. Raises DataError if the folder is not a cache."""
    try:
        with open(cache / INDEX_NAME) as lines:
            entries = [Entry(**json.loads(line)) for line in lines]
        for entry in entries:
            if Path(entry.name).name != entry.name:  # it names files of the cache
                raise ValueError(f"{entry.name} is not the name of a track")
        return entries
    except (OSError, TypeError, ValueError, RecursionError) as e:
        raise DataError(f"{cache}: not a training cache ({e}); create one with: resync prepare") from e


def read_crops(cache: Path, entry: Entry) -> np.ndarray:
    """Cached mouth crops of one track: uint8 [frames, S, S]. Raises DataError if the file and the index differ."""
    path = cache / "crops" / f"{entry.name}.mkv"
    images = list(islice(_decode(path), entry.frames + 1))
    if len(images) != entry.frames:
        raise DataError(f"{path}: {len(images)} frames, but the index says {entry.frames}; delete the cache and prepare it again")
    return np.stack(images)


def read_mels(cache: Path, entry: Entry) -> np.ndarray:
    """Cached log-mel frames of the track's clip, from its start: float16 [n, bands]. Raises DataError."""
    path = cache / "mels" / f"{entry.name}.npy"
    try:
        quantised = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, a header cannot claim more than the file has
    except (OSError, ValueError, EOFError) as e:
        raise DataError(f"{path}: cannot be read ({e}); delete the cache and prepare it again") from e
    return (quantised * np.float16(MEL_STEP) + np.float16(MEL_LOW)).astype(np.float16)


def write_crops(path: Path, crops: np.ndarray) -> None:
    """Write mouth crops, uint8 [n, S, S], as nearly lossless H.264."""
    import av

    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = crops.shape[1:]
        stream.pix_fmt = "gray"
        stream.codec_context.color_range = 2  # full range, as the crops are
        for image in crops:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")))
        container.mux(stream.encode())


def write_mels(path: Path, mels: np.ndarray) -> None:
    """Write log-mel frames, float [n, bands], as uint8."""
    np.save(path, np.clip(np.round((mels - MEL_LOW) / MEL_STEP), 0, 255).astype(np.uint8))


def _decode(path: Path) -> Iterator[np.ndarray]:
    """Gray images of a video, uint8 [H, W] each, by PyAV or, if that is not installed, by OpenCV."""
    try:
        from ..media.container import open_container
    except ImportError:
        import cv2

        reader = cv2.VideoCapture(str(path))
        while (image := reader.read()[1]) is not None:
            yield image[:, :, 0]
        return
    with open_container(path) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray()[: frame.height]  # luma as stored: a conversion would change its range
