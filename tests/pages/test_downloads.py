"""A figure leaves the page whole: on the page's background, with the data's full precision, without the network."""

import io

import altair as alt
import numpy as np
import pandas as pd

from charts import theme
from pages.shared import downloads

CHART = alt.Chart(pd.DataFrame({"x": [1, 2], "y": [0.1, 0.9]})).mark_line().encode(x="x", y="y")


def test_svg_and_png_are_pictures_on_the_pages_background():
    chart = CHART.configure(**theme.altair_config(theme.DARK))
    svg = downloads.altair_svg(chart, theme.DARK.background)
    assert svg.startswith("<svg") and theme.DARK.background.lower() in svg.lower() and theme.DARK.muted in svg
    png = downloads.altair_png(chart, theme.DARK.background)
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(png[16:20], "big") >= 1800


def test_csv_keeps_every_digit():
    values = np.random.default_rng(0).standard_normal(50)
    again = pd.read_csv(io.StringIO(downloads.csv({"token": [" the", "\n"] * 25, "p": values})), keep_default_na=False)
    np.testing.assert_array_equal(again["p"], values)
    assert again["token"][:2].tolist() == [" the", "\n"]
