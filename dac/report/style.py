"""What the figures share: colours, type sizes, and how a figure becomes files.

matplotlib is not imported here, so that colours can be had without it.
"""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    colours = []
    for group in range(count):
        rounds, index = divmod(group, len(_PALETTE))
        base = _PALETTE[index]
        red, green, blue = (int(base[i : i + 2], 16) / 255 for i in (1, 3, 5))
        hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
        tone = colorsys.hls_to_rgb(hue, lightness * 0.65**rounds, saturation)
        colours.append("#" + "".join(f"{round(255 * part):02X}" for part in tone))
    return colours


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


def save_figure(figure: Figure, png: Path | None, pdf: Path | None, *, dpi: int = 200) -> None:
    """Write a figure as PNG and PDF, each whole or not at all.

    The files hold no date and no version of matplotlib's, so that an equal figure gives equal
    bytes.

    Args:
        figure: a matplotlib figure.
        png, pdf: the files; None: not wanted.
        dpi: of the PNG, and of what is rasterised inside the PDF.
    """
    if png is not None:
        write_file(png, lambda p: figure.savefig(p, dpi=dpi, metadata={"Software": None}))
    if pdf is not None:
        dateless = {"CreationDate": None, "Producer": None, "Creator": None}
        write_file(pdf, lambda p: figure.savefig(p, dpi=dpi, metadata=dateless))
