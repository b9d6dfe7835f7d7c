"""The cost calculator: every model opens, numbers are the library's, bad configs give one sentence, snippet and CSV agree."""

import contextlib
import html
import io
import json
import re

import pytest

from pages.cost import calculator_words as words
from pages.shared.known_models import NAMES
from tests.charts.test_calculator import at
from tests.messages import sent
from tests.pages.test_pool import until
from transformer import PRESETS, calculator, cost, memory, roofline
from transformer.calculator import PARTS
from transformer.pretrained.config_file import compact, config_of

PAGE = "pages/cost/calculator.py"
A100 = roofline.MACHINES["A100"]


def totals(header, arrays, d):
    """Parameters, bytes held, bytes moved, FLOPs, seconds where the message says that the picture stands."""
    now = header["at"]
    bits = list(header["bits"])
    where = (bits.index(now["weights"]), bits.index(now["cache"]), header["batches"].index(now["batch"]), header["lengths"].index(now["n"]))
    of = {name: sum(at({key.replace(f".{d}.", ".0."): a for key, a in arrays.items() if f".{d}." in key}, name, p, *where)
                    for p in range(len(PARTS))) for name in ("held", "weights", "cache", "passing", "flops", "seconds")}  # fmt: skip
    return sum(header["parameters"]), of["held"], of["weights"] + of["cache"] + of["passing"], of["flops"], of["seconds"]


def bill_of(config, doing, n, batch, weights=16, cache=16, machine=A100, law=None):
    parts = calculator.bill(config, doing, n, batch, weights, cache, law)
    sums = [sum(column) for column in zip(*parts.values(), strict=True)]
    return sums[0], sums[3], sums[2], sums[1], roofline.seconds(calculator.seconds(parts, machine))


def test_it_opens_on_what_the_library_says(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "calculator")
    assert [one["name"] for one in header["done"]] == ["read n tokens", "write the next", "write it without a cache", "train a step"]
    assert header["at"] | {"doing": "write the next", "n": 8192, "batch": 8, "part": ""} == header["at"]
    for d, doing in enumerate(("read", "write", "write anew")):
        assert totals(header, arrays, d) == pytest.approx(bill_of(PRESETS["llama-3-8b"], doing, 8192, 8), rel=1e-5)


@pytest.mark.parametrize("title", ["GPT-2", "BERT base", "ViT base", "Transformer base (2017)", "Mixtral 8x7B", "Mistral 7B"])
def test_every_kind_of_model_has_its_bill(open_page, title):
    app = open_page(PAGE, arch=title, do="read n tokens", bits="int8", machine="H100")
    header, arrays = sent(app, "calculator")
    config = PRESETS[NAMES[title]]
    n = 197 if config.kind == "vision" else 8192
    assert not app.exception and header["at"]["n"] == n
    expected = bill_of(config, "read", n, 8, 8, 16, roofline.MACHINES["H100"])
    assert totals(header, arrays, 0) == pytest.approx(expected, rel=1e-5)
    assert len(header["done"]) == len(calculator.doings(config))


def test_all_known_models_are_offered(open_page):
    (box,) = [box for box in open_page(PAGE).selectbox if box.label == "Whose cost"]
    assert set(NAMES) < set(box.options) and set(NAMES.values()) == set(PRESETS) - {"mixtral-mini"}


def test_training_counts_what_autograd_keeps(open_page):
    app = open_page(PAGE, arch="GPT-2", do="train a step", n="512", batch="4", bits="float32")
    header, arrays = sent(app, "calculator")
    law = memory.activation_law(PRESETS["gpt2"])
    assert totals(header, arrays, 3) == pytest.approx(bill_of(PRESETS["gpt2"], "train", 512, 4, 32, law=law), rel=1e-5)
    app = open_page(PAGE, arch="Mixtral 8x7B", do="train a step")
    header, _ = sent(app, "calculator")
    assert not app.exception and "Activations are left out: what experts keep" in header["done"][3]["note"]


