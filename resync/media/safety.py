"""What keeps a hostile file from reading other files, reaching the network, or filling the memory.

Playlists, scripts and image sequences name other files, so only formats that are complete in one file are read. And a few bytes
in a header can claim what takes gigabytes or days to decode, so a file that claims more than real ones have is refused.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.stream import Disposition

from ..errors import MediaError

#: libav's demuxers of formats that hold audio or video and never open a second file.
FORMATS = tuple(
    (
        "mov matroska avi mpegts mpeg mpegvideo mxf asf flv live_flv ogg nut wtv rm ivr dv gxf lxf nsv nuv pva ty dhav r3d swf "
        "h261 h263 h264 hevc vvc m4v mjpeg mpjpeg smjpeg vc1 vc1test av1 obu ivf dirac dnxhd cavsvideo avs2 avs3 yuv4mpegpipe gif apng "
        "wav w64 aiff caf au flac mp3 aac ac3 ac4 eac3 dts dtshd truehd mlp loas amr amrnb amrwb ape wv tta tak shn mpc mpc8 oma qcp "
        "voc ircam sox nistsphere avr iff dsf spdif s337m xwma aea mmf gsm sbc aptx aptx_hd daud pvf sds sln iamf"
    ).split()
)
MAX_PIXELS = 40_000_000  # of a frame: 8K has up to 38 million (8192 x 4608)
MAX_STREAMS = 999  # libav leaves out streams from 1000 on
MAX_DURATION_S = 48 * 3600.0
MAX_WHOLE_AUDIO_S = 4 * 3600.0  # of a track that is read into memory as a whole: 0.9 GB
MAX_CHANNELS = 64  # as many as libav can mix down
SAMPLE_RATES = range(1000, 1_000_001)  # Hz
MAX_FRAME_SAMPLES = 1 << 24  # of one audio frame, per channel

#: Options with which libav opens a file. The protocol is that of the file itself: no format opens another one.
CONTAINER_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
#: Options of libav's decoders, since the sizes may change within a file.
DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS), "max_samples": str(MAX_FRAME_SAMPLES)}


def require_plausible(container: av.container.InputContainer, path: str | Path) -> None:
    """Raise MediaError for a file whose headers claim more than real files have."""
    if len(container.streams) > MAX_STREAMS:
        raise MediaError(f"{path}: has more than {MAX_STREAMS} streams; give a copy with fewer")
    durations_s = [float(s.duration * s.time_base) for s in container.streams if s.duration and s.time_base]
    duration_s = max([(container.duration or 0) / av.time_base, *durations_s])
    if duration_s > MAX_DURATION_S:
        hours = f"{duration_s / 3600:.0f} hours, more than {MAX_DURATION_S / 3600:.0f}"
        raise MediaError(f"{path}: claims to last {hours}; if its timestamps are wrong, give another copy, else a shorter file")
    for stream in container.streams:
        if stream.codec_context is None:  # no decoder for it
            continue
        if isinstance(stream, av.VideoStream) and not stream.disposition & Disposition.attached_pic:
            if stream.width * stream.height > MAX_PIXELS:
                raise MediaError(f"{path}: its frames of {stream.width} x {stream.height} px are too large; give a copy in 8K or less")
        elif isinstance(stream, av.AudioStream):
            if stream.rate and stream.rate not in SAMPLE_RATES:
                raise MediaError(f"{path}: claims a sample rate of {stream.rate} Hz; it may be damaged, give another copy")
            if stream.channels > MAX_CHANNELS:
                raise MediaError(f"{path}: has {stream.channels} channels in one audio track; give a copy with at most {MAX_CHANNELS}")
