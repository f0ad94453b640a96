"""The library from end to end, on synthetic and real clips: measured, shifted, everything else kept."""

import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from helpers import UNDECIDED, ffmpeg, packets_md5

import resync
from resync import Analyzer, Config, FixOptions, MediaError, OutputError, Overwrite, WeightsError, api
from resync.config import DecisionRule
from resync.demo.clip import delay_samples, talking_clip, write_clip
from resync.demo.voice import VOICE_RATE
from resync.media.probe import probe
from resync.syncnet.checkpoint import default_weights_path, load_model, save_model, sha256_of
from resync.syncnet.dimensions import Dimensions

FRAME_MS = 40.0


@pytest.fixture(scope="module")
def analyzer():
    """One for all tests that need no settings of their own: it loads the network once."""
    return Analyzer()


@pytest.fixture(scope="module")
def other_voice(tmp_path_factory):
    """Another speaker who says something else."""
    path = tmp_path_factory.mktemp("other") / "other.mp4"
    write_clip(talking_clip(seconds=5, seed=77, size=(256, 256)), path)
    return path


def timeless(report):
    """A report without the time that it took."""
    return replace(report, elapsed_s=0.0)


# --- measuring and fixing


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("delay_ms", [0, 40, -40, 200, -200])
def test_fix_corrects_the_delay_and_copies_the_video(analyzer, delayed_clip, tmp_path, delay_ms, suffix):
    source, target = delayed_clip(delay_ms, suffix), tmp_path / f"out{suffix}"
    before = source.read_bytes()
    report, written = analyzer.fix(source, target)
    assert abs(report.audio_delay_ms - delay_ms) < FRAME_MS, report
    assert report.shift_ms == (0 if report.verdict == "in_sync" else -report.audio_delay_ms)
    assert written is not None and not written.reencoded
    assert abs(analyzer.analyze(target).audio_delay_ms) < FRAME_MS
    assert packets_md5(source) == packets_md5(target)
    assert source.read_bytes() == before


def test_late_audio_has_a_positive_delay_and_a_negative_shift(analyzer, delayed_clip):
    report = analyzer.analyze(delayed_clip(200))
    assert report.verdict == "out_of_sync"
    assert report.audio_delay_ms > 150 and report.shift_ms < -150
    assert report.audio_delay_frames == pytest.approx(report.audio_delay_ms / 40, abs=0.01)


def test_reencoded_audio_starts_with_the_video(analyzer, delayed_clip, tmp_path):
    """For players that ignore start times."""
    target = tmp_path / "out.mp4"
    _, written = analyzer.fix(delayed_clip(200), target, FixOptions(reencode=True))
    assert written.reencoded
    assert abs(analyzer.analyze(target).audio_delay_ms) < FRAME_MS
    assert probe(target).audio[0].start_s == pytest.approx(probe(target).video.start_s, abs=0.03)


def test_functions_of_the_package_do_what_an_analyzer_does(analyzer, delayed_clip, tmp_path):
    source, target = delayed_clip(-200), tmp_path / "out.mp4"
    assert timeless(resync.analyze(source)) == timeless(analyzer.analyze(source))
    report, written = resync.fix(source, target, Config(), FixOptions(plot=tmp_path / "plot.png"), progress=lambda progress: None)
    assert timeless(report) == timeless(analyzer.analyze(source))
    assert written.path == target and (tmp_path / "plot.png").stat().st_size > 10_000


def test_progress_reaches_the_end(analyzer, delayed_clip):
    steps = []
    analyzer.analyze(delayed_clip(0), progress=steps.append)
    assert steps and steps[-1].done_s == pytest.approx(steps[-1].planned_s, rel=0.1)


