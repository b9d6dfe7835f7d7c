"""How long it takes: the picture is the roofline's, measuring runs in the pool, the snippet gives the numbers."""

import contextlib
import io
import re

import numpy as np
import pytest

from pages.cost import clock_words as words
from tests.messages import sent
from tests.pages.test_pool import until
from transformer import PRESETS, roofline
from transformer.experiments import clocked

PAGE = "pages/cost/clock.py"
LLAMA, A100 = PRESETS["llama-2-7b"], roofline.MACHINES["A100"]


def lines(header, arrays, panel=0) -> dict[str, np.ndarray]:
    return {s["label"]: arrays[s["y"]] for s in header["panels"][panel]["series"] if s["kind"] == "line"}


def where(header, **chosen) -> tuple[int, ...]:
    return tuple(choice["values"].index(chosen.get(choice["label"], choice["at"])) for choice in header["frames"])


def test_each_pass_is_the_rooflines(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    i = list(arrays["x"]).index(1024)
    expected = {
        "read n": roofline.roofline(LLAMA, 1024, A100, batch=16),
        "write the next": roofline.roofline(LLAMA, 1, A100, batch=16, cached=1024),
        "train a step": roofline.on(A100, roofline.training_work(LLAMA, 1024, 16)),
    }
    for name, parts in expected.items():
        at = where(header, **{"Pass": name, "Texts at once": 16})
        assert lines(header, arrays)["all"][*at, i] == pytest.approx(1e3 * roofline.seconds(parts), rel=1e-5)
        assert lines(header, arrays)["FFN"][*at, i] == pytest.approx(1e3 * parts["ffn"].seconds, rel=1e-5)
        flops, traffic = (sum(getattr(p, what) for p in parts.values()) for what in ("flops", "traffic"))
        asked = lines(header, arrays, 1)["all"]
        assert asked[at[0], 0, at[2], at[3], i] == pytest.approx(flops / traffic, rel=1e-5)
    assert lines(header, arrays, 1)["ridge"][0, where(header)[1], 0, 0, 0] == pytest.approx(A100.ridge)


def test_writing_one_text_is_bound_by_memory_and_reading_a_long_one_is_not():
    """What the page says first."""
    assert {p.bound for p in roofline.roofline(LLAMA, 1, A100, cached=128).values()} == {"memory"}
    assert roofline.roofline(LLAMA, 2048, A100)["ffn"].bound == "compute"


def test_recorded_times_stand_beside_their_rooflines(open_page):
    app = open_page(PAGE, view=words.HERE)
    header, arrays = sent(app, "curves")
    assert not app.exception and "recorded" in header["panels"][0]["note"]
    shown = lines(header, arrays)
    said = next(m.value for m in app.markdown if "geometric mean" in m.value)
    read, write = map(float, re.findall(r"\*\*([\d.]+) ×\*\*", said))
    assert read == pytest.approx(clocked.error(shown["measured"].tolist(), shown["least"].tolist()), abs=0.006)
    both = lines(header, arrays, 1)
    assert write == pytest.approx(clocked.error(both["measured"].tolist(), both["least"].tolist()), abs=0.006)


def test_the_tiny_model_is_measured_here(open_page):
    app = open_page(PAGE, view=words.HERE, model="tiny")
    app.button(key="train_G3").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    header, arrays = sent(app, "curves")
    assert not app.exception and "measured just now" in header["panels"][0]["note"]
    assert lines(header, arrays)["measured"].min() > 0 and [c.value for c in app.caption if "Done here" in c.value]


def test_own_numbers_and_encoders_have_their_times(open_page):
    for arch in ("My own numbers", "BERT base"):
        app = open_page(PAGE, arch=arch)
        assert not app.exception and not app.warning and sent(app, "curves")


def test_a_link_that_means_nothing_gets_one_sentence(open_page):
    app = open_page(PAGE, machine="abacus")
    assert len(app.warning) == 1 and not app.exception


@pytest.mark.parametrize("passing", ["read n", "write the next", "train a step"])
def test_the_notebook_snippet_gives_the_pages_numbers(open_page, passing):
    app = open_page(PAGE, arch="SmolLM2-135M", **{"pass": passing}, n="512", batch="4")
    (snippet,) = [code.value for code in app.code if code.value.startswith("from transformer")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    header, arrays = sent(app, "curves")
    ms = lines(header, arrays)["all"][*where(header), list(arrays["x"]).index(512)]
    assert float(re.search(r"all ([\d.e+-]+) ms", out.getvalue())[1]) == pytest.approx(ms, rel=1e-5)


@pytest.mark.parametrize("view, catch", [(words.ANY, "**its own** cache"), (words.HERE, "not of the code")])
def test_the_catch_is_on_the_page(open_page, view, catch):
    assert catch in " ".join(m.value for m in open_page(PAGE, view=view).markdown)
