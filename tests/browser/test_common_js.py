"""assets/components/common.js says the same as its Python side: packed arrays, colour maps, how a token is shown."""

import numpy as np
import pytest

from charts import component, theme
from charts.ahead import Box, ahead

SCRIPT = "".join((component.FOLDER / name).read_text("utf-8") for name in ("ahead.js", "common.js"))


@pytest.fixture(scope="module")
def js(browser):
    page = browser.new_page()
    variables = "".join(f"--gf-{name}: {getattr(theme.DARK, name)};" for name in
                        ("background", "panel", "ink", "muted", "line", *theme.ROLES, "negative", "positive"))
    page.set_content(f'<div id="root" style="{variables}"></div>')
    page.evaluate("() => {" + SCRIPT + "; window.gf = gf; window.root = document.getElementById('root'); }")
    yield page
    page.close()


@pytest.mark.parametrize("dtype", component.DTYPES)
def test_the_browser_reads_what_python_packs(js, dtype):
    values = (np.random.default_rng(0).standard_normal((3, 7)) * 40).astype(dtype)
    header = {"pieces": [" é", "\n"], "bytes": [1, 2], "start": "here"}  # names that the reader might use for itself
    message = component.pack(header, {"first": np.zeros(5, np.uint8), "x": values})
    read = js.evaluate("""bytes => {
        const {arrays: {x}, ...header} = gf.unpack(Uint8Array.from(bytes));
        return {header, shape: x.shape, values: Array.from(x)};
    }""", list(message))
    assert read["header"] == header and read["shape"] == [3, 7]
    np.testing.assert_array_equal(np.array(read["values"]).reshape(3, 7), values.astype(np.float64))


def test_half_precision_is_widened_exactly_at_its_edges(js):
    edges = np.array([0, -0.0, 1, -1, 65504, -65504, 2**-24, -(2**-24), 2**-14, 1 / 3, np.inf, -np.inf], np.float16)
    message = component.pack({}, {"x": edges})
    read = js.evaluate("bytes => Array.from(gf.unpack(Uint8Array.from(bytes)).arrays.x).map(String)", list(message))
    np.testing.assert_array_equal(np.array([float(v.replace("Infinity", "inf")) for v in read]), edges.astype(float))


@pytest.mark.parametrize("call, scale", [
    ("gf.sequential(root)", theme.sequential(theme.DARK)),
    ("gf.sequential(root, 'ffn')", theme.sequential(theme.DARK, "ffn")),
    ("gf.diverging(root)", theme.diverging(theme.DARK)),
])
def test_colour_maps_are_those_of_python(js, call, scale):
    lut = np.array(js.evaluate(f"Array.from({call}.lut)")).reshape(256, 4)
    assert (lut[:, 3] == 255).all()
    assert np.abs(lut[:, :3] - theme.lut(scale).astype(int)).max() <= 1


def test_a_matrix_is_painted_cell_by_cell_and_nan_stays_empty(js):
    pixels = js.evaluate("""() => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 4;
        const ctx = canvas.getContext('2d');
        gf.matrix(ctx, [0, 1, NaN, 0.5], 2, 2, 0, 0, 4, 4, gf.sequential(root), 0, 1);
        return [[0, 0], [3, 0], [0, 3], [3, 3]].map(([x, y]) => Array.from(ctx.getImageData(x, y, 1, 1).data));
    }""")
    lut = theme.lut(theme.sequential(theme.DARK)).tolist()
    assert pixels[0] == [*lut[0], 255] and pixels[1] == [*lut[255], 255] and pixels[2] == [0, 0, 0, 0]
    assert np.abs(np.array(pixels[3][:3]) - lut[128]).max() <= 1


@pytest.mark.parametrize("piece, shown", [(" the", "·the"), ("the", "the"), ("\n", "⏎"), ("\tx", "⇥x"), (" ", "·"), ("a b", "a b")])
def test_how_a_token_is_shown(js, piece, shown):
    assert js.evaluate("piece => gf.chipText(piece)", piece) == shown
    assert js.evaluate("piece => gf.chip(piece).textContent", piece) == shown


def test_a_hostile_token_stays_text(js):
    html = js.evaluate("""() => {
        const box = document.createElement('div'), tip = gf.tooltip(box);
        tip.show(0, 0, ['<img src=x onerror=alert(1)>', {text: '<b>x</b>', strong: true}]);
        box.append(gf.chip(' <script>1</script>'));
        return [box.querySelectorAll('img, b, script').length, gf.svg(9, 9, '#fff').text(0, 0, '</text><script>', {}) > 0];
    }""")
    assert html == [0, True]
    picture = js.evaluate("() => { const s = gf.svg(9, 9, '#fff'); s.text(0, 0, '</text><script>\"&', {}); return String(s); }")
    assert "<script" not in picture and picture.count("</text>") == 1


@pytest.mark.parametrize("x, shown", [
    (0, "0"), (0.0421234, "0.0421"), (-0.5, "−0.5"), (1234.5, "1235"), (0.00001234, "1.2e−5"), (1e6, "1.0e+6"), (12.345, "12.3"),
])
def test_numbers_have_two_to_three_digits(js, x, shown):
    assert js.evaluate("x => gf.number(x)", x) == shown


def test_what_was_sent_ahead_is_drawn_when_a_box_shows_it(js):
    message = ahead(lambda layer, seed: component.pack({"layer": layer, "seed": seed}, {"x": np.full(2, layer, np.uint8)}),
                    Box("layer", range(9), 4), Box("seed", range(9), 1))  # fmt: skip
    drawn = js.evaluate("""async bytes => {
        document.body.insertAdjacentHTML("beforeend", `<div class="st-key-layer"><input role="combobox" value="4"></div>
            <div class="st-key-seed"><input type="number" value="1"></div>`);
        const [layer, seed] = document.querySelectorAll("input"), seen = [];
        let inside = null;
        const send = (bytes) => gf.mount({data: Uint8Array.from(bytes), parentElement: root}, () => ({
            update: ({data, ask}) => { inside = ask; const d = gf.unpack(data); seen.push([d.layer, d.seed, d.arrays.x[0]].join(" ")); },
        }));
        const key = async (box, value, name = "Enter") => {
            box.value = value;
            document.dispatchEvent(new KeyboardEvent("keydown", {key: name}));
            await new Promise(done => setTimeout(done, 40));
        };
        send(bytes);
        await key(layer, "5");
        await key(layer, "6");           // not here: the server's, and nothing is drawn meanwhile
        const still = seen.length;
        await key(layer, "4");
        await key(seed, "2", "ArrowUp");
        await key(seed, "1", "ArrowDown");
        layer.setAttribute("aria-expanded", "true");
        await key(layer, "3", "3");      // a name being typed
        await key(layer, "3");           // and chosen
        send(bytes);                     // an answer to an older press: the box is further
        inside("layer", 5);              // a box inside the picture, whatever that of the page shows
        send(bytes);                     // further here, too
        inside("layer", 4);
        send(bytes);                     // the answer: from now on the page's box counts again
        return [still, ...seen];
    }""", list(message))
    assert drawn == [2, "4 1 4", "5 1 5", "4 1 4", "4 2 4", "4 1 4", "3 1 3", "3 1 3",
                     "5 1 5", "5 1 5", "4 1 4", "3 1 3"]
