"""Video files for training and evaluation: which ones a folder or list contains, and their faces and audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import MEDIA_SUFFIXES, FaceConfig, MelConfig
from ..errors import DataError, MediaError
from ..faces.crops import mouth_crops
from ..faces.detect import Detector
from ..faces.tracks import FaceTrack, detect_faces, link_tracks
from ..media.audio import read_audio
from ..media.image import GrayImage
from ..media.probe import probe, require_video_and_audio
from ..media.video import mean_frame_lag, read_frames
from ..sync.activity import activity_mask, audible_mask
from ..sync.curve import frame_to_hop
from ..syncnet.backend import Backend
from ..syncnet.mel import log_mel
from .cache import Entry
from .embed import Embedded

# Where LRS2 (mvlrs_v1/main and mvlrs_v1/pretrain) and LRS3 (pretrain, trainval, test) keep the clips of their lists.
DATASET_FOLDERS = ("", "main", "mvlrs_v1/main", "test", "trainval", "pretrain", "mvlrs_v1/pretrain")

MAX_CLIP_S = 3600.0


@dataclass(frozen=True)
class Clip:
    """One decoded clip.

    gray_images: its frames at 25 fps; mels: float32 [m, bands] of the whole audio; start: index of the first frame; fps: of the file.
    """

    tracks: list[FaceTrack]
    gray_images: list[GrayImage]
    mels: np.ndarray
    start: int
    fps: float | None = None


def read_clip(path: Path, detector: Detector, faces: FaceConfig = FaceConfig(), mel: MelConfig = MelConfig()) -> Clip:
    """Decode a clip and track its faces. Raises MediaError, also if there is no face."""
    info = probe(path)
    require_video_and_audio(info)
    if info.duration_s > MAX_CLIP_S:
        raise MediaError(f"{path}: lasts {info.duration_s / 60:.0f} minutes, and clips are read as a whole; cut it into clips")
    frames = list(read_frames(path, end_s=MAX_CLIP_S, nearest=True, deblock=False))
    scan = detect_faces((f.image for f in frames), detector, faces)
    tracks = link_tracks(scan, faces)
    if not tracks:
        raise MediaError(f"{path}: no face detected; give a clip that shows the speaker's face")
    mels = log_mel(read_audio(path, start_s=mean_frame_lag(frames)), mel)
    return Clip(tracks, scan.gray_images, mels, frames[0].index, info.video.fps if info.video else None)


def embed_clip(backend: Backend, path: Path, clip: Clip) -> Embedded:
    """Embed the longest face track of a clip whose delay is unknown."""
    track = max(clip.tracks, key=lambda t: t.stop - t.start)
    mouth = backend.embed_mouths(mouth_crops(clip.gray_images, track, backend.dimensions.crop))
    start = clip.start + track.start
    entry = Entry(path.stem, str(path), "", path.parent.parent.name, path.parent.name, start, track.stop - track.start, None)
    first_hop = frame_to_hop(start + np.arange(len(mouth)))
    return Embedded(entry, mouth, backend.embed_audio(clip.mels), first_hop, activity_mask(clip.mels), audible_mask(clip.mels))


def find_clips(root: Path, listing: Path | None = None) -> list[Path]:
    """Video files below `root`, sorted, or those in the text file `listing`, one per line as in the lists of LRS2 and LRS3.

    The first word of a line is a path below `root` or one of its DATASET_FOLDERS, with or without suffix;
    the rest of the line (LRS2 marks its test clips NF or MV) is ignored. Raises DataError if one is missing.
    """
    if listing is None:
        paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in MEDIA_SUFFIXES)
    else:
        try:
            names = [line.split()[0] for line in listing.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{listing}: cannot read the list of clips ({e}); give a text file with one clip per line") from e
        paths = [_locate(root, name, listing) for name in names]
    if not paths:
        raise DataError(f"{listing or root}: no video files {'listed' if listing else 'in this folder'}")
    return paths


def require_below(name: str, listing: Path) -> None:
    """Raise DataError for a name in a list or index that leads out of its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{listing}: {name} leads out of the folder of the clips; give names below it")


def _locate(root: Path, name: str, listing: Path) -> Path:
    require_below(name, listing)
    # LRS2 has clips with the same name in `main` and in `pretrain`: the folder named like the list comes first.
    folders = sorted(DATASET_FOLDERS, key=lambda folder: Path(folder).name != listing.stem)
    suffixes = ("",) if Path(name).suffix.lower() in MEDIA_SUFFIXES else (".mp4", *sorted(MEDIA_SUFFIXES - {".mp4"}))
    for folder in folders:
        for suffix in suffixes:
            if (path := root / folder / (name + suffix)).is_file():
                return path
    raise DataError(f"{listing}: {name} is not below {root}, nor in its folders {', '.join(f for f in DATASET_FOLDERS if f)}")