def test_a_typed_length_and_batch_join_the_grid(open_page):
    app = open_page(PAGE, arch="GPT-2", n="1000", batch="3")
    header, arrays = sent(app, "calculator")
    assert 1000 in header["lengths"] and 3 in header["batches"] and header["context"] == 1024
    assert totals(header, arrays, 1) == pytest.approx(bill_of(PRESETS["gpt2"], "write", 1000, 3), rel=1e-5)


def test_links_that_mean_nothing_get_a_sentence_each(open_page):
    app = open_page(PAGE, arch="BERT base", do="write the next", n="0", bits="int3", machine="abacus", part="wheels")
    assert len(app.warning) == 5 and not app.exception
    app = open_page(PAGE, arch="A config.json of yours", config="{broken")
    assert len(app.warning) == 1 and "Llama 3 8B" in app.warning[0].value and not app.exception


def test_own_numbers_keep_the_last_good(open_page):
    app = open_page(PAGE, arch="My own numbers")
    app.number_input(key="d").set_value(768).run()
    before = sent(app, "calculator")[0]["parameters"]
    app.number_input(key="heads").set_value(7).run()
    assert [w.value for w in app.warning] == ["d_model 768 does not divide by n_heads 7; choose a multiple, or give d_head."]
    assert sent(app, "calculator")[0]["parameters"] == before and not app.exception


