"""Damaged configurations: `config.yaml`, and at times an overlay on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import hostile
import yaml
from bases import CONFIG

from dac.configuration import SECTIONS, Settings, StudySettings

_DEEP = 20_000
_SECTIONS = SECTIONS | {"study": StudySettings}
RAW_YAML = [
    *(
        "1.0e+999",
        "9" * 10_000,
        "-" + "9" * 5_000,
        ".nan",
        ".inf",
        "-.INF",
        "1e400",
        "0x" + "f" * 5000,
    ),
    *("!!python/object/apply:os.system [x]", "!!python/name:os.system", "!!python/tuple [1]"),
    *(
        "!!binary abc",
        "!!binary x",
        "!!float abc",
        "!!int abc",
        "!!int ''",
        "!!timestamp x",
        "!own x",
    ),
    *(
        "!!set {a, b}",
        "!!omap [a: 1]",
        "2026-11-21",
        "2026-13-45",
        "2026-01-01T25:61:61Z",
        "1:99:99",
    ),
    *(
        "190:20:30.15",
        "0b",
        "0o9",
        "0b111",
        "0x",
        "=",
        "<<",
        "~",
        "[",
        "{",
        "]",
        "*nowhere",
        "&a [*a]",
    ),
    *(
        "&a {b: *a}",
        "{<<: [1]}",
        "{[1]: 2}",
        "{{a: 1}: 2}",
        "{1: 2}",
        "{null: 1}",
        "{true: 1}",
        "{a: 1, a: 2}",
    ),
    *(
        "{2026-01-01: 1}",
        '"\\ud800"',
        '"\\0"',
        '"\\x1b"',
        '"\\u202e"',
        "'",
        '"',
        "|",
        ">-",
        "%",
        "@",
        "`",
    ),
    *(
        "[" * 200 + "]" * 200,
        "{a: " * 200 + "1" + "}" * 200,
        "[" * 3000,
        "[" * _DEEP,
        "{a: " * _DEEP,
    ),
    "[" + "0, " * 30_000 + "0]",
    "x" * 300_000,
]


def _laughs(fan: int, rounds: int, mapping: bool) -> Callable[[str], str]:
    """Aliases of aliases: some hundred bytes that stand for fan ** rounds values."""

    def change(text: str) -> str:
        lines = ["x0: &x0 [1, 2]" if not mapping else "x0: &x0 {a: 1}"]
        for i in range(1, rounds):
            inner = ", ".join(
                f"*x{i - 1}" if not mapping else f"k{k}: *x{i - 1}" for k in range(fan)
            )
            lines.append(f"x{i}: &x{i} " + (f"{{{inner}}}" if mapping else f"[{inner}]"))
        return (
            "\n".join(lines) + "\n" + text.replace("seeds:\n- 0\n- 1\n", f"seeds: *x{rounds - 1}\n")
        )

    return change


_TEXTS: list[Callable[[str], str]] = [
    _laughs(9, 9, False),
    _laughs(9, 40, False),
    _laughs(9, 12, True),
    _laughs(2, 60, True),
    lambda text: text + text,
    lambda text: text + "---\n" + text,
    lambda text: "%YAML 9.9\n---\n" + text,
    lambda text: text.replace("  ", "\t"),
    lambda text: text + "__use_yte__: true\n?__import__('os').system('touch x'):\n  a: 1\n",
    lambda text: text + "a" * 300_000 + ": 1\n",
    lambda text: text + "".join(f"k{i}: {i}\n" for i in range(30_000)),
    lambda text: text + "? " * 3000 + "\n",
    lambda text: text + "- " * 3000 + "\n",
    lambda text: "".join(f"{' ' * i}a:\n" for i in range(500)) + text,
    lambda text: "[" * 50_000 + text,
    lambda text: text.replace("scenes:\n", "scenes:\n" + _SCENE * 3000),
    lambda text: "[1, 2]\n",
    lambda text: "just text\n",
    lambda text: '{"scenes": [], "a": NaN}',
]
_SCENE = "- {name: s, path: data, format: photos, division: single, K: 1}\n"


def damage(random: Random, root: Path) -> list[str]:
    """Write config.yaml, and at times overlay.yaml, with mistakes in them."""
    data = copy.deepcopy(CONFIG)
    file = root / "config" / "config.yaml"
    changes, marks = [], {}
    kind = random.choice(["tree"] * 6 + ["setting"] * 4 + ["text"] * 3 + ["bytes", "file"])
    if kind == "tree":
        for _ in range(random.choice([1, 1, 2, 3])):
            done, more = hostile.damage_tree(random, data, RAW_YAML)
            marks |= more
            changes.append(done)
    elif kind == "setting":
        for _ in range(random.choice([1, 1, 2])):
            changes.append(_any_setting(random, data, marks))
    if random.random() < 0.25:
        _split_off(random, root, data, marks, changes)
    content = _to_yaml(data, marks)
    if kind == "text":
        text = content.decode("utf-8", "replace")
        done, content = hostile.damage_text(random, text, _TEXTS)
        changes.append(done)
    elif kind == "bytes":
        done, content = hostile.damage_bytes(random, content)
        changes.append(done)
    file.write_bytes(content)
    if kind == "file":
        changes.append(_no_file(random, file))
    return changes


def _any_setting(random: Random, data: dict[str, Any], marks: dict[str, str]) -> str:
    """Any key of any section, with a hostile value; at the top or for one scene."""
    section = random.choice([*_SECTIONS, "scene", "(top)", "(scene)"])
    holder: Any
    if section == "(top)":
        holder, keys = data, list(Settings.model_fields)
    elif section == "(scene)":
        scenes = data.get("scenes")
        if not isinstance(scenes, list) or not scenes or not isinstance(scenes[0], dict):
            return "no scene"
        holder, keys = scenes[0], ["name", "path", "format", "division", "K", "settings"]
    else:
        holder = data.setdefault(section, {})
        if random.random() < 0.4:
            scene = {"settings": {section: {}}}
            data["scenes"] = [copy.deepcopy(CONFIG["scenes"][0]) | scene]
            holder = data["scenes"][0]["settings"][section]
        keys = list(_SECTIONS[section].model_fields)
    if not isinstance(holder, dict):
        return "no section"
    key = random.choice(keys)
    if random.random() < 0.2:
        mark = f"@RAW{len(marks)}@"
        marks[mark] = random.choice(RAW_YAML)
        holder[key] = mark
        return f"{section}.{key} = raw {hostile.short(marks[mark])}"
    holder[key] = random.choice([hostile.value(random), random.choice(hostile.NAMES)])
    return f"{section}.{key} = {hostile.short(holder[key])}"


def _split_off(
    random: Random, root: Path, data: dict[str, Any], marks: dict[str, str], changes: list[str]
) -> None:
    """Move some sections to an overlay."""
    keys = [key for key in data if isinstance(key, str) and random.random() < 0.4]
    overlay = {key: data.pop(key) for key in keys}
    content = _to_yaml(overlay, marks)
    if random.random() < 0.3:
        text = content.decode("utf-8", "replace")
        done, content = hostile.damage_text(random, text, [])
        changes.append(f"overlay: {done}")
    (root / "config" / "overlay.yaml").write_bytes(content)
    changes.append(f"overlay of {', '.join(keys)}"[:80])


class _Dumper(yaml.SafeDumper):
    """Writes what is shared as often as it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _to_yaml(data: Any, marks: dict[str, str]) -> bytes:
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1e9)
    for mark, raw in marks.items():
        text = text.replace(f"'{mark}'", raw)
    return text.encode("utf-8", "surrogatepass")


def _no_file(random: Random, file: Path) -> str:
    what = random.choice(["gone", "folder", "loop", "sparse"])
    file.unlink()
    if what == "folder":
        file.mkdir()
    elif what == "loop":
        file.symlink_to(file.name)
    elif what == "sparse":
        with file.open("wb") as target:
            target.truncate(2**34)
    return what
