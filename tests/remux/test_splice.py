"""Which spans of the source are heard when, where a correction consists of pieces."""

import math
from itertools import pairwise

import numpy as np
import pytest
from helpers import media_info

from resync.remux.correction import Correction, PieceShift, per_track
from resync.remux.roomtone import Excerpt, extend, find_room_tone, quiet_moment
from resync.remux.splice import AudioEdit, Splice, edits_of, place_runs

RATE = 16_000
LENGTH_S = 60.0


def pieces(*shifts_ms, seconds=10.0, tempo=1.0):
    return Correction.from_pieces(PieceShift(i * seconds, (i + 1) * seconds, shift, tempo) for i, shift in enumerate(shifts_ms))


def runs_of(correction, **options):
    """(start, end, shift in ms) of each run."""
    return [(run.start_s, run.end_s, run.shift_ms) for run in place_runs(correction.timeline, LENGTH_S, **options)]


# --- corrections -----------------------------------------------------------------------------------


def test_equal_neighbours_are_one_piece():
    assert pieces(100, 100, 100) == Correction(100)
    correction = pieces(100, 100, -50)
    assert [(p.start_s, p.end_s) for p in correction.pieces] == [(0, 20), (20, 30)]
    assert correction.shift_ms == 100, "of the first piece"
    assert [(p.start_s, p.end_s) for p in correction.timeline] == [(0, 20), (20, math.inf)]


@pytest.mark.parametrize(
    ("given", "message"),
    [([], "at least one"), ([(0, 5, 0), (6, 9, 10)], "the one before it ends at 5"), ([(0, 5, 0), (5, 5, 10)], "must end after its start"),
     ([(0, 5, math.nan)], "finite shift"), ([(0, 5, 0, -1.0)], "positive tempo")],
)  # fmt: skip
def test_impossible_pieces_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Correction.from_pieces([PieceShift(*values) for values in given])


def test_one_correction_serves_all_tracks_or_there_is_one_for_each():
    assert per_track(Correction(5), 2) == (Correction(5), Correction(5))
    assert per_track([Correction(5), Correction(6)], 2) == (Correction(5), Correction(6))
    with pytest.raises(ValueError, match="1 corrections for 2 audio tracks"):
        per_track([Correction(5)], 2)


# --- runs ------------------------------------------------------------------------------------------


def test_a_falling_shift_cuts_at_the_change_point():
    assert runs_of(pieces(100, -200)) == [(0, 10, 100), (10, math.inf, -200)]


def test_a_rising_shift_leaves_a_gap_after_the_change_point():
    assert runs_of(pieces(100, 400)) == [(0, 10, 100), (pytest.approx(10.3), math.inf, 400)]


def test_the_gap_begins_at_the_quietest_moment_of_the_audio_that_both_pieces_hold():
    asked = []

    def quietest(start_s, end_s):
        asked.append((start_s, end_s))
        return 9.75

    assert runs_of(pieces(100, 400), quietest=quietest) == [(0, pytest.approx(9.85), 100), (pytest.approx(10.15), math.inf, 400)]
    assert asked == [(pytest.approx(9.6), pytest.approx(9.9))]


@pytest.mark.parametrize("tempo", [1.0, 1.001])
@pytest.mark.parametrize(
    "shifts_ms", [(0, 500, -300, 900), (0, 15_000, 0), (-9000, 9000, -9000, 9000), (0, 40_000, 0), (20_000, 0), (0, 30_000)]
)
def test_no_audio_is_heard_twice_or_out_of_place(shifts_ms, tempo):
    correction = pieces(*shifts_ms, tempo=tempo)
    rng = np.random.default_rng(0)
    runs = place_runs(correction.timeline, LENGTH_S, rng.uniform)
    assert runs[0].start_s == 0 and runs[-1].end_s == math.inf
    for before, after in pairwise(runs):
        assert after.start_s >= before.end_s > before.start_s
        assert after.source_s(after.start_s) >= before.source_s(before.end_s) - 1e-9
    for run in runs:
        piece = next(piece for piece in correction.timeline if piece.shift_ms == run.shift_ms and piece.end_s >= run.end_s)
        assert run.start_s >= piece.start_s - 1e-9


def test_a_piece_that_holds_nothing_but_audio_of_the_one_before_is_filled():
    assert runs_of(pieces(0, 15_000, 0)) == [(0, 10, 0), (20, math.inf, 0)]


# --- edits -----------------------------------------------------------------------------------------


