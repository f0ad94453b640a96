"""Clips as they are: which files a folder or a list names, and their faces and sound, read as the tool reads a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import FaceConfig, MelConfig
from ..crops import mouth_crops
from ..curve import frame_hops
from ..embed import embed_mouth, embed_sound
from ..errors import DataError, MediaError
from ..faces import Detector
from ..media import picture_phase, probe, read_frames, read_sound, require_video_and_sound
from ..mels import log_mel, speech_mask
from ..model import ICSyncNet
from ..pictures import Gray
from ..tracks import FaceTrack, link, scan
from .cache import Entry
from .evaluate import Embedded

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".webm", ".flv", ".m4v", ".ts"}
# Where LRS2 (mvlrs_v1/main and mvlrs_v1/pretrain) and LRS3 (pretrain, trainval, test) keep what their lists name.
FOLDERS = ("", "main", "mvlrs_v1/main", "test", "trainval", "pretrain", "mvlrs_v1/pretrain")


@dataclass(frozen=True)
class Clip:
    """One clip, read. tracks: its faces; grays: its pictures; mels: [m, bands] of its whole sound; start: first picture, in frames."""

    tracks: list[FaceTrack]
    grays: list[Gray]
    mels: np.ndarray
    start: int


def read_clip(path: Path, detector: Detector, faces: FaceConfig = FaceConfig(), mel: MelConfig = MelConfig()) -> Clip:
    """Decode a clip and follow its faces. Raises MediaError, also where it shows no face."""
    require_video_and_sound(probe(path))
    frames = list(read_frames(path, nearest=True))
    seen = scan((f.picture for f in frames), detector, faces)
    tracks = link(seen, faces)
    if not tracks:
        raise MediaError(f"{path}: no face")
    mels = log_mel(read_sound(path, start_s=picture_phase(frames)), mel)
    return Clip(tracks, seen.grays, mels, frames[0].index)


def embed_clip(net: ICSyncNet, path: Path, clip: Clip) -> Embedded:
    """Embed the longest face track of a clip, of whose delay nothing is known."""
    track = max(clip.tracks, key=lambda t: t.stop - t.start)
    mouth = embed_mouth(net, mouth_crops(clip.grays, track, net.dimensions.crop))
    start = clip.start + track.start
    entry = Entry(path.stem, str(path), "", path.parent.parent.name, path.parent.name, start, track.stop - track.start, None)
    first = frame_hops(start + np.arange(len(mouth)))
    return Embedded(entry, mouth, embed_sound(net, clip.mels), first, speech_mask(clip.mels))


def find_clips(root: Path, listing: Path | None = None) -> list[Path]:
    """Video files below `root`, or those that `listing` names, one a line, as the lists of LRS2 and LRS3 do.

    The first word of a line is a path below `root` or one of FOLDERS, with or without its suffix;
    what follows (LRS2 marks its test clips NF or MV) is ignored. Raises DataError when one is missing.
    """
    if listing is None:
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    else:
        try:
            lines = [line.split()[0] for line in listing.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{listing}: cannot be read as a list of clips ({e})") from e
        found = [_locate(root, name, listing) for name in lines]
    if not found:
        raise DataError(f"{listing or root}: no video files {'named there' if listing else 'below this folder'}")
    return found


def _locate(root: Path, name: str, listing: Path) -> Path:
    # LRS2 has clips of one name in `main` and in `pretrain`: the list of that name means its own folder.
    folders = sorted(FOLDERS, key=lambda folder: Path(folder).name != listing.stem)
    suffixes = ("",) if Path(name).suffix.lower() in VIDEO_SUFFIXES else (".mp4", *sorted(VIDEO_SUFFIXES - {".mp4"}))
    for folder in folders:
        for suffix in suffixes:
            if (path := root / folder / (name + suffix)).is_file():
                return path
    raise DataError(f"{listing}: {name} is not below {root}, nor in its folders {', '.join(f for f in FOLDERS if f)}")
