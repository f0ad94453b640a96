"""Shell completion: the script of each shell is produced, and completes commands, options, limits and file names."""

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import get_completion_class

from resync.cli.main import main

SHELLS = ("bash", "zsh", "fish")


def complete(shell, words, at):
    """What the completion of a shell answers. at: the number of the word to complete, for fish that word itself."""
    instruction = {"_RESYNC_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    code = "from resync.cli.main import main; main(prog_name='resync')"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | instruction, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_produced(shell):
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("click asks bash for its version")
    script = get_completion_class(shell)(main, {}, "resync", "_RESYNC_COMPLETE").source()
    assert f"_RESYNC_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, capture_output=True)  # its syntax


def test_commands_options_limits_and_files_are_completed():
    assert complete("bash", "resync che", 1) == "plain,check\n"
    assert complete("bash", "resync check --lim", 2) == "plain,--limits\n"
    assert complete("bash", "resync check --limits bt", 3).splitlines() == ["plain,bt1359", "plain,bt1359-acceptability"]
    assert complete("bash", "resync fix cl", 2).startswith("file,")


@pytest.mark.parametrize("shell, at", [("zsh", 1), ("fish", "shi")])
def test_descriptions_are_shown_where_the_shell_has_them(shell, at):
    answer = complete(shell, "resync shi", at)
    assert "shift" in answer and "Shift the audio by a given offset." in answer