def test_outputs_are_checked_before_the_analysis(analyzer, delayed_clip, tmp_path, monkeypatch):
    def examine(*args, **options):
        pytest.fail("analysed")

    monkeypatch.setattr(Analyzer, "_examine", examine)
    source, there = delayed_clip(0), tmp_path / "there.mp4"
    there.write_bytes(b"mine")
    for target, options in (
        (source, FixOptions()),
        (there, FixOptions()),
        (tmp_path / "out.mp4", FixOptions(export=tmp_path / "no" / "a.wav")),
        (tmp_path / "out.mp4", FixOptions(plot=tmp_path / "plot.txt")),
    ):
        with pytest.raises(OutputError):
            analyzer.fix(source, target, options)
    with pytest.raises(OutputError):
        analyzer.analyze(source, plot=tmp_path / "plot.txt")
    with pytest.raises(OutputError):
        analyzer.preview(source, there)
    assert there.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [there]


def test_recording_is_an_input_too_and_never_overwritten(analyzer, delayed_clip, tmp_path):
    recording = tmp_path / "recording.mp4"
    recording.write_bytes(delayed_clip(0).read_bytes())
    before, source = recording.read_bytes(), delayed_clip(200)
    with pytest.raises(OutputError, match="is the input itself"):
        analyzer.fix(source, recording, FixOptions(overwrite=Overwrite.ANY), audio=recording)
    with pytest.raises(OutputError, match="is the input itself"):
        analyzer.preview(source, recording, overwrite=Overwrite.ANY, audio=recording)
    assert recording.read_bytes() == before


def test_file_without_video_is_an_error(analyzer, delayed_clip, tmp_path):
    ffmpeg("-i", delayed_clip(0), "-vn", "-c", "copy", tmp_path / "audio.m4a")
    with pytest.raises(MediaError, match="no video stream"):
        analyzer.analyze(tmp_path / "audio.m4a")


def test_arrays_with_an_external_recording_are_a_one_line_error(analyzer, talking):
    source = resync.from_arrays(talking.frames, talking.fps, talking.audio, talking.rate)
    with pytest.raises(MediaError, match="^arrays: [^\n]*x.wav[^\n]*$"):
        analyzer.analyze(source, audio="x.wav")


def test_far_delay_is_corrected_without_a_range(analyzer, delayed_clip, tmp_path):
    target = tmp_path / "out.mp4"
    report, _ = analyzer.fix(delayed_clip(1500), target)
    assert report.audio_delay_ms == pytest.approx(1500, abs=FRAME_MS) and report.range_ms == 3000
    assert abs(analyzer.analyze(target).audio_delay_ms) < FRAME_MS
    config = Config()
    narrow = Analyzer(replace(config, curve=replace(config.curve, range_s=1.0))).analyze(delayed_clip(1500))
    assert narrow.verdict == "undecided" and narrow.range_ms == 1000


def test_every_audio_track_is_shifted_by_its_own_delay(analyzer, delayed_clip, tmp_path):
    source, target = tmp_path / "two.mkv", tmp_path / "out.mkv"
    ffmpeg("-i", delayed_clip(200), "-i", delayed_clip(-240), "-map", "0", "-map", "1:a", "-c", "copy", source)
    report, _ = analyzer.fix(source, target, FixOptions(each_track=True))
    assert [track.audio_delay_ms for track in report.tracks] == pytest.approx([200, -240], abs=FRAME_MS)
    assert report.audio_delay_ms == report.tracks[0].audio_delay_ms and report.shift_ms == -report.audio_delay_ms
    after = analyzer.analyze(target, all_tracks=True)
    assert [track.audio_delay_ms for track in after.tracks] == pytest.approx([0, 0], abs=FRAME_MS)
    alone = analyzer.analyze(source)
    assert alone.tracks == () and alone.curve == report.curve


@pytest.mark.real
def test_result_shifts_with_the_audio_of_real_clips(analyzer, real_clips, tmp_path):
    """The result changes by as much as the audio was shifted, whatever the clip's own delay."""
    errors = []
    for clip in [c for c in real_clips if c.name.startswith(("presenter", "elospher"))][:6]:
        own, shifted = tmp_path / f"own_{clip.stem}.mp4", tmp_path / f"shifted_{clip.stem}.mp4"
        for path, delay in ((own, ""), (shifted, ",adelay=170:all=1")):
            ffmpeg("-i", clip, "-t", "8", "-c:v", "copy", "-af", f"aresample=async=1:first_pts=0{delay}", path)
        a, b = (analyzer.analyze(path).audio_delay_ms for path in (own, shifted))
        errors.append(abs(b - a - 170) if a is not None and b is not None else np.inf)
    assert np.median(errors) < 20 and np.mean(np.array(errors) <= 40) >= 0.6, errors


