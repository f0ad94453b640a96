"""Streams other than video and audio: which are copied, attached again or left to the muxer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
from av.stream import Disposition

from ..media.container import open_container
from .command import Extras
from .containers import EDIT_LISTS, TAKES_ATTACHMENTS, suffix_of

#: Metadata keys that an MP4 has a standard place for; any other needs a key table.
_MP4_TAGS = frozenset(
    "major_brand minor_version compatible_brands creation_time encoder title artist album_artist composer "
    "album date comment genre copyright grouping lyrics description synopsis show episode_id network "
    "keywords episode_sort season_number media_type hd_video gapless_playback compilation track disc tmpo "
    "rating location sort_name sort_artist sort_album sort_album_artist sort_composer sort_show".split()
)
_DISCARD_ALL = 48  # libav's AVDISCARD_ALL
_VERIFIED_TYPES = ("video", "audio", "subtitle", "attachment")


def inspect_extras(src: Path, dst: Path, folder: Path) -> tuple[Extras, tuple[int, ...]]:
    """(how to write the extra streams, indices of data streams to drop when ffmpeg refuses them).

    Cover images that must be attached again are saved in `folder`.
    """
    attached = []
    left_out: list[int] = []
    droppable: list[int] = []
    with open_container(src) as container:
        for stream in container.streams:
            if stream.type == "data":
                (left_out if _is_made_by_muxer(stream, dst) else droppable).append(stream.index)
            elif stream.disposition & Disposition.attached_pic and suffix_of(dst) in TAKES_ATTACHMENTS:
                # ffmpeg would write it as a second video track.
                attached.append(_save_cover(container, stream, folder))
                left_out.append(stream.index)
        attachments = sum(stream.type == "attachment" for stream in container.streams)
        streams = tuple((stream.index, stream.type, _dispositions(stream)) for stream in container.streams)
        own_tags = not _MP4_TAGS.issuperset(key.lower() for key in container.metadata)
    return Extras(tuple(left_out), tuple(attached), attachments, own_tags, streams), tuple(droppable)


def stream_counts(path: Path) -> Counter[str]:
    """Number of streams of each type that a remuxed file must keep."""
    with open_container(path) as container:
        return Counter(stream.type for stream in container.streams if stream.type in _VERIFIED_TYPES)


def _dispositions(stream: av.stream.Stream) -> str:
    """As ffmpeg's option takes them."""
    return "+".join(flag.name for flag in Disposition if flag.name and flag & stream.disposition) or "0"


def _is_made_by_muxer(stream: av.stream.Stream, dst: Path) -> bool:
    """Whether it is a timecode or chapter track (read as discarded), which MP4 muxers make from the metadata."""
    discarded = getattr(stream, "discard", 0) >= _DISCARD_ALL  # older PyAV lacks the attribute
    return suffix_of(dst) in EDIT_LISTS and (discarded or "timecode" in stream.metadata)


def _save_cover(container: av.container.InputContainer, stream, folder: Path) -> tuple[Path, str, str]:
    """Save a cover image; returns (file, name, MIME type)."""
    kind = "png" if stream.codec_context.name == "png" else "jpeg"
    name = stream.metadata.get("filename") or f"cover.{kind.replace('jpeg', 'jpg')}"
    file = folder / f"{stream.index}"
    file.write_bytes(bytes(next(container.demux(stream))))
    return file, name, stream.metadata.get("mimetype") or f"image/{kind}"
