"""Names, order and colours of the compared methods: the same in every table and figure."""

from __future__ import annotations

# In the order of the tables; colours keep their distance for colour-blind readers and in grey.
METHOD_COLOURS = {
    "baseline-1x": "#8E9AA6",
    "baseline-2x": "#2F5D9B",
    "experts": "#3C9D87",
    "distilled": "#E5A03A",
    "dac": "#C6402D",
}
METHODS = tuple(METHOD_COLOURS)
REFERENCES = {"baseline-2x": "baseline-1x", "distilled": "baseline-2x", "dac": "baseline-2x"}
MODEL_NAMES = {"kplanes": "KPlanes"}


def model_name(model: str) -> str:
    """A model variant's name as it is printed."""
    return MODEL_NAMES.get(model, model)


def method_name(method: str, model: str) -> str:
    """A method's name as it is printed, after the paper's Table 1."""
    name = model_name(model)
    printed = {
        "baseline-1x": f"{name} (1x)",
        "baseline-2x": f"{name} (2x)",
        "experts": f"Experts-{name}",
        "distilled": f"Distilled-{name}",
        "dac": f"DaC-{name}",
    }
    return printed.get(method, f"{method}-{name}")


def method_rank(method: str) -> int:
    """A method's place in the tables; unknown ones come last."""
    return METHODS.index(method) if method in METHODS else len(METHODS)