# --- undecided, forced, drifting


def test_no_face_and_no_speech_are_undecided_with_a_reason(analyzer, no_face, mute, tmp_path):
    for path, word in ((no_face, "face"), (mute, "silent")):
        report, written = analyzer.fix(path, tmp_path / "out.mp4", FixOptions(force=True))
        assert report.verdict == "undecided" and written is None and not (tmp_path / "out.mp4").exists()
        assert report.best_delay_ms is None and not report.forced
        assert report.audio_delay_ms is None and report.shift_ms is None
        assert any(word in reason for reason in report.reasons)


def test_force_applies_the_best_delay_and_reports_it(analyzer, delayed_clip, tmp_path):
    config, target = Config(), tmp_path / "out.mp4"
    strict = Analyzer(replace(config, decide=replace(config.decide, rule=DecisionRule(min_certainty=1.1))))
    report, written = strict.fix(delayed_clip(200), target)
    assert written is None and report.verdict == "undecided" and not report.forced and report.shift_ms is None
    assert report.best_delay_ms == pytest.approx(200, abs=FRAME_MS) and 0 < report.certainty < 1.1
    report, written = strict.fix(delayed_clip(200), target, FixOptions(force=True))
    assert written is not None and report.verdict == "undecided" and report.forced and report.reasons
    assert report.audio_delay_ms is None and report.shift_ms == -report.best_delay_ms
    assert analyzer.analyze(target).audio_delay_ms == pytest.approx(0, abs=FRAME_MS)


def test_force_changes_no_decided_report(analyzer, delayed_clip, tmp_path):
    report, _ = analyzer.fix(delayed_clip(200), tmp_path / "out.mp4", FixOptions(force=True))
    assert report.verdict == "out_of_sync" and not report.forced and report.best_delay_ms == report.audio_delay_ms


def test_force_respects_the_in_sync_threshold_and_leaves_a_drift():
    guess = replace(UNDECIDED, best_delay_ms=80.0)
    assert guess.force().shift_ms == -80.0
    assert guess.force(replace(Config().decide, in_sync_s=0.08)).shift_ms == 0.0
    drift = replace(guess, verdict="drift", drift_ms_per_min=30.0, drift_start_ms=60.0)
    assert drift.force() is drift and drift.force().correction() is None


def test_voice_of_another_speaker_is_undecided(analyzer, delayed_clip, other_voice, tmp_path):
    swapped = tmp_path / "swapped.mp4"
    ffmpeg("-i", delayed_clip(), "-i", other_voice, "-map", "0:v", "-map", "1:a", "-c", "copy", swapped)
    assert analyzer.analyze(swapped).verdict == "undecided"


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    """42 s of speech whose audio starts 60 ms early and falls behind by 200 ms per minute."""
    clip = talking_clip(42, seed=4, size=(200, 200))
    plays_s = np.arange(len(clip.audio)) / VOICE_RATE
    spoken_s = (plays_s + 0.06) / (1 + 0.2 / 60)
    path = tmp_path_factory.mktemp("drift") / "drift.mp4"
    write_clip(replace(clip, audio=np.interp(spoken_s, plays_s, clip.audio).astype(np.float32)), path)
    return path


