"""Mutations of files that know the elements of their container: boxes, chunks, tags, pages, packets, and timestamps in them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple

ISO_PARENTS = frozenset(b"moov trak mdia minf stbl dinf edts moof traf udta mvex ilst meta".split())
EBML_PARENTS = frozenset(bytes.fromhex(name) for name in "18538067 1f43b675 1654ae6b ae e0 e1 a0 114d9b74 1c53bb6b 1549a966".split())
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 60_000, 10_000)
MARKERS = {
    ".mpg": rb"\x00\x00\x01[\xba-\xef]", ".mpeg": rb"\x00\x00\x01[\xba-\xef]", ".vob": rb"\x00\x00\x01[\xba-\xef]",
    ".ogv": rb"OggS", ".nut": rb"N[MSKXI]", ".mp3": rb"\xff[\xf2-\xfb]",
}  # fmt: skip
PACKET_BYTES = {".ts": 188, ".mts": 188, ".m2ts": 192}
PES_WITH_PTS = re.compile(rb"\x00\x00\x01[\xbd\xc0-\xef]..[\x80-\x8f][\x80-\xff]", re.DOTALL)
MAX_TIME = 2**33  # of PTS in MPEG


class Element(NamedTuple):
    """A piece of a container: its header from `start`, its content from `body` to `end`."""

    start: int
    body: int
    end: int


def elements(data: bytes, suffix: str) -> list[Element]:
    """The elements of a file, outer ones before those within."""
    if suffix in MARKERS:
        starts = [match.start() for match in re.finditer(MARKERS[suffix], data)] + [len(data)]
        return [Element(a, min(a + 4, b), b) for a, b in pairwise(starts)]
    if size := PACKET_BYTES.get(suffix):
        return [Element(a, a + size - 184, a + size) for a in range(0, len(data) - size + 1, size)]
    for magic, parse in PARSERS.items():
        if magic in (data[:4], data[4:8]):
            return list(parse(data, 0, len(data)))
    return [Element(a, a + 4, min(a + 64, len(data))) for a in range(0, len(data), 64)]


def _iso(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        stop = min(at + size, end) if size >= 8 else end
        yield Element(at, at + 8, stop)
        if name in ISO_PARENTS:
            yield from _iso(data, at + (12 if name == b"meta" else 8), stop)
        at = stop


def _ebml(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at < end and data[at]:
        body = at + 9 - data[at].bit_length()
        if body >= end or not data[body]:
            return
        name, length = data[at:body], 9 - data[body].bit_length()
        size = int.from_bytes(data[body : body + length], "big") & ((1 << 7 * length) - 1)
        stop = min(body + length + size, end)
        yield Element(at, body + length, stop)
        if name in EBML_PARENTS:
            yield from _ebml(data, body + length, stop)
        at = stop


def _riff(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, at)
        stop = min(at + 8 + size, end)
        yield Element(at, at + 8, stop)
        if name in (b"RIFF", b"LIST"):
            yield from _riff(data, at + 12, stop)
        at = stop + size % 2


def _flv(data: bytes, at: int, end: int) -> Iterator[Element]:
    at = 13
    while at + 11 <= end:
        stop = min(at + 15 + int.from_bytes(data[at + 1 : at + 4], "big"), end)
        yield Element(at, at + 11, stop)
        at = stop


def _flac(data: bytes, at: int, end: int) -> Iterator[Element]:
    at, last = 4, False
    while at + 4 <= end and not last:
        last, stop = data[at] >= 128, min(at + 4 + int.from_bytes(data[at + 1 : at + 4], "big"), end)
        yield Element(at, at + 4, stop)
        at = stop
    yield Element(at, at, end)


def _klv(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at + 17 <= end:
        length = data[at + 16] & 0x7F if data[at + 16] >= 128 else 0
        size = int.from_bytes(data[at + 17 : at + 17 + length], "big") if length else data[at + 16]
        stop = min(at + 17 + length + size, end)
        yield Element(at, at + 17 + length, stop)
        at = stop


def _asf(data: bytes, at: int, end: int) -> Iterator[Element]:
    while at + 24 <= end:
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        stop = min(at + size, end) if size >= 24 else end
        yield Element(at, at + 24, stop)
        if data[at : at + 16] == ASF_HEADER:
            yield from _asf(data, at + 30, stop)
        at = stop


PARSERS = {
    b"ftyp": _iso, b"\x1aE\xdf\xa3": _ebml, b"RIFF": _riff, b"FLV\1": _flv, b"fLaC": _flac, b"\x06\x0e+4": _klv, ASF_HEADER[:4]: _asf,
}  # fmt: skip


def numbers(data: bytearray, suffix: str, rng: Random) -> None:
    """Overwrite numbers in elements with extreme ones: sizes, counts, durations, sample tables, dimensions."""
    for _ in range(rng.randint(1, 4)):
        element = _pick(data, suffix, rng)
        width = rng.choice((1, 2, 4, 4, 8))
        at = element.body + width * rng.randrange(max((min(element.end, element.body + 200) - element.body) // width, 1))
        value = (rng.choice(EXTREME) if rng.random() < 0.8 else rng.getrandbits(64)) & ((1 << 8 * width) - 1)
        data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


def times(data: bytearray, suffix: str, rng: Random) -> None:
    """Wrong timestamps where they are easily found (MPEG, FLV, Matroska): backwards, far away, negative."""
    found = list(elements(bytes(data), suffix))
    if suffix == ".flv":
        fields = [(e.start + 4, 3, _put) for e in found]
    elif suffix in (".mkv", ".webm"):
        fields = [(e.body, e.end - e.body, _put) for e in found if data[e.start] == 0xE7]  # of clusters
        fields += [(e.body + 1, 2, _put) for e in found if data[e.start] in (0xA1, 0xA3)]  # of blocks, relative to them
    else:
        fields = [(match.start() + 9, 5, _put_mpeg) for match in PES_WITH_PTS.finditer(data)]
    if not fields:
        return numbers(data, suffix, rng)
    for at, width, put in rng.choices(fields, k=rng.randint(1, min(len(fields), 12))):
        put(data, at, width, rng)


def _put(data: bytearray, at: int, width: int, rng: Random) -> None:
    number = rng.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), rng.getrandbits(8 * width)))
    data[at : at + width] = number.to_bytes(width, "big")


def _put_mpeg(data: bytearray, at: int, width: int, rng: Random) -> None:
    pts = rng.choice((0, 90_000, MAX_TIME - 1, MAX_TIME // 2, rng.randrange(MAX_TIME)))
    bits = (pts >> 29 & 0xE) | 0x21, pts >> 22 & 0xFF, (pts >> 14 & 0xFE) | 1, pts >> 7 & 0xFF, (pts << 1 & 0xFE) | 1
    data[at : at + width] = bytes(bits)


def drop(data: bytearray, suffix: str, rng: Random) -> None:
    """Remove elements: packets are missing, a stream starts late, a header is gone."""
    for element in sorted(rng.choices(elements(bytes(data), suffix) or [Element(0, 0, 0)], k=rng.randint(1, 6)), reverse=True):
        del data[element.start : element.end]


def repeat(data: bytearray, suffix: str, rng: Random) -> None:
    """Repeat or move an element: headers in the middle, the same packets again, a discontinuity."""
    element, place = _pick(data, suffix, rng), _pick(data, suffix, rng)
    data[place.start : place.start] = data[element.start : element.end] * rng.choice((1, 1, 2, 50))


def rename(data: bytearray, suffix: str, rng: Random) -> None:
    """Change the type of an element."""
    element, other = _pick(data, suffix, rng), _pick(data, suffix, rng)
    width = min(8, element.body - element.start, other.body - other.start)
    data[element.start : element.start + width] = data[other.start : other.start + width]


def empty(data: bytearray, suffix: str, rng: Random) -> None:
    """Zero the content of an element, or remove it and keep the header."""
    element = _pick(data, suffix, rng)
    data[element.body : element.end] = bytes(rng.choice((0, element.end - element.body)))


def _pick(data: bytearray, suffix: str, rng: Random) -> Element:
    found = elements(bytes(data), suffix)
    return rng.choice(found) if found else Element(0, 0, len(data))


def flip(data: bytearray, suffix: str, rng: Random) -> None:
    """Without regard to the structure: bytes overwritten, removed or repeated, mostly in the header."""
    for _ in range(rng.randint(1, 8)):
        reach = len(data) if rng.random() < 0.4 else min(len(data), 800)
        at, size = rng.randrange(max(reach, 1)), rng.randint(1, 9)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.getrandbits(8)])
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                data[at : at + 4] = rng.choice(EXTREME).to_bytes(4, "big")
            case 3:
                del data[at : at + size * 8]
            case 4:
                data[at:at] = data[at : at + size * 16]


def cut(data: bytearray, suffix: str, rng: Random) -> None:
    """Truncate, or continue with bytes that mean nothing."""
    del data[rng.randrange(len(data) + 1) :]
    if rng.random() < 0.3:
        data += rng.randbytes(rng.randrange(4000))


Mutation = Callable[[bytearray, str, Random], None]
UNAWARE: tuple[Mutation, ...] = (flip, flip, flip, cut)
AWARE: tuple[Mutation, ...] = (numbers, numbers, times, drop, repeat, rename, empty)
