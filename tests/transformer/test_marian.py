"""Marian's students: an independent greedy decode of the same weights says the same, token by token."""

import math
import struct

import pytest
import torch

import transformer
from transformer import beam_search, generate
from transformer.pretrained import marian
from transformer.pretrained.fetch import folder_of
from transformer.translation import crossings, links, translate, words

SENTENCES = {
    "marian-en-pt": ["The black cat sleeps on the red chair.", "I bought a small white house near the old bridge.",
                     "She said: “It's 3 o'clock!”"],
    "marian-pt-en": ["O gato preto dorme na cadeira vermelha.", "Não há crianças aqui hoje."],
}  # fmt: skip
way = pytest.mark.parametrize("name", SENTENCES)


@pytest.fixture(scope="module")
def models(marian_folder):
    return {name: transformer.load(name) for name in SENTENCES}


def items(name: str) -> dict[str, torch.Tensor]:
    """The weights as the file has them: the one thing that is shared with the library."""
    way = marian.WAYS[name]
    (file,) = folder_of(marian.ARCHIVE).glob(f"{way}-*/*.bin")
    return marian.read_items(file.read_bytes())


def norm(x, w, name):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * w[f"{name}_ln_scale"] + w[f"{name}_ln_bias"]


def attend(x, y, w, name):
    """Eight heads of 32: x asks, y answers."""
    heads = []
    Q, K, V = (z @ w[f"{name}_W{p}"].T + w[f"{name}_b{p}"] for z, p in ((x, "q"), (y, "k"), (y, "v")))
    for h in range(8):
        part = slice(32 * h, 32 * h + 32)
        heads.append((Q[:, part] @ K[:, part].T / math.sqrt(32)).softmax(-1) @ V[:, part])
    return torch.cat(heads, -1) @ w[f"{name}_Wo"].T + w[f"{name}_bo"]


def feed(x, w, name):
    return norm(x + (x @ w[f"{name}_W1"].T + w[f"{name}_b1"]).relu() @ w[f"{name}_W2"].T + w[f"{name}_b2"], w, f"{name}_ffn")


def waves(position):
    speeds = torch.exp(-math.log(10_000) * torch.arange(128) / 127)
    return torch.cat((torch.sin(position * speeds), torch.cos(position * speeds)))


def greedy(w, source: list[int], most: int = 60) -> tuple[list[int], torch.Tensor]:
    """The tokens and each step's logits, in plain torch, one token after another."""
    w = {name: tensor.squeeze(0) for name, tensor in w.items()}
    x = torch.stack([w["Wemb"][i] * 16 + waves(p) for p, i in enumerate(source)])
    for i in range(1, 7):
        x = feed(norm(x + attend(x, x, w, f"encoder_l{i}_self"), w, f"encoder_l{i}_self_Wo"), w, f"encoder_l{i}_ffn")
    state, last, written, all_logits = {1: torch.zeros(256), 2: torch.zeros(256)}, torch.zeros(256), [], []
    for t in range(most):
        y = last * 16 + waves(t)
        for i in (1, 2):
            f = (y @ w[f"decoder_l{i}_rnn_Wf"].T + w[f"decoder_l{i}_rnn_bf"]).sigmoid()
            state[i] = f * state[i] + (1 - f) * (y @ w[f"decoder_l{i}_rnn_W"].T)
            y = norm(y + state[i].relu(), w, f"decoder_l{i}_rnn_ffn")
            y = norm(y + attend(y[None], x, w, f"decoder_l{i}_context")[0], w, f"decoder_l{i}_context_Wo")
            y = feed(y, w, f"decoder_l{i}_ffn")
        logits = y @ w["Wemb"].T + w["decoder_ff_logit_out_b"]
        all_logits.append(logits)
        written.append(int(logits.argmax()))
        if written[-1] == 0:
            break
        last = w["Wemb"][written[-1]]
    return written, torch.stack(all_logits)


