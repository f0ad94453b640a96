"""Which shifts are stored in timestamps, which are re-encoded, and which are refused."""

import pytest
from helpers import media_info

from resync.errors import MediaError, RemuxError
from resync.remux.correction import Correction
from resync.remux.plan import plan_shift


@pytest.mark.parametrize(
    ("suffix", "format", "codec", "shift_ms", "reason"),
    [(".mp4", "mov,mp4", "aac", 200, None), (".mkv", "matroska,webm", "aac", 200, None), (".MP4", "mov,mp4", "aac", -200, None),
     (".avi", "avi", "mp3", 200, "too coarse"), (".mp4", "avi", "mp3", 200, "too coarse"),
     (".mxf", "mxf", "pcm_s16le", 200, ".mxf cannot store"), (".ogv", "ogg", "vorbis", 200, ".ogv cannot store"),
     (".mp4", "mov,mp4", "flac", 200, None), (".mp4", "mov,mp4", "flac", -200, "FLAC"), (".mkv", "matroska", "flac", -200, None)],
)  # fmt: skip
def test_audio_is_reencoded_only_when_the_container_cannot_store_the_offset(suffix, format, codec, shift_ms, reason):
    info = media_info(format=format, codec=codec)
    plan = plan_shift(info, f"o{suffix}", Correction(shift_ms))
    assert plan.reencode == (reason is not None)
    assert plan.reencode_reason is None if reason is None else reason in plan.reencode_reason
    assert not plan_shift(info, f"o{suffix}", Correction(0)).reencode


@pytest.mark.parametrize("format", ["mov,mp4", "avi"])
@pytest.mark.parametrize(("correction", "reencode"), [(Correction(100), True), (Correction(100, tempo=1.001), False)])
def test_reencoding_on_request_or_for_a_tempo_gives_no_reason(format, correction, reencode):
    plan = plan_shift(media_info(format=format), "o.mp4", correction, reencode)
    assert plan.reencode and plan.reencode_reason is None


@pytest.mark.parametrize(
    ("name", "shift_ms", "start_s", "reencode", "video_delay_s", "hidden_audio_ms"),
    [("o.mp4", 200, 0, False, 0, 0), ("o.mp4", -200, 0, False, 0, 200), ("o.mp4", -200, 0.15, False, 0, 50),
     ("o.mkv", 200, 0, False, 0, 0), ("o.mkv", -200, 0, False, 0.2, 0), ("o.mkv", -200, 0.15, False, 0.05, 0),
     ("o.mkv", -200, 0, True, 0, 200)],
)  # fmt: skip
def test_audio_before_zero_is_hidden_or_delays_the_video(name, shift_ms, start_s, reencode, video_delay_s, hidden_audio_ms):
    plan = plan_shift(media_info(start_s=start_s), name, Correction(shift_ms), reencode)
    assert plan.video_delay_s == pytest.approx(video_delay_s) and plan.hidden_audio_ms == pytest.approx(hidden_audio_ms)


@pytest.mark.parametrize(
    ("name", "shifts_ms", "reencode", "video_delay_s", "hidden_audio_ms"),
    [("o.mp4", (200, -300), False, 0, 300), ("o.mkv", (200, -300), False, 0.3, 0), ("o.mkv", (-100, -300), False, 0.3, 0),
     ("o.mxf", (0, 50), True, 0, 0), ("o.mxf", (0, 0), False, 0, 0), ("o.mp4", (-20_000, 0), False, 0, 20_000)],
)  # fmt: skip
def test_tracks_with_shifts_of_their_own_share_a_plan(name, shifts_ms, reencode, video_delay_s, hidden_audio_ms):
    plan = plan_shift(media_info(tracks=2), name, [Correction(shift_ms) for shift_ms in shifts_ms])
    assert (plan.reencode, plan.spliced) == (reencode, False)
    assert (plan.video_delay_s, plan.hidden_audio_ms) == pytest.approx((video_delay_s, hidden_audio_ms))


@pytest.mark.parametrize(
    ("info", "name", "shift_ms", "error", "message"),
    [(media_info(tracks=0), "o.mp4", 100, MediaError, "no audio track"),
     (media_info(), "o.avi", 100, RemuxError, "frame times"),
     (media_info(), "o.mp4", -60_000, RemuxError, "before the start")],
)  # fmt: skip
def test_impossible_shifts_are_refused(info, name, shift_ms, error, message):
    with pytest.raises(error, match=message) as caught:
        plan_shift(info, name, Correction(shift_ms))
    assert "\n" not in str(caught.value)


def test_a_shift_beyond_the_audio_is_possible_where_the_video_can_be_delayed():
    assert plan_shift(media_info(), "o.mkv", Correction(-60_000)).video_delay_s == 60


@pytest.mark.parametrize("correction", [(float("nan"),), (float("inf"),), (0.0, 0.0), (0.0, -1.0), (0.0, float("nan"))])
def test_corrections_that_are_not_numbers_are_refused(correction):
    with pytest.raises(ValueError, match="finite shift"):
        Correction(*correction)