def test_cuts_and_fills_are_listed_once_for_all_tracks_that_share_them():
    tracks = media_info(tracks=3, duration_s=LENGTH_S).audio
    both = place_runs(pieces(100, 400, 150).timeline, LENGTH_S)
    tone = Excerpt(1.0, 1.5)
    splices = [Splice(both, (tone, None)), Splice(both, (None, None)), Splice(both, (tone, None))]
    edits = edits_of(splices, tracks)
    assert edits == (
        AudioEdit(10.0, "fill", 300.0, "room tone", (1, 3)),
        AudioEdit(10.0, "fill", 300.0, "silence", (2,)),
        AudioEdit(20.0, "cut", 250.0, None, (1, 2, 3)),
    )
    assert edits[0].note(3) == "at 10.00 s, audio track 1, 3: a gap of 300 ms in the audio was filled with room tone"
    assert edits[2].note(3) == "at 20.00 s: 250 ms of audio without matching video were cut"
    assert edits[1].to_dict() == {"at_s": 10.0, "kind": "fill", "duration_ms": 300.0, "fill": "silence", "tracks": [2]}


def test_audio_that_the_source_does_not_have_was_not_cut():
    edits = edits_of([Splice(place_runs(pieces(500, -500).timeline, 9.8), (None,))], media_info(duration_s=9.8).audio)
    assert [edit.duration_ms for edit in edits] == [300.0], "of the second that lies between the pieces"


# --- room tone -------------------------------------------------------------------------------------


def room(seconds=10.0, background=0.003, speech=0.1, spoken=((1, 3), (3.4, 6), (6.2, 9)), seed=0):
    """Noise as loud as `background`, and as loud as `speech` during `spoken`."""
    levels = np.full(round(seconds * RATE), background)
    for start_s, end_s in spoken:
        levels[round(start_s * RATE) : round(end_s * RATE)] = speech
    return (levels * np.random.default_rng(seed).normal(size=len(levels))).astype(np.float32)


def test_a_cut_lies_in_the_pause():
    assert 3.0 <= 2.5 + quiet_moment(room()[round(2.5 * RATE) : 4 * RATE], RATE) <= 3.41
    assert quiet_moment(room(spoken=()), RATE) == 10.0, "the end, where all of it is as quiet"


@pytest.mark.parametrize(
    ("near_s", "wanted_s", "expected"), [(9.5, 0.3, (9, 10)), (3.2, 0.3, (3, 3.4)), (2.0, 5.0, (0, 1)), (3.2, 0.01, (3, 3.4))]
)
def test_room_tone_is_the_nearest_excerpt_without_speech(near_s, wanted_s, expected):
    start_s, end_s = find_room_tone(room(), RATE, near_s, wanted_s)
    assert expected[0] <= start_s < end_s <= expected[1]
    assert end_s - start_s >= min(wanted_s, 0.9) - 1e-9


@pytest.mark.parametrize("spoken", [((0, 10),), tuple((t / 10, t / 10 + 0.07) for t in range(100))])
def test_speech_without_a_pause_has_no_room_tone(spoken):
    syllables = 0.2 + 0.8 * np.abs(np.sin(np.arange(10 * RATE) / RATE * 25)).astype(np.float32)  # 8 a second
    assert find_room_tone(room(spoken=spoken) * syllables, RATE, 5.0, 0.3) is None


def test_steady_noise_is_room_tone_and_a_muted_track_has_none():
    assert find_room_tone(room(background=0.1, spoken=()), RATE, 5.0, 0.3) is not None
    assert find_room_tone(np.zeros(10 * RATE, np.float32), RATE, 5.0, 0.3) is None


def test_a_dropout_is_no_room_tone():
    samples = room()
    samples[round(3.05 * RATE) : round(3.35 * RATE)] = 0
    start_s, end_s = find_room_tone(samples, RATE, 3.2, 0.2)
    assert end_s <= 1 or start_s >= 9 or 6 <= start_s < end_s <= 6.2


def test_room_tone_is_repeated_without_steps():
    excerpt = np.sin(np.arange(300) / 10)[:, None].astype(np.float32)
    longer = extend(excerpt, 2000)
    assert longer.shape == (2000, 1) and np.abs(np.diff(longer, axis=0)).max() <= np.abs(np.diff(excerpt, axis=0)).max()
    assert extend(np.zeros((0, 2), np.float32), 5).shape == (5, 2)
