"""Moving the sound of a file against its picture without touching anything else.

The picture is always copied bit for bit. The sound is copied too, with other timestamps, unless
the container cannot hold the move or the caller asks for it to be baked into the samples.
`build_command` says what ffmpeg is told; `shift_sound` runs it beside the target, checks what came
out and only then gives it its name.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from resync.errors import MediaError, OutputError, RemuxError
from resync.media import AudioInfo, MediaInfo, probe, require_video
from resync.partfile import Overwrite, is_foreign_media, marker_options, part_file

#: Containers with edit lists: sound before zero is hidden in the file, to the sample.
_EDIT_LISTS = frozenset({".mp4", ".m4v", ".mov", ".3gp", ".3g2"})
#: Containers whose timestamps hold an offset between sound and picture (measured). AVI and MXF
#: hold none, Ogg loses up to a packet; those and unknown ones get the move baked into the samples.
_HOLDS_OFFSET = _EDIT_LISTS | {
    ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".flv", ".wmv", ".asf", ".nut",
}  # fmt: skip
#: Containers without presentation times for the picture: another format's would come out frames late.
_NEEDS_SAME_FORMAT = {".avi": "avi", ".wmv": "asf", ".asf": "asf"}
_TAKES_ATTACHMENTS = frozenset({".mkv", ".mka", ".mk3d"})
_MOVIE_TIMESCALE = 90_000  # Hz; ffmpeg's own choice, 1000 Hz, would round a late start to 1 ms

#: Encoder for what a decoder of this name reads; any pcm_* encodes itself.
_ENCODERS = {
    "aac": "aac", "aac_fixed": "aac", "aac_latm": "aac", "ac3": "ac3", "ac3_fixed": "ac3", "alac": "alac",
    "eac3": "eac3", "flac": "flac", "libopus": "libopus", "libvorbis": "libvorbis", "mp2": "mp2",
    "mp2float": "mp2", "mp3": "libmp3lame", "mp3float": "libmp3lame", "opus": "libopus",
    "vorbis": "libvorbis", "wmav1": "wmav2", "wmav2": "wmav2",
}  # fmt: skip
#: Encoders for containers that are particular, the best for them first.
_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8")
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
#: Samples an encoder puts before the sound. Only AVI has no way to tell players to skip them.
_AVI_PRIMING = {"aac": 1024, "libmp3lame": 1105, "mp2": 481, "ac3": 256}
_LOSSLESS = ("pcm_", "flac", "alac")
#: Of these libav drops whole packets at the start of an edit list, up to 0.1 s too much (measured).
_NO_EDIT_LIST = frozenset({"flac", "alac"})
_FLOOR_BITS, _UNKNOWN_BITS = 64_000, 96_000  # bit/s a channel: at least, and when the source's is unknown
_MP2_BITS = tuple(1000 * k for k in (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384))
_MAX_BITS = {"libmp3lame": 320_000, "ac3": 640_000}
_MAX_BITS_A_CHANNEL = {"libopus": 256_000, "wmav2": 96_000}

#: Names that an MP4 writes in its usual place; any other needs a key table.
_MP4_TAGS = frozenset(
    "major_brand minor_version compatible_brands creation_time encoder title artist album_artist composer "
    "album date comment genre copyright grouping lyrics description synopsis show episode_id network "
    "keywords episode_sort season_number media_type hd_video gapless_playback compilation track disc tmpo "
    "rating location sort_name sort_artist sort_album sort_album_artist sort_composer sort_show".split()
)
#: Late starts of the picture, s, that are filled with its first frame where nothing else would begin at zero.
_HOLD_FROM_S, _HOLD_TO_S = 0.0005, 0.1
_DISCARD_ALL = 48  # libav's AVDISCARD_ALL
_CHECKED_KINDS = ("video", "audio", "subtitle", "attachment")


@dataclass(frozen=True)
class Remuxed:
    """What was written: `command` as run, but for the temporary name; `notes` for the user, one line each.

    cut_ms: sound at the head that is no longer heard, because it now comes before the picture.
    """

    path: Path
    command: tuple[str, ...]
    reencoded: bool
    notes: tuple[str, ...]
    cut_ms: float = 0.0

    def to_dict(self) -> dict:
        """For JSON: all but the command."""
        return {"file": str(self.path), "reencoded": self.reencoded, "cut_ms": self.cut_ms, "notes": list(self.notes)}


@dataclass(frozen=True)
class Extras:
    """What the command must know beyond picture and sound.

    left_out: numbers of streams not to copy; attached: (file, name, MIME type) of pictures to
    attach; attachments: how many attachments are copied; own_tags: the file has unusual metadata;
    hold: the first picture is shown from zero on (see `_must_hold`).
    """

    left_out: tuple[int, ...] = ()
    attached: tuple[tuple[Path, str, str], ...] = ()
    attachments: int = 0
    own_tags: bool = False
    hold: bool = False


def ffmpeg_exe() -> str:
    """The ffmpeg program that comes with imageio-ffmpeg. Raises RemuxError when there is none."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise RemuxError("no ffmpeg program found; run `pip install imageio-ffmpeg` or set IMAGEIO_FFMPEG_EXE to one") from error


