"""What a shell sees: one JSON line on stdout, talk on stderr, exit codes, errors of one line."""

import json
import shutil
import subprocess
import sys
import time

import pytest
from test_report import KEYS


@pytest.fixture
def resync(tmp_path):
    """Run the command in its own process, in an empty folder."""

    def run(*args, code=None):
        done = subprocess.run(
            [sys.executable, "-m", "resync", *map(str, args)], capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    return run


def test_check_json_is_one_line_with_the_documented_keys(resync, delayed_clip):
    done = resync("check", "--json", delayed_clip(200), code=0)
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    assert list(row) == KEYS
    assert row["verdict"] == "out_of_sync" and row["shift_ms"] == -row["audio_delay_ms"] and 160 < row["audio_delay_ms"] < 240
    assert 0 <= row["probability_at_offset"] <= 1 and 0 <= row["offscreen_ratio"] <= 1


def test_check_in_words(resync, delayed_clip):
    done = resync("check", delayed_clip(200), code=0)
    assert "ms late" in done.stdout and "frames at 25 fps" in done.stdout


def test_curve_has_its_peak_where_the_shift_is(resync, delayed_clip):
    row = json.loads(resync("check", "--json", "--curve", delayed_clip(200), code=0).stdout)
    curve = row["curve"]
    best = max(zip(curve["probability"], curve["shift_ms"]))[1]
    assert abs(best - row["shift_ms"]) <= 10


def test_fail_over(resync, delayed_clip):
    resync("check", "--fail-over-ms", 100, delayed_clip(200), code=4)
    resync("check", "--fail-over-ms", 300, delayed_clip(200), code=0)


def test_fix_writes_and_refuses_to_overwrite(resync, delayed_clip, tmp_path):
    source = delayed_clip(200)
    told = resync("fix", source, "out.mp4", code=0).stdout
    assert "; moved " in told and "ms earlier" in told and told.splitlines()[-1].split()[0] in ("wrote", "the")
    first = (tmp_path / "out.mp4").read_bytes()
    done = resync("fix", source, "out.mp4", code=1)
    assert len(done.stderr.splitlines()) == 1 and "-y" in done.stderr
    assert (tmp_path / "out.mp4").read_bytes() == first
    resync("fix", "-y", "-q", source, "out.mp4", code=0)


def test_a_video_that_resync_did_not_write_is_not_overwritten(resync, delayed_clip, ffmpeg, tmp_path):
    """`resync fix -y *.mp4` in a folder with two videos names the second one as OUT."""
    for name in ("a.mp4", "b.mp4"):
        ffmpeg("-i", delayed_clip(200), "-c", "copy", tmp_path / name)
    own = (tmp_path / "b.mp4").read_bytes()
    for command in (("fix", "-y"), ("shift", "--ms", 50, "-y"), ("preview", "-y")):
        done = resync(*command, "a.mp4", "b.mp4", code=1)
        assert done.stderr.count("\n") == 1 and "b.mp4" in done.stderr and "--overwrite-media" in done.stderr
        assert (tmp_path / "b.mp4").read_bytes() == own
    (tmp_path / "demo").mkdir()
    shutil.copy(tmp_path / "a.mp4", tmp_path / "demo" / "original.mp4")
    assert "original.mp4" in resync("demo", "demo", "--seconds", 2, code=1).stderr
    assert (tmp_path / "demo" / "original.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    resync("shift", "--ms", 50, "--overwrite-media", "a.mp4", "b.mp4", code=0)
    resync("shift", "--ms", 60, "-y", "a.mp4", "b.mp4", code=0)  # resync's own by now


def test_force_does_nothing_where_there_is_no_best_delay(resync, no_face, mute, tmp_path):
    for path in (no_face, mute):
        told = resync("fix", "--force", path, "out.mp4", code=3).stdout
        assert "nothing written" in told and "best guess" not in told and not (tmp_path / "out.mp4").exists()


def test_fix_many_goes_on_and_the_worst_code_wins(resync, delayed_clip, no_face, tmp_path):
    done = resync("fix", "--json", delayed_clip(200), no_face, "gone.mp4", delayed_clip(0), "-o", "out", code=1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["verdict"] for r in rows] == ["out_of_sync", "undecided", None, "in_sync"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["delay+0.resync.mp4", "delay+200.resync.mp4"]
    again = resync("fix", tmp_path / "out" / "delay+0.resync.mp4", "-o", "out", code=0)
    assert "skipped" in again.stderr


def test_shift_by_hand(resync, delayed_clip, tmp_path):
    from resync.api import analyze

    resync("shift", delayed_clip(0), "late.mp4", "--ms", 200, code=0)
    assert abs(analyze(tmp_path / "late.mp4").audio_delay_ms - 200) < 40


def test_undecided_is_exit_3_and_nothing_is_written(resync, no_face, mute, tmp_path):
    for path in (no_face, mute):
        done = resync("fix", path, "out.mp4", code=3)
        assert "undecided" in done.stdout and not (tmp_path / "out.mp4").exists()


def bad_inputs(folder, clip, ffmpeg):
    (folder / "text.mp4").write_text("this is no film\n" * 20)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", folder / "stream.mp4")
    whole = (folder / "stream.mp4").read_bytes()
    (folder / "stream.mp4").write_bytes(whole[: len(whole) // 2])
    ffmpeg("-i", clip, "-an", "-c", "copy", folder / "nosound.mp4")
    ffmpeg("-i", clip, "-vn", "-c", "copy", folder / "nopicture.m4a")
    return ["missing.mp4", "text.mp4", "empty.mp4", "cut.mp4", "stream.mp4", "nosound.mp4", "nopicture.m4a", "."]


def test_bad_input_is_one_line_and_nothing_written(resync, delayed_clip, ffmpeg, tmp_path):
    for name in bad_inputs(tmp_path, delayed_clip(0), ffmpeg):
        done = resync("fix", name, "out.mp4", code=1)
        assert len(done.stderr.splitlines()) == 1 and name in done.stderr, (name, done.stderr)
        assert done.stdout == "" and not (tmp_path / "out.mp4").exists()


def test_bad_output_is_one_line(resync, delayed_clip, tmp_path):
    mine = tmp_path / "mine.mp4"
    shutil.copy(delayed_clip(0), mine)
    before = mine.read_bytes()
    for target in ("no/such/out.mp4", "mine.mp4", "."):
        for extra in ((), ("-y",)):
            done = resync("fix", *extra, mine, target, code=1)
            assert len(done.stderr.splitlines()) == 1, done.stderr
    assert mine.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["mine.mp4"]


def test_odd_names(resync, delayed_clip, tmp_path):
    for name in ("-dash.mp4", "a b'c\".mp4", "100%:x.mp4"):
        shutil.copy(delayed_clip(200), tmp_path / name)
        resync("fix", "-q", "--", name, f"out {name}", code=0)
        assert (tmp_path / f"out {name}").exists()


def test_usage_errors_are_exit_2(resync):
    resync("fix", "only-one.mp4", code=2)
    resync("check", code=2)
    resync("nonsense", code=2)


@pytest.mark.parametrize(
    "options, word",
    [
        (("--device", "cuda:99"), "cuda"),
        (("--device", "tpu"), "tpu"),
        (("--detector", "nothing"), "detector"),
        (("--detector", "insightface:nopack"), "insightface"),
        (("--weights", "gone.safetensors"), "gone.safetensors"),
    ],
)
def test_bad_settings_are_one_line(resync, delayed_clip, options, word):
    done = resync("check", delayed_clip(0), *options, code=1)
    assert len(done.stderr.splitlines()) == 1 and word in done.stderr.lower() and done.stdout == ""


def test_stdin_is_left_alone(delayed_clip):
    """A `while read` loop goes on to its next line."""
    loop = 'printf "one\\ntwo\\n" | while read -r line; do "$0" -m resync fix -q -y "$1" "$1.out.mp4" > /dev/null; echo "$line"; done'
    done = subprocess.run(["bash", "-c", loop, sys.executable, str(delayed_clip(0))], capture_output=True, text=True)
    assert done.stdout.split() == ["one", "two"], done.stderr


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, resync.cli; print([m for m in ('torch', 'cv2', 'insightface', 'matplotlib', 'moviepy', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "resync", "--help"], capture_output=True, check=True)
    assert time.monotonic() - began < 2


def test_demo_fixes_its_own_clip(resync, tmp_path):
    done = resync("demo", "d", "--seconds", 5, code=0)
    assert done.stdout.rstrip().endswith("fixed") and "NOT" not in done.stdout
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["broken.mp4", "fixed.mp4", "original.mp4"]
