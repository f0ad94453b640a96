"""Files that name other files, and files that claim more than they hold: refused in one line, in bounded time and memory."""

import subprocess
from pathlib import Path

import av
import pytest
from helpers import logging_server
from hostile_files import audio_track, clusters, image, matroska, pointing_mov, video_track

import resync
from resync.errors import MediaError
from resync.media import safety
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.media.video import read_frames
from resync.remux.ffmpeg import ffmpeg_exe, input_options

FRAME = image(64, 48)
YEARS_MS = 30 * 365 * 86_400_000
SEGMENT = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static"'
    ' mediaPresentationDuration="PT4S" minBufferTime="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL><SegmentBase/></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
VOBSUB = (
    "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n"
)


@pytest.fixture
def secret(plain, tmp_path, monkeypatch):
    """Files and a URL that must not be opened, in the working folder: media, so that a playlist with them could be read."""
    monkeypatch.chdir(tmp_path)
    for name in ("secret.ts", "secret.sub"):
        Path(name).write_bytes(plain("ts").read_bytes())
    Path("secret.mp4").write_bytes(plain("mp4").read_bytes())
    Path("secret1.png").write_bytes(image(64, 48, "png"))


POINTERS = {
    "concat.mp4": "ffconcat version 1.0\nfile secret.ts\n",
    "concat.mkv": "ffconcat version 1.0\nfile '{folder}/secret.ts'\n",
    "hls.m3u8": SEGMENT.format("secret.ts"),
    "hls.mp4": SEGMENT.format("secret.ts"),
    "hls_file.m3u8": SEGMENT.format("file:{folder}/secret.ts"),
    "master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhls.m3u8\n",
    "dash.mp4": DASH.format("secret.mp4"),
    "vobsub.mp4": VOBSUB,
    "secret.idx": VOBSUB,
    "secret%d.png": "secret1.png",
    "session.mp4": SDP.format(9),
}