def is_baked(info: MediaInfo, dst: str | Path, shift_s: float, reencode: bool) -> bool:
    """Whether the sound is encoded anew: asked for, or timestamps cannot do the move.

    AVI counts time in whole packets of sound (24 ms), so moves from it would be rounded to those.
    """
    unable = _suffix(dst) not in _HOLDS_OFFSET or info.format == "avi"
    return reencode or (shift_s != 0 and unable) or _loses_packets(info, dst, shift_s)


def _loses_packets(info: MediaInfo, dst: str | Path, shift_s: float) -> bool:
    """Whether a copy that begins before zero would lose more sound than it should; encoding it anew loses nothing."""
    lossless = any(track.codec in _NO_EDIT_LIST for track in info.audio)
    return lossless and _suffix(dst) in _EDIT_LISTS and _sound_starts_s(info) + shift_s < 0


def build_command(
    ffmpeg: str, info: MediaInfo, dst: str | Path, shift_s: float, reencode: bool, extras: Extras = Extras(), tempo: float = 1.0
) -> list[str]:
    """Arguments for ffmpeg that write `info.path` to `dst` with all sound `shift_s` seconds later, then played `tempo` as fast."""
    suffix = _suffix(dst)
    baked = is_baked(info, dst, shift_s, reencode)
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-protocol_whitelist", "file"]
    if info.format == "avi" and suffix != ".avi":
        command += ["-fflags", "+genpts"]  # AVI has none for reordered pictures; others need them
    wait_s = _wait_s(info, dst, shift_s, baked)
    if wait_s:
        command += ["-itsoffset", f"{wait_s:.6f}"]
    command += ["-i", f"file:{info.path}", "-map", "0"]
    for index in extras.left_out:
        command += ["-map", f"-0:{index}"]
    # Flags as they are ("+0" adds none): left alone, ffmpeg would make some stream the default.
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-disposition", "+0"]
    if baked:
        for number, track in enumerate(info.audio):
            command += _encode(number, track, suffix, shift_s, tempo)
    elif shift_s:
        move = f"round({shift_s:.6f}/TB)"
        command += ["-bsf:a", f"setts=pts=PTS+{move}:dts=DTS+{move}"]
    if extras.hold:
        command += ["-bsf:v", r"setts=pts=if(eq(N\,0)\,0\,PTS):dts=if(eq(N\,0)\,min(DTS\,0)\,DTS)"]
    return [*command, *_output(extras, suffix), f"file:{dst}"]


