"""Nothing that is read may run as code: what the linter refuses, and what it can't see.

ruff looks at Python files (pyproject.toml); here, its rules are shown to fire, and the workflow's
own files, which ruff can't read, are searched word by word for the same.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from dac.configuration import merge, parse
from dac.errors import UserError
from dac.storage.artifacts import read_json
from dac.storage.files import files_under, inside, is_file, read_bytes, read_text
from dac.storage.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
CODE = [
    *RULES,
    *(
        file
        for part in ("dac", "workflow_scripts", "bench")
        for file in (ROOT / part).rglob("*.py")
    ),
]

# Each line is refused by ruff with this rule.
REFUSED = {
    "import pickle": "TID251",
    "from pickle import loads": "TID251",
    "import marshal": "TID251",
    "import shelve": "TID251",
    "import dill": "TID251",
    "import joblib": "TID251",
    "import cloudpickle": "TID251",
    "import pickle\npickle.loads(b'')": "S301",
    "import torch\ntorch.load('x')": "TID251",
    "import torch\ntorch.save({}, 'x')": "TID251",
    "import pandas as pd\npd.read_pickle('x')": "TID251",
    "eval('1')": "S307",
    "exec('1')": "S102",
    "import yaml\nyaml.load('', Loader=yaml.Loader)": "S506",
    "import yaml\nyaml.load('', Loader=yaml.SafeLoader)": "TID251",
    "import yaml\nyaml.unsafe_load('')": "TID251",
    "import yaml\nyaml.full_load('')": "TID251",
    "import subprocess\nsubprocess.run('ls', shell=True)": "S602",
    "import os\nos.system('ls')": "S605",
    "from os import system": "TID251",
    "import os\nos.popen('ls')": "S605",
    "import tempfile\ntempfile.mktemp()": "S306",
    "import tarfile\ntarfile.open('x').extractall()": "S202",
    "import shutil\nshutil.unpack_archive('x')": "TID251",
}


@pytest.mark.parametrize(("snippet", "rule"), REFUSED.items(), ids=str)
def test_the_linter_refuses(snippet: str, rule: str) -> None:
    assert rule in _ruff(snippet, "dac")


@pytest.mark.parametrize("part", ["workflow_scripts", "bench", "tests"])
def test_the_linter_refuses_it_everywhere(part: str) -> None:
    said = _ruff("import pickle\n\npickle.loads(eval('b\"\"'))", part)
    assert all(rule in said for rule in ("TID251", "S301", "S307"))


def _ruff(snippet: str, part: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    name = f"{part}/planted.py"
    done = subprocess.run(
        [*command, "--stdin-filename", name, "-"],
        input=snippet + "\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_the_linter_takes_what_is_allowed() -> None:
    assert "S" not in _ruff("import numpy as np\n\nnp.load('x', allow_pickle=False)", "dac")


# Words that have no place in the workflow's files nor, but for those that ruff knows better, in
# Python ones; and pairs of words with what may stand between them.
WORDS = {
    *("pickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"),
    *("eval", "exec", "mktemp", "extractall", "unpack_archive", "unsafe_load", "full_load"),
    *("UnsafeLoader", "FullLoader", "popen", "getoutput", "getstatusoutput", "read_pickle"),
}
SEQUENCES = [
    ("os", ".", "system"),
    ("yaml", ".", "load"),
    ("torch", ".", "load"),
    ("torch", ".", "save"),
    ("shell", "=", "True"),
    ("allow_pickle", "=", "True"),
    ("shell", "("),
]
# A rule's own commands: its values may be names that users gave.
DIRECTIVES = re.compile(r"^ +(shell|run) *:", re.MULTILINE)


def faults(text: str, rules: bool) -> Iterator[str]:
    """What in a file's text is refused; strings and comments don't count.

    Args:
        rules: the file is Snakemake's, where a rule could hold shell commands.
    """
    kinds = (tokenize.NAME, tokenize.OP)
    words: list[tuple[str, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            words.append((token.string, token.start[0]))
    names = [word for word, _ in words]
    for at, (word, line) in enumerate(words):
        method = at > 0 and names[at - 1] == "." and word in ("eval", "exec")
        if word in WORDS and not method:
            yield f"line {line}: {word}"
        for sequence in SEQUENCES:
            if tuple(names[at : at + len(sequence)]) == sequence:
                yield f"line {line}: {' '.join(sequence)}"
        if word == "allow_pickle" and names[at + 1 : at + 3] != ["=", "False"]:
            yield f"line {line}: allow_pickle that isn't False"
    if rules:
        yield from (found[0].strip() for found in DIRECTIVES.finditer(text))
    yield from _unguarded_loads(names, words)


def _unguarded_loads(names: list[str], words: list[tuple[str, int]]) -> Iterator[str]:
    """`np.load` without `allow_pickle=False` among its arguments."""
    for at in range(len(names)):
        if names[at : at + 4] != ["np", ".", "load", "("]:
            continue
        depth, end = 1, at + 4
        while depth and end < len(names):
            depth += {"(": 1, ")": -1}.get(names[end], 0)
            end += 1
        if "allow_pickle" not in names[at:end]:
            yield f"line {words[at][1]}: np.load without allow_pickle=False"


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_turns_data_into_code(file: Path) -> None:
    assert list(faults(file.read_text(encoding="utf-8"), file in RULES)) == []


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from os import popen", "x = eval('1')", "exec('1')"),
        *("import os; os.system('x')", "y = yaml.load(f)", "torch.load('x')", "torch.save(1, 'x')"),
        *("run(x, shell=True)", "np.load('x')", "np.load(f(1), allow_pickle=True)"),
        *("np.load('x', mmap_mode=f('r'))", "np.load(x, allow_pickle=yes)", "a.extractall()"),
        *("tempfile.mktemp()", "load(x, allow_pickle=True)", "shell('rm x')"),
    ],
)
def test_a_planted_line_is_found(line: str) -> None:
    for rules in (True, False):
        text = f"rule a:\n    output: 'x'\n{line}\n"
        assert list(faults(text, rules)), line


def test_shell_commands_in_rules_are_found() -> None:
    for body in ("shell:\n        'rm {input}'", "run:\n        pass"):
        assert list(faults(f"rule a:\n    input: 'x'\n    {body}\n", True))
    honest = "rule a:\n    # eval, pickle\n    script:\n        'exec.py'\nmodel.eval()\n"
    assert list(faults(honest, True)) == []


# --- Files and values: the parts that every reader shares ----------------------------------------


def test_errors_are_one_printable_line_of_bounded_length() -> None:
    hostile = "a\nb\x1b[31m\ud800\u202e\u2028" + "x" * 100_000
    text = str(UserError(hostile, hostile, hostile))
    assert text.isprintable() and len(text) < 1600
    text.encode("utf-8")
    assert text.startswith(r"a b\x1b[31m\ud800\u202e x")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../outside/a.png", "leaves the data folder"),
        ("x/../../outside/a.png", "leaves the data folder"),
        ("/etc/passwd", "is an absolute path"),
        ("C:\\a.png", "is an absolute path"),
        ("link.png", "leaves the data folder"),
        ("folder/a.png", "leaves the data folder"),
        ("", "is no file name"),
        ("a\0b", "is no file name"),
        ("a\nb.png", "is no file name"),
        ("x" * 300, "is no file name"),
        ("a/" * 1000, "is no file name"),
        ("caf\udce9.png", "is not UTF-8"),
    ],
)
def test_names_stay_inside(tmp_path: Path, name: str, what: str) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a.png").write_bytes(b"")
    (root / "link.png").symlink_to(outside / "a.png")
    (root / "folder").symlink_to(outside)
    with pytest.raises(UserError, match=what) as caught:
        inside(root, name, "list.txt")
    assert str(caught.value).startswith("list.txt: ") and str(caught.value).isprintable()
    (root / "within.png").symlink_to("real.png")
    assert inside(root, "x/../within.png", "list.txt") == root / "within.png"


def test_links_in_circles_come_to_an_end(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    (root / "b").mkdir(parents=True)
    (outside / "c").mkdir(parents=True)
    for file in (root / "a.png", root / "b" / "b.png", root / ".hidden", outside / "secret.png"):
        file.write_bytes(b"")
    for name, target in (("x", "."), ("y", "."), ("z", ".."), ("b/w", "../b"), ("self", "self")):
        (root / name).symlink_to(target)
    (root / "away").symlink_to(outside)
    (root / "away.png").symlink_to(outside / "secret.png")
    (root / "near.png").symlink_to("a.png")
    found = [str(file.relative_to(root)) for file in files_under(root)]
    assert sorted(found) == ["a.png", "b/b.png", "near.png"]
    assert list(files_under(root / "a.png")) == [root / "a.png"]
    (tmp_path / "linked").symlink_to(root)
    assert len(list(files_under(tmp_path / "linked"))) == len(found)


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for name, what in (
        ("pipe", "is no regular file"),
        ("zero", "is no regular file"),
        ("sparse", "has 1099511627776 bytes, and at most 1000 are read"),
        (".", "is a folder"),
        ("gone", "no such file"),
        ("loop", "can't be read"),
        ("a\0b", "can't be read"),
    ):
        with pytest.raises(UserError, match=what):
            read_bytes(tmp_path / name, 1000)
    with pytest.raises(UserError, match="is not UTF-8 text; it should be a list"):
        read_text(tmp_path / "latin", 1000, "a list")
    assert not is_file(tmp_path / "pipe") and is_file(tmp_path / "latin")


def test_json_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text, what in (
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "over 4300 digits"),
        ("[NaN]", "holds NaN"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=what):
            read_json(file)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &x [1]\nb: *x\n", "line 2, column 4: aliases"),
        ("a: &x\n  b: *x\n", "aliases"),
        ("a: 1\nb: 2\na: 3\n", "a key stands there twice"),
        ("a: {b: 1, b: 2}\n", "a key stands there twice"),
        ("a: " + "[" * 30 + "]" * 30, "nested more than 20 deep"),
        ("[" * 100_000, "nested more than 20 deep"),
        ("a: " + "9" * 5000, "can't be read"),
        ("a: 2026-13-45", "can't be read"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: !!binary x", "broken YAML"),
        ("a: \x1b", "special characters are not allowed"),
        ("__use_yte__: true\n", "__use_yte__: would run code"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("a: " + "x" * 300_000, "at most 262144 are read"),
        ("- 1\n", "holds no settings"),
    ],
)
def test_yaml_is_plain_and_bounded(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=what) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(str(file))


def _scene(**changes: object) -> dict[str, object]:
    scene = {"name": "toy", "path": "data", "format": "photos", "division": "azimuth", "K": 2}
    return {"scenes": [scene | changes]}


def test_values_are_bounded_whoever_read_them() -> None:
    """Overlays are read by Snakemake, whose YAML may hold anything."""
    laugh: list[object] = [1, 2]
    for _ in range(60):
        laugh = [laugh] * 9
    circle: dict[str, object] = {}
    circle["a"] = circle
    many = [0.0] * 30_000
    for data, what in (
        ({"seeds": laugh}, "config: seeds.*nested more than 20 deep"),
        ({"train": circle}, "config: train.a.*nested"),
        ({"seeds": many}, "more than 20000 values"),
        ({"train": {1: 2}}, "config: train: the key 1 is no text"),
        ({"train": {"steps": 10**400}}, "config: train.steps: a number of 1329 bits"),
        ({"train": {"steps": {1, 2}}}, "config: train.steps: not plain data: a set"),
        ({"results": "caf\udce9"}, "config: results: .* is not UTF-8"),
        ({"results": ""}, "config: results: "),
        ({"results": "a\nb"}, "config: results: "),
        ({"results": "x" * 300}, "config: results: "),
        ({"seeds": [-1]}, "config: seeds.0: "),
        ({"divide": {"seed": 2**31}}, "config: divide.seed: "),
        ({"train": {"learning_rate": 1e300}}, "config: train.learning_rate: "),
    ):
        with pytest.raises(UserError, match=what):
            parse(merge(_scene(), data))
    for changes, what in (
        ({"K": 1001}, "config: scenes.0.K"),
        ({"path": "a\0b"}, "config: scenes.0.path"),
        ({"name": "x" * 65}, "config: scenes.0.name"),
        ({"name": "../x"}, "config: scenes.0.name"),
    ):
        with pytest.raises(UserError, match=what):
            parse(_scene(**changes))
