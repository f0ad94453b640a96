"""Files muxed from the packets of others with something wrong: timestamps, durations, sizes, streams that come late or stay empty."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random

import av

FORMATS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".3gp": "3gp", ".3g2": "3g2", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
    ".ts": "mpegts", ".mts": "mpegts", ".m2ts": "mpegts", ".mpg": "mpeg", ".mpeg": "mpeg", ".vob": "vob", ".flv": "flv", ".wmv": "asf",
    ".asf": "asf", ".mxf": "mxf", ".nut": "nut", ".ogv": "ogg", ".wav": "wav", ".flac": "flac", ".mp3": "mp3",
}  # fmt: skip
TOLERANT = (".mkv", ".nut", ".mov", ".avi", ".ts")  # containers that take almost any codec
SHORT_S, LONG_S = (0.1, 0.5, 2.0, 5.0, 20.0), (3600.0, 26.5 * 3600, 1e6, 1e9)


@dataclass(frozen=True)
class Copy:
    """A packet in memory: number of its stream; times in seconds, None where unknown."""

    stream: int
    pts_s: float | None
    dts_s: float | None
    duration_s: float
    is_keyframe: bool
    data: bytes

    def moved(self, by_s: float) -> Copy:
        """The same at another time."""
        move = lambda time_s: None if time_s is None else time_s + by_s  # noqa: E731
        return replace(self, pts_s=move(self.pts_s), dts_s=move(self.dts_s))


@dataclass
class Recipe:
    """What is muxed: packets, and extra streams to declare. avoid_negative: let the muxer move negative times."""

    packets: list[Copy]
    data_streams: int = 0
    pictures: int = 0
    silent_tracks: int = 0
    huge: bool = False
    avoid_negative: bool = True


@cache
def _opened(path: Path) -> av.container.InputContainer:
    return av.open(str(path))


@cache
def packets_of(path: Path) -> tuple[Copy, ...]:
    """The packets of a file."""
    with av.open(str(path)) as container:
        seconds = lambda time, packet: None if time is None else float(time * packet.time_base)  # noqa: E731
        return tuple(
            Copy(p.stream_index, seconds(p.pts, p), seconds(p.dts, p), seconds(p.duration or 0, p), p.is_keyframe, bytes(p))
            for p in container.demux()
            if p.size and p.time_base
        )


def _seconds(rng: Random) -> float:
    """How far times are moved; seldom by hours, since the many samples of a long file take seconds to analyse."""
    return rng.choice(SHORT_S if rng.random() < 0.9 else LONG_S)


def jump(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """A discontinuity: from some packet on, of all streams or of one, time goes on elsewhere."""
    at, by_s, stream = rng.randrange(len(recipe.packets)), _seconds(rng), rng.choice((None, 0, 1))
    recipe.packets[at:] = [p.moved(by_s) if stream in (None, p.stream) else p for p in recipe.packets[at:]]


def jitter(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Wrong presentation times, of some packets."""
    spread_s = _seconds(rng)
    recipe.packets = [
        replace(p, pts_s=p.pts_s + rng.uniform(0, spread_s)) if p.pts_s is not None and rng.random() < 0.3 else p for p in recipe.packets
    ]


