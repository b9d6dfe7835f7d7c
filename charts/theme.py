"""One palette of roles, the same in pictures, formulas and prose, for a light and a dark page.

Plain data and pure functions. `palette("light")` gives the colours; `plotly_template`, `altair_config`, `sequential`,
`diverging` and `lut` turn them into what a chart wants; `paint` puts them into LaTeX. The same values stand in
.streamlit/config.toml (for prose) and assets/style.css (for the page and the components), and a test holds the three
together. As text every role passes 4.5:1 on the background and the panel, and every pair of hues stays apart for normal,
protan, deutan and tritan sight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go

ThemeName = Literal["light", "dark"]
Role = Literal["query", "key", "value", "scores", "attention", "ffn", "residual", "output"]

SANS = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'
SERIF = '"Source Serif", "Source Serif Pro", Georgia, serif'
MONO = '"Source Code Pro", ui-monospace, SFMono-Regular, Menlo, monospace'


@dataclass(frozen=True)
class Palette:
    """All colours of one theme, as #RRGGBB."""

    name: ThemeName
    background: str
    panel: str
    ink: str            # text
    muted: str          # axis labels and captions; passes 4.5:1 too
    line: str           # grid lines and borders
    query: str
    key: str
    value: str
    scores: str         # attention before the softmax: the attention colour, lighter
    attention: str      # attention weights
    ffn: str
    residual: str       # residual stream and norms
    output: str         # logits, the chosen token
    negative: str       # the blue end of the diverging map
    positive: str       # the rust end of the diverging map

    def role(self, role: Role) -> str:
        """The colour of a role by its name; ValueError on a name that is not a role."""
        if role not in ROLES:
            raise ValueError(f"There is no role {role!r}; the roles are {', '.join(ROLES)}.")
        return getattr(self, role)

    def text(self, role: Role) -> str:
        """The colour of a role as text. Scores are a lighter fill, too light to read: as text they take attention's."""
        return self.role("attention" if role == "scores" else role)


ROLES: tuple[Role, ...] = ("query", "key", "value", "scores", "attention", "ffn", "residual", "output")

LIGHT = Palette(
    name="light", background="#FFFFFF", panel="#F6F8FA", ink="#111827", muted="#535A6A", line="#DCE1E8",
    query="#0231ED", key="#7D381B", value="#178259", scores="#C95FC8", attention="#B926B8", ffn="#8B6D00",
    residual="#535A6A", output="#111827", negative="#1B4FD8", positive="#A8471B",
)
DARK = Palette(
    name="dark", background="#0E1420", panel="#161E2E", ink="#F8FAFC", muted="#A9B4C4", line="#2A3446",
    query="#6F8CFF", key="#D77D4B", value="#00EA9B", scores="#D3A6D4", attention="#BD7DBE", ffn="#EED414",
    residual="#D1D9E4", output="#F8FAFC", negative="#6F8CFF", positive="#E08A55",
)

# Streamlit's name of each role's colour in Markdown: ":blue[Q]". Scores and output have none of their own.
MARKDOWN_COLOUR: dict[Role, str] = {
    "query": "blue", "key": "orange", "value": "green", "scores": "violet", "attention": "violet",
    "ffn": "yellow", "residual": "gray",
}


def palette(theme: str | None) -> Palette:
    """The palette of "dark", or the light one for anything else (a browser that has not said yet is light)."""
    return DARK if theme == "dark" else LIGHT


def sequential(p: Palette, role: Role = "attention") -> list[tuple[float, str]]:
    """Colour map of weights and probabilities: 0 is the background and vanishes, 1 is the full role colour."""
    return [(0.0, p.background), (0.5, mix(p.background, p.role(role), 0.55)), (1.0, p.role(role))]


def diverging(p: Palette) -> list[tuple[float, str]]:
    """Colour map of signed values: blue below, background at 0, rust above. Give it a range symmetric about 0."""
    return [(0.0, p.negative), (0.25, mix(p.background, p.negative, 0.5)), (0.5, p.background),
            (0.75, mix(p.background, p.positive, 0.5)), (1.0, p.positive)]


def lut(scale: list[tuple[float, str]], steps: int = 256) -> np.ndarray:
    """A colour map as a look-up table, uint8 [step, 3], for pictures drawn as one image."""
    at = np.array([stop for stop, _ in scale])
    rgb = np.array([_rgb(colour) for _, colour in scale], dtype=float)
    x = np.linspace(0.0, 1.0, steps)
    return np.stack([np.interp(x, at, rgb[:, channel]) for channel in range(3)], axis=-1).round().astype(np.uint8)


