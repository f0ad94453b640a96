"""Files whose audio is corrected piece by piece, or track by track."""

import os

import av
import numpy as np
import pytest
import soundfile
from helpers import ffmpeg, first_frame_s, lag_s, noise_input, packets_md5, pattern_input, shift_between_ms

from resync.errors import RemuxError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.remux.apply import add_recording, shift_audio
from resync.remux.correction import Correction, PieceShift
from resync.remux.export import exported_audio
from resync.remux.paths import is_foreign_media

RATE, SECONDS = 48_000, 9
PIECES = Correction.from_pieces([PieceShift(0, 3, 100), PieceShift(3, 6, 400), PieceShift(6, 9, -150)])
SPANS = ((0.5, 2.6, 100), (3.4, 5.9, 400), (6.1, 8.7, -150))  # away from the changes: start, end (s) and shift (ms)
VIDEO = {".avi": ("mpeg4",), ".mpg": ("mpeg2video",)}


@pytest.fixture(scope="module")
def speech_wav(tmp_path_factory):
    """(file, its samples, float [n, 2]): bursts of noise of 0.2 to 0.5 s in a quiet room."""
    rng, path = np.random.default_rng(3), tmp_path_factory.mktemp("speech") / "speech.wav"
    level, at = np.full(SECONDS * RATE, 0.003), 0.1
    while at < SECONDS:
        spoken = rng.uniform(0.2, 0.5)
        level[round(at * RATE) : round((at + spoken) * RATE)] = 0.1
        at += spoken + rng.uniform(0.05, 0.3)
    soundfile.write(path, level[:, None] * rng.normal(size=(SECONDS * RATE, 2)), RATE, "PCM_16")
    return path, soundfile.read(path)[0]


@pytest.fixture(scope="module")
def spoken(speech_wav, tmp_path_factory):
    """A function that returns the path of a video with that audio, by file type and audio codec; each is made once."""
    folder = tmp_path_factory.mktemp("spoken")

    def make(suffix, codec, channels=2):
        path = folder / f"{codec}{channels}{suffix}"
        if not path.exists():
            video = VIDEO.get(suffix, ("libx264", "-preset", "ultrafast", "-bf", "2"))
            ffmpeg(*pattern_input(SECONDS), "-i", speech_wav[0], "-c:v", *video, "-c:a", codec, "-ac", channels, path)
        return path

    return make


def shifts_of_pieces_ms(source, out, track=0):
    """The measured shift of each span of SPANS."""
    before, after = (read_audio(path, rate=RATE, track=track) for path in (source, out))
    moved_s = first_frame_s(out) - first_frame_s(source)
    for start_s, end_s, _ in SPANS:
        reference = before[round(start_s * RATE) : round(end_s * RATE)]
        yield 1000 * lag_s(after[round((start_s + moved_s) * RATE) : round((end_s + moved_s) * RATE)], reference, RATE)


def two_tracks(folder, suffix, codec):
    source = folder / f"two{suffix}"
    ffmpeg(*pattern_input(), *noise_input(1, 44_100), *noise_input(2), "-map", "0", "-map", "1", "-map", "2",
           "-c:v", *VIDEO.get(suffix, ("libx264", "-bf", "2")), "-c:a", codec, source)  # fmt: skip
    return source


# --- pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "flac"), (".mp4", "alac"), (".mov", "pcm_s16le")])
def test_each_piece_is_exact_to_the_sample(spoken, speech_wav, tmp_path, suffix, codec):
    source, out = spoken(suffix, codec), tmp_path / f"o{suffix}"
    written = shift_audio(source, out, PIECES)
    assert written.reencoded and packets_md5(source) == packets_md5(out)
    before = speech_wav[1]
    after = np.frombuffer(ffmpeg("-i", out, "-map", "0:a:0", "-f", "f32le", "-"), np.float32).reshape(-1, 2)
    fill, cut = written.edits
    assert (fill.kind, fill.fill, fill.tracks, cut.kind) == ("fill", "room tone", (1,), "cut")
    gap = (fill.at_s, fill.at_s + fill.duration_ms / 1000)
    assert 2.7 <= gap[0] <= 3 and fill.duration_ms == pytest.approx(300, abs=1) and (cut.at_s, cut.duration_ms) == (6, 550)
    for start_s, end_s, shift_ms in ((0.2, gap[0], 100), (gap[1], 5.99, 400), (6.01, 8.8, -150)):
        index = np.arange(round(start_s * RATE) + 50, round(end_s * RATE) - 50)
        np.testing.assert_allclose(after[index], before[index - round(shift_ms / 1000 * RATE)], atol=1e-4)
    tone = after[round((gap[0] + 0.01) * RATE) : round((gap[1] - 0.01) * RATE)]
    assert tone.std() == pytest.approx(0.003, rel=0.15), "as loud as the room"
    assert probe(out).audio[0].codec == probe(source).audio[0].codec
    assert written.to_dict()["edits"] == [fill.to_dict(), cut.to_dict()]
    assert written.notes == (fill.note(1), cut.note(1))


@pytest.mark.parametrize(
    ("suffix", "codec", "channels"),
    [(".mkv", "aac", 1), (".mp4", "aac", 2), (".mp4", "ac3", 6), (".mkv", "libopus", 2), (".mpg", "mp2", 2), (".avi", "libmp3lame", 2)],
)
def test_each_piece_of_lossy_audio_lies_where_it_belongs(spoken, tmp_path, suffix, codec, channels):
    source, out = spoken(suffix, codec, channels), tmp_path / f"o{suffix}"
    shift_audio(source, out, PIECES)
    assert list(shifts_of_pieces_ms(source, out)) == pytest.approx([shift_ms for *_, shift_ms in SPANS], abs=0.5)
    assert packets_md5(source) == packets_md5(out)
    before, after = probe(source).audio[0], probe(out).audio[0]
    assert (after.codec, after.layout, after.sample_rate) == (before.codec, before.layout, before.sample_rate)


