"""assets/components/sampling.js is transformer/sampling.py: the same probabilities, cuts, entropies and draws."""

import itertools
import random

import numpy as np
import pytest

from charts import component
from transformer import recording, sampling

SCRIPTS = [(component.FOLDER / name).read_text("utf-8") for name in ("common.js", "sampling.js")]
REAL = component.FOLDER.parent / "recorded" / "smollm2-135m-sum.safetensors.xz"
TEMPERATURES = [0.0, 0.05, 0.3, 0.7, 1.0, 1.3, 2.0, 5.0, 100.0]
TOP_K, TOP_P, MIN_P = [None, 1, 7, 60_000], [None, 0.1, 0.9, 0.999, 1.0], [None, 0.0, 0.05, 1.0]
ALL = list(itertools.product(TEMPERATURES, TOP_K, TOP_P, MIN_P))
SETTINGS = random.Random(0).sample(ALL, 90)
DICE = sampling.dice(0, 40).tolist()


@pytest.fixture(scope="module")
def logits():
    """SmolLM2's own, of the whole vocabulary, and their ranking."""
    real = recording.load(REAL)["logits"][0, -1]
    return real, real.sort(descending=True, stable=True)


@pytest.fixture(scope="module")
def js(browser, logits):
    page = browser.new_page()
    page.evaluate("() => {" + "".join(SCRIPTS) + "; window.sampling = sampling; window.gf = gf; }")
    page.evaluate("values => { window.ranked = Float32Array.from(values); }", logits[1].values.tolist())
    yield page
    page.close()


def test_every_setting_gives_the_same_distribution(js, logits):
    real, (_, order) = logits
    ranks = [*range(300), *range(300, len(real), 101)]
    found = js.evaluate("""([settings, ranks, dice]) => settings.map(([temperature, top_k, top_p, min_p]) => {
        const d = sampling.distribution(ranked, {temperature, top_k, top_p, min_p});
        return {q: ranks.map((r) => sampling.share(d, r)), cuts: [d.cuts.top_k, d.cuts.top_p, d.cuts.min_p],
                entropy: d.entropy, whole: d.whole, drawn: dice.map((u) => sampling.pick(d, u)),
                why: [0, 6, 7, 5000].map((r) => sampling.reason(d, r))};
    })""", [SETTINGS, ranks, DICE])
    for setting, js_ in zip(SETTINGS, found, strict=True):
        q = sampling.probabilities(real, *setting)
        np.testing.assert_allclose(js_["q"], q[order][ranks].numpy(), rtol=1e-9, atol=1e-15, err_msg=str(setting))
        p = sampling.tempered(real, setting[0])
        cuts = sampling.cuts(p[order], *setting[1:])
        assert js_["cuts"] == [int(cut) for cut in cuts], setting
        assert js_["entropy"] == pytest.approx(sampling.entropy(q).item(), abs=1e-9), setting
        assert js_["whole"] == pytest.approx(sampling.entropy(p).item(), abs=1e-9), setting
        assert [int(order[r]) for r in js_["drawn"]] == [int(sampling.pick(q, u)) for u in DICE], setting
        for rank, why in zip((0, 6, 7, 5000), js_["why"], strict=True):
            reasons = [name for name, cut in zip(("top-k", "top-p", "min-p"), cuts, strict=True) if rank >= cut]
            assert why == (reasons[0] if reasons else None), (setting, rank)


def test_a_slider_can_rest_on_what_changes_nothing(js):
    assert js.evaluate("sampling.TEMPERATURES.includes(1) && sampling.TEMPERATURES[0] === 0")
    for ladder in ("TOP_KS", "TOP_PS", "MIN_PS"):
        assert js.evaluate(f"sampling.{ladder}.includes(null)")
        steps = [v for v in js.evaluate(f"sampling.{ladder}") if v is not None]
        assert steps == sorted(set(steps))
        for value in steps:
            sampling.check(1.0, *(value if ladder == name else None for name in ("TOP_KS", "TOP_PS", "MIN_PS")))


def test_a_link_may_name_a_value_between_the_steps(js):
    assert js.evaluate("sampling.TEMPERATURES[sampling.nearest(sampling.TEMPERATURES, 0.72)]") == 0.7
    assert js.evaluate("sampling.TOP_KS[sampling.nearest(sampling.TOP_KS, 48)]") == 50
    assert js.evaluate("sampling.TOP_PS[sampling.nearest(sampling.TOP_PS, null)]") is None


def test_cold_is_blue_and_hot_is_rust(js):
    js.evaluate("""() => {
        const root = document.createElement("div");
        root.style.cssText = "--gf-ink: rgb(0, 0, 0); --gf-negative: rgb(0, 0, 255); --gf-positive: rgb(255, 0, 0)";
        document.body.appendChild(root);
        window.tint = sampling.colour(root);
    }""")
    reds = [js.evaluate(f"gf.rgb(tint({T}))") for T in (0, 0.5, 1, 2, 100)]
    assert reds[2] == [0, 0, 0]
    assert reds[0] == [0, 0, 255] and reds[4] == [255, 0, 0]
    assert 0 < reds[1][2] < 255 and 0 < reds[3][0] < 255
