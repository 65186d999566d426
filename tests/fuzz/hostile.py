"""Values and names that no honest file holds, and ways to put them into plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

OUTSIDE = "../outside/secret.png"
NAMES = [
    *("", " ", ".", "..", "/", "//", "./", "../", "~", "*", "?", "-rf"),
    *(OUTSIDE, "../" + OUTSIDE, "images/../" + OUTSIDE, ".//.././outside/secret.png"),
    *("..\\outside\\secret.png", "../outside/secret", "images/v0.png/../../" + OUTSIDE),
    *("../outside/images/v0.png", "/etc/passwd", "/dev/zero", "/proc/self/environ"),
    *("file:///etc/passwd", "C:\\secret.png", "\\\\server\\share", "%2e%2e/outside/secret.png"),
    *("images", "images/", "v0.png/v0.png", "./v0.png", "images/./0.jpg", "images//0.jpg"),
    *("v0.png\0.jpg", "\0", "a\nb.png", "\x1b[31mred", "\u202egnp.exe", "\u2028", "\x7f"),
    *("\ud800", "caf\udce9.png", "é.png", "e\u0301.png", "名前.png", "שלום.png", "🙂.png"),
    *("x" * 300 + ".png", "x" * 5000, "a/" * 3000, "../" * 500 + "etc/passwd", "a b.png", "'\""),
    *("$(touch x)", "`touch x`", "{0}{name}", "%s%n", "<script>alert(1)</script>", "$x_{", "NUL"),
    *("null", "NaN", "1e5", "1.0e-2", "True", "1e400", "1e-2", "0x10", "1_000", "١٢"),
]
NUMBERS: list[Any] = [
    *(0, -1, 1, 2, 3, 7, 0.5, -0.5, 1e-9, 5e-324, 1e-308, 1e9, 1e15, 1e30, 1e154, 1e300, 1e308),
    *(-1e15, -1e300, -1e308, math.nan, math.inf, -math.inf, 255, 256, 65535, 65536, 2**31 - 1),
    *(2**31, 2**32, 2**53, 2**60, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63), 10**30),
    *(10**308, 10**400, -(10**400)),
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, [1, 2, 3], {"a": 1}]
# Text that takes a value's place once the rest is written.
RAW_JSON = [
    *("1e999", "-1e999", "9" * 10_000, "-" + "9" * 10_000, "NaN", "Infinity", "1e-99999", "01"),
    *("[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500, '"\\ud800"', '"\\u0000"'),
    *(
        '"\\udce9.png"',
        "'single'",
        "undefined",
        "",
        ",",
        "}",
        "]",
        "/*x*/1",
        "1.",
        ".5",
        "+1",
        "0x1",
    ),
    "[" + "0," * 20_000 + "0]",
    '"' + "x" * 200_000 + '"',
]


def value(random: Random) -> Any:
    """A hostile value."""
    kind = random.randrange(6)
    if kind < 2:
        return random.choice(NAMES)
    if kind < 4:
        return random.choice(NUMBERS)
    if kind < 5:
        return random.choice(OTHERS)
    return random.choice([[random.choice(NUMBERS)] * random.randrange(1, 9), ["x"] * 3000, "x"])


Path = list[Any]


def places(data: Any, path: Path | None = None) -> list[Path]:
    """Paths to every value in plain data."""
    path = path or []
    found = [path] if path else []
    if isinstance(data, dict):
        for key, inner in data.items():
            found += places(inner, [*path, key])
    elif isinstance(data, list):
        for index, inner in enumerate(data):
            found += places(inner, [*path, index])
    return found


def holder(data: Any, path: Path) -> Any:
    for step in path[:-1]:
        data = data[step]
    return data


def damage_tree(random: Random, data: Any, raw: list[str]) -> tuple[str, dict[str, str]]:
    """Change one value in plain data, in place.

    Args:
        raw: texts of which one may take a value's place once the data is written.

    Returns:
        What was done, and texts by the marks that stand for them.
    """
    found = places(data)
    if not found:
        return "nothing left to damage", {}
    depth = random.choice(sorted({len(path) for path in found}))
    path = random.choice([path for path in found if len(path) == depth])
    inside, key = holder(data, path), path[-1]
    name = ".".join(map(str, path))
    what = random.choice(["replace"] * 6 + ["raw", "delete", "twice", "rename", "scale", "wrap"])
    if what == "replace":
        inside[key] = value(random)
        return f"{name} = {short(inside[key])}", {}
    if what == "raw":
        text = random.choice(raw)
        inside[key] = "@RAW0@"
        return f"{name} = raw {short(text)}", {"@RAW0@": text}
    if what == "delete":
        del inside[key]
    elif what == "twice" and isinstance(inside, list):
        inside.insert(key, inside[key])
    elif what == "rename" and isinstance(inside, dict):
        inside[random.choice([*NAMES, key + "_", key.upper()])] = inside.pop(key)
    elif what == "scale" and isinstance(inside[key], int | float):
        inside[key] = inside[key] * random.choice([-1, 0, 1e-6, 1.5, 1e6, 1e200])
    else:
        inside[key] = random.choice([[inside[key]], {"x": inside[key]}, [[inside[key]]] * 3])
        what = "wrap"
    return f"{what} {name}", {}


def damage_text(random: Random, text: str, extras: list[Callable[[str], str]]) -> tuple[str, bytes]:
    """Change a text file's text."""
    at, to = sorted(random.randrange(len(text) + 1) for _ in range(2))
    lines = text.splitlines(keepends=True) or [""]
    line = random.randrange(len(lines))
    changes: dict[str, Callable[[], str]] = {
        "cut the end": lambda: text[:at],
        "cut a part": lambda: text[:at] + text[to:],
        "repeat a part": lambda: text[:to] + text[at:],
        "put a name in": lambda: text[:at] + random.choice(NAMES) + text[at:],
        "put a byte in": lambda: text[:at] + chr(random.randrange(256)) + text[at:],
        "drop a line": lambda: "".join(lines[:line] + lines[line + 1 :]),
        "repeat a line": lambda: "".join(lines[: line + 1] + lines[line:]),
        "empty it": lambda: random.choice(["", "\n", " ", "\0", "#"]),
        "begin with BOM": lambda: "\ufeff" + text,
        "end lines as Windows": lambda: text.replace("\n", "\r\n"),
        "append": lambda: text + random.choice(NAMES),
        "blank": lambda: text + "\n" * 100_000,
    }
    extra = {f"special {i}": (lambda make=make: make(text)) for i, make in enumerate(extras)}
    changes |= extra | {f"{name}, again": make for name, make in extra.items()}
    name = random.choice(sorted(changes))
    result = changes[name]().encode("utf-8", "surrogatepass")
    if random.random() < 0.06:
        name += ", as UTF-16"
        result = result.decode("utf-8", "replace").encode("utf-16")
    return name, result


