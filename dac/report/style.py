"""What the figures share: colours, type sizes, and how a figure becomes files.

matplotlib is imported where a figure begins, so that colours can be had without it.
"""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dac.storage.artifacts import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_COLUMN = 3.35  # inches
TWO_COLUMNS = 7.0

# For `matplotlib.rc_context`: small type for print, and text that stays text in a PDF.
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
}

UNASSIGNED = "#9A9A9A"
# What matplotlib would write of itself and of the day.
_NAMELESS: Any = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}

# Distinguishable with any colour vision: Okabe and Ito's set without black and yellow (too light on
# white), then the darker tones of Paul Tol's "muted" scheme.
_PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#332288",
    "#999933",
    "#882255",
    "#117733",
)


def group_colours(count: int) -> list[str]:
    """Colours of groups 0 to count - 1, as #RRGGBB.

    A group keeps its colour whatever the number of groups; past the palette's end it begins again,
    darker each time.
    """
    rounds = [divmod(group, len(_PALETTE)) for group in range(count)]
    return [_toned(_PALETTE[index], darker=0.65**turn) for turn, index in rounds]


def lighter(colour: str) -> str:
    """A colour that keeps apart from a dark page: at least medium lightness, the hue its own."""
    return _toned(colour, least=0.6, saturated=0.75)


def _toned(colour: str, *, darker: float = 1.0, least: float = 0.0, saturated: float = 1.0) -> str:
    """A colour of the same hue.

    Args:
        colour: #RRGGBB.
        darker: its lightness is multiplied with.
        least: of its lightness.
        saturated: at most.
    """
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    tone = colorsys.hls_to_rgb(hue, max(lightness * darker, least), min(saturation, saturated))
    return "#" + "".join(f"{round(255 * part):02X}" for part in tone)


def sample(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, the same each time, in order."""
    if len(indices) <= most:
        return indices
    return np.sort(np.random.default_rng(0).choice(indices, most, replace=False))


@contextmanager
def drawing(
    outputs: Mapping[str, Path], width: float, height: float, *, dpi: int = 300, **options: Any
) -> Iterator[Figure]:
    """A figure in our style, written where the block ends.

    The files, each whole or not at all, hold no date and no version of matplotlib's, so that an
    equal figure gives equal bytes.

    Args:
        outputs: the files to write; their names, `png` and `pdf`, say as what.
        width, height: inches.
        dpi: of the PNG, and of what is rasterised inside the PDF.
        options: of the figure.

    Raises:
        UserError: the files can't be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), **options)
        yield figure
        for kind in ("png", "pdf"):
            if kind in outputs:
                save = partial(figure.savefig, dpi=dpi, metadata=_NAMELESS[kind])
                write_file(outputs[kind], save)


def dress(axes: Any, grid: Literal["x", "y"] = "y", *, bare: Sequence[str] = ()) -> None:
    """Axes as we have them: a grid across what is compared, no frame above and at the right.

    Args:
        axes: matplotlib's.
        grid: which lines.
        bare: sides beside these two without a frame.
    """
    axes.spines[["top", "right", *bare]].set_visible(False)
    axes.grid(axis=grid, lw=0.4, color="#DDDDDD")
    axes.set_axisbelow(True)


def write_at(
    axes: Any,
    text: str,
    at: tuple[float, float],
    align: str,
    *,
    share: str = "",
    shift: tuple[float, float] = (0, 0),
    size: float = 6,
    **options: Any,
) -> None:
    """Write into a panel.

    Args:
        axes: matplotlib's.
        text: what.
        at: where, x and y.
        align: its horizontal and vertical alignment there, e.g. `center bottom`.
        share: which of `x` and `y` is a share of the panel; the others are in the data's units.
        shift: points to the right and up.
        size: of the letters.
        options: of the text.
    """
    across, up = align.split()
    axes.annotate(
        text,
        at,
        xycoords=tuple("axes fraction" if name in share else "data" for name in "xy"),
        xytext=shift,
        textcoords="offset points",
        ha=across,
        va=up,
        fontsize=size,
        **options,
    )


def count_steps(axes: Any, most: int) -> None:
    """An axis of training steps or seconds, with at most so many intervals."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def headline(figure: Figure, left: float, text: str) -> None:
    """A figure's name, at its top."""
    figure.text(left, 0.985, text, ha="left", va="top", weight="bold")


def panel_grid(figure: Figure, amount: int, columns: int) -> list[Any]:
    """Axes of so many panels, row by row; the rest of the last row stays empty."""
    grid: Any = figure.subplots(-(-amount // columns), columns, squeeze=False).flatten()
    for axes in grid[amount:]:
        axes.set_visible(False)
    return list(grid[:amount])


def note_below(
    figure: Figure, note: str, letters: int, handles: Sequence[Any] = (), **options: Any
) -> None:
    """Put a legend below a figure's panels, with small print above it.

    Args:
        figure: with a constrained layout.
        note: the small print.
        letters: in its lines.
        handles: of the legend.
        options: of the legend's layout.
    """
    legend = figure.legend(
        handles=handles,
        loc="outside lower left",
        title=textwrap.fill(note, letters),
        title_fontsize=6,
        frameon=False,
        alignment="left",
        **options,
    )
    legend.get_title().set_color("#555555")