def add_command(
    ffmpeg: str, info: MediaInfo, recording: MediaInfo, dst: str | Path, move: tuple[float, float, float], extras: Extras = Extras()
) -> list[str]:
    """Arguments for ffmpeg that write `info.path` to `dst` with the sound of `recording` as first sound track.

    move: (s later, tempo, length of the film in s). The film's own tracks of sound are copied behind it.
    """
    shift_s, tempo, length_s = move
    suffix, track = _suffix(dst), _playable(recording.audio[0], dst)
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-protocol_whitelist", "file"]
    command += ["-i", f"file:{info.path}", "-i", f"file:{recording.path}"]
    for what in ("0:v?", f"1:{track.index}", "0:a?", "0:s?", "0:d?", "0:t?"):
        command += ["-map", what]
    for index in extras.left_out:
        command += ["-map", f"-0:{index}"]
    command += ["-c", "copy", "-copy_unknown", "-map_metadata", "0", "-map_chapters", "0", "-disposition", "+0"]
    filter_, *options = _encode(0, track, suffix, shift_s, tempo)
    command += [filter_, f"{options[0]},apad,atrim=end={length_s:.6f}", *options[1:], "-disposition:a:0", "default"]
    for number in range(1, len(info.audio) + 1):
        command += [f"-disposition:a:{number}", "-default"]
    return [*command, *_output(extras, suffix), f"file:{dst}"]


def _output(extras: Extras, suffix: str) -> list[str]:
    """Options of the output file: pictures to attach, and what its kind needs."""
    command: list[str] = []
    for number, (file, name, mime) in enumerate(extras.attached, start=extras.attachments):
        command += ["-attach", f"file:{file}"]
        command += [f"-metadata:s:t:{number}", f"filename={name}", f"-metadata:s:t:{number}", f"mimetype={mime}"]
    command += marker_options(suffix)
    if suffix in _EDIT_LISTS:
        tags = "+use_metadata_tags" if extras.own_tags or suffix == ".mov" else ""
        command += ["-movflags", f"+faststart{tags}", "-movie_timescale", str(_MOVIE_TIMESCALE)]
    if suffix == ".avi":
        command += ["-avoid_negative_ts", "disabled"]  # or the encoder's priming pushes the picture a frame on
    if suffix == ".m4v":
        command += ["-f", "mp4"]  # ffmpeg would take the iPod's kind, which holds fewer codecs
    return command


def shift_sound(
    src: str | Path,
    dst: str | Path,
    shift_ms: float,
    *,
    tempo: float = 1.0,
    reencode: bool = False,
    overwrite: Overwrite | bool = Overwrite.NEVER,
    info: MediaInfo | None = None,
) -> Remuxed:
    """Write `src` to `dst` with every sound track played `shift_ms` later (earlier if negative).

    tempo: then played so many times as fast, against a clock that drifts; where it is not 1 the sound is
    encoded anew. `info` saves a probe of `src`. Raises MediaError for a bad source, OutputError for a bad
    target, RemuxError when ffmpeg fails; then nothing is left behind.
    """
    if not math.isfinite(shift_ms):
        raise ValueError(f"shift_ms is {shift_ms}")
    src, dst, shift_s = Path(src), Path(dst), shift_ms / 1000
    reencode = reencode or tempo != 1
    info = info or probe(src)
    check_target(src, dst, overwrite)
    _check_possible(info, dst, shift_s, reencode)
    program, hold = ffmpeg_exe(), _must_hold(info, dst, shift_s, reencode)
    notes = _notes(info, dst, shift_s, reencode)
    if hold:
        notes.append(f"the first picture is shown {1000 * require_video(info).start_s:.0f} ms longer, so that the film starts at zero")

    def build(out: Path, extras: Extras) -> list[str]:
        return build_command(program, info, out, shift_s, reencode, replace(extras, hold=hold), tempo)

    command, more = _write(info, dst, build, shift_s)
    cut_ms = _cut_ms(info, dst, shift_s, is_baked(info, dst, shift_s, reencode))
    return Remuxed(dst, command, is_baked(info, dst, shift_s, reencode), (*notes, *more), cut_ms)


