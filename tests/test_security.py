"""What no module of the package does: unpickle, evaluate text, run a shell, or use predictable temporary names."""

import ast
from pathlib import Path

import pytest

import resync

MODULES = sorted(Path(resync.__file__).parent.rglob("*.py"))
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "marshal.loads", "shelve.open", "yaml.load", "joblib.load", "tempfile.mktemp", "urllib.request.urlopen",
}  # fmt: skip
REQUIRED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_calls(module):
    for call in (node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Call)):
        name, arguments = ast.unparse(call.func), {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in FORBIDDEN and arguments.get("shell", "False") == "False", f"line {call.lineno}: {name}"
        if name in REQUIRED:
            argument, value = REQUIRED[name]
            assert arguments.get(argument) == str(value), f"line {call.lineno}: {name} without {argument}={value}"


def test_media_is_opened_in_one_place_only():
    """av.open, with what `media.safety` allows; besides it, what is written, and streams that the user names."""
    calls = {
        module.relative_to(Path(resync.__file__).parent).as_posix(): module.read_text("utf-8").count("av.open(")
        for module in MODULES
        if "av.open(" in module.read_text("utf-8")
    }
    assert calls == {"media/container.py": 1, "remux/render.py": 1, "training/cache.py": 1, "live/inputs.py": 2}


def test_every_input_of_the_ffmpeg_program_is_given_by_one_function():
    inputs = {module.name for module in MODULES if '"-i"' in module.read_text("utf-8")}
    assert inputs == {"ffmpeg.py", "command.py"}  # the latter for the pipe of resync itself