def mix(a: str, b: str, share: float) -> str:
    """The colour `share` of the way from a to b, in sRGB."""
    blended = [round(x + (y - x) * share) for x, y in zip(_rgb(a), _rgb(b))]
    return "#{:02X}{:02X}{:02X}".format(*blended)


def with_alpha(colour: str, alpha: float) -> str:
    """The colour as rgba(...), for fills under a line."""
    red, green, blue = _rgb(colour)
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def paint(latex: str, p: Palette) -> str:
    r"""Colour a formula by role: `\query{Q}` becomes `\textcolor{#0231ED}{Q}`. Any role name is such a command.

    >>> paint(r"\query{Q}\key{K}^\top", LIGHT)
    '\\textcolor{#0231ED}{Q}\\textcolor{#7D381B}{K}^\\top'
    """
    return _ROLE_COMMAND.sub(lambda match: rf"\textcolor{{{p.text(match[1])}}}{{", latex)


def plotly_template(p: Palette) -> go.layout.Template:
    """The Plotly template of a theme: quiet grid, tabular numbers, role colours, no background of its own."""
    import plotly.graph_objects as go  # half a second that a page without Plotly need not wait for

    axis = dict(
        gridcolor=p.line, zerolinecolor=p.line, linecolor=p.line, tickcolor=p.line, ticks="outside", ticklen=4,
        tickfont=dict(family=MONO, size=13, color=p.muted), title=dict(font=dict(size=15, color=p.ink)),
        zerolinewidth=1, automargin=True,
    )
    colorbar = dict(outlinewidth=0, thickness=12, tickfont=dict(family=MONO, size=13, color=p.muted), ticks="")
    return go.layout.Template(data=dict(heatmap=[dict(colorbar=colorbar)]), layout=dict(
        font=dict(family=SANS, size=15, color=p.ink),
        title=dict(font=dict(family=SERIF, size=18), x=0, xanchor="left", automargin=True),
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", margin=dict(l=8, r=8, t=16, b=8),
        colorway=[p.query, p.key, p.value, p.attention, p.ffn, p.residual, p.output],
        colorscale=dict(sequential=sequential(p), diverging=diverging(p)),
        xaxis=axis, yaxis=axis, hoverlabel=dict(
            bgcolor=p.panel, bordercolor=p.line, font=dict(family=MONO, size=14, color=p.ink)),
        legend=dict(orientation="h", y=1.02, yanchor="bottom", x=0, title=dict(text=""), font=dict(size=14)),
        hovermode="closest",
    ))


def altair_config(p: Palette) -> dict[str, object]:
    """The Vega-Lite `config` of a theme: `chart.configure(**altair_config(p))`; give st.altair_chart theme=None."""
    axis = {
        "gridColor": p.line, "domainColor": p.line, "tickColor": p.line, "labelColor": p.muted, "titleColor": p.ink,
        "labelFont": MONO, "labelFontSize": 13, "titleFont": SANS, "titleFontSize": 15, "titleFontWeight": 500,
        "titlePadding": 10, "labelPadding": 5,
    }
    return {
        "background": "transparent", "font": SANS, "axis": axis, "view": {"stroke": "transparent"},
        "title": {"font": SERIF, "fontSize": 18, "color": p.ink, "anchor": "start", "fontWeight": 600},
        "legend": {"labelColor": p.ink, "titleColor": p.ink, "labelFont": SANS, "labelFontSize": 14,
                   "titleFont": SANS, "titleFontSize": 14, "orient": "top", "title": None},
        "header": {"labelColor": p.ink, "titleColor": p.ink, "labelFont": SANS, "labelFontSize": 14},
        "text": {"color": p.ink, "font": MONO, "fontSize": 13},
        "range": {
            "category": [p.query, p.key, p.value, p.attention, p.ffn, p.residual, p.output],
            "heatmap": [colour for _, colour in sequential(p)], "ramp": [colour for _, colour in sequential(p)],
            "diverging": [colour for _, colour in diverging(p)],
        },
    }


_ROLE_COMMAND = re.compile(r"\\(" + "|".join(ROLES) + r")\s*\{")


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
