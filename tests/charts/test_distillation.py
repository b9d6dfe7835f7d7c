"""Students and teacher: what is drawn is what was given."""

import numpy as np

from charts import distillation
from charts.curves import Choice
from charts.distillation import ALONE, TAUGHT, TEACHER
from tests.messages import unpack

RNG = np.random.default_rng(0)
STEPS = np.arange(0, 60, 20)
FRAMES = [Choice("told", [100, 300], 300), Choice("T", [1.0, 2.0, 5.0], 2.0), Choice("λ", [0.0, 0.9], 0.9)]


def test_runs_are_bands_around_the_middle_seed_and_the_learners_own_lie_over_them():
    fields = ("accuracy", "loss", "agreement")
    alone = {f: RNG.random((2, 1, 1, 3, 3)).astype(np.float32) for f in fields}
    taught = {f: RNG.random((2, 3, 2, 3, 3)).astype(np.float32) for f in fields}
    own = {TAUGHT: [{"accuracy": np.array([0.1, 0.5]), "loss": np.array([2.0, 1.0])}]}
    header, arrays = unpack(distillation.runs(
        "name", STEPS, alone, taught, {"accuracy": 0.98, "loss": 0.1}, own, FRAMES, what="digits", cursor=20.0,
    ))  # fmt: skip
    for panel, field in zip(header["panels"], ("accuracy", "loss"), strict=True):
        bands = [one for one in panel["series"] if one["kind"] == "band"]
        for band, of in zip(bands, (alone[field], taught[field]), strict=True):
            np.testing.assert_allclose(arrays[band["lo"]], of.min(-2))
            np.testing.assert_allclose(arrays[band["hi"]], of.max(-2))
        lines = {one["label"]: arrays[one["y"]] for one in panel["series"] if one["kind"] == "line" and one["label"]}
        np.testing.assert_allclose(lines[ALONE], np.median(alone[field], -2))
        np.testing.assert_allclose(lines[TAUGHT], np.median(taught[field], -2))
        assert set(lines) == {ALONE, TAUGHT, TEACHER}
        (mine,) = [arrays[one["y"]] for one in panel["series"] if one.get("dash") == [6, 4]]
        np.testing.assert_allclose(mine, [*own[TAUGHT][0][field], np.nan])
    rows = {row["name"]: row["cells"] for row in header["table"]["rows"]}
    np.testing.assert_allclose(arrays[rows[TAUGHT][2]], np.median(taught["agreement"], -2))
    assert [f["at"] for f in header["frames"]] == [300, 2.0, 0.9] and header["cursor"] == 20.0


def test_answers_are_the_shares():
    images, alike = RNG.random((4, 8, 8)), RNG.random((10, 10))
    shares = {who: RNG.random((4, 3, 10)) for who in (TEACHER, ALONE, TAUGHT)}
    header, arrays = unpack(distillation.answers(images, shares, alike, (1.0, 2.0, 5.0), list("abcd"), 5.0,
                                                 frames=Choice("Digit", [1, 2, 3, 4], 2)))  # fmt: skip
    np.testing.assert_allclose(arrays["answers"], np.concatenate(list(shares.values()), 1), rtol=1e-6)
    np.testing.assert_allclose(arrays["image"], images, rtol=1e-6)
    np.testing.assert_allclose(arrays["alike"], alike, rtol=1e-6)
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    assert drawn["image"]["title"] == list("abcd") and drawn["answers"]["rows"][3:5] == ["alone T=1", "alone T=2"]


def test_lengths_are_drawn_with_and_without_the_factor():
    T = np.geomspace(0.5, 50, 5)
    bare, limit, hard = RNG.random((2, 3, 5)) + 0.1, RNG.random((2, 3, 1)) + 0.1, RNG.random((2, 3, 1)) + 0.1
    kept = bare * T**2
    header, arrays = unpack(distillation.lengths(
        T, kept, bare, limit, hard, cursor=5.0,
        frames=[Choice("of", ["a", "b"], "a"), Choice("student", ["x", "y", "z"], "z")],
    ))  # fmt: skip
    lines = {one["label"]: arrays[one["y"]] for one in header["panels"][0]["series"]}
    np.testing.assert_allclose(lines["with T²"], kept, rtol=1e-6)
    np.testing.assert_allclose(lines["without T²"], bare, rtol=1e-6)
    np.testing.assert_allclose(lines["limit for T → ∞"], np.broadcast_to(limit, kept.shape), rtol=1e-6)
    assert header["panels"][0]["y"]["log"] and header["x"]["log"]
