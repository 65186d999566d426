"""Plain data (numbers, text, lists, mappings) from files that people write, bounded before use.

YAML can do more than a configuration needs: a few hundred bytes of aliases stand for more values
than any machine holds, tags make objects, a second key of one name replaces the first unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dac.errors import UserError
from dac.storage.files import read_text

LARGEST_YAML = 256 * 1024  # bytes
DEEPEST = 20
MOST_VALUES = 20_000
_LARGEST_NUMBER = 2**63
_TEMPLATES = "__use_yte__"  # Snakemake runs the Python code in a file with this key


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases and repeated keys, of a bounded depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.refuse("aliases (*name) are not read, write the values out")
        if self.depth == DEEPEST:
            self.refuse(f"nested more than {DEEPEST} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def refuse(self, problem: str) -> None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            problem = "a key stands there twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return mapping

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError):
            problem = f"{str(node.value)[:40]!r} can't be read"
            mark = node.start_mark
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        UserError: the file is missing, large, no YAML, or holds something else than a mapping, or
            more than plain data: aliases, tags, templates, a key twice.
    """
    text = read_text(path, LARGEST_YAML, "a YAML file")
    try:
        loader = _Loader(text)
        try:
            data = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise UserError(path, f"broken YAML{where}: {problem}", "mend the file") from None
    if not isinstance(data, dict):
        raise UserError(path, "holds no settings", "it should be 'key: value' lines")
    if _TEMPLATES in data:
        raise UserError(f"{path}: {_TEMPLATES}", "would run code", "write the values out")
    return data


def refuse_odd(data: Any, source: str) -> None:
    """Check that data from YAML or JSON is plain and of a bounded size.

    Raises:
        UserError: names the key of a date, a set, a key that is no text, text that is not UTF-8, a
            number beyond 64 bits; too deep, too many values.
    """
    left = MOST_VALUES
    waiting: list[tuple[str, int, Any]] = [("", 0, data)]
    while waiting:
        key, depth, value = waiting.pop()
        where = f"{source}: {key or '(top level)'}"
        left -= 1
        if left < 0:
            raise UserError(where, f"more than {MOST_VALUES} values in all", "leave some out")
        if depth > DEEPEST:
            raise UserError(where, f"nested more than {DEEPEST} deep", "write it flat")
        prefix = f"{key}." if key else ""
        if isinstance(value, dict):
            for name, inner in value.items():
                if not isinstance(name, str):
                    raise UserError(where, f"the key {name!r} is no text", "quote it")
                _refuse_odd_value(f"{where}: a key", name)
                waiting.append((prefix + name, depth + 1, inner))
        elif isinstance(value, list):
            waiting += [(f"{prefix}{i}", depth + 1, inner) for i, inner in enumerate(value)]
        else:
            _refuse_odd_value(where, value)


def _refuse_odd_value(where: str, value: Any) -> None:
    if isinstance(value, str):
        if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
            raise UserError(where, f"{value!r} is not UTF-8", "write other letters")
    elif isinstance(value, int):
        if abs(value) >= _LARGEST_NUMBER:
            raise UserError(where, f"a number of {value.bit_length()} bits", "write a smaller one")
    elif not (value is None or isinstance(value, float)):
        kind = type(value).__name__
        raise UserError(where, f"not plain data: a {kind}", "use numbers, text, lists")