def test_drift_is_refused_unless_it_may_be_fixed(analyzer, drifting, tmp_path):
    target = tmp_path / "out.mp4"
    report, written = analyzer.fix(drifting, target)
    assert report.verdict == "drift" and written is None and not target.exists()
    assert report.drift_ms_per_min == pytest.approx(200, abs=30) and report.drift_start_ms == pytest.approx(-60, abs=25)
    assert report.audio_delay_ms is None
    report, written = analyzer.fix(drifting, target, FixOptions(fix_drift=True))
    assert written.reencoded and packets_md5(drifting) == packets_md5(target)
    after = analyzer.analyze(target)
    assert after.verdict in ("in_sync", "out_of_sync") and abs(after.audio_delay_ms) < FRAME_MS
    assert abs(after.drift_ms_per_min) < 40


def test_jump_is_refused_unless_it_may_be_fixed(analyzer, tmp_path):
    clip = talking_clip(8, seed=1, size=(160, 160))
    middle, late = 4 * VOICE_RATE, delay_samples(clip.audio, round(0.4 * VOICE_RATE))
    source, target = tmp_path / "jump.mp4", tmp_path / "out.mp4"
    write_clip(replace(clip, audio=np.concatenate([clip.audio[:middle], late[middle:]])), source)
    report, written = analyzer.fix(source, target)
    assert report.verdict == "jump" and written is None and not target.exists() and report.audio_delay_ms is None
    assert [piece.audio_delay_ms for piece in report.pieces] == pytest.approx([0, 400], abs=FRAME_MS)
    assert report.jumps[0].at_s == pytest.approx(4, abs=0.5) and report.jumps[0].earliest_s <= 4.1 and report.jumps[0].latest_s >= 3.9
    report, written = analyzer.fix(source, target, FixOptions(fix_jumps=True))
    assert written.reencoded and packets_md5(source) == packets_md5(target)
    after = analyzer.analyze(target)
    assert after.verdict in ("in_sync", "out_of_sync") and abs(after.audio_delay_ms) < FRAME_MS and after.pieces == ()


# --- segments, sampling, faces, recordings


def test_short_segments_give_the_same_answer(analyzer, delayed_clip):
    config = Config()
    report = Analyzer(replace(config, sampling=replace(config.sampling, segment_s=2.0))).analyze(delayed_clip(200))
    assert len(report.segments) == 3
    assert report.audio_delay_ms == pytest.approx(analyzer.analyze(delayed_clip(200)).audio_delay_ms, abs=20)


def test_long_video_is_sampled_over_its_length(analyzer, delayed_clip, tmp_path):
    video, config = tmp_path / "video.mp4", Config()
    ffmpeg("-stream_loop", 5, "-i", delayed_clip(200), "-c", "copy", video)
    sampling = replace(config.sampling, full_scan_s=10, segment_s=4, sample_s=4, max_samples=6, min_samples=2, target_uncertainty_s=0.015)
    report = Analyzer(replace(config, sampling=sampling)).analyze(video)
    assert report.duration_s > 25 and report.analysed_s < 25
    assert report.audio_delay_ms == pytest.approx(200, abs=FRAME_MS)
    assert report.audio_delay_ms == pytest.approx(analyzer.analyze(video).audio_delay_ms, abs=10), "as when all of it is analysed"
    assert max(segment.end_s for segment in report.segments) > 12


def test_undecided_long_video_suggests_exhaustive(analyzer, no_face):
    sampled = Analyzer(replace(Config(), sampling=replace(Config().sampling, full_scan_s=2, sample_s=1, min_samples=2)))
    report = sampled.analyze(no_face)
    assert report.verdict == "undecided" and "--exhaustive" in report.reasons[-1] and report.analysed_s < report.duration_s / 1.5
    assert not any("--exhaustive" in reason for reason in analyzer.analyze(no_face).reasons)


def test_speaking_face_decides(analyzer, delayed_clip, other_voice, tmp_path):
    both = tmp_path / "both.mp4"
    ffmpeg("-i", other_voice, "-i", delayed_clip(200), "-filter_complex", "[0:v][1:v]hstack[v]", "-map", "[v]", "-map", "1:a", both)
    report = analyzer.analyze(both)
    assert len(report.faces) == 2
    assert report.audio_delay_ms == pytest.approx(200, abs=FRAME_MS)


