"""The description of a file, and the checks for missing streams."""

import pytest
from helpers import ffmpeg
from numbered_clip import H264, RATE, SECONDS, SIZE

from resync.errors import MediaError
from resync.media.audio import read_audio
from resync.media.probe import probe, require_video, require_video_and_audio
from resync.media.video import read_frames


def test_streams_and_their_properties(mp4):
    info = probe(mp4)
    assert info.path == mp4 and "mp4" in info.format
    assert info.duration_s == pytest.approx(SECONDS, abs=0.05) and info.start_s == 0
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", *SIZE)
    assert info.video.fps == pytest.approx(25) and info.video.rotation == 0
    assert info.video.start_s == 0 and info.video.duration_s == pytest.approx(SECONDS)
    (audio,) = info.audio
    assert (audio.codec, audio.sample_rate, audio.channels, audio.layout) == ("aac", 48_000, 1, "mono")
    assert audio.language is None or audio.language == "und"
    assert audio.index == 1 and audio.bit_rate > 0
    require_video_and_audio(info)


def test_missing_video_stream(wav):
    info = probe(wav)
    assert info.video is None
    for check in (require_video, require_video_and_audio):
        with pytest.raises(MediaError, match=r"noise\.wav: no video stream"):
            check(info)
    with pytest.raises(MediaError, match=r"noise\.wav: no video stream"):
        next(read_frames(wav))


def test_missing_audio_track(encode, mp4):
    silent = encode("silent.mp4", *H264, audio=False)
    with pytest.raises(MediaError, match=r"silent\.mp4: no audio track"):
        require_video_and_audio(probe(silent))
    with pytest.raises(MediaError, match=r"silent\.mp4: no audio track"):
        read_audio(silent)
    for track in (0, 2):
        with pytest.raises(MediaError, match=f"no audio track {track}; --audio-track takes 1 to 1"):
            require_video_and_audio(probe(mp4), track)


def test_streams_without_a_decoder_are_ignored(plain, folder):
    data = plain("mkv").read_bytes()
    unknown_video, unknown_audio = folder / "unknown_video.mkv", folder / "unknown_audio.mkv"
    unknown_video.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX"))
    unknown_audio.write_bytes(data.replace(b"A_OPUS", b"A_XXXX"))
    assert probe(unknown_video).video is None and len(read_audio(unknown_video)) > 3 * RATE
    assert probe(unknown_audio).audio == () and len(list(read_frames(unknown_audio))) == 100
    with pytest.raises(MediaError, match="no audio track"):
        read_audio(unknown_audio)


@pytest.fixture(scope="module")
def cover(folder):
    path = folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=600x600", "-frames:v", 1, path)
    return path


@pytest.mark.parametrize("ext, codec", [("m4a", "aac"), ("mp3", "libmp3lame"), ("flac", "flac")])
def test_cover_art_is_not_a_video_stream(folder, wav, cover, ext, codec):
    path = folder / f"song.{ext}"
    ffmpeg("-i", wav, "-i", cover, "-map", 0, "-map", 1, "-c:a", codec, "-c:v", "copy",
           "-disposition:v", "attached_pic", path)  # fmt: skip
    assert probe(path).video is None
    assert len(probe(path).audio) == 1


def test_video_is_selected_over_larger_cover_art(folder, mp4, cover):
    path = folder / "with_cover.mp4"
    ffmpeg("-i", cover, "-i", mp4, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", path)
    info = probe(path)
    assert (info.video.width, info.video.height) == SIZE
    assert len(list(read_frames(path))) == 100


def test_times_count_from_the_container_start(folder, plain):
    original, late = plain("ts"), folder / "late.ts"
    ffmpeg("-copyts", "-i", original, "-c", "copy", "-output_ts_offset", 1000, late)
    info = probe(late)
    assert info.start_s > 1000 and min(info.video.start_s, info.audio[0].start_s) == pytest.approx(0, abs=1e-6)
    assert (read_audio(late) == read_audio(original)).all()
    assert [f.index for f in read_frames(late)] == [f.index for f in read_frames(original)]