def add_sound(
    src: str | Path,
    audio: str | Path,
    dst: str | Path,
    shift_ms: float,
    *,
    tempo: float = 1.0,
    overwrite: Overwrite | bool = Overwrite.NEVER,
) -> Remuxed:
    """Write `src` to `dst` with the recording `audio` as its first sound track, `shift_ms` later, as long as the film.

    The film's own sound tracks follow it as they are. tempo and what is raised: as in `shift_sound`.
    """
    src, dst, shift_s = Path(src), Path(dst), shift_ms / 1000
    info, recording = probe(src), probe(audio)
    check_target(src, dst, overwrite)
    check_target(audio, dst, overwrite)
    if not recording.audio:
        raise MediaError(f"{audio}: no sound in this file; give a recording")
    if info.format != _NEEDS_SAME_FORMAT.get(_suffix(dst), info.format):
        raise RemuxError(f"{dst}: {dst.suffix} would not keep this input's picture timing; write an .mkv file instead")
    program, track = ffmpeg_exe(), _playable(recording.audio[0], dst)
    length_s = info.video.start_s + info.video.duration_s if info.video else info.duration_s

    def build(out: Path, extras: Extras) -> list[str]:
        return add_command(program, info, recording, out, (shift_s, tempo, length_s), extras)

    command, notes = _write(info, dst, build, 0.0)
    kept = f", {len(info.audio)} of the film's own behind it" if info.audio else ""
    return Remuxed(dst, command, True, (f"the first sound track is {audio} ({_encoder(track, _suffix(dst))}){kept}", *notes))


def _write(info: MediaInfo, dst: Path, build: Callable[[Path, Extras], list[str]], shift_s: float) -> tuple[tuple[str, ...], list[str]]:
    """Run the command that `build(output, extras)` gives into a part file, check what came out and give it its name.

    Returns the command, with `dst` for the part file, and notes.
    """
    src, notes = info.path, []
    target = Path(os.path.realpath(dst))  # write through a link, like cp
    try:
        with part_file(target) as part, tempfile.TemporaryDirectory(prefix="resync-") as folder:
            extras, spare = _look_at_extras(src, dst, Path(folder))
            try:
                _run(build(part, extras), src, dst)
            except RemuxError:
                if not spare:
                    raise
                extras = replace(extras, left_out=extras.left_out + spare)
                _run(build(part, extras), src, dst)
                notes.append(f"{len(spare)} data track(s) left out: {dst.suffix} cannot take them as they are")
            notes += _check_result(info, part, dst, shift_s)
            part.chmod(part.stat().st_mode & (src.stat().st_mode | 0o600))  # never more open than the source
            os.replace(part, target)
            return tuple(build(dst, extras)), notes
    except OSError as error:
        raise OutputError(f"{dst}: cannot be written ({error.strerror}); choose another place") from error


