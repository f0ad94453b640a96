"""The whole way on self-made and real clips: found, moved, kept."""

from dataclasses import replace

import numpy as np
import pytest

from resync.config import Config
from resync.errors import MediaError, OutputError
from resync.media import probe
from resync.pipeline import analyze, best_face, fix
from resync.remux import check_target

FRAME_MS = 40.0


def packets(path):
    """Every picture packet of a file, as bytes."""
    import av

    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("delay_ms", [0, 40, -40, 200, -200])
def test_fix_puts_a_clip_right(delayed_clip, tmp_path, delay_ms, suffix):
    source, target = delayed_clip(delay_ms, suffix), tmp_path / f"out{suffix}"
    before = source.read_bytes()
    report, written = fix(source, target)
    assert abs(report.audio_delay_ms - delay_ms) < FRAME_MS, report
    assert report.shift_ms == (0 if report.verdict == "in_sync" else -report.audio_delay_ms)
    assert written is not None and not written.reencoded
    assert abs(analyze(target).audio_delay_ms) < FRAME_MS
    assert packets(source) == packets(target)
    assert source.read_bytes() == before


def test_signs_late_sound_is_positive_and_is_moved_earlier(delayed_clip):
    report = analyze(delayed_clip(200))
    assert report.verdict == "out_of_sync"
    assert report.audio_delay_ms > 150 and report.shift_ms < -150
    assert report.audio_delay_frames == pytest.approx(report.audio_delay_ms / 40, abs=0.01)


def test_reencoded_sound_is_right_for_players_that_ignore_start_times(delayed_clip, tmp_path, ffmpeg):
    target = tmp_path / "out.mp4"
    report, written = fix(delayed_clip(200), target, reencode=True)
    assert written.reencoded
    assert abs(analyze(target).audio_delay_ms) < FRAME_MS
    assert probe(target).audio[0].start_s == pytest.approx(probe(target).video.start_s, abs=0.03)


def test_no_face_and_no_speech_are_undecided_with_a_reason(no_face, mute, tmp_path):
    for path, word in ((no_face, "face"), (mute, "silent")):
        report, written = fix(path, tmp_path / "out.mp4", force=True)
        assert report.verdict == "undecided" and written is None and not (tmp_path / "out.mp4").exists()
        assert report.best_delay_ms is None and not report.forced
        assert report.audio_delay_ms is None and report.shift_ms is None
        assert any(word in reason for reason in report.reasons)


def test_force_takes_the_best_delay_and_says_so(delayed_clip, tmp_path):
    config = Config()
    strict = replace(config, decide=replace(config.decide, min_certainty=1.1))
    report, written = fix(delayed_clip(200), tmp_path / "out.mp4", strict)
    assert written is None and report.verdict == "undecided" and not report.forced and report.shift_ms is None
    assert report.best_delay_ms == pytest.approx(200, abs=FRAME_MS) and 0 < report.certainty < 1.1
    report, written = fix(delayed_clip(200), tmp_path / "out.mp4", strict, force=True)
    assert written is not None and report.verdict == "undecided" and report.forced and report.reasons
    assert report.audio_delay_ms is None and report.shift_ms == -report.best_delay_ms
    assert analyze(tmp_path / "out.mp4").audio_delay_ms == pytest.approx(0, abs=FRAME_MS)


def test_force_changes_nothing_about_an_answer(delayed_clip, tmp_path):
    report, _ = fix(delayed_clip(200), tmp_path / "out.mp4", force=True)
    assert report.verdict == "out_of_sync" and not report.forced and report.best_delay_ms == report.audio_delay_ms


def test_another_voice_is_refused(delayed_clip, ffmpeg, tmp_path):
    from resync.synth import talking_clip, write_clip

    other = tmp_path / "other.mp4"
    write_clip(talking_clip(seconds=5, seed=77, size=(160, 160)), other)
    swapped = tmp_path / "swapped.mp4"
    ffmpeg("-i", delayed_clip(), "-i", other, "-map", "0:v", "-map", "1:a", "-c", "copy", swapped)
    assert analyze(swapped).verdict == "undecided"


def test_small_stretches_give_the_same_answer(delayed_clip):
    config = Config()
    small = replace(config, plan=replace(config.plan, stretch_s=2.0))
    report = analyze(delayed_clip(200), small)
    assert len(report.segments) == 3
    assert report.audio_delay_ms == pytest.approx(analyze(delayed_clip(200)).audio_delay_ms, abs=20)


def test_long_films_are_sampled_over_their_length(delayed_clip, ffmpeg, tmp_path):
    film = tmp_path / "film.mp4"
    ffmpeg("-stream_loop", 5, "-i", delayed_clip(200), "-c", "copy", film)
    config = Config()
    sampled = replace(config, plan=replace(config.plan, whole_s=10, stretch_s=4, part_s=4, most_parts=6, least_parts=2, sure_s=0.015))
    report = analyze(film, sampled)
    assert report.duration_s > 25 and report.analysed_s < 25
    assert report.audio_delay_ms == pytest.approx(200, abs=FRAME_MS)
    assert report.audio_delay_ms == pytest.approx(analyze(film).audio_delay_ms, abs=10), "as of all of it"
    assert max(s.end_s for s in report.segments) > 12


