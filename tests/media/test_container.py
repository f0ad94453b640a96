"""Opening and seeking: long files, damaged and truncated files, unusual names, no network access."""

import os

import numpy as np
import pytest
from helpers import ffmpeg, logging_server
from numbered_clip import RATE, frame_number

import resync.media.container
from resync.errors import MediaError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.media.video import read_frames, read_keyframe


def test_only_the_needed_packets_of_a_long_file_are_read(folder, monkeypatch):
    path = folder / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=32x32:r=25:d=300", "-f", "lavfi", "-i", "sine=r=16000:d=300",
           "-c:v", "mpeg4", "-g", 100, "-c:a", "aac", "-b:a", "32k", path)  # fmt: skip
    packets = []
    original = resync.media.container._packets

    def recorded(*args):
        for packet in original(*args):
            packets.append(packet)
            yield packet

    monkeypatch.setattr(resync.media.container, "_packets", recorded)
    assert len(list(read_frames(path, start_s=280, end_s=281))) == 25
    assert len(read_audio(path, start_s=280, end_s=281)) == RATE
    assert 0 < len(packets) < 300
    packets.clear()
    assert read_keyframe(path, 283).index == 7000
    assert len(packets) == 1


def one_line_error(path) -> str:
    """The message of `probe`, after checking that all readers refuse the file."""
    with pytest.raises(MediaError) as raised:
        probe(path)
    for read in (lambda: list(read_frames(path)), lambda: read_audio(path)):
        with pytest.raises(MediaError):
            read()
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_unreadable_files_give_a_one_line_error(folder, mp4, capfd):
    empty, text, truncated = folder / "empty.mp4", folder / "text.mp4", folder / "truncated.mp4"
    empty.write_bytes(b"")
    text.write_text("This is not a video.\n" * 200)
    data = mp4.read_bytes()
    truncated.write_bytes(data[: len(data) // 2])  # without the index, which is at the end
    assert "No such file" in one_line_error(folder / "absent.mp4")
    assert "not a file" in one_line_error(folder)
    for path in (empty, text, truncated):
        assert "truncated" in one_line_error(path)
    assert capfd.readouterr() == ("", "")


def test_truncated_mp4_with_its_index_at_the_start(folder, mp4):
    path = folder / "faststart.mp4"
    ffmpeg("-i", mp4, "-c", "copy", "-movflags", "faststart", path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MediaError, match=r"faststart\.mp4: truncated"):
        probe(path)


def test_no_network_access(folder, capfd):
    with logging_server() as (url, requests):
        with pytest.raises(MediaError, match="No such file"):
            probe(f"{url}/clip.mp4")
        playlist = folder / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{url}/a.ts\n#EXT-X-ENDLIST\n")
        one_line_error(playlist)
    assert not requests and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ext", ["mkv", "mp4", "ts"])
def test_damage_in_the_middle_is_skipped(plain, folder, ext, capfd):
    data = bytearray(plain(ext).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(1).bytes(1500)
    path = folder / f"damaged.{ext}"
    path.write_bytes(data)
    frames, audio = list(read_frames(path)), read_audio(path)
    assert len(frames) > 90 and frame_number(frames[10]) == 10 and frame_number(frames[-5]) == 95
    assert len(audio) > 3.8 * RATE
    assert capfd.readouterr() == ("", "")


def test_truncated_file_is_read_to_its_end(plain, folder):
    data = plain("mkv").read_bytes()
    path = folder / "short.mkv"
    path.write_bytes(data[: len(data) * 6 // 10])
    assert 30 < len(list(read_frames(path))) < 90
    assert RATE < len(read_audio(path)) < 3.6 * RATE


def test_file_without_a_decodable_frame_is_an_error(mp4, folder):
    data = bytearray(mp4.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = np.random.default_rng(2).bytes(end - start)
    path = folder / "garbage.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError):
        list(read_frames(path))
    with pytest.raises(MediaError):
        read_audio(path)


@pytest.mark.parametrize("name", ["-clip.mp4", "a:b.mp4", "100%d.mp4", "two\nlines.mp4", "pipe:0", "fünf ' &.mp4", "%03d.mkv"])
def test_any_name_is_read_as_a_file_name(mp4, tmp_path, monkeypatch, name):
    if os.name == "nt" and set(name) & set(":\n"):
        pytest.skip("not a valid file name on Windows")
    (tmp_path / name).write_bytes(mp4.read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        assert probe(path).video.codec == "h264"
        assert next(read_frames(path, start_s=2)).index == 50
        assert len(read_audio(path, end_s=1)) == RATE


NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184  # of a transport stream


def transport_stream(path, start_s, *audio):
    """A second of video in a transport stream, and audio if its options are given: bytes."""
    inputs = ("-f", "lavfi", "-i", "color=gray:s=32x32:r=25:d=1", *(("-f", "lavfi", "-i", "sine=r=16000:d=1") if audio else ()))
    ffmpeg(*inputs, "-c:v", "mpeg2video", "-g", 5, *audio, "-output_ts_offset", start_s, path)
    return path.read_bytes()


def test_a_stream_that_appears_late_does_not_end_the_others(tmp_path):
    path, part = tmp_path / "late.ts", tmp_path / "part.ts"
    video, both, end = (transport_stream(part, start_s, *audio) for start_s, audio in ((0, ()), (1, ("-c:a", "mp2")), (2, ())))
    path.write_bytes(video + NULL_PACKET * 40_000 + both + NULL_PACKET * 2000 + end)  # neither start nor end of the file shows it
    assert not probe(path).audio
    assert list(read_frames(path))[-1].time_s == pytest.approx(3.0, abs=0.1)


def test_where_time_jumps_nothing_is_read_twice(tmp_path, monkeypatch):
    path, opened = tmp_path / "jump.ts", []
    path.write_bytes(b"".join(transport_stream(tmp_path / "part.ts", start_s, "-c:a", "mp2") for start_s in (0, 600)))
    original = resync.media.container.open_container
    monkeypatch.setattr(resync.media.container, "open_container", lambda path: opened.append(path) or original(path))
    assert not read_audio(path, start_s=300, end_s=301).any()
    assert len(opened) == 1
    assert read_audio(path, start_s=600.2, end_s=600.7).any()
