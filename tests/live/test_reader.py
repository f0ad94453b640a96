"""The reading thread: frames and audio on one clock, clocks that begin anew, connections that are lost."""

import math
import socket
from dataclasses import replace
from itertools import groupby
from threading import Thread

import numpy as np
import pytest
from helpers import ffmpeg, lag_s, pattern_input
from numbered_clip import RATE, SECONDS, frame_number

from resync.config import LiveConfig, MediaConfig
from resync.live.feed import Connected, Ended, Feed, Lost, NewClock
from resync.live.inputs import parse_input
from resync.live.reader import StreamReader
from resync.media.audio import read_audio
from resync.media.video import Frame, read_frames

LIVE = replace(LiveConfig(), timeout_s=0.5, first_retry_s=0.05)


def items(location, live=LIVE, media=MediaConfig(), from_start=True, stop_at=Ended):
    """What the reader hands over, up to an item of this type."""
    feed = Feed(1000, math.inf)
    reader = StreamReader(parse_input(str(location)), feed, media, live, audio_s=30, from_start=from_start)
    reader.start()
    found = []
    while not found or not isinstance(found[-1], stop_at):
        item = feed.get(60)
        assert item is not None, "nothing came"
        found.append(item)
    reader.close()
    return found


def clocks(found) -> list[tuple[NewClock, list[Frame]]]:
    """The clocks and their frames."""
    groups = groupby((item for item in found if isinstance(item, Frame | NewClock)), key=lambda item: isinstance(item, NewClock))
    parts = [list(group) for _, group in groups]
    return list(zip((part[-1] for part in parts[::2]), parts[1::2]))


def numbers(frames) -> list[int]:
    return [frame_number(frame) for frame in frames]


def audio_late_s(clock: NewClock, frames: list[Frame], path, from_s: float = 1.0, seconds: float = 2.0) -> float:
    """By how much later the audio is, relative to the frames, than in the file as it is read otherwise."""
    first = frames[0]
    expected = next(frame for frame in read_frames(path) if frame_number(frame) == frame_number(first))
    reference = read_audio(path, start_s=expected.shown_s + from_s, end_s=expected.shown_s + from_s + seconds)
    return lag_s(clock.ring.read(first.shown_s + from_s, first.shown_s + from_s + seconds), reference, RATE, upsample=16)


def test_frames_and_audio_are_those_of_the_file(numbered):
    path = numbered()
    found = items(path)
    assert [type(item) for item in found[:2]] == [Connected, NewClock] and found[-1] == Ended("the input has ended")
    ((clock, frames),) = clocks(found)
    assert numbers(frames) == list(range(25 * SECONDS))
    assert np.diff([frame.index for frame in frames]).tolist() == [1] * (len(frames) - 1)
    assert abs(audio_late_s(clock, frames, path)) < 0.001


def test_timestamps_of_mpeg_ts_wrap_without_a_new_clock(numbered):
    path = numbered("-output_ts_offset", 2**33 / 90_000 - 2)
    ((clock, frames),) = clocks(items(path))
    assert numbers(frames) == list(range(25 * SECONDS))
    assert abs(audio_late_s(clock, frames, numbered())) < 0.001


@pytest.mark.parametrize("offsets", [(0, 5000), (5000, 0)])
def test_a_jump_of_the_timestamps_begins_a_new_clock(numbered, tmp_path, offsets):
    parts = [numbered("-output_ts_offset", offset) for offset in offsets]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    found = clocks(items(tmp_path / "joined.ts"))
    assert len(found) == 2 and found[0][0].ring is not found[1][0].ring
    for (clock, frames), part in zip(found, parts):
        assert set(range(10, 90)) <= set(numbers(frames)) <= set(range(100)) and len(frames) <= 100
        assert abs(audio_late_s(clock, frames, part)) < 0.001


def test_a_recording_is_read_from_its_last_seconds_on(numbered, tmp_path):
    (tmp_path / "long.ts").write_bytes(b"".join(numbered("-output_ts_offset", 10 + SECONDS * i).read_bytes() for i in range(4)))
    ((clock, frames),) = clocks(items(tmp_path / "long.ts", replace(LIVE, window_s=3.0, timeout_s=1.0), from_start=False))
    assert 40 <= len(frames) <= 25 * SECONDS and numbers(frames)[-1] == 99


def test_the_audio_track_can_be_chosen(numbered, tmp_path):
    ffmpeg("-i", numbered(), "-f", "lavfi", "-i", "anullsrc", "-map", "0:v", "-map", "1:a", "-map", "0:a", "-c:v", "copy", "-c:a", "aac",
           "-shortest", tmp_path / "two.ts")  # fmt: skip
    loud = [clocks(items(tmp_path / "two.ts", media=MediaConfig(audio_track=n)))[0][0].ring.read(1, 3).any() for n in (1, 2)]
    assert loud == [False, True]
    ended = items(tmp_path / "two.ts", media=MediaConfig(audio_track=3))[-1]
    assert "no audio track 3" in str(ended.error)


def test_an_input_without_audio_or_video_is_an_error(numbered, tmp_path):
    ffmpeg(*pattern_input(), "-c:v", "libx264", tmp_path / "mute.ts")
    ffmpeg("-i", numbered(), "-vn", "-c", "copy", tmp_path / "blind.ts")
    for name, word in (("mute.ts", "no audio track"), ("blind.ts", "no video")):
        (ended,) = items(tmp_path / name)
        assert name in str(ended.error) and word in str(ended.error)


def test_a_lost_connection_is_made_again(numbered):
    """A server that sends the clip to everybody who connects."""
    data = numbered().read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):
                connection = server.accept()[0]
                with connection:
                    connection.sendall(data)

        Thread(target=serve, daemon=True).start()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        first = items(url, stop_at=Lost)
    assert numbers(clocks(first)[0][1]) == list(range(100)) and first[-1] == Lost(f"{url}: the stream ended")


def test_a_refused_connection_is_tried_again_with_growing_pauses(monkeypatch):
    pauses = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"  # free once it is closed
    feed = Feed(10, 0.0)
    reader = StreamReader(parse_input(url), feed, MediaConfig(), replace(LIVE, first_retry_s=0.01, max_retry_s=0.05), 10)
    wait = reader._stop.wait
    monkeypatch.setattr(reader._stop, "wait", lambda seconds: (pauses.append(seconds), wait(seconds)))
    reader.start()
    assert all(isinstance(feed.get(30), Lost) for _ in range(5))
    reader.close()
    assert pauses[:5] == [0.01, 0.02, 0.04, 0.05, 0.05]