@pytest.mark.parametrize(
    "video_delay_ms, recording_delay_ms, verdict", [(200, 0, "in_sync"), (0, 300, "out_of_sync"), (-200, -300, "out_of_sync")]
)
def test_verdict_about_a_recording_agrees_with_its_delay(
    analyzer, delayed_clip, talking, tmp_path, video_delay_ms, recording_delay_ms, verdict
):
    """The recording is first aligned with the video's own audio, whose delay must not count."""
    recording, target = tmp_path / "mic.wav", tmp_path / "out.mp4"
    soundfile.write(recording, delay_samples(talking.audio, round(recording_delay_ms / 1000 * talking.rate)), talking.rate)
    report, written = analyzer.fix(delayed_clip(video_delay_ms), target, audio=recording)
    assert report.audio_delay_ms == pytest.approx(recording_delay_ms, abs=FRAME_MS)
    assert report.verdict == verdict == ("in_sync" if abs(report.audio_delay_ms) <= 20 else "out_of_sync")
    assert report.shift_ms == (0 if verdict == "in_sync" else -report.audio_delay_ms)
    assert written is not None and abs(analyzer.analyze(target).audio_delay_ms) < FRAME_MS


# --- one Analyzer: threads, processes, weights


def test_threads_may_share_an_analyzer(delayed_clip, no_face, monkeypatch):
    paths = [delayed_clip(200), delayed_clip(0), delayed_clip(-200), no_face]
    alone = Analyzer()
    serial = [timeless(alone.analyze(path)) for path in paths]
    loaded, make_detector = [], resync.api.make_detector
    monkeypatch.setattr("resync.api.make_detector", lambda *args: loaded.append(args) or make_detector(*args))
    shared = Analyzer()
    with ThreadPoolExecutor(4) as pool:
        assert [timeless(report) for report in pool.map(shared.analyze, paths)] == serial
    assert len(loaded) == 1, "loaded more than once"


def test_pickled_analyzer_loads_in_a_spawned_process(analyzer, delayed_clip):
    expected = analyzer.analyze(delayed_clip(200))
    pickled = pickle.dumps(analyzer)
    assert len(pickled) < 10_000, "it carries the network"
    assert pickle.loads(pickled).config == analyzer.config
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        report = pool.submit(analyzer.analyze, delayed_clip(200)).result()
    assert timeless(report) == timeless(expected)


def test_replaced_weights_are_used_by_new_analyzers_only(delayed_clip, tmp_path):
    import torch

    from resync.syncnet.model import ICSyncNet

    weights = tmp_path / "own.safetensors"
    config = Config(weights=str(weights))
    save_model(load_model(), weights)
    name = f"own.safetensors:{sha256_of(weights)[:12]}"
    before = Analyzer(config)
    first = before.analyze(delayed_clip(200))
    assert first.weights == name and timeless(resync.analyze(delayed_clip(200), config)) == timeless(first)
    torch.manual_seed(1)
    save_model(ICSyncNet(Dimensions(visual_widths=(4, 4, 4, 4), sound_widths=(4, 4, 4, 4), embedding=8, head=4)).eval(), weights)
    second = resync.analyze(delayed_clip(200), config)
    assert second.weights == f"own.safetensors:{sha256_of(weights)[:12]}" != name
    assert second.curve != first.curve
    assert timeless(before.analyze(delayed_clip(200))) == timeless(first)


def test_weights_that_are_replaced_while_they_are_read_are_refused(tmp_path, monkeypatch):
    """The report is to name the weights that were used."""
    path = shutil.copy(default_weights_path(), tmp_path / "w.safetensors")

    def replaced(*args, load=api.load_backend):
        backend = load(*args)
        path.write_bytes(b"others")
        return backend

    monkeypatch.setattr(api, "load_backend", replaced)
    with pytest.raises(WeightsError, match="^[^\n]*w.safetensors: was replaced while it was read; run the command again$"):
        Analyzer(replace(Config(), weights=str(path))).engine  # noqa: B018
