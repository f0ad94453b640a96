"""The commands as a shell sees them: results on stdout, messages on stderr, exit codes, one-line errors."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import REPORT_KEYS

from resync import Analyzer, Config
from resync.cli.main import main
from resync.cli.options import make_config

# All options of 0.1.0. Scripts use them: none may disappear or change its name.
ANALYSIS = "--audio --audio-track --range --exhaustive --detector --device --weights"
BATCH = "-r --recursive -j --jobs --timeout --skip-done --shard --dask"
OPTIONS = {
    "check": f"{ANALYSIS} {BATCH} --plot -y --overwrite --curve --fail-over-ms --json --csv -q --quiet",
    "fix": f"{ANALYSIS} {BATCH} -o --output-dir -y --overwrite --overwrite-media --force --fix-drift --reencode-audio --export-audio"
    " --plot --json --csv -q --quiet",
    "shift": "--ms -y --overwrite --overwrite-media --reencode-audio -q --quiet",
    "filter": "-o --output-dir --manifest --dry-run --link --reencode-audio --sha256 -y --overwrite --overwrite-media --keep-within-ms"
    " --max-offset-ms --no-resync --min-certainty --max-uncertainty-ms --min-probability --max-offscreen --min-seconds --undecided"
    " -r --recursive -j --jobs --shard --dask --audio-track --range --exhaustive --detector --device --weights -q --quiet",
    "plot": f"{ANALYSIS} -y --overwrite --json -q --quiet",
    "preview": f"{ANALYSIS} --start --seconds -y --overwrite --overwrite-media --json -q --quiet",
    "watch": "--limits --every --window --timeout --duration --once --prometheus --name --json -q --quiet"
    " --audio-track --range --exhaustive --detector --device --weights",
    "demo": "--delay-ms --seed --seconds -q --quiet",
    "prepare": "--index --detector --jobs --repair --weights --trust",
    "train": "--minutes --recipe --from --device --seed --compile --no-compile",
    "evaluate": "--list --weights --split --device --detector --json --calibrate --write",
}
HEAVY = ("torch", "cv2", "insightface", "matplotlib", "moviepy", "scipy", "av", "onnxruntime", "numpy")


# --- check, fix, shift, demo


def test_check_prints_one_json_line_with_the_documented_keys(resync, delayed_clip):
    (line,) = resync("check", "--json", delayed_clip(200), code=0).stdout.splitlines()
    row = json.loads(line)
    assert list(row) == REPORT_KEYS
    assert row["verdict"] == "out_of_sync" and row["shift_ms"] == -row["audio_delay_ms"] and 160 < row["audio_delay_ms"] < 240
    assert 0 <= row["probability_at_offset"] <= 1 and 0 <= row["offscreen_ratio"] <= 1


def test_check_prints_text(invoke, delayed_clip):
    text = invoke("check", delayed_clip(200), code=0).stdout
    assert "ms late" in text and "frames at 25 fps" in text and "  confidence  " in text


def test_curve_peaks_at_the_shift(invoke, delayed_clip):
    row = json.loads(invoke("check", "--json", "--curve", delayed_clip(200), code=0).stdout)
    best = max(zip(row["curve"]["probability"], row["curve"]["shift_ms"]))[1]
    assert abs(best - row["shift_ms"]) <= 10


def test_fail_over_ms_is_exit_code_4(invoke, delayed_clip):
    invoke("check", "--fail-over-ms", 100, delayed_clip(200), code=4)
    invoke("check", "--fail-over-ms", 300, delayed_clip(200), code=0)


def test_exhaustive_analyses_every_video_in_full(invoke, delayed_clip, monkeypatch):
    settings = {"range_s": None, "detector": "auto", "audio_track": 1, "device": "auto", "weights": None}
    assert make_config(exhaustive=True, **settings).sampling.full_scan_s == float("inf")
    assert make_config(exhaustive=False, **settings) == Config()
    configs, analyze = [], Analyzer.analyze
    monkeypatch.setattr(Analyzer, "analyze", lambda self, *args, **options: configs.append(self.config) or analyze(self, *args, **options))
    assert '"out_of_sync"' in invoke("check", "--exhaustive", "--json", delayed_clip(200), code=0).stdout
    assert [config.sampling.full_scan_s for config in configs] == [float("inf")]


def test_fix_writes_the_file_and_refuses_to_overwrite_it(resync, delayed_clip, tmp_path):
    source = delayed_clip(200)
    text = resync("fix", source, "out.mp4", code=0).stdout
    assert "; shifted " in text and "ms earlier" in text and "\n  output      out.mp4\n" in text
    first = (tmp_path / "out.mp4").read_bytes()
    done = resync("fix", source, "out.mp4", code=1)
    assert len(done.stderr.splitlines()) == 1 and "-y" in done.stderr
    assert (tmp_path / "out.mp4").read_bytes() == first
    assert resync("fix", "-y", "-q", source, "out.mp4", code=0).stderr == ""


def test_video_that_resync_did_not_write_is_not_overwritten(invoke, delayed_clip, ffmpeg, tmp_path):
    """`resync fix -y *.mp4` in a folder with two videos names the second one as OUT."""
    for name in ("a.mp4", "b.mp4"):
        ffmpeg("-i", delayed_clip(200), "-c", "copy", tmp_path / name)
    own = (tmp_path / "b.mp4").read_bytes()
    for command in (("fix", "-y"), ("shift", "--ms", 50, "-y"), ("preview", "-y")):
        done = invoke(*command, "a.mp4", "b.mp4", code=1)
        assert done.stderr.count("\n") == 1 and "b.mp4" in done.stderr and "--overwrite-media" in done.stderr
        assert (tmp_path / "b.mp4").read_bytes() == own
    (tmp_path / "demo").mkdir()
    shutil.copy(tmp_path / "a.mp4", tmp_path / "demo" / "original.mp4")
    assert "original.mp4" in invoke("demo", "demo", "--seconds", 2, code=1).stderr
    assert (tmp_path / "demo" / "original.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    invoke("shift", "--ms", 50, "--overwrite-media", "a.mp4", "b.mp4", code=0)
    invoke("shift", "--ms", 60, "-y", "a.mp4", "b.mp4", code=0)  # written by resync now


def test_undecided_is_exit_code_3_and_nothing_is_written(invoke, no_face, mute, tmp_path):
    for path in (no_face, mute):
        for options in ((), ("--force",)):  # there is no best delay to apply
            text = invoke("fix", *options, path, "out.mp4", code=3).stdout
            assert "undecided; nothing was written" in text and "best guess" not in text and not (tmp_path / "out.mp4").exists()


def test_fix_continues_after_failures_and_exits_with_the_worst_code(resync, delayed_clip, no_face, tmp_path):
    done = resync("fix", "--json", delayed_clip(200), no_face, "gone.mp4", delayed_clip(0), "-o", "out", code=1)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["out_of_sync", "undecided", None, "in_sync"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["delay+0.resync.mp4", "delay+200.resync.mp4"]
    again = resync("fix", tmp_path / "out" / "delay+0.resync.mp4", "-o", "out", code=0)
    assert "skipped" in again.stderr


def test_shift_needs_no_analysis(invoke, delayed_clip, tmp_path):
    done = invoke("shift", delayed_clip(0), "late.mp4", "--ms", 200, code=0)
    assert done.stderr.startswith("late.mp4: audio shifted +200 ms\n") and done.stdout == ""
    assert abs(Analyzer().analyze(tmp_path / "late.mp4").audio_delay_ms - 200) < 40


def test_demo_fixes_its_own_clip(resync, tmp_path):
    done = resync("demo", "d", "--seconds", 5, code=0)
    assert done.stdout.rstrip().endswith(": fixed")
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["broken.mp4", "fixed.mp4", "original.mp4"]


# --- bad input, output, settings, usage


def bad_inputs(folder, clip, ffmpeg):
    """Names of files and folders that cannot be fixed."""
    (folder / "text.mp4").write_text("this is no video\n" * 20)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", folder / "faststart.mp4")
    complete = (folder / "faststart.mp4").read_bytes()
    (folder / "faststart.mp4").write_bytes(complete[: len(complete) // 2])
    ffmpeg("-i", clip, "-an", "-c", "copy", folder / "silent.mp4")
    ffmpeg("-i", clip, "-vn", "-c", "copy", folder / "audio.m4a")
    return ["missing.mp4", "text.mp4", "empty.mp4", "cut.mp4", "faststart.mp4", "silent.mp4", "audio.m4a", "."]


def test_bad_input_is_one_line_and_nothing_is_written(resync, delayed_clip, ffmpeg, tmp_path):
    """In processes of their own: the libraries must not write to stderr either."""
    for name in bad_inputs(tmp_path, delayed_clip(0), ffmpeg):
        done = resync("fix", name, "out.mp4", code=1)
        assert len(done.stderr.splitlines()) == 1 and name in done.stderr, (name, done.stderr)
        assert done.stdout == "" and not (tmp_path / "out.mp4").exists()


def test_bad_output_is_one_line(invoke, delayed_clip, tmp_path):
    mine = tmp_path / "mine.mp4"
    shutil.copy(delayed_clip(0), mine)
    before = mine.read_bytes()
    for target in ("no/such/out.mp4", "mine.mp4", "."):
        for options in ((), ("-y",)):
            done = invoke("fix", *options, mine, target, code=1)
            assert len(done.stderr.splitlines()) == 1 and done.stdout == "", done.output
    assert mine.read_bytes() == before and list(tmp_path.iterdir()) == [mine]


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_odd_file_names(resync, delayed_clip, tmp_path):
    for name in ("-dash.mp4", "a b'c\".mp4", "100%:x.mp4"):
        shutil.copy(delayed_clip(200), tmp_path / name)
        resync("fix", "-q", "--", name, f"out {name}", code=0)
        assert (tmp_path / f"out {name}").exists()


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


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "check",
        "check a.mp4 --json --csv",
        "check a.mp4 b.mp4 --plot p.png",
        "check a.mp4 --shard 0/3",
        "check a.mp4 --shard 4/3",
        "check a.mp4 --shard x",
        "check a.mp4 --shard 1",
        "check a.mp4 --jobs 0",
        "check a.mp4 --audio-track 0",
        "fix only-one.mp4",
        "fix a.mp4 b.mp4 c.mp4",
        "fix a.mp4 b.mp4 -o out --export-audio a.wav",
        "shift a.mp4 b.mp4",
    ],
)
def test_usage_errors_are_exit_code_2(invoke, line):
    assert "Error: " in invoke(*line.split(), code=2).stderr


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "line",
    [
        "shift a.mp4 b.mp4 --ms",
        "check a.mp4 --range",
        "check a.mp4 --fail-over-ms",
        "preview a.mp4 b.mp4 --start",
        "preview a.mp4 b.mp4 --seconds",
        "demo d --delay-ms",
        "demo d --seconds",
        "check a.mp4 --timeout",
        "train c o --minutes",
    ],
)
def test_numbers_that_are_not_finite_are_usage_errors(invoke, tmp_path, line, number):
    error = invoke(*line.split(), number, code=2).stderr
    assert line.split()[-1] in error and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "shift a.mp4 b.mp4 --ms 1e300",
        "shift a.mp4 b.mp4 --ms -86400001",
        "preview a.mp4 b.mp4 --start 1e300",
        "preview a.mp4 b.mp4 --start -1",
        "preview a.mp4 b.mp4 --seconds 1e9",
        "check a.mp4 --range 1e300",
        "check a.mp4 --timeout 0",
        "check a.mp4 --timeout 1e300",
        "demo d --seed -1",
        "demo d --seed 99999999999999999999",
        "demo d --delay-ms 1e300",
        "prepare a b --jobs 1000000000",
        "train c o --seed -1",
    ],
)
def test_numbers_that_make_no_sense_are_usage_errors(invoke, tmp_path, line):
    error = invoke(*line.split(), code=2).stderr
    assert line.split()[-2] in error and not list(tmp_path.iterdir())


# --- help, start-up, stdin


def test_option_names_stay():
    assert list(OPTIONS) == list(main.commands)
    for name, options in OPTIONS.items():
        known = {name for parameter in main.commands[name].params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(options.split()) <= known, name


@pytest.mark.parametrize(
    "command, groups",
    [
        ("check", ["Output", "Analysis", "Batch", "Other"]),
        ("fix", ["Output", "Analysis", "Batch", "Other"]),
        ("shift", ["Output", "Other"]),
        ("plot", ["Output", "Analysis", "Other"]),
        ("preview", ["Output", "Analysis", "Other"]),
        ("demo", ["Output", "Other"]),
    ],
)
def test_help_groups_the_options(invoke, command, groups):
    text = invoke(command, "--help", code=0).stdout
    assert re.findall(r"^(\w+) options:$", text, re.MULTILINE) == groups and "\nOptions:\n" not in text
    sections = dict(zip(groups, re.split(r"^\w+ options:$", text, flags=re.MULTILINE)[1:]))
    for group, options in (("Analysis", ANALYSIS), ("Batch", BATCH)):
        listed = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", "\n".join(line[:24] for line in sections.get(group, "").splitlines())))
        assert listed == (set(options.split()) if group in groups else set())


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_every_command_describes_every_option_in_one_sentence(command):
    for parameter in main.commands[command].params:
        if parameter.param_type_name == "option":
            assert parameter.help and len(parameter.help) <= 100 and "\n" not in parameter.help, parameter.name


def test_help_loads_nothing_heavy():
    code = f"""
import sys
from click.testing import CliRunner
from resync.cli.main import main
for command in ([], *([name] for name in main.commands)):
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="needs bash")
def test_stdin_is_not_read(delayed_clip, tmp_path):
    """In a `while read` loop the next lines stay."""
    loop = 'printf "one\\ntwo\\n" | while read -r line; do "$0" -m resync fix -q -y "$1" "$2/out.mp4" > /dev/null; echo "$line"; done'
    done = subprocess.run(["bash", "-c", loop, sys.executable, str(delayed_clip(0)), str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split() == ["one", "two"], done.stderr