def test_a_pasted_config_is_taken_linked_and_a_bad_one_keeps_it(open_page):
    app = open_page(PAGE, arch="A config.json of yours")
    theirs = {"model_type": "qwen2", "vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 128}  # fmt: skip
    app.text_area(key="pasted").set_value(json.dumps(theirs)).run()
    config = config_of(json.dumps(theirs))
    count = sum(cost.parameters(config).values())
    assert sum(sent(app, "calculator")[0]["parameters"]) == count and not app.warning
    assert app.query_params["config"] in (compact(config), [compact(config)])
    assert f"Taken: a decoder of 2 layers, d = 64, 4 heads on 2 of keys and values, d_ff = 128, {count:,} parameters." in [
        caption.value for caption in app.caption
    ]
    app.text_area(key="pasted").set_value('{"model_type": "[mamba](x)"}').run()
    said = html.unescape(app.warning[0].value)
    assert len(app.warning) == 1 and "'[mamba](x)' is not known" in said and "[mamba](x)" not in app.warning[0].value
    assert not app.exception
    assert sum(sent(app, "calculator")[0]["parameters"]) == count
    again = open_page(PAGE, arch="A config.json of yours", config=compact(config))
    assert sum(sent(again, "calculator")[0]["parameters"]) == count and not again.warning


def test_this_machine_is_measured_into_the_boxes(open_page):
    app = open_page(PAGE, machine="a machine of yours")
    assert sent(app, "calculator")[0]["machine"]["flops"] == 1e12
    app.button(key="train_G5").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    machine = sent(app, "calculator")[0]["machine"]
    assert machine["flops"] == pytest.approx(app.number_input(key="peak").value * 1e9) != 1e12
    assert machine["bandwidth"] > 1e8 and not app.exception


@pytest.mark.parametrize("query", [
    {"arch": "SmolLM2-135M", "n": "512", "batch": "4", "bits": "4 bits", "cache": "int8"},
    {"arch": "Mistral 7B", "do": "train a step", "n": "256", "bits": "float32", "machine": "T4"},
    {"arch": "My own numbers", "do": "read n tokens", "n": "100", "d": "320"},
    {"arch": "Tiny model (ours)", "do": "write it without a cache", "n": "50"},
    {"arch": "A config.json of yours", "config": '{"d_model":64,"n_layers":2,"n_heads":4,"attention":"linear"}'},
])  # fmt: skip
def test_the_notebook_snippet_gives_the_pages_numbers(open_page, query):
    app = open_page(PAGE, **query)
    (snippet,) = [code.value for code in app.code if code.value.startswith("from dataclasses")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    header, arrays = sent(app, "calculator")
    d = [one["name"] for one in header["done"]].index(header["at"]["doing"])
    own, held, moved, flops, seconds = totals(header, arrays, d)
    printed = [float(number) for number in re.search(r"^all (.*) ms", out.getvalue(), re.MULTILINE)[1].split()]
    assert printed == pytest.approx([own, flops, moved, held, 1e3 * seconds], rel=1e-5)


def test_every_part_goes_out_as_csv_and_the_setting_as_json(open_page, downloads):
    open_page(PAGE, arch="GPT-2", n="64", batch="2", cache="4 bits")
    table, parts = downloads["table"](), calculator.bill(PRESETS["gpt2"], "write", 64, 2, 16, 4)
    assert sum(table["bytes held"]) == sum(part.held for part in parts.values())
    assert sum(table["least seconds"]) == pytest.approx(roofline.seconds(calculator.seconds(parts, A100)))
    said = json.loads(json.dumps(downloads["config"]))
    assert said["machine"]["name"] == A100.name and (said["n"], said["cache"], said["doing"]) == (64, "4 bits", "write the next")


def test_predicted_stands_beside_measured(open_page):
    app = open_page(PAGE)
    said = next(m.value for m in app.markdown if "Measured ÷ least" in m.value)
    read, write = map(float, re.findall(r"\*\*([\d.]+) ×\*\*", said))
    (table,) = [frame.value for frame in app.dataframe if "read, times" in frame.value]
    for what, mean in (("read", read), ("write", write)):
        ratios = table[f"{what}, measured ms"] / table[f"{what}, least ms"]
        assert mean == pytest.approx((ratios.prod()) ** (1 / len(ratios)), abs=0.006)
        assert list(table[f"{what}, times"]) == pytest.approx(list(ratios))
        assert f"{ratios.min():.2f} to {ratios.max():.2f}" in said
    assert ("below 1" in said) == bool((table["read, times"] < 1).any())
    assert list(table["n"]) == [16, 32, 64, 128, 256, 512, 1024]


def test_the_formulas_bytes_are_the_librarys():
    """Of each thing to do: how often keys, values and weights are moved, and what is held beside the weights."""
    config, n, batch = PRESETS["llama-3-8b"], 64, 2
    for doing, moved in (("read", r"2(\key{K} + \value{V})\,b_c"), ("write", r"W\,b_w + (\key{K} + \value{V})\,b_c"),
                         ("write anew", r"\big[2(\key{K} + \value{V}) + X\big]\,b"), ("train", r"3\,\big[W + 2(\key{K} + \value{V})")):  # fmt: skip
        both = 2 * (n + (doing == "write anew")) * config.n_kv_heads * config.d_head * config.n_layers * batch
        kept = sum(of.kept for _, of in calculator.work(config, doing, n, batch).values())
        times = {"read": 2, "write": 1, "write anew": 2, "train": 6}[doing]
        assert kept / both == pytest.approx(times, abs=2 / n * (doing == "write"))  # the new token's own are written and read
        assert moved in words.formula(config, doing)
    P = sum(calculator.parameters(config).values())
    for bits in (32, 16):
        assert sum(part.held for part in calculator.bill(config, "train", n, batch, bits).values()) == 16 * P
    assert r"16\,P" in words.formula(config, "train") and "16 bytes" in words.symbols(config, "train")


def test_formula_numbers_catch_and_prediction(open_page):
    app = open_page(PAGE, arch="GPT-2", n="128")
    app.toggle(key="numbers").set_value(True).run()
    written = " ".join(latex.value for latex in app.latex)
    assert r"124\,439\,808" in written and r"\text{FLOPs} \approx" in written
    assert "bound, not a forecast" in " ".join(m.value for m in app.markdown)
    assert words.PREDICT["answer"] in words.PREDICT["options"]
    assert words._WRITE16 / words._WRITE4 == pytest.approx(4, rel=0.15) and words._READ16 / words._READ4 < 1.1