def test_the_face_that_speaks_decides(delayed_clip, ffmpeg, tmp_path):
    from resync.synth import talking_clip, write_clip

    other, both = tmp_path / "other.mp4", tmp_path / "both.mp4"
    write_clip(talking_clip(seconds=5, seed=77, size=(256, 256)), other)
    ffmpeg("-i", other, "-i", delayed_clip(200), "-filter_complex", "[0:v][1:v]hstack[v]", "-map", "[v]", "-map", "1:a", both)
    report = analyze(both)
    assert report.faces == 2
    assert report.audio_delay_ms == pytest.approx(200, abs=FRAME_MS)


def test_progress_reaches_the_end(delayed_clip):
    told = []
    analyze(delayed_clip(0), progress=told.append)
    assert told and told[-1].done_s == pytest.approx(told[-1].planned_s, rel=0.1)


def test_best_face_takes_the_one_that_speaks():
    quiet, speaks = np.full((50, 9), 0.1, np.float32), np.full((50, 9), 0.1, np.float32)
    speaks[:, 6] = 0.8
    best, chosen = best_face(np.stack([quiet, speaks]), 25)
    assert np.allclose(best[:, 6], 0.8) and np.allclose(best[:, :6], 0.1) and (chosen[:, 6] == 1).all()
    quiet[:] = np.nan
    best, chosen = best_face(np.stack([speaks, quiet]), 25)
    assert np.allclose(best, speaks) and (chosen == 0).all()


def test_target_is_checked_before_the_work(delayed_clip, tmp_path):
    source = delayed_clip(0)
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    for target, word in (
        (source, "input"),
        (link, "input"),
        (tmp_path / "no" / "x.mp4", "folder"),
        (tmp_path, "folder"),
        (tmp_path / "there.mp4", "-y"),
    ):
        with pytest.raises(OutputError, match=word):
            check_target(source, target, False)
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"


def test_sound_alone_is_no_video(delayed_clip, ffmpeg, tmp_path):
    sound = tmp_path / "sound.m4a"
    ffmpeg("-i", delayed_clip(0), "-vn", "-c", "copy", sound)
    with pytest.raises(MediaError, match="no picture"):
        analyze(sound)


@pytest.mark.real
def test_real_clips_move_with_their_sound(real_clips, ffmpeg, tmp_path):
    """How far the answer moves is how far the sound was moved, whatever the clip's own delay."""
    errors = []
    for clip in [c for c in real_clips if c.name.startswith(("presenter", "elospher"))][:6]:
        own, moved = tmp_path / f"own_{clip.stem}.mp4", tmp_path / f"moved_{clip.stem}.mp4"
        ffmpeg("-i", clip, "-t", "8", "-c:v", "copy", "-af", "aresample=async=1:first_pts=0", own)
        ffmpeg("-i", clip, "-t", "8", "-c:v", "copy", "-af", "aresample=async=1:first_pts=0,adelay=170:all=1", moved)
        a, b = analyze(own).audio_delay_ms, analyze(moved).audio_delay_ms
        errors.append(abs(b - a - 170) if a is not None and b is not None else np.inf)
    assert np.median(errors) < 20 and np.mean(np.array(errors) <= 40) >= 0.6, errors


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    """42 s of speech whose sound begins 60 ms early and gets 200 ms a minute later."""
    from resync.synth import SOUND_RATE, talking_clip, write_clip

    clip = talking_clip(42, seed=4, size=(200, 200))
    heard = np.arange(len(clip.sound)) / SOUND_RATE
    said = (heard + 0.06) / (1 + 0.2 / 60)
    path = tmp_path_factory.mktemp("drift") / "drift.mp4"
    write_clip(replace(clip, sound=np.interp(said, heard, clip.sound).astype(np.float32)), path)
    return path


def test_drift_is_refused_until_asked_for_and_then_mended(drifting, tmp_path):
    target = tmp_path / "out.mp4"
    report, written = fix(drifting, target)
    assert report.verdict == "drift" and written is None and not target.exists()
    assert report.drift_ms_per_min == pytest.approx(200, abs=30) and report.drift_start_ms == pytest.approx(-60, abs=25)
    assert report.audio_delay_ms is None
    report, written = fix(drifting, target, fix_drift=True)
    assert written.reencoded and packets(drifting) == packets(target)
    after = analyze(target)
    assert after.verdict in ("in_sync", "out_of_sync") and abs(after.audio_delay_ms) < FRAME_MS
    assert abs(after.drift_ms_per_min) < 40


def test_of_a_long_film_that_is_undecided_all_can_be_looked_at(no_face):
    part = replace(Config(), plan=replace(Config().plan, whole_s=2, part_s=1, least_parts=2))
    report = analyze(no_face, part)
    assert report.verdict == "undecided" and "--exhaustive" in report.reasons[-1] and report.analysed_s < report.duration_s / 1.5
    assert not any("--exhaustive" in reason for reason in analyze(no_face).reasons)


def test_exhaustive_looks_at_everything(delayed_clip):
    from click.testing import CliRunner

    from resync.cli import main, make_config

    options = {"range_s": 1.0, "detector": "auto", "audio_track": 1, "device": "auto", "weights": None}
    assert make_config(exhaustive=True, **options).plan.whole_s == float("inf")
    assert make_config(exhaustive=False, **options) == Config()
    done = CliRunner().invoke(main, ["check", "--exhaustive", "--json", str(delayed_clip(200))])
    assert done.exit_code == 0 and '"out_of_sync"' in done.stdout
