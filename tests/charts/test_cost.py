"""What the FLOP pictures hold is what transformer.cost computed."""

import numpy as np
import pytest

from charts import cost as pictures
from charts import theme
from tests.messages import unpack
from transformer import PRESETS, Config, cost

CONFIG = PRESETS["smollm2-135m"]
COSTS = [cost.flops(CONFIG, n) for n in pictures.LENGTHS]
PRODUCTS = [[tuple(product) for product in cost.matmuls(CONFIG, n)] for n in pictures.LENGTHS]
MARKERS = [pictures.Marker(1536.0, "attention = FFN", "n = 1 536"), pictures.Marker(70_000.0, "far", "n = 70 000")]


SMOLLM2 = pictures.Counted("SmolLM2", COSTS, PRODUCTS, 30, 9, MARKERS, 8192, "pale: beyond")


def counted(config, name="other"):
    costs = [cost.flops(config, n) for n in pictures.LENGTHS]
    products = [[tuple(product) for product in cost.matmuls(config, n)] for n in pictures.LENGTHS]
    return pictures.Counted(name, costs, products, config.n_layers, config.n_heads)


def unpacked(*models, **options):
    """The message's header, and the first model with its products."""
    models = models or (SMOLLM2,)
    header, arrays = unpack(pictures.stack_data(models, arch=models[0].name, chosen=1536, **options))
    return header, header["models"][0], arrays["products_0"]


def test_the_lengths_are_128_to_32k_in_round_steps():
    assert pictures.LENGTHS[0] == 128 and pictures.LENGTHS[-1] == 32_768
    assert list(pictures.LENGTHS) == sorted(set(pictures.LENGTHS)) and all(n % 16 == 0 for n in pictures.LENGTHS)
    assert {2**k for k in range(7, 16)} <= set(pictures.LENGTHS)


def test_the_component_gets_every_part_of_every_length():
    header, model, _ = unpacked()
    assert header["n"] == list(pictures.LENGTHS)
    for i, parts in enumerate(COSTS):
        assert {part["key"]: part["flops"][i] for part in model["parts"]} == parts


def test_every_model_goes_out_with_its_own_products():
    other = counted(PRESETS["gpt2"], "GPT-2")
    header, arrays = unpack(pictures.stack_data([SMOLLM2, other], arch="GPT-2", chosen=128, epoch=3))
    assert (header["arch"], header["epoch"]) == ("GPT-2", 3)
    assert [model["name"] for model in header["models"]] == ["SmolLM2", "GPT-2"]
    for i, model in enumerate((SMOLLM2, other)):
        np.testing.assert_array_equal(arrays[f"products_{i}"], model.sizes())
        assert header["models"][i]["parts"][0]["flops"] == [parts["z"] for parts in model.costs]
    assert [marker["n"] for marker in header["models"][0]["markers"]] == [1536, 70_000]
    assert header["models"][0]["context"] == 8192 and header["models"][1]["context"] is None
    with pytest.raises(ValueError, match="'BERT' is not among"):
        pictures.stack_data([SMOLLM2], arch="BERT", chosen=128)


def test_the_arithmetic_under_the_pointer_adds_up_to_the_bands():
    _, model, products = unpacked()
    work = 2 * products.astype(object).prod(axis=-1)  # [n, product], exact
    for part in model["parts"]:
        mine = [j for j, key in enumerate(model["product_parts"]) if key == part["key"]]
        assert list(work[:, mine].sum(axis=1)) == part["flops"]


def test_it_says_in_words_how_often_a_product_is_done():
    _, model, _ = unpacked()
    assert dict(zip(model["product_parts"], model["often"])) == {
        "Q": "in 30 layers", "K": "in 30 layers", "V": "in 30 layers", "scores": "in 9 heads in 30 layers",
        "z": "in 9 heads in 30 layers", "out": "in 30 layers", "ffn": "in 30 layers", "logits": "once",
    }
    assert model["often"][model["product_parts"].index("ffn")] == "twice (W₁ and W_g) in 30 layers"


def test_a_model_without_a_head_has_no_band_for_logits():
    _, model, _ = unpacked(counted(PRESETS["bert-base"]), logits=True)
    assert "logits" not in [part["key"] for part in model["parts"]]


def test_the_view_goes_with_it():
    header, _, _ = unpacked(show="per token", logits=True)
    assert (header["chosen"], header["show"], header["logits"]) == (1536, "per token", True)


def test_attention_is_what_the_library_calls_attention():
    assert set(pictures.ATTENTION) == set(cost.ATTENTION)
    assert {part.key for part in pictures.PARTS} == set(COSTS[0])
    assert [part.key for part in pictures.PARTS][:len(pictures.ATTENTION)] == list(pictures.ATTENTION)


def test_one_entry_for_each_length_or_a_sentence():
    with pytest.raises(ValueError, match="one entry for each of the 65 lengths"):
        unpacked(pictures.Counted("short", COSTS[1:], PRODUCTS, 30, 9))


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=lambda p: p.name)
def test_the_figure_holds_the_shares(palette, logits):
    figure = pictures.areas(COSTS, palette, logits=logits, chosen=1536, markers=MARKERS, title="x")
    rows = figure.layer[0].data
    for n, parts in list(zip(pictures.LENGTHS, COSTS))[::16]:
        total = sum(flops for part, flops in parts.items() if logits or part != "logits")
        drawn = rows[rows["n"] == n]
        assert drawn["share"].sum() == pytest.approx(1)
        for part in pictures.PARTS:
            if logits or part.key != "logits":
                row = drawn[drawn["part"] == part.label].iloc[0]
                assert row["FLOPs"] == parts[part.key] and row["share"] == parts[part.key] / total
    spec = figure.to_dict()
    ruled = next(iter(spec["datasets"][spec["layer"][1]["data"]["name"]] for _ in [0]))
    assert [row["n"] for row in ruled] == [1536, 1536]  # the near marker and the chosen length


def test_the_table_holds_every_number():
    table = pictures.table(COSTS)
    assert list(table["n"]) == list(pictures.LENGTHS)
    for i in (0, 30, 64):
        assert {part: table[part][i] for part in COSTS[i]} == COSTS[i]
        assert table["total"][i] == sum(COSTS[i].values())


def test_the_largest_own_model_still_fits_the_message():
    huge = Config(d_model=32_768, n_layers=256, n_heads=256, d_ff=131_072, vocab_size=1_000_000, gated=True,
                  position="none")
    assert unpacked(counted(huge))
