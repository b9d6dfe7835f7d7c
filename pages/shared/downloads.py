"""What a figure leaves the page as. The libraries that make it are imported when the learner asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


def altair_svg(chart: alt.TopLevelMixin, background: str) -> str:
    """The chart as SVG on the page's background."""
    import vl_convert

    return vl_convert.vegalite_to_svg(_spec(chart, background), allowed_base_urls=[])


def altair_png(chart: alt.TopLevelMixin, background: str) -> bytes:
    """The chart as PNG at twice the size, for slides."""
    import vl_convert

    return vl_convert.vegalite_to_png(_spec(chart, background), scale=2, allowed_base_urls=[])


def csv(table: pd.DataFrame | Mapping[str, Sequence]) -> str:
    """The table as CSV with full precision."""
    import pandas as pd

    return pd.DataFrame(table).to_csv(index=False)


def _spec(chart: alt.TopLevelMixin, background: str) -> dict:
    spec = chart.to_dict()
    spec["background"] = background
    if spec.get("width") == "container" or "width" not in spec:
        spec["width"] = 900
    return spec
