"""Small valid files in every container that resync reads, to be mutated by `fuzz.py`; also files that are strange, but valid."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from imageio_ffmpeg import get_ffmpeg_exe

VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=48x32:r=12:d=0.5")
AUDIO = ("-f", "lavfi", "-i", "sine=d=0.5:r=16000")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "1", "-g", "4")
AC3 = ("-c:a", "ac3", "-ar", "32000")
MPEG2 = ("-c:v", "mpeg2video", "-c:a", "mp2", "-ar", "32000")
FAST = ("-c:v", "mpeg4", "-c:a", "aac")


class Seed(NamedTuple):
    """How ffmpeg makes a file: suffix and output options, after `inputs`."""

    suffix: str
    options: tuple[str, ...]
    inputs: tuple[str, ...] = (*VIDEO, *AUDIO)


SEEDS = {
    "mp4": Seed(".mp4", (*X264, "-c:a", "aac")),
    "mp4-fragmented": Seed(".mp4", (*X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")),
    "mp4-hevc-ac3": Seed(".mp4", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", *AC3)),
    "m4v": Seed(".m4v", FAST),
    "mov-pcm-timecode": Seed(".mov", ("-c:v", "mjpeg", "-c:a", "pcm_s16le", "-timecode", "01:00:00:00")),
    "mov-alac": Seed(".mov", (*X264, "-c:a", "alac")),
    "mov-prores": Seed(".mov", ("-c:v", "prores_ks", "-profile:v", "0", "-c:a", "pcm_s24le")),
    "3gp": Seed(".3gp", FAST),
    "3g2": Seed(".3g2", FAST),
    "mkv-vp9-opus": Seed(".mkv", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus", "-ar", "16000")),
    "mkv-h264-flac": Seed(".mkv", (*X264, "-c:a", "flac")),
    "mkv-ffv1-pcm": Seed(".mkv", ("-c:v", "ffv1", "-c:a", "pcm_s16le")),
    "mkv-av1-vorbis": Seed(".mkv", ("-c:v", "libsvtav1", "-preset", "12", "-vf", "scale=64:64", "-c:a", "libvorbis")),
    "webm": Seed(".webm", ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis")),
    "avi": Seed(".avi", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
    "avi-mjpeg-pcm": Seed(".avi", ("-c:v", "mjpeg", "-c:a", "pcm_s16le")),
    "ts": Seed(".ts", (*X264, "-c:a", "aac")),
    "ts-mpeg2": Seed(".ts", MPEG2),
    "m2ts": Seed(".m2ts", (*X264, *AC3)),
    "mts": Seed(".mts", (*X264, "-c:a", "aac")),
    "mpg": Seed(".mpg", MPEG2),
    "mpeg": Seed(".mpeg", ("-c:v", "mpeg1video", "-r", "25", "-c:a", "mp2", "-ar", "32000")),
    "vob": Seed(".vob", MPEG2),
    "flv": Seed(".flv", ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", "22050")),
    "flv-h264": Seed(".flv", (*X264, "-c:a", "aac")),
    "wmv": Seed(".wmv", ("-c:v", "wmv2", "-c:a", "wmav2")),
    "asf": Seed(".asf", ("-c:v", "mpeg4", "-c:a", "wmav2")),
    "mxf": Seed(".mxf", ("-c:v", "mpeg2video", "-r", "25", "-c:a", "pcm_s16le", "-ar", "48000")),
    "nut": Seed(".nut", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
    "ogv": Seed(".ogv", ("-c:v", "libtheora", "-c:a", "libvorbis")),
    "wav": Seed(".wav", (), AUDIO),
    "flac": Seed(".flac", (), AUDIO),
    "mp3": Seed(".mp3", (), AUDIO),
    # Strange, but valid.
    "mp4-audio-late": Seed(".mp4", (*X264, "-c:a", "aac", "-map", "0", "-map", "1"), (*VIDEO, "-itsoffset", "3", *AUDIO)),
    "mkv-video-late": Seed(".mkv", (*X264, "-c:a", "aac", "-map", "0", "-map", "1"), ("-itsoffset", "3", *VIDEO, *AUDIO)),
    "ts-starting-at-10-s": Seed(".ts", (*X264, "-c:a", "aac", "-output_ts_offset", "10")),
    "mp4-rotated": Seed(".mp4", (*X264, "-c:a", "aac"), ("-display_rotation", "90", *VIDEO, *AUDIO)),
    "mkv-three-tracks": Seed(".mkv", (*FAST, "-map", "0", "-map", "1", "-map", "1", "-map", "1", "-ac:a:1", "2", "-ar:a:2", "48000")),
    "mp4-5.1": Seed(".mp4", (*FAST, "-ac", "6")),
}


def seed_files(folder: Path) -> dict[str, Path]:
    """The files by name, generated in `folder` where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}{seed.suffix}" for name, seed in SEEDS.items()}
    for name, path in files.items():
        if not path.exists():
            _ffmpeg(*SEEDS[name].inputs, *SEEDS[name].options, path)
    others = {"mp4-cover": _with_cover, "mkv-cover-attachment": _with_cover, "mkv-data": _with_data, "ts-changing": _changing}
    for name, make in others.items():
        files[name] = folder / f"{name}.{name.partition('-')[0]}"
        if not files[name].exists():
            make(files[name])
    return files


def _with_cover(path: Path) -> None:
    """A file with an attached picture."""
    cover = path.with_name("cover.png")
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=s=24x24:r=1:d=1", "-frames:v", 1, cover)
    attached = ["-attach", cover, "-metadata:s:t", "mimetype=image/png"] if path.suffix == ".mkv" else []
    maps = ["-map", 0, "-map", 1] if attached else ["-map", 0, "-map", 1, "-map", 2, "-c:v:1", "png", "-disposition:v:1", "attached_pic"]
    _ffmpeg(*VIDEO, *AUDIO, *([] if attached else ["-i", cover]), *maps, *attached, "-c:v:0", "mpeg4", "-c:a", "aac", path)


def _with_data(path: Path) -> None:
    """A file with subtitles and chapters."""
    subtitles, chapters = path.with_name("text.srt"), path.with_name("chapters.txt")
    subtitles.write_text("1\n00:00:00,100 --> 00:00:00,400\nHello\n")
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=250\ntitle=One\n")
    _ffmpeg(*VIDEO, *AUDIO, "-i", subtitles, "-i", chapters, "-map_metadata", 3, *FAST, "-c:s", "srt", path)


def _changing(path: Path) -> None:
    """A transport stream in which resolution and channel layout change, and time jumps forth and back."""
    parts = [path.with_name(f"part{number}.ts") for number in range(3)]
    for number, (part, size, channels) in enumerate(zip(parts, ("48x32", "96x64", "32x48"), (1, 2, 6))):
        _ffmpeg(*VIDEO, *AUDIO, "-s", size, "-ac", channels, *X264, "-c:a", "aac", "-output_ts_offset", 20 * (number % 2), part)
    path.write_bytes(b"".join(part.read_bytes() for part in parts))


def _ffmpeg(*arguments: object) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, capture_output=True)
