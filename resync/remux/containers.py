"""What each container format can store."""

from __future__ import annotations

from pathlib import Path

#: Containers with edit lists, which hide audio before zero to the exact sample.
EDIT_LISTS = frozenset({".mp4", ".m4v", ".mov", ".3gp", ".3g2"})
#: Containers whose timestamps keep an A/V offset (measured). AVI and MXF keep none, and Ogg is off by up to
#: one packet; for those and for unknown containers the audio is re-encoded.
HOLDS_OFFSET = EDIT_LISTS | {
    ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".flv", ".wmv", ".asf", ".nut",
}  # fmt: skip
#: Containers without a PTS for video, by the only input format they may be remuxed from: from others, frames would be late.
NEEDS_SAME_FORMAT = {".avi": "avi", ".wmv": "asf", ".asf": "asf"}
#: Types of playlists: ffmpeg would write segments beside them, over whatever has their names.
PLAYLISTS = frozenset({".m3u8", ".mpd"})
TAKES_ATTACHMENTS = frozenset({".mkv", ".mka", ".mk3d"})
#: Codecs of which libav drops whole packets at the start of an edit list, up to 0.1 s too much (measured).
LOSES_PACKETS = frozenset({"flac", "alac"})


def suffix_of(path: str | Path) -> str:
    """The file name's suffix in lower case, with its dot."""
    return Path(path).suffix.lower()
