"""Matroska files with any claims in their headers, and MOV files whose data is elsewhere."""

from __future__ import annotations

import io
import struct

from PIL import Image


def element(number: str, *content: bytes) -> bytes:
    """An EBML element; number: its ID in hex."""
    data = b"".join(content)
    return bytes.fromhex(number) + struct.pack(">Q", (1 << 56) | len(data)) + data


def uint(number: str, value: int) -> bytes:
    """An element that holds an unsigned integer."""
    return element(number, value.to_bytes(8, "big"))


def real(number: str, value: float) -> bytes:
    """An element that holds a float."""
    return element(number, struct.pack(">d", value))


def image(width: int, height: int, format: str = "jpeg", level: int = 128) -> bytes:
    """A grey image file."""
    file = io.BytesIO()
    Image.new("L", (width, height), level).save(file, format)
    return file.getvalue()


def video_track(number: int = 1, codec: bytes = b"V_MJPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A track entry."""
    sizes = element("e0", uint("b0", size[0]), uint("ba", size[1]))
    return element("ae", uint("d7", number), uint("73c5", number), uint("83", 1), element("86", codec), sizes)


def audio_track(number: int = 2, rate: float = 48_000.0, channels: int = 1) -> bytes:
    """A track entry of 16-bit PCM."""
    format = element("e1", real("b5", rate), uint("9f", channels), uint("6264", 16))
    return element("ae", uint("d7", number), uint("73c5", number), uint("83", 2), element("86", b"A_PCM/INT/LIT"), format)


def clusters(frame: bytes, times_ms: tuple[int, ...] = tuple(range(0, 1000, 40))) -> bytes:
    """A frame of video track 1 and 40 ms of silence of audio track 2 at each of these times."""

    def block(track: int, data: bytes) -> bytes:
        return element("a3", bytes([0x80 | track, 0, 0, 0x80]), data)

    return b"".join(element("1f43b675", uint("e7", time), block(1, frame), block(2, bytes(3840))) for time in times_ms)


def matroska(*content: bytes, duration_ms: float = 1000.0) -> bytes:
    """A file: `content` are tracks (element AE), and what follows them."""
    tracks = b"".join(part for part in content if part[:1] == b"\xae")
    rest = b"".join(part for part in content if part[:1] != b"\xae")
    head = element("1a45dfa3", uint("4286", 1), element("4282", b"matroska"), uint("4287", 4), uint("4285", 2))
    info = element("1549a966", uint("2ad7b1", 1_000_000), real("4489", duration_ms))
    return head + element("18538067", info, element("1654ae6b", tracks), rest)


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of an MP4 or MOV."""
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def full(kind: bytes, *numbers: int) -> bytes:
    """A box of version 0 that holds integers of 32 bits after its flags, the first number."""
    return box(kind, struct.pack(f">{len(numbers)}I", *numbers))


def pointing_mov(frame: bytes, path: str) -> bytes:
    """A MOV with one frame, an image of 64 x 48 px, that says that its data is in the file at the absolute `path`."""
    folder, _, name = path.rpartition("/")
    records = b"".join(
        struct.pack(">hH", kind, len(text)) + text + bytes(len(text) % 2)
        for kind, text in ((2, path.encode()), (18, path.encode()), (0, folder.rpartition("/")[2].encode()))
    )
    volume, own = b"\x01x" + bytes(26), bytes([len(name)]) + name.encode().ljust(63, b"\0")
    alias = box(b"alis", bytes(14), volume, bytes(12), own, bytes(36), records, struct.pack(">hH", -1, 0))
    entry = struct.pack(">6xH16xHHIIIH32xHh", 1, 64, 48, 0x480000, 0x480000, 0, 1, 24, -1)
    tables = (
        box(b"stsd", bytes(4), struct.pack(">I", 1), box(b"jpeg", entry)),
        full(b"stts", 0, 1, 1, 1000),
        full(b"stsc", 0, 1, 1, 1, 1),
        full(b"stsz", 0, 0, 1, len(frame)),
        full(b"stco", 0, 1, 28),
    )
    media = box(b"minf", full(b"vmhd", 1, 0, 0), box(b"dinf", box(b"dref", bytes(4), struct.pack(">I", 1), alias)), box(b"stbl", *tables))
    matrix = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    track = box(
        b"trak",
        full(b"tkhd", 3, 0, 0, 1, 0, 1000, 0, 0, 0, 0, *matrix, 64 << 16, 48 << 16),
        box(b"mdia", full(b"mdhd", 0, 0, 0, 1000, 1000, 0), box(b"hdlr", bytes(8), b"vide", bytes(13)), media),
    )
    header = full(b"mvhd", 0, 0, 0, 1000, 1000, 0x10000, 0x1000000, 0, 0, *matrix, *(0,) * 6, 2)
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", frame) + box(b"moov", header, track)
