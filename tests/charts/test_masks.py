"""What the pictures of the masks are sent: the arrays that they were given, the right cells hatched, sums beside."""

import numpy as np
import pytest

from charts import masks as charts
from charts.curves import Choice, Picks, Switch
from tests.messages import unpack

TOKENS = ["0 a", "1 b", "2 c"]


def kind(seed: int) -> charts.Kind:
    g = np.random.default_rng(seed)
    mask = np.tril(np.ones((2, 3, 3), dtype=bool))
    A, late, again = (g.random((2, 3, 3)).astype(np.float32) for _ in range(3))
    return charts.Kind(mask, g.normal(size=(3, 3)).astype(np.float32), A, late, again, TOKENS, TOKENS)


def test_each_mask_is_sent_whole_and_hidden_cells_are_hatched():
    kinds = {"causal": kind(0), "prefix": kind(1)}
    header, arrays = unpack(charts.kinds_message(
        kinds, Picks("Mask", list(kinds), "prefix"), Choice("m", [1, 2], 2), Switch("late", True), head="head 3",
        step=1,
        at=("causal A", 2, 1), epoch=4,
    ))  # fmt: skip
    assert header["picks"]["at"] == "prefix" and header["frames"]["at"] == 2 and header["switch"]["on"]
    assert header["step"] == 1 and header["at"] == ["causal A", 2, 1] and "head 3" in header["label"]
    drawn = {m["key"]: m for m in header["grid"][0]}
    for name, one in kinds.items():
        np.testing.assert_array_equal(arrays[f"{name} M"], one.mask)
        np.testing.assert_array_equal(arrays[f"{name} S"], one.scores)
        np.testing.assert_array_equal(arrays[f"{name} A"], one.A)
        np.testing.assert_array_equal(arrays[f"{name} A late"], one.late)
        np.testing.assert_allclose(arrays[f"{name} Σ late"][..., 0], one.late.sum(-1), rtol=1e-6)
        np.testing.assert_array_equal(arrays[f"{name} S barred"], ~one.mask)
        assert f"{name} S all barred" not in arrays  # the mistake's softmax counts them all
        assert drawn[f"{name} A"]["says"] == {"kind": "softmax", "of": f"{name} S"}
        assert [drawn[f"{name} {part}"]["switched"] for part in ("M", "S", "S all", "A", "A late")] == [
            None, False, True, False, True]  # fmt: skip
        assert {m["pick"] for key, m in drawn.items() if key.startswith(name)} == {name}


def test_the_two_trainings_are_drawn_as_means_with_all_seeds_between():
    g = np.random.default_rng(0)
    runs = {name: charts.Runs(g.random((3, 5)), 1 + g.random((3, 5))) for name in ("causal", "broken")}
    chance = {name: charts.Runs(g.random(5), g.random(5)) for name in runs}
    header, arrays = unpack(charts.losses_message(np.arange(5.0), runs, chance, blind=5.75, cursor=4.0))
    for row, of in zip(header["table"]["rows"], chance.values(), strict=True):
        np.testing.assert_allclose([arrays[row["cells"][i]] for i in (1, 3)], [of.whole, of.cut], rtol=1e-6)
    for panel, which in zip(header["panels"], ("whole", "cut"), strict=True):
        bands = [s for s in panel["series"] if s["kind"] == "band"]
        lines = [s for s in panel["series"] if s["kind"] == "line"]
        for band, line, run in zip(bands, lines, runs.values(), strict=False):
            of = getattr(run, which)
            np.testing.assert_allclose(arrays[band["lo"]], of.min(0), rtol=1e-6)
            np.testing.assert_allclose(arrays[band["hi"]], of.max(0), rtol=1e-6)
            np.testing.assert_allclose(arrays[line["y"]], of.mean(0), rtol=1e-6)
        assert arrays[lines[-1]["y"]][0] == pytest.approx(5.75)
        assert panel["y"]["hi"] > max(getattr(run, which).max() for run in runs.values())


def test_maps_and_changes_are_the_arrays_given():
    g = np.random.default_rng(0)
    maps = {name: g.random((2, 3, 3)) for name in ("causal", "broken")}
    ahead = {name: g.random((1, 2)) for name in maps}
    heads = Choice("Head", ["x", "y"], "y")
    header, arrays = unpack(charts.maps_message(maps, ahead, TOKENS, heads, at=("broken", 0, 1)))
    for name in maps:
        np.testing.assert_allclose(arrays[name], maps[name], rtol=1e-6)
        np.testing.assert_allclose(arrays[f"{name} ahead"], ahead[name], rtol=1e-6)
    assert "causal barred" in arrays and "broken barred" not in arrays
    felt = {"causal": np.triu(g.random((3, 3))), "broken": g.random((3, 3))}
    header, arrays = unpack(charts.changes_message(felt, TOKENS, "I"))
    notes = [m["note"] for m in header["grid"][0]]
    assert notes[0] == "before the change: exactly 0" and f"{np.tril(felt['broken'], -1).max():.3g}" in notes[1]
    for name in felt:
        np.testing.assert_allclose(arrays[name], felt[name], rtol=1e-6)