def other_token(random: Random) -> Callable[[str], str]:
    """A change of a text: another number or name in the place of one."""

    def change(text: str) -> str:
        tokens = text.split(" ")
        at = random.randrange(len(tokens))
        tokens[at] = str(random.choice([*NAMES, "9" * 9000, "1e999", "nan", "-1", "2e5"]))
        return " ".join(tokens)

    return change


def damage_bytes(random: Random, data: bytes) -> tuple[str, bytes]:
    """Change a binary file's bytes; its beginning, where headers are, more often."""
    result = bytearray(data)
    reach = len(data) if random.random() < 0.5 else min(len(data), 200)
    at = random.randrange(reach) if reach else 0
    what = random.choice(
        ["flip", "flip", "many", "cut", "grow", "zero", "number", "repeat", "empty"]
    )
    if what == "flip" and data:
        result[at] ^= 1 << random.randrange(8)
    elif what == "many" and data:
        for _ in range(random.randrange(2, 20)):
            result[random.randrange(len(result))] = random.randrange(256)
    elif what == "cut":
        del result[at:]
    elif what == "grow":
        result += random.randbytes(random.choice([1, 8, 1000]))
    elif what == "zero":
        result[at : at + 16] = bytes(len(result[at : at + 16]))
    elif what == "number":
        size = random.choice([2, 4, 8])
        number = random.choice([0, 1, 2**60, 2**63, 2**64 - 1, 2**32 - 1, 2**31, 65535])
        order = random.choice(["little", "big"])
        result[at : at + size] = (number % 256**size).to_bytes(size, order)  # type: ignore[arg-type]
    elif what == "repeat":
        result[at:at] = result[at : at + 500]
    else:
        result.clear()
    return f"{what} at {at} of {len(data)} bytes", bytes(result)


def to_json(data: Any, marks: dict[str, str]) -> bytes:
    """JSON as Python writes it, NaN and all, with the marked values replaced."""
    text = json.dumps(data)
    for mark, raw in marks.items():
        text = text.replace(f'"{mark}"', raw)
    return text.encode("utf-8", "surrogatepass")


def short(what: Any) -> str:
    if isinstance(what, int) and not isinstance(what, bool) and abs(what) > 10**30:
        return f"a number of {what.bit_length()} bits"
    text = ascii(what)
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} characters)"