@way
def test_an_independent_greedy_decode_says_the_same(name, models):
    (model, tokenizer), w = models[name], items(name)
    for text in SENTENCES[name]:
        source = tokenizer.encode(text)
        with torch.no_grad():
            written, logits = greedy(w, source)
        steps = list(generate(model, [tokenizer.start_id], source=source, temperature=0, stop=tokenizer.end_id, max_new_tokens=60))
        assert [step.token for step in steps] == written and written[-1] == tokenizer.end_id
        torch.testing.assert_close(torch.stack([step.logits for step in steps])[:, :-1], logits, atol=1e-4, rtol=1e-4)
        assert all(step.logits[tokenizer.start_id] < -9_000 for step in steps), "the start is never said"
        at_once = model.run([tokenizer.start_id, *written[:-1]], source).output[0]
        torch.testing.assert_close(at_once[:, :-1], logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("text, pairs", {
    "The black cat sleeps on the red chair.": [("gato", "preto"), ("cadeira", "vermelha")],
    "The blue car is fast.": [("carro", "azul")],
    "She has a black dog and a white horse.": [("cão", "preto"), ("cavalo", "branco")],
    "The European Commission approved the new economic policy.": [("Comissão", "Europeia"), ("política", "económica")],
    "I bought a small white house near the old bridge.": [("casa", "branca")],
    "The young doctor wrote a long letter to the president.": [],
}.items())  # fmt: skip
def test_adjectives_and_nouns_cross(models, text, pairs):
    """Portuguese puts most adjectives behind their noun; "pequena", "antiga", "jovem" and "longa" stay before it."""
    said = translate("marian-en-pt", *models["marian-en-pt"], text)
    spelled = ["".join(said.target[a:b]).strip() for a, b in words(said.target)]
    found = crossings(links(said.A(1, 0), said.source, said.target))
    assert [(spelled[i], spelled[j]) for i, j in found] == pairs


def test_a_beam_may_translate_too(models):
    model, tokenizer = models["marian-en-pt"]
    source = tokenizer.encode("The black cat sleeps.")
    best = list(beam_search(model, [tokenizer.start_id], source=source, width=3, max_new_tokens=20, stop=tokenizer.end_id))[-1]
    assert tokenizer.decode(best.done[0].tokens) == "O gato preto dorme."


def test_a_hidden_word_gets_no_weight_and_changes_what_is_written(models):
    text = "The black cat sleeps on the red chair."
    said = translate("marian-en-pt", *models["marian-en-pt"], text)
    without = translate("marian-en-pt", *models["marian-en-pt"], text, hidden=[7])
    assert said.source[7] == " red" and "vermelha" in said.written and "vermelha" not in without.written
    for layer in (0, 1):
        for head in (*range(8), None):
            assert without.A(layer, head)[:, 7].abs().max() == 0
    torch.testing.assert_close(without.encoder_A(5, 0), said.encoder_A(5, 0))


def test_the_tokenizer_ends_every_text_and_comes_back(models):
    _, tokenizer = models["marian-en-pt"]
    ids = tokenizer.encode("The black cat.")
    assert ids[-1] == tokenizer.end_id == 0 and tokenizer.start_id == tokenizer.vocab_size == 32_000
    assert tokenizer.pieces([tokenizer.start_id, *ids]) == ["‹start›", " The", " black", " cat", ".", "‹end›"]
    assert tokenizer.decode([tokenizer.start_id, *ids]) == "The black cat."


@way
def test_its_parameters_are_those_of_the_archive(models, name):
    model = models[name][0]
    counted = sum(p.numel() for p in model.parameters())
    assert counted == sum(transformer.cost.parameters(model.config).values()) == 16_907_265
    assert model.encoder.embedding.W_E is not None and model.encoder.embedding.W_E.weight is model.embedding.W_E.weight
    assert (model.config.n_encoder_layers, model.config.n_layers, model.config.d_ff) == (6, 2, 1536)


def packed(tensors: dict[str, tuple[int, tuple[int, ...], bytes]], version: int = 1) -> bytes:
    """A file in Marian's format."""
    heads = [struct.pack("<QQQQ", len(name) + 1, kind, len(shape), len(raw)) for name, (kind, shape, raw) in tensors.items()]
    labels = [name.encode() + b"\0" for name in tensors]
    axes = [struct.pack(f"<{len(shape)}i", *shape) for _, shape, _ in tensors.values()]
    raws = [raw for *_, raw in tensors.values()]
    return b"".join([struct.pack("<QQ", version, len(tensors)), *heads, *labels, *axes, struct.pack("<Q", 4), b"\0" * 4, *raws])


def test_int8_items_are_their_values_over_the_scale_behind_them():
    raw = bytes([1, 2, 255, 4, 5, 6]) + struct.pack("<f", 2.0) + b"\0" * 246
    found = marian.read_items(packed({
        "Wemb": (0x4101, (2, 3), raw), "x_W": (0x4101, (2, 3), raw), "x_b": (0x404, (1, 2), struct.pack("<2f", 1.5, -2.0)),
        "x_QuantMultA": (0x404, (1, 1), struct.pack("<f", 9.0)), "special:model.yml": (0x101, (3,), b"a: "),
    }))  # fmt: skip
    assert set(found) == {"Wemb", "x_W", "x_b"}
    assert found["Wemb"].tolist() == [[0.5, 1.0, -0.5], [2.0, 2.5, 3.0]]
    assert found["x_W"].tolist() == [[0.5, 1.0], [-0.5, 2.0], [2.5, 3.0]], "stored [out, in], whatever the axes say"
    assert found["x_b"].tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("data", [
    b"", b"\x80\x04pickle", packed({}, version=2), packed({"a": (0x404, (1, 2), b"\0" * 8)})[:-4],
    packed({"a": (0x777, (1, 2), b"\0" * 8)}), struct.pack("<QQ", 1, 2**60),
], ids=["empty", "a pickle", "another version", "cut short", "an unknown type", "too many items"])  # fmt: skip
def test_a_damaged_file_gives_one_sentence(data):
    with pytest.raises(ValueError, match="this Marian file is damaged, cut short or of another kind") as refusal:
        marian.read_items(data)
    assert "\n" not in str(refusal.value)


def test_a_model_of_other_parts_is_refused():
    with pytest.raises(ValueError, match="no embedding table"):
        marian.config({})
    with pytest.raises(ValueError, match="no SSRU"):
        marian.config({"Wemb": torch.zeros(4, 8)})


def test_unfetched_it_says_how(monkeypatch, tmp_path):
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="python -m transformer fetch marian-en-pt"):
        transformer.load("marian-pt-en")
