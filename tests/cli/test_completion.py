"""What a shell's completion offers: by the shell itself where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

BASH = """
source <(_DAC_COMPLETE=source_bash dac)
COMP_WORDS=({words})
COMP_CWORD={index}
$(complete -p dac | sed 's/.*-F \\([^ ]*\\).*/\\1/') dac
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `dac` is a program."""
    program = tmp_path / "bin" / "dac"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom dac.cli.main import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for scene in ("lego", "ship"):
        (tmp_path / f"results/{scene}/scene").mkdir(parents=True)
        (tmp_path / f"results/{scene}/scene/scene.json").touch()
    (tmp_path / "results/logs").mkdir()
    (tmp_path / "results/fox/fox/scene").mkdir(parents=True)
    (tmp_path / "results/fox/fox/scene/scene.json").touch()
    (tmp_path / "results/fox/logs").mkdir()
    for name in ("baseline-6", "azimuth-2/expert1"):
        folder = tmp_path / "results/ship/kplanes/seed0" / name
        folder.mkdir(parents=True)
        for file in ("model.json", "model.safetensors"):
            (folder / file).touch()
    return tmp_path / "results"


def offered(environment: dict[str, str], folder: Path, words: str) -> set[str]:
    """What bash offers for the last word of a line, with the script that typer makes."""
    text = BASH.format(words=words, index=len(words.split()) - 1)
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(environment: dict[str, str], results: Path) -> None:
    folder = results.parent
    assert {"new", "doctor", "status"} <= offered(environment, folder, "dac ''")
    assert offered(environment, folder, "dac sta") == {"status"}
    assert offered(environment, folder, "dac status --scene ''") == {"lego", "ship", "fox"}
    assert offered(environment, folder, "dac status results --scene sh") == {"ship"}
    assert offered(environment, folder, "dac status results/fox --scene ''") == {"fox"}
    assert offered(environment, folder, "dac status nowhere --scene ''") == set()
    for command in ("view", "report"):
        assert offered(environment, folder, f"dac {command} results/fox --scene ''") == {"fox"}
    for command in ("render still", "export mesh"):
        line = f"dac {command} --results results/fox --scene ''"
        assert offered(environment, folder, line) == {"fox"}
    models = {"baseline", "expert", "baseline-6", "azimuth-2/expert1"}
    assert offered(environment, folder, "dac view results --scene ship --model ''") == models
    assert offered(environment, folder, "dac render video --scene ship --model ''") == models
    assert offered(environment, folder, "dac export model --scene lego --model ''") == set()
    assert offered(environment, folder, "dac new x y --division spec") == {"spectral"}


@pytest.mark.parametrize(
    ("shell", "sign"), [("zsh", "#compdef dac"), ("fish", "complete --command dac")]
)
def test_other_shells_have_a_script(environment: dict[str, str], shell: str, sign: str) -> None:
    """Neither shell need be here; the commands come from the same place as bash's."""
    known = environment | {"_DAC_COMPLETE": f"source_{shell}"}
    done = subprocess.run(["dac"], env=known, capture_output=True, text=True)
    assert done.stdout.lstrip().startswith(sign)
    known = environment | {
        "_DAC_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "dac ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(["dac"], env=known, capture_output=True, text=True)
    assert all(command in done.stdout for command in ("new", "doctor", "status"))


def test_models_of_a_scene(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from dac.cli import completion

    monkeypatch.chdir(results.parent)
    names = ["baseline", "expert", "baseline-6", "azimuth-2/expert1"]
    for params in ({}, {"scene": "ship"}, {"results": results}):
        assert completion.models(SimpleNamespace(params=params, args=[])) == names
    assert completion.models(SimpleNamespace(params={"scene": "lego"}, args=[])) == []
