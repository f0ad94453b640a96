"""Shifted files: how exact the shift is, which notes are given, what is refused, and that no partial file is left."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from helpers import ffmpeg, lag_s, noise_input, packets_md5, pattern_input, shift_between_ms

from resync.errors import MediaError, OutputError, RemuxError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.remux.apply import add_recording, shift_audio
from resync.remux.command import Extras
from resync.remux.correction import Correction
from resync.remux.paths import Overwrite

RATE = 48_000  # Hz, to measure shifts below 0.1 ms


def audio_from_zero(path):
    """The first audio track as a player that starts at zero plays it, decoded by ffmpeg."""
    samples = ffmpeg("-i", path, "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", RATE, "-f", "f32le", "-")
    return np.frombuffer(samples, np.float32)


def frame_times(path):
    """PTS of all frames, seconds after the first."""
    with av.open(str(path)) as container:
        times = sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
        return np.array([float(time - times[0]) for time in times])


# --- accuracy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift_ms", [0, 40, -40, 200, -200, 450, -450, 137.3])
@pytest.mark.parametrize("name", ["aac.mp4", "pcm.mov", "aac.mkv"])
def test_stream_copy_shifts_exactly(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    written = shift_audio(source, out, Correction(shift_ms))
    assert not written.reencoded
    # Matroska counts whole milliseconds; the others are exact to the sample.
    assert shift_between_ms(source, out) == pytest.approx(shift_ms, abs=0.6 if name.endswith("mkv") else 0.05)
    assert packets_md5(source) == packets_md5(out)
    np.testing.assert_allclose(frame_times(out), frame_times(source), atol=1e-6)
    if name != "aac.mkv":  # Matroska delays the video instead
        assert 1000 * lag_s(audio_from_zero(out), audio_from_zero(source), RATE) == pytest.approx(shift_ms, abs=0.05)


@pytest.mark.parametrize("shift_ms", [0, 130, -170])
@pytest.mark.parametrize("name", ["aac.m4v", "opus.webm", "ac3.ts", "mp2.mpg", "mp3.avi", "b_frames.avi", "pcm.mxf"])
def test_other_containers_shift_exactly(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    written = shift_audio(source, out, Correction(shift_ms))
    assert shift_between_ms(source, out) == pytest.approx(shift_ms, abs=0.6)
    assert packets_md5(source) == packets_md5(out)
    assert written.reencoded == (name.endswith(("avi", "mxf")) and shift_ms != 0)
    assert any("audio was re-encoded, video copied" in note for note in written.notes) == written.reencoded


@pytest.mark.parametrize("shift_ms", [200, -200])
@pytest.mark.parametrize("name", ["aac.mp4", "pcm.mov", "opus.webm", "mp2.mpg", "mp3.avi"])
def test_reencoded_audio_shifts_within_half_a_millisecond(media, tmp_path, name, shift_ms):
    source, out = media(name), tmp_path / name
    written = shift_audio(source, out, Correction(shift_ms), reencode=True)
    assert written.reencoded
    assert shift_between_ms(source, out) == pytest.approx(shift_ms, abs=0.5)
    assert packets_md5(source) == packets_md5(out)
    before, after = probe(source), probe(out)
    assert after.audio[0].codec == before.audio[0].codec
    assert after.audio[0].sample_rate == before.audio[0].sample_rate
    assert after.video.start_s - after.audio[0].start_s == pytest.approx(0, abs=0.11), "the shift is in the samples"


@pytest.mark.parametrize("name", ["aac.mp4", "aac.mkv"])
def test_shifting_there_and_back_loses_no_audio(media, tmp_path, name):
    source, there, back = media(name), tmp_path / f"there-{name}", tmp_path / f"back-{name}"
    shift_audio(source, there, Correction(-300))
    shift_audio(there, back, Correction(300))
    assert shift_between_ms(source, back) == pytest.approx(0, abs=0.05)
    before, after = read_audio(source), read_audio(back)
    length = min(len(before), len(after))
    assert np.abs(before[:length] - after[:length]).max() < 1e-3


@pytest.mark.parametrize(("source", "out"), [("aac.mkv", "o.mp4"), ("aac.mp4", "o.mkv"), ("b_frames.avi", "o.mkv")])
def test_remuxing_to_another_container_keeps_the_shift(media, tmp_path, source, out):
    shift_audio(media(source), tmp_path / out, Correction(-200))
    assert shift_between_ms(media(source), tmp_path / out) == pytest.approx(-200, abs=1)


@pytest.mark.parametrize("codec", ["flac", "alac"])
@pytest.mark.parametrize("shift_ms", [200, -120, -333.3])
def test_lossless_audio_in_an_edit_list_is_exact(tmp_path, codec, shift_ms):
    """Decoded by ffmpeg, which drops too much of a stream copy that begins before zero."""
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg(*pattern_input(), *noise_input(), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", codec, source)
    written = shift_audio(source, out, Correction(shift_ms))
    assert written.reencoded == (shift_ms < 0)
    if shift_ms < 0:
        assert f"{codec.upper()} audio" in written.notes[0]
    before, after = audio_from_zero(source), audio_from_zero(out)
    shift, length = round(shift_ms / 1000 * RATE), RATE // 2
    assert np.abs(after[max(0, shift) :][:length] - before[max(0, -shift) :][:length]).max() < 1e-3
    assert probe(out).audio[0].codec == codec


def test_tracks_of_different_sample_rates_shift_exactly(rich_mkv, tmp_path):
    source, out = tmp_path / "two.mp4", tmp_path / "o.mp4"
    ffmpeg("-i", rich_mkv, "-map", "0:v:0", "-map", "0:a", "-c", "copy", source)
    shift_audio(source, out, Correction(137))
    for track in (0, 1):
        assert shift_between_ms(source, out, track=track) == pytest.approx(137, abs=0.1)


def test_video_that_starts_late_keeps_its_sync(tmp_path):
    """The video starts 80 ms after the audio: with the audio shifted later, no stream would start at zero."""
    source, out = tmp_path / "late.mp4", tmp_path / "out.mp4"
    ffmpeg("-itsoffset", "0.08", *pattern_input(), *noise_input(), "-map", "0", "-map", "1",
           "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac", source)  # fmt: skip
    assert probe(source).video.start_s == pytest.approx(0.08, abs=0.001)
    before = audio_from_zero(source)
    for shift_ms in (30, 300):
        written = shift_audio(source, out, Correction(shift_ms), overwrite=True)
        assert any("first frame is shown 80 ms longer" in note for note in written.notes)
        assert 1000 * lag_s(audio_from_zero(out), before, RATE) == pytest.approx(shift_ms, abs=0.2)
        with av.open(str(source)) as a, av.open(str(out)) as b:
            old, new = ([(packet.pts, bytes(packet)) for packet in c.demux(video=0) if packet.size] for c in (a, b))
        assert [data for _, data in old] == [data for _, data in new] and new[0][0] == 0
    assert not any("first frame" in note for note in shift_audio(source, out, Correction(-30), overwrite=True).notes)


@pytest.mark.parametrize(
    ("name", "shift_ms", "reencode", "cut_ms", "note"),
    [
        ("aac.mp4", 200, False, 0, None),
        ("aac.mp4", -200, False, 200, "the first 200 ms of audio lie before the video and stay in the file, but players skip them"),
        ("aac.mkv", -200, False, 0, "the video starts 200 ms into the file, so that no audio is lost"),
        ("aac.mkv", -137.3, True, 137.3, "the first 137 ms of audio lie before the video and were cut"),
    ],
)
def test_audio_before_the_video_is_reported(media, tmp_path, name, shift_ms, reencode, cut_ms, note):
    written = shift_audio(media(name), tmp_path / name, Correction(shift_ms), reencode=reencode)
    assert written.cut_ms == written.to_dict()["cut_ms"] == pytest.approx(cut_ms, abs=0.1)
    assert written.notes == (() if note is None else (note,))


# --- recordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec"), [("aac.mp4", "aac"), ("pcm.mov", "pcm_s16le"), ("opus.webm", "libopus")])
def test_a_recording_becomes_the_first_audio_track(media, tmp_path, name, codec):
    source, recording, out = media(name), tmp_path / "mic.wav", tmp_path / name
    ffmpeg(*noise_input(7, seconds=3), recording)
    written = add_recording(source, recording, out, Correction(-250))
    assert written.reencoded and f"the first audio track is {recording} ({codec}); 1 audio track" in written.notes[0]
    after = probe(out)
    assert after.audio[0].codec == codec.removeprefix("lib") or after.audio[0].codec == codec
    assert len(after.audio) == 2 and packets_md5(source) == packets_md5(out)
    reference = read_audio(recording, rate=RATE)
    assert 1000 * lag_s(audio_from_zero(out), reference, RATE) == pytest.approx(-250, abs=0.5)
    assert after.audio[0].duration_s == pytest.approx(after.video.duration_s, abs=0.1), "cut to the length of the video"
    own_before, own_after = read_audio(source, rate=RATE), read_audio(out, rate=RATE, track=1)
    assert 1000 * lag_s(own_after, own_before, RATE) == pytest.approx(0, abs=0.6)


def test_unsuitable_recordings_are_refused(media, tmp_path):
    ffmpeg("-i", media("aac.mp4"), "-an", "-c", "copy", tmp_path / "mute.mp4")
    soundfile.write(tmp_path / "mic.wav", np.zeros(RATE), RATE)
    with pytest.raises(MediaError, match="no audio in this file"):
        add_recording(media("aac.mp4"), tmp_path / "mute.mp4", tmp_path / "o.mp4", Correction(0))
    with pytest.raises(RemuxError, match="frame times"):
        add_recording(media("aac.mp4"), tmp_path / "mic.wav", tmp_path / "o.avi", Correction(0))
    with pytest.raises(OutputError, match="is the input itself"):
        add_recording(media("aac.mp4"), tmp_path / "mic.wav", tmp_path / "mic.wav", Correction(0), overwrite=Overwrite.ANY)
    assert sorted(os.listdir(tmp_path)) == ["mic.wav", "mute.mp4"]


# --- refusals and failures -------------------------------------------------------------------------


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_input_is_never_overwritten(media, tmp_path, link):
    source = tmp_path / "in.mp4"
    source.write_bytes(media("aac.mp4").read_bytes())
    out = source
    if link:
        out = tmp_path / "other.mp4"
        link(source, out)
    with pytest.raises(OutputError, match="is the input itself"):
        shift_audio(source, out, Correction(100), overwrite=Overwrite.ANY)
    assert source.read_bytes() == media("aac.mp4").read_bytes()


def test_an_existing_output_needs_overwrite(media, output_folder):
    out = output_folder / "o.mp4"
    out.write_bytes(b"mine")  # damaged, but a video by its suffix
    with pytest.raises(OutputError, match="-y"):
        shift_audio(media("aac.mp4"), out, Correction(100))
    with pytest.raises(OutputError, match="--overwrite-media"):
        shift_audio(media("aac.mp4"), out, Correction(100), overwrite=True)
    assert out.read_bytes() == b"mine"
    shift_audio(media("aac.mp4"), out, Correction(50), overwrite=Overwrite.ANY)
    shift_audio(media("aac.mp4"), out, Correction(100), overwrite=True)  # now marked as written by resync
    assert shift_between_ms(media("aac.mp4"), out) == pytest.approx(100, abs=0.05)
    assert os.listdir(output_folder) == ["o.mp4"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [("no/such/o.mp4", OutputError, "does not exist"), ("", OutputError, "is a folder"), ("o", OutputError, "no file type"),
     ("o.webm", RemuxError, r"\.mkv"), ("o.unknown", RemuxError, r"\.mkv"), ("o.avi", RemuxError, "frame times")],
)  # fmt: skip
def test_bad_targets_are_refused_in_one_line(media, output_folder, name, error, message):
    with pytest.raises(error, match=message) as caught:
        shift_audio(media("aac.mp4"), output_folder / name, Correction(100))
    assert not any(word in str(caught.value) for word in ("\n", "0x", ".resync-"))
    assert not os.listdir(output_folder)


def test_bad_sources_are_refused(media, output_folder, tmp_path):
    ffmpeg("-i", media("aac.mp4"), "-an", "-c", "copy", tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="no audio track"):
        shift_audio(tmp_path / "mute.mp4", output_folder / "o.mp4", Correction(100))
    with pytest.raises(RemuxError, match="before the start"):
        shift_audio(media("aac.mp4"), output_folder / "o.mp4", Correction(-60_000))
    assert not os.listdir(output_folder)


def test_subtitles_are_never_dropped_silently(rich_mkv, output_folder):
    with pytest.raises(RemuxError, match=r"\.mkv"):
        shift_audio(rich_mkv, output_folder / "o.mp4", Correction(100))
    assert not os.listdir(output_folder)


def test_an_output_that_lacks_a_stream_is_discarded(rich_mkv, output_folder, monkeypatch):
    monkeypatch.setattr("resync.remux.apply.inspect_extras", lambda *_: (Extras(left_out=(2,)), ()))
    with pytest.raises(RemuxError, match="1 audio"):
        shift_audio(rich_mkv, output_folder / "o.mkv", Correction(100))
    assert not os.listdir(output_folder)


def test_a_video_that_ends_early_is_noted(media, tmp_path):
    source, info = media("aac.mp4"), probe(media("aac.mp4"))
    longer = replace(info, video=replace(info.video, duration_s=9.0))
    written = shift_audio(source, tmp_path / "o.mp4", Correction(100), info=longer)
    assert written.notes == ("the video ends after 1.5 s, but the input declares 9.0 s; it may be damaged",)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_no_file_is_left_after_an_interruption(media, output_folder, monkeypatch, failure):
    def interrupted(command, src, dst):
        Path(command[-1].removeprefix("file:")).write_bytes(b"half")
        assert len(os.listdir(output_folder)) == 1
        raise failure

    monkeypatch.setattr("resync.remux.apply.run_ffmpeg", interrupted)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        shift_audio(media("aac.mp4"), output_folder / "o.mp4", Correction(100))
    assert not os.listdir(output_folder)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 16 KiB; skipped without the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True).returncode:
        pytest.skip("no permission to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount command")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_keeps_the_old_file(media, full_disk, overwrite):
    out = full_disk / "o.mp4"
    if overwrite:
        out.write_text("old")
    with pytest.raises((OutputError, RemuxError), match="o.mp4.*(room|another place)"):
        shift_audio(media("aac.mp4"), out, Correction(200), overwrite=Overwrite.ANY)
    assert os.listdir(full_disk) == (["o.mp4"] if overwrite else [])
    assert not overwrite or out.read_text() == "old"


def test_the_output_may_lie_on_another_file_system(media, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("only one file system")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        shift_audio(media("aac.mp4"), Path(folder) / "o.mp4", Correction(200))
        assert shift_between_ms(media("aac.mp4"), Path(folder) / "o.mp4") == pytest.approx(200, abs=1)
        assert os.listdir(folder) == ["o.mp4"]


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids these names")
@pytest.mark.parametrize("name", ["-y.mp4", "a b'\"$(x).mp4", "new\nline.mp4", "http:x.mp4", "50%d.mp4"])
def test_unusual_file_names(media, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(media("aac.mp4").read_bytes())
    written = shift_audio(name, f"-out {name}", Correction(100))
    assert written.path == Path(f"-out {name}") and written.path.is_file()
    assert written.command[-1] == f"file:-out {name}"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_a_symbolic_link_is_written_through(media, tmp_path):
    target, link = tmp_path / "target.mp4", tmp_path / "link.mp4"
    target.write_bytes(b"old")
    link.symlink_to(target)
    shift_audio(media("aac.mp4"), link, Correction(100), overwrite=Overwrite.ANY)
    assert link.is_symlink() and target.stat().st_size > 1000


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_private_source_gives_a_private_output(media, tmp_path):
    source, out = tmp_path / "in.mp4", tmp_path / "o.mp4"
    source.write_bytes(media("aac.mp4").read_bytes())
    source.chmod(0o400)
    shift_audio(source, out, Correction(100))
    assert out.stat().st_mode & 0o777 == 0o600