def check_target(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` cannot be written, exists and may not be overwritten, or is `src` itself.

    A media file that resync did not write is only overwritten with `Overwrite.ANY`.
    """
    src, dst = Path(src), Path(dst)
    if dst.is_dir():
        raise OutputError(f"{dst}: is a folder; name a file in it")
    if not dst.parent.is_dir():
        raise OutputError(f"{dst}: the folder {dst.parent} does not exist; make it first")
    if not os.access(dst.parent, os.W_OK):
        raise OutputError(f"{dst}: the folder {dst.parent} cannot be written to; choose another")
    if not dst.suffix:
        raise OutputError(f"{dst}: no file type; end the name with {src.suffix or '.mp4'}")
    if not dst.exists():
        return
    if src.exists() and os.path.samefile(src, dst):
        raise OutputError(f"{dst}: is the input itself; choose another name")
    if not dst.is_file():
        raise OutputError(f"{dst}: is not an ordinary file; choose another name")
    if not overwrite:
        raise OutputError(f"{dst}: exists already; choose another name or overwrite it with -y")
    if overwrite < Overwrite.ANY and is_foreign_media(dst):
        raise OutputError(f"{dst}: is a media file that resync did not write; choose another name, or replace it with --overwrite-media")


# --- the command's parts ---------------------------------------------------------------------------


def _suffix(path: str | Path) -> str:
    return Path(path).suffix.lower()


def _sound_starts_s(info: MediaInfo) -> float:
    return min((track.start_s for track in info.audio), default=0.0)


def _wait_s(info: MediaInfo, dst: str | Path, shift_s: float, baked: bool) -> float:
    """How much later everything is written, so that no sound lies before zero; 0 with edit lists."""
    if baked or _suffix(dst) in _EDIT_LISTS:
        return 0.0
    return max(0.0, -(_sound_starts_s(info) + shift_s))


def _encode(number: int, track: AudioInfo, suffix: str, shift_s: float, tempo: float) -> list[str]:
    """Options that encode output sound track `number` with the move, and the change of tempo, in its samples."""
    encoder = _encoder(track, suffix)
    priming = _AVI_PRIMING.get(encoder, 0) if suffix == ".avi" else 0
    options = [f"-filter:a:{number}", sound_filter(track, shift_s, tempo, priming), f"-c:a:{number}", encoder]
    if encoder == "libvorbis":
        return [*options, f"-q:a:{number}", "6"]  # its bit rate bounds depend on too much
    if encoder.startswith(_LOSSLESS):
        return options
    return [*options, f"-b:a:{number}", str(_bit_rate(track, encoder))]


def sound_filter(track: AudioInfo, shift_s: float, tempo: float = 1.0, priming: int = 0) -> str:
    """ffmpeg's filter that lays a track on the film's clock from zero on, `shift_s` later, then `tempo` as fast.

    priming: samples that the encoder will put before it.
    """
    delay = round(shift_s * track.sample_rate) - priming
    if delay >= 0:
        move = f"adelay={delay}S:all=1"
    else:  # silence at the end instead: MXF would cut the picture down to the sound
        move = f"atrim=start_sample={-delay},asetpts=PTS-STARTPTS,apad=pad_len={-delay}"
    if tempo != 1:
        before, after = _rates(track.sample_rate, tempo)
        move += f",aresample={before},asetrate={after},aresample={track.sample_rate}"
    return f"aresample=async=1:first_pts=0,{move}"


def _rates(sample_rate: int, tempo: float) -> tuple[int, int]:
    """Two whole sample rates, not under the given one, whose ratio is `tempo`, to a tenth of a millisecond in two hours."""
    before = np.arange(sample_rate, 2 * sample_rate)
    after = np.round(before * tempo)
    best = int(np.argmin(np.abs(after / before - tempo)))
    return int(before[best]), int(after[best])


def _playable(track: AudioInfo, dst: str | Path) -> AudioInfo:
    """The recording's track as if it were AAC where it is PCM bound for an MP4, which few players would play."""
    if _suffix(dst) in (".mp4", ".m4v") and track.codec.startswith("pcm_"):
        return replace(track, codec="aac", bit_rate=160_000 * track.channels)
    return track


def _encoder(track: AudioInfo, suffix: str) -> str:
    """The source's own kind of sound where it can be encoded and held, else the container's usual one."""
    same = track.codec if track.codec.startswith("pcm_") else _ENCODERS.get(track.codec)
    allowed = _ALLOWED.get(suffix)
    if same and (allowed is None or same in allowed):
        return same
    return allowed[0] if allowed else "aac"


def _bit_rate(track: AudioInfo, encoder: str) -> int:
    """Bit/s: the source's or more, inside what the encoder takes."""
    channels = max(track.channels, 1)
    wanted = max(track.bit_rate or _UNKNOWN_BITS * channels, _FLOOR_BITS * channels)
    if encoder == "mp2":
        top = 192_000 if channels == 1 else 384_000
        top = top if track.sample_rate >= 32_000 else 160_000
        return next(bits for bits in _MP2_BITS if bits >= min(wanted, top))
    top = _MAX_BITS_A_CHANNEL.get(encoder, 1_000_000) * channels
    return min(wanted, top, _MAX_BITS.get(encoder, wanted))


# --- before, between and after ---------------------------------------------------------------------


def _check_possible(info: MediaInfo, dst: Path, shift_s: float, reencode: bool) -> None:
    if not info.audio:
        raise MediaError(f"{info.path}: no sound track to move; give a video with sound")
    if info.format != _NEEDS_SAME_FORMAT.get(_suffix(dst), info.format):
        raise RemuxError(f"{dst}: {dst.suffix} would not keep this input's picture timing; write an .mkv file instead")
    cuts = is_baked(info, dst, shift_s, reencode) or _suffix(dst) in _EDIT_LISTS
    last_s = max(track.start_s + track.duration_s for track in info.audio)
    if cuts and shift_s < 0 and 0 < last_s <= -shift_s:
        raise RemuxError(
            f"{info.path}: {-shift_s * 1000:.0f} ms earlier is before the start for all of its sound; move it by less than its length"
        )


def _look_at_extras(src: Path, dst: Path, folder: Path) -> tuple[Extras, tuple[int, ...]]:
    """(what to do with the lesser streams, numbers of data streams to give up if ffmpeg refuses).

    Cover pictures that must be attached anew are put into `folder`.
    """
    attached = []
    left_out: list[int] = []
    spare: list[int] = []
    with _open(src) as container:
        for stream in container.streams:
            if stream.type == "data":
                (left_out if _is_written_anew(stream, dst) else spare).append(stream.index)
            elif stream.disposition & Disposition.attached_pic and _suffix(dst) in _TAKES_ATTACHMENTS:
                # ffmpeg would turn it into a second picture track.
                attached.append(_save_cover(container, stream, folder))
                left_out.append(stream.index)
        attachments = sum(stream.type == "attachment" for stream in container.streams)
        own_tags = not _MP4_TAGS.issuperset(key.lower() for key in container.metadata)
    return Extras(tuple(left_out), tuple(attached), attachments, own_tags), tuple(spare)


def _must_hold(info: MediaInfo, dst: Path, shift_s: float, reencode: bool) -> bool:
    """Whether the first picture has to be shown a little earlier, from zero on.

    In a file whose sound starts first, a later sound leaves nothing at zero. libav then counts from
    the first stream that is left: sound and picture would still fit, but both come early by the
    picture's own late start. Done for up to three pictures, which nobody sees.
    """
    if is_baked(info, dst, shift_s, reencode) or _suffix(dst) not in _EDIT_LISTS or info.video is None:
        return False
    start_s = info.video.start_s
    if min(start_s, _sound_starts_s(info) + shift_s) < _HOLD_FROM_S or start_s > _HOLD_TO_S:
        return False
    with _open(info.path) as container:
        stream = container.streams[info.video.index]
        first = next((p for p in container.demux(stream) if p.pts is not None), None)
        # A film cut inside a group of pictures may not begin with the picture that is shown first.
        return first is not None and first.pts == stream.start_time


def _is_written_anew(stream: av.stream.Stream, dst: Path) -> bool:
    """Time code and chapter tracks (which read as discarded), made by the MP4 family from the metadata."""
    discarded = getattr(stream, "discard", 0) >= _DISCARD_ALL  # older PyAV does not tell
    return _suffix(dst) in _EDIT_LISTS and (discarded or "timecode" in stream.metadata)


def _save_cover(container: av.container.InputContainer, stream, folder: Path) -> tuple[Path, str, str]:
    kind = "png" if stream.codec_context.name == "png" else "jpeg"
    name = stream.metadata.get("filename") or f"cover.{kind.replace('jpeg', 'jpg')}"
    file = folder / f"{stream.index}"
    file.write_bytes(bytes(next(container.demux(stream))))
    return file, name, stream.metadata.get("mimetype") or f"image/{kind}"


def _run(command: Sequence[str], src: Path, dst: Path) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        raise RemuxError(f"{command[0]}: cannot be run ({error.strerror}); set IMAGEIO_FFMPEG_EXE to an ffmpeg program") from error
    if done.returncode == 0:
        return
    if done.returncode == -getattr(signal, "SIGXFSZ", 0):
        raise RemuxError(f"{dst}: there may be no file of this size there; check the limits on files, or choose another place")
    if done.returncode < 0:  # some builds of ffmpeg 7.0 crash on every MPEG-TS
        raise RemuxError(f"{src}: ffmpeg crashed on it; upgrade imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE to another")
    talk = done.stderr.decode(errors="replace")
    reason = _one_line(talk).replace(command[-1], str(dst))
    if not re.search("write header|choose an output format", talk):
        way_out = "check that the input plays and that the disk has room"
    elif _suffix(dst) == ".mkv":
        way_out = f"keep the input's own file type, {src.suffix}"
    else:
        way_out = "write an .mkv file, which holds almost anything"
    raise RemuxError(f"{src}: ffmpeg could not write {dst.name} ({reason}); {way_out}")


def _one_line(talk: str) -> str:
    """ffmpeg's first complaint (the cause; the others follow from it), without the address before it."""
    lines = (re.sub(r"^(\[[^\]]*\]\s*)+", "", line).strip(" .") for line in talk.splitlines())
    return next(filter(None, lines), "no reason given")[:300]


def _notes(info: MediaInfo, dst: Path, shift_s: float, reencode: bool) -> list[str]:
    baked = is_baked(info, dst, shift_s, reencode)
    notes = []
    if baked and not reencode:
        kinds = "/".join(sorted({t.codec.upper() for t in info.audio if t.codec in _NO_EDIT_LIST}))
        unable = "AVI input" if info.format == "avi" else dst.suffix
        if _loses_packets(info, dst, shift_s):
            unable = f"{dst.suffix} with {kinds}"
        notes.append(f"{unable} cannot hold the move in timestamps: the sound was encoded anew, the picture copied")
    if baked:
        for number, track in enumerate(info.audio, start=1):
            encoder = _encoder(track, _suffix(dst))
            if encoder not in (track.codec, _ENCODERS.get(track.codec)):
                notes.append(f"sound track {number} is now {encoder.removeprefix('lib')}, was {track.codec}")
    cut_ms, wait_ms = _cut_ms(info, dst, shift_s, baked), 1000 * _wait_s(info, dst, shift_s, baked)
    if cut_ms >= 0.5:
        cut = "and were cut" if baked else "and are still in the file, but players skip them"
        notes.append(f"the first {cut_ms:.0f} ms of sound come before the picture {cut}")
    if shift_s < 0 and wait_ms >= 0.5:
        notes.append(f"the picture starts {wait_ms:.0f} ms into the file, so that no sound is lost")
    return notes


def _cut_ms(info: MediaInfo, dst: str | Path, shift_s: float, baked: bool) -> float:
    """How much sound at the head comes before zero and is not heard."""
    if shift_s >= 0 or _wait_s(info, dst, shift_s, baked):
        return 0.0
    return round(max(0.0, -1000 * (_sound_starts_s(info) + shift_s)), 1)


def _check_result(info: MediaInfo, part: Path, dst: Path, shift_s: float) -> list[str]:
    """Notes on the file written. Raises RemuxError when a stream of the source is not in it."""
    try:
        written = probe(part)
        missing = _kinds(info.path) - _kinds(part)
    except MediaError as error:
        raise RemuxError(f"{dst}: what ffmpeg wrote cannot be read back; write an .mkv file instead") from error
    if missing:
        lost = ", ".join(f"{n} {kind}" for kind, n in missing.items())
        raise RemuxError(f"{dst}: {dst.suffix} did not take every stream (lost: {lost}); write an .mkv file instead")
    # Where the picture's own length is not stored, the file's stands in, and that moves with the sound.
    allowed_s = 1 + abs(shift_s)
    if info.video and written.video and info.video.duration_s - written.video.duration_s > allowed_s:
        return [
            f"the picture ends after {written.video.duration_s:.1f} s, though the input promises "
            f"{info.video.duration_s:.1f} s; it may be damaged"
        ]
    return []


def _kinds(path: Path) -> Counter[str]:
    with _open(path) as container:
        return Counter(stream.type for stream in container.streams if stream.type in _CHECKED_KINDS)


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise MediaError(f"{path}: cannot be read as a media file ({error.strerror})") from error
