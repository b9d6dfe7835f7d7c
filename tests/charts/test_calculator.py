"""The calculator's message holds what the library computed, each number once; settings that are not there are refused."""

import numpy as np
import pytest

from charts import calculator as charts
from tests.messages import unpack
from transformer import PRESETS, calculator, roofline
from transformer.calculator import BITS, PARTS

CONFIG, LENGTHS, BATCHES = PRESETS["gpt2"], (16, 1024), (1, 8)
A100 = roofline.MACHINES["A100"]


def done(name="write the next", doing="write"):
    of = calculator.survey(CONFIG, doing, LENGTHS, BATCHES)
    seconds, bound = of.seconds(A100)
    products = [[(calculator.called(p.part), *p[1:5]) for p in calculator.products(CONFIG, doing, n)] for n in LENGTHS]
    passes = [1 + (p.backward if doing == "train" else 0) for p in calculator.products(CONFIG, doing, 16)]
    return of, charts.Done(name, of.flops.numpy(), of.moved.numpy(), of.held.numpy(), seconds.numpy(), bound.numpy(), products, True,
                           passes=passes)  # fmt: skip


def sent(what="write", **more):
    of, one = done("do it", what)
    at = dict(doing="do it", n=1024, batch=8, weights="bfloat16", cache="int8") | more
    message = charts.message("GPT-2", PARTS, of.parameters.numpy(), [one], charts.Machine(*A100), LENGTHS, BATCHES, **at)
    return of, *unpack(message)


def at(arrays, name, p, *where):
    """As the component reads it."""
    array = arrays.get(f"{name}.0.{p}")
    return 0 if array is None else array[tuple(i if size > 1 else 0 for i, size in zip(where, array.shape, strict=True))]


def test_every_number_is_the_librarys_bill():
    _, header, arrays = sent()
    assert [part["key"] for part in header["parts"]] == list(PARTS) == list(charts.PARTS)
    for w, c, b, i in np.ndindex(len(BITS), len(BITS), 2, 2):
        parts = calculator.bill(CONFIG, "write", LENGTHS[i], BATCHES[b], BITS[w], BITS[c])
        least = calculator.seconds(parts, A100)
        for p, (name, part) in enumerate(parts.items()):
            assert header["parameters"][p] == part.parameters
            assert at(arrays, "flops", p, w, c, b, i) == pytest.approx(part.flops, rel=1e-6)
            assert at(arrays, "held", p, w, c, b, i) == pytest.approx(part.held, rel=1e-6)
            moved = sum(at(arrays, sort, p, w, c, b, i) for sort in ("weights", "cache", "passing"))
            assert moved == pytest.approx(part.moved, rel=1e-6, abs=1)
            if name in least:
                assert at(arrays, "seconds", p, w, c, b, i) == pytest.approx(least[name].seconds, rel=1e-6)
                assert at(arrays, "bound", p, w, c, b, i) == (least[name].bound == "memory")


def test_what_changes_nothing_is_sent_once_and_nothing_not_at_all():
    _, header, arrays = sent()
    p = list(PARTS).index("ffn")
    assert arrays[f"held.0.{p}"].shape == (4, 1, 1, 1)  # weights alone have a say
    assert arrays[f"weights.0.{p}"].shape == (4, 1, 1, 1)  # read once for any batch
    assert arrays[f"held.0.{list(PARTS).index('keys')}"].shape == (1, 4, 2, 2)
    assert f"flops.0.{list(PARTS).index('norms')}" not in arrays and header["at"]["cache"] == "int8"


@pytest.mark.parametrize("what", ["write", "train"])
def test_products_add_up_to_the_flops_of_one_text(what):
    of, header, arrays = sent(what)
    for i in range(2):
        work = 2 * arrays["products.0"][i].astype(np.int64).prod(-1) * header["done"][0]["passes"]
        for p, name in enumerate(PARTS):
            own = sum(w for w, part in zip(work, header["done"][0]["products"], strict=True) if part == name)
            assert name == "optimiser" or own == float(of.flops[p, 0, 0, 0, i])


@pytest.mark.parametrize("wrong", [{"doing": "sing"}, {"n": 17}, {"batch": 3}, {"weights": "int3"}, {"part": "wheels"}])
def test_a_setting_that_is_not_there_is_refused(wrong):
    with pytest.raises(ValueError, match="is not among the settings"):
        sent(**wrong)


def test_the_table_has_a_row_for_each_part_that_costs_anything():
    parts = calculator.bill(CONFIG, "read", 128)
    least = {name: (part.seconds, part.bound) for name, part in calculator.seconds(parts, A100).items()}
    table = charts.table(parts, least)
    assert "encoder" not in table["part"] and sum(table["FLOPs"]) == sum(part.flops for part in parts.values())
    assert len({len(column) for column in table.values()}) == 1
    assert table["bound by"][table["part"].index("norms")] == ""
