"""Which segments of a long video are sampled: where there is speech and a face, spread over its length, none twice."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from resync.config import FPS, SAMPLE_RATE, SamplingConfig
from resync.faces.detect import Faces
from resync.media.image import ArrayImage
from resync.media.probe import MediaInfo, VideoInfo
from resync.media.source import AudioSource, VideoSource
from resync.media.video import Frame
from resync.sync.sampling import candidate_starts, farthest, is_long, sampled_segments, time_span

CONFIG = SamplingConfig()
SPEECH, SILENCE, HUM, FAINT = range(4)


class ScriptedAudio(AudioSource):
    """Audio of a kind that depends on the time."""

    def __init__(self, kind):
        super().__init__(Path("video"))
        object.__setattr__(self, "kind", kind)

    def read(self, start_s, end_s):
        rng, count = np.random.default_rng(0), round((end_s - start_s) * SAMPLE_RATE)
        noise = rng.normal(0, 0.1, count)
        syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(count) / SAMPLE_RATE)
        level = {SPEECH: syllables**4, SILENCE: 0, HUM: 1, FAINT: 0.003 * syllables**4}[self.kind(start_s)]
        return (noise * level).astype(np.float32)


def video(seconds=7200.0, audio=lambda t: SPEECH, every_s=0.04):
    """A video that shows its time in seconds, with a keyframe every every_s."""
    info = VideoInfo(0, "h264", 64, 36, 25.0, 0.0, seconds, 0)

    def keyframe(at_s):
        tick = round(math.floor(at_s / every_s + 1e-6) * every_s * FPS)
        image = np.full((2, 2, 3), int(tick / FPS) % 256, np.uint8)
        image[0, 0, 0] = int(tick / FPS) // 256
        return Frame(tick, tick / FPS, tick / FPS, ArrayImage(image))

    return VideoSource(MediaInfo(Path("video"), "mp4", seconds, 0.0, info, ()), lambda a, b: iter(()), ScriptedAudio(audio), keyframe)


def faces(where=lambda t: True):
    """A detector that detects a face at the times for which `where` is true."""

    def detect(image):
        t = int(image.pixels[1, 1, 0]) + 256 * int(image.pixels[0, 0, 0])
        n = int(where(t))
        return Faces(np.zeros((n, 4), np.float32), np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32))

    return detect


def test_short_videos_are_analysed_in_full():
    short = video(CONFIG.full_scan_s)
    assert not is_long(short.info) and list(sampled_segments(short, faces())) == [(0.0, CONFIG.full_scan_s)]


def test_exhaustive_covers_everything():
    endless = replace(CONFIG, full_scan_s=math.inf)
    assert list(sampled_segments(video(7200), faces(), endless)) == [(0.0, 7200.0)]


@pytest.mark.parametrize("seconds", [41, 60, 121, 3600, 7200])
def test_any_first_few_cover_the_length(seconds):
    left, starts = candidate_starts(0, seconds), []
    while left:
        starts.append(farthest(left, starts))
        left.remove(starts[-1])
    assert min(starts) == 0 and max(starts) == pytest.approx(seconds - CONFIG.sample_s)
    assert (np.diff(sorted(starts)) >= CONFIG.sample_s - 1e-9).all(), "they do not overlap"
    assert len(starts) == min(CONFIG.candidates, seconds // CONFIG.sample_s)
    first = sorted(starts[: CONFIG.min_samples])
    assert first[0] == 0 and first[-1] == max(starts) and np.diff(first).max() < 0.41 * seconds
    assert {0, max(starts)} == set(starts[:2]), "a jump near an end is seen as well"


def test_a_neighbour_stands_in_for_a_place_without_speech():
    segments = list(islice(sampled_segments(video(600, lambda t: SILENCE if t < 20 else SPEECH), faces()), 3))
    assert 20 <= min(start for start, _ in segments) < 40, "not a third of the video later"


def test_a_video_stream_that_starts_late():
    late = video(600)
    info = replace(late.info, video=replace(late.info.video, start_s=100.0, duration_s=500.0))
    assert time_span(info) == (100.0, 600.0)
    assert min(start for start, _ in sampled_segments(replace(late, info=info), faces())) == 100.0


def test_speech_is_sampled_wherever_it_is():
    talking = video(7200, lambda t: SPEECH if 3000 < t < 4000 else SILENCE)
    segments = list(sampled_segments(talking, faces()))
    assert len(segments) >= 12 and all(3000 < start < 4000 for start, _ in segments)


@pytest.mark.parametrize("kind", [SILENCE, HUM, FAINT])
def test_silence_and_noise_are_skipped(kind):
    mixed = video(7200, lambda t: SPEECH if int(t / 60) % 2 or t < 60 else kind, every_s=1.0)
    segments = list(sampled_segments(mixed, faces()))
    assert len(segments) == CONFIG.max_samples and all(int((start + 3) / 60) % 2 or start < 60 for start, _ in segments)


def test_segments_without_a_face_are_skipped():
    segments = list(sampled_segments(video(7200), faces(lambda t: int(t / 100) % 3 == 0)))
    assert 35 <= len(segments) <= CONFIG.max_samples and all(int(start / 100) % 3 == 0 for start, _ in segments)


@pytest.mark.parametrize("unpromising", [video(7200, lambda t: SILENCE), video(600, lambda t: SILENCE)])
def test_an_unpromising_video_is_sampled_all_the_same(unpromising):
    segments = list(sampled_segments(unpromising, faces()))
    assert len(segments) == CONFIG.min_samples and len(set(segments)) == len(segments)
    assert len(list(sampled_segments(video(600), faces(lambda t: False)))) == CONFIG.min_samples


@pytest.mark.parametrize("every_s, aligned", [(2.0, True), (10.0, True), (300.0, False)])
def test_segments_start_at_nearby_keyframes(every_s, aligned):
    segments = list(sampled_segments(video(7200, every_s=every_s), faces()))
    on_keyframe = [abs(start / every_s - round(start / every_s)) < 1e-6 for start, _ in segments]
    assert np.mean(on_keyframe) == 1.0 if aligned else np.mean(on_keyframe) < 0.5


@pytest.mark.parametrize("seconds, every_s", [(60, 7.0), (100, 5.0), (330, 7.9)])
def test_no_segment_is_sampled_twice(seconds, every_s):
    segments = sorted(sampled_segments(video(seconds, every_s=every_s), faces()))
    assert all(end <= start + 1e-6 for (_, end), (start, _) in zip(segments, segments[1:]))
    assert min(end - start for start, end in segments) >= CONFIG.sample_s / 2 - 1e-6


def test_no_more_candidates_are_checked_than_needed():
    checked = []
    segments = sampled_segments(video(7200), lambda image: checked.append(1) or faces()(image))
    list(islice(segments, 3))
    assert len(checked) == 3
