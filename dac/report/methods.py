"""Names, order and colours of the compared methods: the same in every table and figure."""

from __future__ import annotations

import re

# In the order of the tables; colours keep their distance for colour-blind readers and in grey.
METHOD_COLOURS = {
    "baseline-1x": "#8E9AA6",
    "baseline-2x": "#2F5D9B",
    "baseline": "#1B3350",  # of any other length
    "restart": "#7A5AA6",
    "big_batch": "#5FA3C7",
    "wide": "#9C7B5B",
    "trunk": "#B7C2CC",
    "experts": "#3C9D87",
    "distilled": "#E5A03A",
    "dac": "#C6402D",
    "merged": "#D96BA0",
    "routed": "#1F8A4C",
}
METHODS = tuple(METHOD_COLOURS)
# What each method's gain is over, where the baseline of the same path (`rows.same_path_steps`) is
# not the one.
REFERENCES = {
    "baseline-2x": "baseline-1x",
    "baseline": "baseline-2x",
    "restart": "baseline-2x",
    "experts": "baseline-1x",
    "distilled": "baseline-2x",
    "dac": "baseline-2x",
    "merged": "baseline-2x",
}
_BASELINE = re.compile(r"baseline-([\d.]+)x")
MODEL_NAMES = {"kplanes": "KPlanes"}


def model_name(model: str) -> str:
    """A model variant's name as it is printed."""
    return MODEL_NAMES.get(model, model)


def method_name(method: str, model: str) -> str:
    """A method's name as it is printed, after the paper's Table 1."""
    name = model_name(model)
    if baseline := _BASELINE.fullmatch(method):
        return f"{name} ({float(baseline[1]):.3g}x)"
    printed = {
        "restart": f"{name} (restart)",
        "experts": f"Experts-{name}",
        "oracle": f"Oracle-{name}",  # of each view's best expert, where a table derives it
        "distilled": f"Distilled-{name}",
        "dac": f"DaC-{name}",
        "big_batch": f"{name} (more rays)",
        "wide": f"{name} (more parameters)",
        "trunk": f"{name} (trunk)",
        "merged": f"DaC-{name} (merged)",
        "routed": f"DaC-{name} (routed)",
    }
    return printed.get(method, f"{method}-{name}")


def method_rank(method: str) -> int:
    """A method's place in the tables; unknown ones come last."""
    known = known_method(method)
    return METHODS.index(known) if known in METHODS else len(METHODS)


def method_colour(method: str) -> str:
    """A method's colour in the figures."""
    return METHOD_COLOURS.get(known_method(method), "#000000")


def known_method(method: str) -> str:
    """Baselines of other lengths than the table's two count as one method."""
    return "baseline" if method not in METHODS and _BASELINE.fullmatch(method) else method


def is_baseline(method: str) -> bool:
    """Whether it is the baseline, of whatever length."""
    return _BASELINE.fullmatch(method) is not None
