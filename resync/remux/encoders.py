"""Re-encoding an audio track: the encoder, its bit rate, and the filter that applies a correction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..media.probe import AudioInfo
from .containers import suffix_of
from .correction import Correction

#: ffmpeg's encoder for each decoder name; each pcm_* decoder has an encoder of the same name.
ENCODERS = {
    "aac": "aac", "aac_fixed": "aac", "aac_latm": "aac", "ac3": "ac3", "ac3_fixed": "ac3", "alac": "alac",
    "eac3": "eac3", "flac": "flac", "libopus": "libopus", "libvorbis": "libvorbis", "mp2": "mp2",
    "mp2float": "mp2", "mp3": "libmp3lame", "mp3float": "libmp3lame", "opus": "libopus",
    "vorbis": "libvorbis", "wmav1": "wmav2", "wmav2": "wmav2",
}  # fmt: skip
_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8")
#: Encoders that a container with few audio codecs can hold, the default first.
_ALLOWED = {
    ".avi": ("libmp3lame", "mp2", "ac3", "aac", "flac", *_PCM),
    ".flv": ("aac", "libmp3lame"),
    ".mpeg": ("mp2", "libmp3lame", "ac3"),
    ".mpg": ("mp2", "libmp3lame", "ac3"),
    ".mxf": _PCM[:2],
    ".ogg": ("libvorbis", "libopus", "flac"),
    ".ogv": ("libvorbis", "libopus", "flac"),
    ".vob": ("ac3", "mp2", "libmp3lame"),
    ".webm": ("libopus", "libvorbis"),
}
#: Samples of encoder priming before the audio. Only AVI cannot make players skip them.
_AVI_PRIMING = {"aac": 1024, "libmp3lame": 1105, "mp2": 481, "ac3": 256}
_LOSSLESS = ("pcm_", "flac", "alac")
_MIN_BITS, _UNKNOWN_BITS = 64_000, 96_000  # bit/s per channel: the least, and for a source of unknown bit rate
_MP2_BITS = tuple(1000 * k for k in (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384))
_MAX_BITS = {"libmp3lame": 320_000, "ac3": 640_000}
_MAX_BITS_PER_CHANNEL = {"libopus": 256_000, "wmav2": 96_000}


def encode_options(number: int, track: AudioInfo, suffix: str, correction: Correction) -> list[str]:
    """Options that re-encode output audio track `number` with the correction applied.

    Begins with the filter option and its value.
    """
    encoder = encoder_for(track, suffix)
    priming = _AVI_PRIMING.get(encoder, 0) if suffix == ".avi" else 0
    options = [f"-filter:a:{number}", audio_filter(track, correction, priming), f"-c:a:{number}", encoder]
    if encoder == "libvorbis":
        return [*options, f"-q:a:{number}", "6"]  # its bit rate limits depend on rate and channels
    if encoder.startswith(_LOSSLESS):
        return options
    return [*options, f"-b:a:{number}", str(_bit_rate(track, encoder))]


def audio_filter(track: AudioInfo, correction: Correction, priming: int = 0) -> str:
    """ffmpeg filter that puts a track on the file's clock, from zero on, and applies the correction.

    priming: samples that the encoder adds before it.
    """
    delay = round(correction.shift_s * track.sample_rate) - priming
    if delay >= 0:
        steps = f"adelay={delay}S:all=1"
    else:  # silence at the end keeps the length: MXF would cut the video to that of the audio
        steps = f"atrim=start_sample={-delay},asetpts=PTS-STARTPTS,apad=pad_len={-delay}"
    if correction.tempo != 1:
        before, after = resampling_rates(track.sample_rate, correction.tempo)
        steps += f",aresample={before},asetrate={after},aresample={track.sample_rate}"
    return f"aresample=async=1:first_pts=0,{steps}"


def resampling_rates(sample_rate: int, tempo: float) -> tuple[int, int]:
    """Two integer sample rates whose ratio is `tempo`, the first not below `sample_rate`.

    Their error adds up to less than 0.1 ms in two hours.
    """
    before = np.arange(sample_rate, 2 * sample_rate)
    after = np.round(before * tempo)
    best = int(np.argmin(np.abs(after / before - tempo)))
    return int(before[best]), int(after[best])


def widely_playable(track: AudioInfo, dst: str | Path) -> AudioInfo:
    """The track, described as AAC where it is PCM bound for an MP4, which few players would play."""
    if suffix_of(dst) in (".mp4", ".m4v") and track.codec.startswith("pcm_"):
        return replace(track, codec="aac", bit_rate=160_000 * track.channels)
    return track


def encoder_for(track: AudioInfo, suffix: str) -> str:
    """The encoder of the source's own codec when the container can hold it, else the container's default."""
    same = track.codec if track.codec.startswith("pcm_") else ENCODERS.get(track.codec)
    allowed = _ALLOWED.get(suffix)
    if same and (allowed is None or same in allowed):
        return same
    return allowed[0] if allowed else "aac"


def _bit_rate(track: AudioInfo, encoder: str) -> int:
    """Bit/s: at least that of the source, within the limits of the encoder."""
    channels = max(track.channels, 1)
    wanted = max(track.bit_rate or _UNKNOWN_BITS * channels, _MIN_BITS * channels)
    if encoder == "mp2":
        limit = 192_000 if channels == 1 else 384_000
        limit = limit if track.sample_rate >= 32_000 else 160_000
        return next(bits for bits in _MP2_BITS if bits >= min(wanted, limit))
    limit = _MAX_BITS_PER_CHANNEL.get(encoder, 1_000_000) * channels
    return min(wanted, limit, _MAX_BITS.get(encoder, wanted))