@pytest.mark.parametrize("name", POINTERS)
def test_a_file_that_names_others_is_refused(secret, name, tmp_path):
    Path("hls.m3u8").write_text(POINTERS["hls.m3u8"])
    text = POINTERS[name].replace("{folder}", str(tmp_path))
    Path(name).write_bytes(Path(text).read_bytes() if text == "secret1.png" else text.encode())
    with pytest.raises(MediaError) as raised:
        probe(name)
    assert str(raised.value).startswith(f"{name}: not a") and "\n" not in str(raised.value)
    for call in (lambda: resync.analyze(name), lambda: resync.analyze("secret.mp4", audio=name)):
        with pytest.raises(MediaError, match=name):
            call()
    # The program by itself, which may know formats that PyAV does not.
    command = [ffmpeg_exe(), "-v", "error", "-nostdin", *input_options(Path(name)), "-map", "0", "-c", "copy", "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0


@pytest.mark.parametrize("name", ["hls.m3u8", "concat.mp4", "dash.mp4"])
def test_no_file_makes_a_request(secret, name):
    with logging_server() as (url, requests):
        Path(name).write_text(POINTERS[name].replace("secret", f"{url}/secret"))
        with pytest.raises(MediaError):
            probe(name)
        command = [ffmpeg_exe(), "-v", "error", "-nostdin", *input_options(Path(name)), "-f", "null", "-"]
        assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0
    assert not requests


def test_data_references_of_a_mov_are_not_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    white, black = (image(64, 48, level=level) for level in (255, 0))
    Path("secret.raw").write_bytes(bytes(28) + white)
    Path("pointer.mov").write_bytes(pointing_mov(black, str(tmp_path / "secret.raw")))
    with av.open("pointer.mov", options={"enable_drefs": "1", "use_absolute_path": "1"}) as container:
        assert next(container.decode()).to_ndarray(format="gray").mean() == 255  # it does point there
    assert not any(frame.image.bgr().any() for frame in read_frames("pointer.mov"))
    command = [ffmpeg_exe(), "-v", "error", *input_options(Path("pointer.mov")), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    assert not any(level > 20 for level in subprocess.run(command, capture_output=True, timeout=60).stdout)


CLAIMS = {
    "30 years": (matroska(video_track(), audio_track(), clusters(FRAME), duration_ms=float(YEARS_MS)), "hours, more than 48"),
    "1000 tracks": (matroska(*map(video_track, range(1, 1100)), clusters(FRAME)), "more than 999 streams"),
    "10 MHz": (matroska(video_track(), audio_track(rate=1e7), clusters(FRAME)), "sample rate of 10000000 Hz"),
    "1 Hz": (matroska(video_track(), audio_track(rate=1.0), clusters(FRAME)), "sample rate of 1 Hz"),
    "255 channels": (matroska(video_track(), audio_track(channels=255), clusters(FRAME)), "255 channels"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_beyond_any_real_file_are_refused(claim, tmp_path):
    (path := tmp_path / "a.mkv").write_bytes(CLAIMS[claim][0])
    for read in (lambda: probe(path), lambda: list(read_frames(path, end_s=8)), lambda: read_audio(path, end_s=8)):
        with pytest.raises(MediaError, match=rf"^{path}: [^\n]*{CLAIMS[claim][1]}"):
            read()


def test_what_real_files_have_is_read(tmp_path):
    tracks = [video_track(), audio_track(rate=192_000, channels=32), *map(audio_track, range(3, 100))]
    (path := tmp_path / "a.mkv").write_bytes(matroska(*tracks, clusters(FRAME), duration_ms=47 * 3_600_000))
    info = probe(path)
    assert len(info.audio) == 98 and info.audio[0].channels == 32 and info.duration_s == 47 * 3600
    assert safety.MAX_PIXELS >= 8192 * 4608  # the largest 8K


def test_frames_beyond_8k_are_not_decoded(tmp_path, monkeypatch):
    large = clusters(image(8000, 8000), (40,))
    (path := tmp_path / "a.mkv").write_bytes(matroska(video_track(), audio_track(), clusters(FRAME, (0,)), large))
    assert {frame.image.size for frame in read_frames(path)} == {(64, 48)}
    path.write_bytes(matroska(video_track(), audio_track(), large))
    for read in (lambda: probe(path), lambda: list(read_frames(path))):
        with pytest.raises(MediaError, match="damaged|beyond 8K"):
            read()
    monkeypatch.setattr(safety, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaError, match="frames of 64 x 48 px are too large"):
        (path.write_bytes(matroska(video_track(), audio_track(), clusters(FRAME))), probe(path))


def test_impossible_sizes_are_said_to_be(tmp_path):
    (path := tmp_path / "a.mkv").write_bytes(matroska(video_track(), audio_track(channels=100_000), clusters(FRAME)))
    with pytest.raises(MediaError, match="a size in it is impossible"):
        read_audio(path, end_s=1)


def test_timestamps_that_jump_by_years_neither_loop_nor_fill_the_memory(tmp_path):
    times_ms = (*range(0, 1000, 40), YEARS_MS)
    (path := tmp_path / "a.mkv").write_bytes(matroska(video_track(), audio_track(), clusters(FRAME, times_ms)))
    assert probe(path).duration_s == 1.0  # as the header says
    assert len(list(read_frames(path, end_s=8))) == 200 and len(read_audio(path, end_s=8)) == 128_000
    with pytest.raises(MediaError, match="more than 4 hours, or its timestamps are damaged"):
        read_audio(path)


def test_formats_that_open_other_files_are_not_read():
    """By the sources of libavformat these demuxers open a second file, run a script or read a device."""
    others = "concat dash hls image2 imf mlv rtp rtsp sap sdp vobsub webm_dash_manifest avisynth vapoursynth dvdvideo lavfi x11grab"
    assert not set(others.split()) & set(safety.FORMATS)
