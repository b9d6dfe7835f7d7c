"""What fits in memory: the picture's bytes are the library's, the card's verdict is true, the snippet gives the numbers."""

import contextlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from pages.cost import fits_words as words
from tests.messages import sent
from transformer import PRESETS, cost, memory

PAGE = "pages/cost/fits.py"
LLAMA = PRESETS["llama-3-8b"]


def lines(header, arrays) -> dict[str, np.ndarray]:
    return {s["label"]: arrays[s["y"]] for s in header["panels"][0]["series"] if s["kind"] == "line"}


def at(header, **chosen) -> tuple[int, ...]:
    return tuple(choice["values"].index(chosen.get(choice["label"], choice["at"])) for choice in header["frames"])


def test_it_opens_on_llama_whose_stack_is_weights_and_cache(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    top = lines(header, arrays)
    where = at(header, **{"Texts at once": 16, "Bits a weight": 4})
    for n in (128, 8192, 2**20):
        i = list(arrays["x"]).index(n)
        held = memory.serving(LLAMA, n, 16, 4)
        assert top["weights"][0, where[1], 0, i] * 1e9 == pytest.approx(held.weights, rel=1e-6)
        assert top["values"][where[0], where[1], 0, i] * 1e9 == pytest.approx(sum(held), rel=1e-6)
    longest = arrays[header["sum"]["arrays"][2]]
    assert longest[*at(header), 0] == memory.longest_served(LLAMA, 24 * 2**30)


def test_training_is_counted_and_a_master_copy_eats_what_16_bits_save(open_page):
    app = open_page(PAGE, view=words.TRAIN, arch="SmolLM2-135M")
    header, arrays = sent(app, "curves")
    top = lines(header, arrays)
    config, i = PRESETS["smollm2-135m"], list(arrays["x"]).index(1024)
    for precision, width, master in (("float32", 4, False), ("16 bits", 2, True)):
        for way, kept in (("fused", "fused"), ("n × n kept", "textbook"), ("recomputed", "recomputed")):
            where = at(header, **{"Texts a step": 4, "Precision": precision, "Attention": way})
            held = memory.training(config, 1024, 4, width, master)
            acts = memory.activation_law(config, kept)(1024, 4) * width // 4
            assert top["activations"][*where[:3], 0, i] * 1e9 == pytest.approx(sum(held[:3]) + acts, rel=1e-5)
    floor = top["AdamW"][..., i].ravel()
    np.testing.assert_allclose(floor, floor[0])  # 16 bytes a parameter, either way
    assert floor[0] * 1e9 == pytest.approx(16 * sum(cost.parameters(config).values()), rel=1e-6)


def test_kinds_of_attention_have_the_caches_of_their_configs(open_page):
    app = open_page(PAGE, view=words.KINDS)
    header, arrays = sent(app, "curves")
    assert header["picks"]["values"] == ["MHA, 32 heads", "GQA, 8", "MQA, 1", "latent, 512"]
    top = lines(header, arrays)
    i, b = list(arrays["x"]).index(8192), 3
    for kind, heads in (("MHA, 32 heads", 32), ("GQA, 8", 8), ("MQA, 1", 1)):
        expected = cost.kv_cache_bytes(replace(LLAMA, n_kv_heads=heads), 8192, header["frames"][0]["values"][b])
        assert top[kind][b, 0, i] * 1e9 == pytest.approx(expected, rel=1e-6)
    assert top["latent, 512"][0, 0, i] * 1e9 == pytest.approx((512 + 64) * 8192 * 32 * 2, rel=1e-6)


@pytest.mark.parametrize("arch", ["BERT base", "Mistral 7B", "GPT-2"])
@pytest.mark.parametrize("view", words.VIEWS)
def test_every_sort_of_model_has_its_pictures(open_page, arch, view):
    if arch == "BERT base" and view == words.KINDS:
        app = open_page(PAGE, view=view, arch=arch)
        assert len(app.info) == 1 and "keeps no cache" in app.info[0].value and not app.exception
        return
    app = open_page(PAGE, view=view, arch=arch)
    assert not app.exception and sent(app, "curves")


def test_own_numbers_that_make_no_model_keep_the_last_good_one(open_page):
    app = open_page(PAGE, arch="My own numbers")
    before = sent(app, "curves")[1]
    app.number_input(key="heads").set_value(7).run()
    assert len(app.warning) == 1 and not app.exception
    for name, array in sent(app, "curves")[1].items():
        np.testing.assert_array_equal(array, before[name])


def test_a_link_that_means_nothing_gets_one_sentence(open_page):
    app = open_page(PAGE, card="7 GB")
    assert len(app.warning) == 1 and "card" in app.warning[0].value and not app.exception


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, arch="SmolLM2-135M", n="2048", batch="4", bits="8")
    (snippet,) = [code.value for code in app.code if code.value.startswith("from dataclasses")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    held = memory.serving(PRESETS["smollm2-135m"], 2048, 4, 8)
    found = out.getvalue()
    assert str(held) in found and f"{sum(held) / 1e9} GB" in found
    header, arrays = sent(app, "curves")
    tokens = int(re.search(r"(\d+) tokens fit", found)[1])
    assert arrays[header["sum"]["arrays"][2]][*at(header), 0] == tokens


@pytest.mark.parametrize("view", words.VIEWS)
def test_the_catch_is_on_the_page(open_page, view):
    app = open_page(PAGE, view=view)
    said = " ".join(m.value for m in app.markdown)
    assert "**The catch.**" in said
    assert {words.RUN: "never all of it is free", words.TRAIN: "2 + 2 + 4 + 8 = 16 bytes",
            words.KINDS: "must be **trained** with its kind"}[view] in said  # fmt: skip
