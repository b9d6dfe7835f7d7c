"""The palette is readable, survives colour blindness, and is the same in Python, CSS and Streamlit's config."""

import itertools
import re
import tomllib
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from charts import theme

ROOT = Path(__file__).parents[2]
PALETTES = [theme.LIGHT, theme.DARK]
HUES = ("query", "key", "value", "attention", "ffn", "residual")  # output is the ink itself, and always set in bold

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = TO_XYZ @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    light, dark = sorted((linear(c) @ TO_XYZ[1] for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("p", PALETTES, ids=lambda p: p.name)
def test_text_in_every_role_is_readable_on_page_and_panel(p):
    colours = {role: p.text(role) for role in theme.ROLES} | {"ink": p.ink, "muted": p.muted}
    for surface in (p.background, p.panel):
        low = {name: contrast(colour, surface) for name, colour in colours.items() if contrast(colour, surface) < 4.5}
        assert not low, f"too pale on {surface}: {low}"
    assert contrast(p.scores, p.background) >= 3  # a fill, never text


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("p, least", [(theme.LIGHT, 23), (theme.DARK, 28)], ids=["light", "dark"])
def test_every_pair_of_roles_stays_apart_for_every_sight(p, least, sight):
    seen = {role: lab(np.array(SIGHT[sight]) @ linear(p.role(role))) for role in HUES}
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(HUES, 2)}
    closest = min(apart, key=apart.get)
    assert round(apart[closest]) >= least, f"{closest} are only {apart[closest]:.1f} apart"


def test_the_css_has_the_same_colours():
    css = (ROOT / "assets" / "style.css").read_text("utf-8")
    pairs = dict(re.findall(r"--gf-([a-z]+): light-dark\((#[0-9A-F]{6}, #[0-9A-F]{6})\)", css))
    expected = {name: f"{getattr(theme.LIGHT, name)}, {getattr(theme.DARK, name)}"
                for name in ("background", "panel", "ink", "muted", "line", *theme.ROLES, "negative", "positive")}
    assert pairs == expected


@pytest.mark.parametrize("p", PALETTES, ids=lambda p: p.name)
def test_streamlits_config_has_the_same_colours(p):
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"][p.name]
    assert config["backgroundColor"] == p.background
    assert config["secondaryBackgroundColor"] == p.panel
    assert config["textColor"] == p.ink
    assert config["borderColor"] == p.line
    for role, colour in theme.MARKDOWN_COLOUR.items():
        assert config[f"{colour}TextColor"] == p.text(role)
    for colour in ("red", "orange", "yellow", "blue", "green", "violet", "gray"):  # chips and notices
        text, surface = config[f"{colour}TextColor"], config[f"{colour}BackgroundColor"]
        assert contrast(text, surface) >= 4.5, f"{colour} text on its own tint"


@pytest.mark.parametrize("p", PALETTES, ids=lambda p: p.name)
def test_zero_vanishes_and_signs_are_balanced(p):
    weights, signed = theme.lut(theme.sequential(p)), theme.lut(theme.diverging(p), steps=257)
    background = [int(p.background[i:i + 2], 16) for i in (1, 3, 5)]
    assert weights[0].tolist() == background and weights.dtype == np.uint8 and weights.shape == (256, 3)
    assert weights[-1].tolist() == [int(p.attention[i:i + 2], 16) for i in (1, 3, 5)]
    assert signed[128].tolist() == background
    steps = np.abs(np.diff(weights.astype(int), axis=0)).sum(axis=1)
    assert steps.max() <= 6, "a visible step in the map would be read as an edge in the data"


def test_lut_is_the_map_that_plotly_draws():
    scale = theme.diverging(theme.LIGHT)
    assert theme.lut(scale)[255].tolist() == [0xA8, 0x47, 0x1B]
    assert [stop for stop, _ in scale] == sorted(stop for stop, _ in scale)
    go.Figure(go.Heatmap(z=[[-1, 1]], colorscale=scale, zmin=-1, zmax=1))  # raises on a malformed scale


def test_paint_colours_roles_and_nothing_else():
    painted = theme.paint(r"\attention{A}=\operatorname{softmax}(\query{Q}\key{K}^\top)\value{V}", theme.DARK)
    assert painted == (r"\textcolor{#BD7DBE}{A}=\operatorname{softmax}(\textcolor{#6F8CFF}{Q}"
                       r"\textcolor{#D77D4B}{K}^\top)\textcolor{#00EA9B}{V}")
    assert theme.paint(r"\keyring{x} \values{y}", theme.LIGHT) == r"\keyring{x} \values{y}"


def test_an_unknown_role_is_one_sentence():
    with pytest.raises(ValueError, match="no role 'quary'; the roles are query, key"):
        theme.LIGHT.role("quary")


@pytest.mark.parametrize("p", PALETTES, ids=lambda p: p.name)
def test_the_templates_are_valid_for_their_libraries(p):
    figure = go.Figure(go.Scatter(y=[1, 2]), layout=dict(template=theme.plotly_template(p)))
    assert figure.to_plotly_json()["layout"]["template"]["layout"]["colorway"][0] == p.query
    chart = alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="x").configure(**theme.altair_config(p))
    assert chart.to_dict(validate=True)["config"]["axis"]["labelColor"] == p.muted
