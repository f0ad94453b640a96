"""Which parts of a long film are looked at: where there is speech and a face, spread over its length, none twice."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from resync.config import FPS, SAMPLE_RATE, PlanConfig
from resync.external import Sound
from resync.faces import Faces
from resync.film import Film
from resync.media import Frame, MediaInfo, VideoInfo
from resync.pictures import ArrayPicture
from resync.plan import chosen_parts, extent, is_long, spread

PLAN = PlanConfig()
SPEECH, SILENCE, HUM, FAINT = range(4)


class Told(Sound):
    """Sound of a kind that depends on the time."""

    def __init__(self, kind):
        super().__init__(Path("film"))
        object.__setattr__(self, "kind", kind)

    def read(self, start_s, end_s):
        rng, count = np.random.default_rng(0), round((end_s - start_s) * SAMPLE_RATE)
        noise = rng.normal(0, 0.1, count)
        syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(count) / SAMPLE_RATE)
        level = {SPEECH: syllables**4, SILENCE: 0, HUM: 1, FAINT: 0.003 * syllables**4}[self.kind(start_s)]
        return (noise * level).astype(np.float32)


def film(seconds=7200.0, sound=lambda t: SPEECH, every_s=0.04):
    """A film that shows its time in seconds; a key frame every so often."""
    video = VideoInfo(0, "h264", 64, 36, 25.0, 0.0, seconds, 0)

    def key_frame(at_s):
        tick = round(math.floor(at_s / every_s + 1e-6) * every_s * FPS)
        image = np.full((2, 2, 3), int(tick / FPS) % 256, np.uint8)
        image[0, 0, 0] = int(tick / FPS) // 256
        return Frame(tick, tick / FPS, tick / FPS, ArrayPicture(image))

    return Film(MediaInfo(Path("film"), "mp4", seconds, 0.0, video, ()), lambda a, b: iter(()), Told(sound), key_frame)


def faces(where=lambda t: True):
    """A detector that finds a face at the times for which `where` says so."""

    def detect(picture):
        t = int(picture.pixels[1, 1, 0]) + 256 * int(picture.pixels[0, 0, 0])
        n = int(where(t))
        return Faces(np.zeros((n, 4), np.float32), np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32))

    return detect


def test_short_films_are_looked_at_whole():
    short = film(PLAN.whole_s)
    assert not is_long(short.info) and list(chosen_parts(short, faces())) == [(0.0, PLAN.whole_s)]


def test_exhaustive_is_whole_too():
    endless = replace(PLAN, whole_s=math.inf)
    assert list(chosen_parts(film(7200), faces(), endless)) == [(0.0, 7200.0)]


@pytest.mark.parametrize("seconds", [41, 60, 121, 3600, 7200])
def test_any_first_few_cover_the_length(seconds):
    starts = spread(0, seconds)
    assert min(starts) == 0 and max(starts) == pytest.approx(seconds - PLAN.part_s)
    assert (np.diff(sorted(starts)) >= PLAN.part_s - 1e-9).all(), "they do not overlap"
    assert len(starts) == min(PLAN.candidates, seconds // PLAN.part_s)
    first = sorted(starts[: PLAN.least_parts])
    assert first[0] < 0.25 * seconds and first[-1] > 0.6 * seconds and np.diff(first).max() < 0.4 * seconds


def test_a_picture_that_starts_late():
    late = film(600)
    info = replace(late.info, video=replace(late.info.video, start_s=100.0, duration_s=500.0))
    assert extent(info) == (100.0, 600.0)
    assert min(start for start, _ in chosen_parts(replace(late, info=info), faces())) == 100.0


def test_talk_is_found_wherever_it_is():
    talk = film(7200, lambda t: SPEECH if 3000 < t < 4000 else SILENCE)
    parts = list(chosen_parts(talk, faces()))
    assert len(parts) >= 12 and all(3000 < start < 4000 for start, _ in parts)


@pytest.mark.parametrize("kind", [SILENCE, HUM, FAINT])
def test_what_is_no_speech_is_passed_over(kind):
    mixed = film(7200, lambda t: SPEECH if int(t / 60) % 2 or t < 60 else kind, every_s=1.0)
    parts = list(chosen_parts(mixed, faces()))
    assert len(parts) == PLAN.most_parts and all(int((start + 3) / 60) % 2 or start < 60 for start, _ in parts)


def test_where_no_face_is_seen_is_passed_over():
    parts = list(chosen_parts(film(7200), faces(lambda t: int(t / 100) % 3 == 0)))
    assert 35 <= len(parts) <= PLAN.most_parts and all(int(start / 100) % 3 == 0 for start, _ in parts)


@pytest.mark.parametrize("nothing", [film(7200, lambda t: SILENCE), film(600, lambda t: SILENCE)])
def test_a_film_that_promises_nothing_is_looked_at_all_the_same(nothing):
    parts = list(chosen_parts(nothing, faces()))
    assert len(parts) == PLAN.least_parts and len(set(parts)) == len(parts)
    assert len(list(chosen_parts(film(600), faces(lambda t: False)))) == PLAN.least_parts


@pytest.mark.parametrize("every_s, aligned", [(2.0, True), (10.0, True), (300.0, False)])
def test_parts_begin_at_key_frames_that_are_near(every_s, aligned):
    parts = list(chosen_parts(film(7200, every_s=every_s), faces()))
    on_key = [abs(start / every_s - round(start / every_s)) < 1e-6 for start, _ in parts]
    assert np.mean(on_key) == 1.0 if aligned else np.mean(on_key) < 0.5


@pytest.mark.parametrize("seconds, every_s", [(60, 7.0), (100, 5.0), (330, 7.9)])
def test_nothing_is_looked_at_twice(seconds, every_s):
    parts = sorted(chosen_parts(film(seconds, every_s=every_s), faces()))
    assert all(end <= begin + 1e-6 for (_, end), (begin, _) in zip(parts, parts[1:]))
    assert min(end - start for start, end in parts) >= PLAN.part_s / 2 - 1e-6


def test_no_more_is_looked_for_than_is_asked_for():
    asked = []
    chosen = chosen_parts(film(7200), lambda picture: asked.append(1) or faces()(picture))
    list(islice(chosen, 3))
    assert len(asked) == 3