def negative(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Everything, or one stream, starts before zero."""
    by_s, stream = -_seconds(rng), rng.choice((None, 0, 1))
    recipe.packets, recipe.avoid_negative = [p.moved(by_s) if stream in (None, p.stream) else p for p in recipe.packets], False


def untimed(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Packets without times."""
    recipe.packets = [replace(p, pts_s=None, dts_s=None) if rng.random() < 0.5 else p for p in recipe.packets]


def durations(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Durations that are negative, zero or huge."""
    recipe.packets = [replace(p, duration_s=rng.choice((-1.0, 0.0, -1e6, 1e6, p.duration_s))) for p in recipe.packets]


def late(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """A stream whose first packets, or all, are missing: it appears late, or is declared and empty."""
    stream, count = rng.choice((0, 1)), rng.choice((1, 3, 6, 10_000))
    gone = [p for p in recipe.packets if p.stream == stream][:count]
    recipe.packets = [p for p in recipe.packets if p not in gone]


def zero_size(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Packets without content, or with a single byte."""
    size = rng.choice((0, 0, 1))
    recipe.packets = [replace(p, data=p.data[:size]) if rng.random() < 0.3 else p for p in recipe.packets]


def foreign(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """From some packet on, the content is that of another file: other resolution, channel layout or codec."""
    contents, at = {n: [p for p in other if p.stream == n] for n in (0, 1)}, rng.randrange(len(recipe.packets))
    for i in range(at, len(recipe.packets)):
        if choice := contents.get(recipe.packets[i].stream):
            recipe.packets[i] = replace(recipe.packets[i], data=choice[i % len(choice)].data)


def noise(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Packets with wrong bytes, in a container that is right."""
    for i in rng.choices(range(len(recipe.packets)), k=rng.randint(1, 6)):
        content = bytearray(recipe.packets[i].data)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(max(len(content), 1))
            content[at : at + 1] = rng.randbytes(rng.randrange(3))
        recipe.packets[i] = replace(recipe.packets[i], data=bytes(content))


def shuffle(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Contents exchanged between packets, packets missing."""
    order = rng.sample(recipe.packets, len(recipe.packets))
    recipe.packets = [replace(p, data=q.data) if rng.random() < 0.3 else p for p, q in zip(recipe.packets, order) if rng.random() < 0.9]


def extra_streams(recipe: Recipe, other: tuple[Copy, ...], rng: Random) -> None:
    """Streams beside: data, attached pictures, audio tracks without a single packet, a video of 60,000 x 60,000."""
    recipe.data_streams, recipe.pictures = rng.randrange(3), rng.randrange(3)
    recipe.silent_tracks, recipe.huge = rng.choice((0, 1, 3, 30)), rng.random() < 0.2


PACKET_MUTATIONS: tuple[Callable[[Recipe, tuple[Copy, ...], Random], None], ...] = (
    jump, jitter, negative, untimed, durations, late, zero_size, foreign, noise, shuffle, extra_streams,
)  # fmt: skip


def remuxed(path: Path, other: Path, rng: Random) -> tuple[bytes, str, list[str]]:
    """A file muxed from mutated packets of `path`, and some of `other`: (bytes, suffix, names of the mutations); empty if refused."""
    recipe, suffix = Recipe(list(packets_of(path))), path.suffix if rng.random() < 0.7 else rng.choice(TOLERANT)
    chosen = rng.sample(PACKET_MUTATIONS, rng.choice((1, 1, 2, 3)))
    for mutation in chosen:
        if recipe.packets:
            mutation(recipe, packets_of(other), rng)
    file = io.BytesIO()
    try:
        _mux(recipe, _opened(path), file, FORMATS[suffix])
    except (av.FFmpegError, ValueError, OverflowError):
        return b"", suffix, []
    return file.getvalue(), suffix, [mutation.__name__ for mutation in chosen]


def _mux(recipe: Recipe, source: av.container.InputContainer, file: io.BytesIO, name: str) -> None:
    options = {} if recipe.avoid_negative else {"avoid_negative_ts": "disabled"}
    with av.open(file, "w", format=name, container_options=options) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams if s.type in ("video", "audio")}
        extra = [out.add_data_stream("bin_data" if name == "mpegts" else None) for _ in range(recipe.data_streams)]
        for _ in range(recipe.pictures):
            picture = out.add_mux_stream("png", rate=1, width=24, height=24)
            picture.disposition = av.stream.Disposition.attached_pic
            extra.append(picture)
        if recipe.huge:
            out.add_mux_stream("mjpeg", rate=25, width=60_000, height=60_000)
        for _ in range(recipe.silent_tracks):
            out.add_mux_stream("aac", rate=48_000)
        out.start_encoding()
        for copy in recipe.packets:
            if copy.stream in streams:
                _put(out, streams[copy.stream], copy)
        for stream in extra:
            _put(out, stream, Copy(0, 0.0, 0.0, 0.0, True, recipe.packets[0].data if recipe.packets else b"x"))


def _put(out: av.container.OutputContainer, stream: av.stream.Stream, copy: Copy) -> None:
    """Write a packet, unless the muxer refuses it."""
    packet, base = av.Packet(copy.data), stream.time_base or Fraction(1, 1000)
    limit = 2**62
    units = lambda time_s: None if time_s is None else max(min(round(time_s / base), limit), -limit)  # noqa: E731
    packet.stream, packet.time_base, packet.is_keyframe = stream, base, copy.is_keyframe
    packet.pts, packet.dts, packet.duration = units(copy.pts_s), units(copy.dts_s), units(copy.duration_s)
    try:
        out.mux_one(packet)
    except (av.FFmpegError, ValueError, OverflowError):
        pass
