"""Tied and shared: every picture holds what was counted, read or differentiated; links, bad input, snippets."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

import transformer
from pages.block.sharing_words import GRADIENT, PARTS, STORAGE, TRAINED
from tests.messages import sent
from transformer import PRESETS, build, cost
from transformer.experiments import tying

FILE = "pages/block/sharing.py"
LONG = "The capital of France is"
ROOT = Path(__file__).parents[2]


def exact(config):
    return sum(cost.parameters(config).values())


def frames(page, name):
    header, _ = sent(page, "parameters")
    (found,) = [one for one in header["models"] if one["name"] == name]
    return found


def test_every_setting_of_every_model_is_counted(open_page):
    page = open_page(FILE)
    for name, preset in (("GPT-2", "gpt2"), ("Llama 3 8B", "llama-3-8b"), ("Transformer base (2017)", "transformer-base"),
                         ("ALBERT base", "albert-base")):  # fmt: skip
        one, config = frames(page, name), PRESETS[preset]
        for bits, frame in enumerate(one["frames"]):
            made = tying.variant(config, bool(bits & 1), bool(bits & 4), bool(bits & 2))
            blocks = [block for section in frame["sections"] for block in section["blocks"]]
            assert frame["total"] == exact(made) == sum(block["total"] for block in blocks if block["stored"])
            assert f"{sum(cost.flops(made, n=128).values()) / 1e9:,.1f} GFLOPs" in frame["notes"][1]
        own = sum(2**i for i, on in enumerate(one["at"]) if on)
        assert one["frames"][own]["total"] == exact(config)
    gpt2 = frames(page, "GPT-2")["frames"]
    assert gpt2[0]["total"] - gpt2[1]["total"] == 50_257 * 768
    three = frames(page, "Transformer base (2017)")["frames"]
    assert three[0]["total"] - three[3]["total"] == 2 * 37_000 * 512


def test_what_is_used_again_is_hatched_and_counts_nothing(open_page):
    frame = frames(open_page(FILE), "GPT-2")["frames"][1]
    (ghost,) = [b for section in frame["sections"] for b in section["blocks"] if not b["stored"]]
    assert ghost["symbol"] == "W_U" and ghost["total"] == 50_257 * 768
    shared = frames(open_page(FILE), "ALBERT base")["frames"][4]
    assert [s["once"] for s in shared["sections"] if s["key"] == "layers"] == [True]


def test_a_link_sets_the_picture_and_a_wrong_one_gets_one_sentence(open_page):
    header, _ = sent(open_page(FILE, arch="ALBERT base", shared="False"), "parameters")
    assert header["model"] == "ALBERT base" and [s["on"] for s in header["switches"]] == [False, False, False]
    page = open_page(FILE, arch="Llama 9", tied="perhaps")
    said = " ".join(warning.value for warning in page.warning)
    assert len(page.warning) == 2 and "Llama 9" in said and "perhaps" in said


def test_own_numbers_with_a_narrow_table(open_page):
    page = open_page(FILE, arch="My own numbers", table="128", vocab="30000")
    config = transformer.Config(d_model=512, d_embed=128, n_layers=6, n_heads=8, d_ff=2048, vocab_size=30_000, position="none")
    assert frames(page, "My own numbers")["frames"][1]["total"] == exact(config)
    page.number_input(key="heads").set_value(7).run()
    assert len(page.warning) == 1 and "does not divide" in page.warning[0].value and not page.exception
    assert frames(page, "My own numbers")["frames"][1]["total"] == exact(config)


def test_storages_are_those_of_models_built_now(open_page):
    page = open_page(FILE, view=STORAGE)
    header, arrays = sent(page, "matrices")
    assert header["picks"]["at"] == "tied, layers shared"
    matrices = {m["pick"]: m for row in header["grid"] for m in row}
    tied = arrays[matrices["tied"]["key"]]
    rows, cols = matrices["tied"]["rows"], matrices["tied"]["cols"]
    assert tied[0, cols.index("W_E")] == tied[-1, cols.index("W_U")] == 1
    apart = arrays[matrices["nothing shared"]["key"]]
    assert len(np.unique(apart[np.isfinite(apart)])) == 2 + 4 * 6
    shared = arrays[matrices["tied, layers shared"]["key"]]
    assert (shared[1:-1, 1:-1] == shared[1, 1:-1]).all()
    assert "0x" in matrices["tied"]["says"]["text"][0][cols.index("W_E")] and rows[0] == "look-up"
    three = arrays[matrices["three-way tie"]["key"]]
    assert three[0, 0] == three[matrices["three-way tie"]["rows"].index("look-up"), 0] == 1
    before, after = (float(x.rstrip(".")) for x in matrices["tied"]["note"].rsplit("from ", 1)[1].split(" to "))
    assert after - before == pytest.approx(1, abs=1e-3)


def test_the_gradients_are_those_of_the_learners_text(open_page):
    page = open_page(FILE, view=GRADIENT, text=LONG)
    header, arrays = sent(page, "matrices")
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode(LONG)
    found = tying.gradients(model, ids)
    rows = list(dict.fromkeys(ids[:-1]))
    np.testing.assert_allclose(arrays["in"][: len(rows)], found.input[rows].numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["out"][: len(rows)], found.output[rows].numpy(), atol=1e-6)
    assert np.abs(arrays["in"] + arrays["out"] - arrays["whole"]).max() < 1e-6
    assert not arrays["in"][len(rows):].any() and np.abs(arrays["out"]).sum(1).all()
    page.text_input(key="text").set_value("a").run()
    assert "at least two" in page.warning[0].value and not page.exception
    np.testing.assert_array_equal(sent(page, "matrices")[1]["whole"], arrays["whole"])  # the last good picture stays


def test_a_trained_table_read_out_by_itself(open_page):
    page = open_page(FILE, view=TRAINED, model="tiny", text=LONG)
    model, tokenizer = transformer.load("tiny")
    ids, table = tokenizer.encode(LONG), model.embedding.W_E.weight
    _, arrays = sent(page, "matrices")
    np.testing.assert_allclose(arrays["dots"], (table[ids] @ table[ids].T).detach().numpy(), rtol=1e-5, atol=1e-6)
    header, curves = sent(page, "curves")
    own, answer = (curves[name] for name in header["sum"]["arrays"])
    logits = model.run(ids).output[0].softmax(-1)
    np.testing.assert_allclose(answer[:, -1], logits.max(-1).values.numpy(), rtol=1e-4)
    np.testing.assert_allclose(own[:, -1], logits[range(len(ids)), ids].numpy(), rtol=1e-4, atol=1e-7)
    assert header["frames"]["at"] == header["frames"]["values"][-1]
    offline = open_page(FILE, view=TRAINED, text="Twelve words of my own")  # not recorded: the tiny model's
    assert sent(offline, "matrices")[1]["dots"].shape[0] == len(tokenizer.encode("Twelve words of my own"))


def test_before_the_download_smollm2s_own_table_is_recorded(open_page):
    page = open_page(FILE, view=TRAINED)
    header, arrays = sent(page, "matrices")
    kept = json.loads((ROOT / "assets/measured/tied-table.json").read_text("utf-8"))["texts"][LONG]
    assert arrays["dots"].shape == (5, 5)
    np.testing.assert_allclose(arrays["dots"], kept["dots"], rtol=1e-6)
    np.testing.assert_allclose(arrays["dots"], arrays["dots"].T, rtol=2e-3)
    _, curves = sent(page, "curves")
    itself = [array for name, array in curves.items() if name != "x"][0]  # [token, depth]
    assert itself[-1, 0] > 0.99 and itself[-1, 1:].max() < 0.01  # “is” says “is” before any layer, and never again
    assert "4 of 5 tokens" in header["grid"][0][0]["note"] and not page.warning


@pytest.mark.parametrize(("view", "query"), [
    (PARTS, {"arch": "Transformer base (2017)", "one_table": "False"}), (PARTS, {"arch": "My own numbers"}), (STORAGE, {}),
    (GRADIENT, {"text": LONG}), (TRAINED, {"model": "tiny", "text": LONG}),
])  # fmt: skip
def test_the_snippet_gives_the_pages_numbers(open_page, view, query):
    page = open_page(FILE, view=view, **query)
    space, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(page.code[-1].value, space)
    if view == PARTS:
        header, _ = sent(page, "parameters")
        on = sum(2**i for i, switch in enumerate(header["switches"]) if switch["on"])
        assert space["N"] == frames(page, header["model"])["frames"][on]["total"]
    elif view == STORAGE:
        assert f"{space['storages']} storages" in str(sent(page, "matrices")[0]["grid"])
    elif view == GRADIENT:
        assert f"whole {space['norms'][2]:.2f}" in " ".join(c.value for c in page.caption)
    else:
        np.testing.assert_allclose(space["alone"].dots.numpy(), sent(page, "matrices")[1]["dots"], rtol=1e-5)


def test_the_catch_and_the_prediction(open_page):
    page = open_page(FILE)
    said = " ".join(markdown.value for markdown in page.markdown)
    assert "not work and not activations" in said and "W_X" in said and "sqrt{d}" in said
    albert = PRESETS["albert-base"]
    assert f"{exact(albert):,}" in said
    assert cost.flops(albert, n=128) == cost.flops(tying.variant(albert, True, False), n=128)
    assert build(transformer.Config(share_layers=True, n_layers=3)).stack.n_layers == 3