def test_all_streams_keep_their_place_and_metadata(rich_mkv, tmp_path):
    out = tmp_path / "o.mkv"
    correction = Correction.from_pieces([PieceShift(0, 0.7, 40), PieceShift(0.7, 1.5, -80)])
    written = shift_audio(rich_mkv, out, correction)
    assert packets_md5(rich_mkv) == packets_md5(out) and packets_md5(rich_mkv, "subtitles") == packets_md5(out, "subtitles")
    with av.open(str(rich_mkv)) as a, av.open(str(out)) as b:
        for before, after in zip(a.streams, b.streams, strict=True):
            assert (after.type, after.language, after.disposition) == (before.type, before.language, before.disposition)
        assert len(b.chapters()) == len(a.chapters()) == 1 and b.metadata["title"] == "My video"
    assert [edit.tracks for edit in written.edits] == [(1, 2)], "both tracks, in their own sample rate"
    assert [track.sample_rate for track in probe(out).audio] == [44_100, 48_000]


def test_a_recording_is_corrected_by_pieces(spoken, speech_wav, tmp_path):
    source, out = spoken(".mp4", "aac"), tmp_path / "o.mp4"
    written = add_recording(source, speech_wav[0], out, PIECES)
    assert list(shifts_of_pieces_ms(source, out)) == pytest.approx([shift_ms for *_, shift_ms in SPANS], abs=0.5)
    assert shift_between_ms(source, out, track=0) is not None and len(probe(out).audio) == 2
    assert [edit.kind for edit in written.edits] == ["fill", "cut"] and written.edits[0].note(1) in written.notes
    assert packets_md5(source) == packets_md5(out)
    unchanged = lag_s(read_audio(out, rate=RATE, track=1), read_audio(source, rate=RATE), RATE)
    assert unchanged == pytest.approx(0, abs=1e-3), "the video's own track follows as it was"


@pytest.mark.parametrize("length_s", [5.0, 12.0])
def test_pieces_are_exported(spoken, speech_wav, tmp_path, length_s):
    out, before = tmp_path / "o.wav", speech_wav[1]
    with exported_audio(spoken(".mkv", "flac"), 0, out, PIECES, length_s=length_s):
        pass
    after, rate = soundfile.read(out)
    assert rate == RATE and len(after) == length_s * RATE and not is_foreign_media(out)
    for start_s, end_s, shift_ms in SPANS:
        index = np.arange(round(start_s * RATE), round(min(end_s, length_s) * RATE))
        np.testing.assert_allclose(after[index], before[index - round(shift_ms / 1000 * RATE)], atol=1e-4)
    assert not after[SECONDS * RATE + RATE :].any()


def test_no_file_is_left_when_the_audio_cannot_be_decoded_or_written(spoken, output_folder, monkeypatch):
    source, out = spoken(".mkv", "flac"), output_folder / "o.mkv"
    before = source.read_bytes()

    def broken(*_):
        yield np.zeros((RATE, 2), np.float32)
        raise RemuxError("in.mkv: ffmpeg could not read its audio to the end")

    monkeypatch.setattr("resync.remux.render.decoded_blocks", broken)
    with pytest.raises(RemuxError, match="to the end"):
        shift_audio(source, out, PIECES)
    monkeypatch.undo()
    with pytest.raises(RemuxError, match="write an .mkv file") as caught:
        shift_audio(source, out.with_suffix(".unknown"), PIECES)
    assert "\n" not in str(caught.value)
    assert not os.listdir(output_folder) and source.read_bytes() == before


def test_pieces_that_leave_no_audio_are_refused(spoken, tmp_path):
    gone = Correction.from_pieces([PieceShift(0, 3, -20_000), PieceShift(3, 9, -30_000)])
    with pytest.raises(RemuxError, match="before the start"):
        shift_audio(spoken(".mkv", "flac"), tmp_path / "o.mkv", gone)


# --- tracks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts_ms", [(120, -250), (0, 90)])
@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "aac"), (".mp4", "aac"), (".avi", "libmp3lame")])
def test_each_track_is_shifted_by_its_own_delay(tmp_path, suffix, codec, shifts_ms):
    source, out = two_tracks(tmp_path, suffix, codec), tmp_path / f"o{suffix}"
    written = shift_audio(source, out, [Correction(shift_ms) for shift_ms in shifts_ms])
    assert [shift_between_ms(source, out, track=track) for track in (0, 1)] == pytest.approx(shifts_ms, abs=0.6)
    assert written.reencoded == (suffix == ".avi") and packets_md5(source) == packets_md5(out)
    assert written.cut_ms == (0 if suffix == ".mkv" else pytest.approx(max(0, -min(shifts_ms)), abs=0.1))


def test_one_track_may_have_pieces(tmp_path):
    source, out = two_tracks(tmp_path, ".mkv", "aac"), tmp_path / "o.mkv"
    written = shift_audio(source, out, [Correction.from_pieces([PieceShift(0, 0.7, 0), PieceShift(0.7, 1.5, -100)]), Correction(60)])
    assert written.reencoded and shift_between_ms(source, out, track=1) == pytest.approx(60, abs=0.6)
    assert written.notes == ("at 0.70 s, audio track 1: 100 ms of audio without matching video were cut",)


def test_the_number_of_corrections_is_that_of_the_tracks(media, tmp_path):
    with pytest.raises(ValueError, match="2 corrections for 1 audio tracks"):
        shift_audio(media("aac.mp4"), tmp_path / "o.mp4", [Correction(1), Correction(2)])
    assert not os.listdir(tmp_path)
