"""A recording gives what a live run gives, and the shipped ones show what their words say."""

import json
import lzma
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from safetensors import torch as tensors

import transformer
from transformer import names, recording
from transformer.recording import ATTENTION, DEFAULTS, EVERYTHING, LOGITS, SUFFIX
from transformer.tokenizers import BytePairEncoding

SHIPPED = Path(__file__).parents[2] / "assets" / "recorded"
TOKENIZER = BytePairEncoding.train("the cat sat on the mat, the cat was tired of the mat", 264)

MODERN = transformer.Config(
    vocab_size=TOKENIZER.vocab_size, d_model=48, n_layers=3, n_heads=6, n_kv_heads=2, d_ff=64, activation="silu", gated=True
)
OLD = transformer.Config(
    vocab_size=TOKENIZER.vocab_size, d_model=48, n_layers=2, n_heads=4, position="learned", norm="layer", norm_place="pre",
    qkv_bias=True, out_bias=True, ffn_bias=True, activation="gelu_tanh", max_len=64,
)  # fmt: skip
ENCODER = transformer.Config(
    kind="encoder", vocab_size=TOKENIZER.vocab_size, d_model=48, n_layers=2, n_heads=4, position="learned", norm="layer", norm_place="post",
    embed_norm=True, activation="gelu", max_len=64,
)  # fmt: skip
YARN = transformer.Config(
    vocab_size=TOKENIZER.vocab_size, d_model=48, n_layers=1, n_heads=2, rope_scaling="yarn", rope_factor=4.0, rope_layout="interleaved",
    attention="window", window=3,
)  # fmt: skip


def model_of(config):
    model = transformer.build(config, seed=1).eval()
    torch.manual_seed(1)
    with torch.no_grad():  # norms that do something, and scores with a range
        for at, weight in model.named_parameters():
            weight.mul_(4) if weight.dim() > 1 else weight.add_(0.3 * torch.randn_like(weight))
    return model


def live_run(model, recorded):
    return model.run(list(recorded.ids), record="*").trace


WITHIN = (  # how far a recorded vector may be from the live one, as a share of its own length; the first match counts
    ("*.attention.[QK]*", 0.025), ("*.attention.V", 0.04), ("*.attention.z", 0.15), ("*.attention.scores", 0.1),
    ("*.attention.A", 0.1), ("*.out", 0.06), ("*.ffn.[pg]*", 0.2), ("*norm*", 0.15), ("embed*", 0.02), ("*", 0.06),
)  # fmt: skip


def assert_same(recorded, live):
    """Each vector of each tensor within WITHIN: the rounding, added up over the layers; most are four times as near."""
    for name, tensor in recorded.items():
        assert tensor.shape == live[name].shape and tensor.dtype == torch.float32
        apart = (tensor - live[name]).norm(dim=-1) / live[name].norm(dim=-1)
        most = next(share for pattern, share in WITHIN if fnmatchcase(name, pattern))
        assert apart.max() <= most, f"{name}: {apart.max():.4f} > {most}"
        if name.endswith("attention.A"):
            torch.testing.assert_close(tensor, live[name], atol=0.05, rtol=0)


@pytest.mark.parametrize("config", [MODERN, OLD, YARN], ids=["modern", "old", "yarn"])
def test_everything_follows_from_what_is_kept(config, tmp_path):
    model = model_of(config)
    recording.save(tmp_path / f"r{SUFFIX}", recording.record(model, TOKENIZER, "the cat sat", name="x"))
    recorded = recording.load(tmp_path / f"r{SUFFIX}")
    assert list(recorded) == names.of(config)
    assert_same(recorded, live_run(model, recorded))


def test_attention_alone_gives_scores_weights_and_mixtures_and_no_more():
    model = model_of(ENCODER)
    recorded = recording.record(model, TOKENIZER, "the cat sat", name="x", keep=ATTENTION)
    assert {name.removeprefix("layers.0.") for name in recorded if name.startswith("layers.0.")} == {
        "attention.Q", "attention.K", "attention.V", "attention.scores", "attention.A", "attention.z",
    }  # fmt: skip
    assert_same(recorded, live_run(model, recorded))
    with pytest.raises(KeyError, match="layers.0.resid_mid is not in this recording"):
        recorded["layers.0.resid_mid"]
    assert "layers.0.resid_mid" not in recorded and "layers.0.attention.A" in recorded


def test_what_is_saved_comes_back(tmp_path):
    made = recording.record(model_of(MODERN), TOKENIZER, "the cat ☃", name="x", command="by hand")
    recording.save(tmp_path / f"r{SUFFIX}", made)
    back = recording.load(tmp_path / f"r{SUFFIX}")
    for part in ("model", "text", "ids", "pieces", "config", "vocabulary", "about"):
        assert getattr(back, part) == getattr(made, part), part
    assert back.about == {"command": "by hand"} and back.pieces == tuple(TOKENIZER.pieces(TOKENIZER.encode("the cat ☃")))
    assert all(torch.equal(back[name], made[name]) for name in made)


def test_the_likeliest_logits_are_exact_and_the_rest_keep_their_probability(monkeypatch):
    monkeypatch.setattr(recording, "TOP", 16)
    model = model_of(MODERN)
    recorded = recording.record(model, TOKENIZER, "the cat sat", name="x", keep=("logits",))
    live = model.run(list(recorded.ids)).output
    likely = live.topk(16).indices
    assert likely[..., 0].equal(recorded["logits"].argmax(-1))
    near = recorded["logits"].gather(-1, likely) - live.gather(-1, likely)
    assert near.abs().max() < 0.01
    torch.testing.assert_close(recorded["logits"].logsumexp(-1), live.logsumexp(-1), atol=0.01, rtol=0)
    assert (recorded["logits"] - live).abs().max() < 0.35
    order = recorded["logits"].gather(-1, likely).diff(dim=-1)
    assert (order <= 0).all() and recorded["logits"].topk(16).values.sum() == recorded["logits"].gather(-1, likely).sum()


def test_another_file_is_refused_in_one_sentence(tmp_path):
    broken, other = tmp_path / f"broken{SUFFIX}", tmp_path / f"other{SUFFIX}"
    other.write_bytes(lzma.compress(tensors.save({"x": torch.zeros(1)})))
    with pytest.raises(ValueError, match="is not a recording of this version"):
        recording.load(other)
    for content in (b"", b"text", other.read_bytes()[:40], lzma.compress(b"\x10\0\0\0\0\0\0\0{half")):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole recording"):
            recording.load(broken)


@pytest.mark.parametrize("file", DEFAULTS)
def test_a_shipped_recording_shows_what_its_words_say(file):
    default, recorded = DEFAULTS[file], recording.load(SHIPPED / f"{file}{SUFFIX}")
    assert (recorded.model, recorded.text) == (default.model, default.text)
    assert recorded.config == transformer.PRESETS[default.model]
    assert len(recorded.about["weights_sha256"]) == 64 and recorded.about["command"] == "python -m transformer.recording"
    A = recorded[f"layers.{default.layer}.attention.A"][0, default.head]  # [query, key]
    assert A[default.query].argmax() == default.key
    said = [float(number) for number in re.findall(r"\d\.\d\d", default.tells)]
    assert min(abs(A[default.query, default.key] - number) for number in said) < 0.01
    for word in (recorded.pieces[default.query], recorded.pieces[default.key]):
        assert word.strip().strip("#") in default.tells or default.text == recording.REPEAT


def test_the_words_on_other_cells_hold_too():
    A = {file: recording.load(SHIPPED / f"{file}{SUFFIX}")[f"layers.{d.layer}.attention.A"][0, d.head]
         for file, d in DEFAULTS.items()}  # fmt: skip
    # The second "Z ib bo" reads ib, bo, loves; no earlier row reads anything but the first token.
    repeat = A["smollm2-135m-repeat"]
    assert [repeat[q, q - 7].item() for q in (10, 11, 12)] == pytest.approx([0.96, 0.99, 0.95], abs=0.012)
    assert (repeat[:10, 0] > 0.95).all()
    assert (A["smollm2-135m-pronoun"][[2, 3, 4, 8], 1] > 0.7).all()
    twins = A["minilm-l6-repeat"]
    assert twins[11, 3].item() == pytest.approx(0.96, abs=0.012) and min(twins[i, j] for i, j in ((4, 12), (5, 13), (12, 4), (13, 5))) > 0.8
    assert A["minilm-l6-pronoun"][6, 8].item() == pytest.approx(0.59, abs=0.012)


def test_the_shipped_next_token_is_paris_and_its_rivals_have_names():
    recorded = recording.load(SHIPPED / f"smollm2-135m-capital{SUFFIX}")
    logits = recorded["logits"][0]  # [token, vocab]
    assert logits.shape == (5, 49_152)
    probability, best = logits[-1].softmax(-1).topk(3)
    assert [recorded.vocabulary[i] for i in best.tolist()] == [" Paris", " the", " London"]
    assert probability[0] > 0.7
    for row in logits:
        assert set(row.topk(recording.TOP - 1).indices.tolist()) <= recorded.vocabulary.keys()


@pytest.mark.parametrize("file", LOGITS)
def test_shipped_logits_are_of_their_text_and_their_rivals_have_names(file):
    recorded = recording.load(SHIPPED / f"{file}{SUFFIX}")
    assert (recorded.model, recorded.text) == LOGITS[file] and list(recorded) == ["logits"]
    probability, best = recorded["logits"][0, -1].softmax(-1).topk(2)
    assert [recorded.vocabulary[i] for i in best.tolist()] == [" five", " four"]
    assert 0.1 < probability[1] < probability[0] < 0.2


def test_shipped_recordings_are_small():
    files = list(SHIPPED.glob(f"*{SUFFIX}"))
    assert sum(file.stat().st_size for file in files) < 1.6e6
    assert {file.name.removesuffix(SUFFIX) for file in files} == DEFAULTS.keys() | LOGITS.keys()
    translations = set(SHIPPED.glob("marian-*.safetensors"))  # their own tests read each of them
    assert set(SHIPPED.iterdir()) == {SHIPPED / "README.md", *files, *translations}


@pytest.mark.parametrize("file", LOGITS)
def test_shipped_logits_equal_the_live_runs(file, request):
    model, tokenizer = request.getfixturevalue("smollm2" if "smollm2" in file else "minilm")
    recorded = recording.load(SHIPPED / f"{file}{SUFFIX}")
    live = model.run(tokenizer.encode(recorded.text)).output
    torch.testing.assert_close(recorded["logits"].softmax(-1), live.softmax(-1), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("file", DEFAULTS)
def test_a_shipped_recording_equals_the_live_run(file, request):
    model, tokenizer = request.getfixturevalue("smollm2" if "smollm2" in file else "minilm")
    recorded = recording.load(SHIPPED / f"{file}{SUFFIX}")
    assert list(recorded.ids) == tokenizer.encode(recorded.text)
    if DEFAULTS[file].keep == EVERYTHING:
        assert list(recorded) == names.of(model.config)
    live = live_run(model, recorded)
    assert_same(recorded, live)
    if "logits" in recorded:
        torch.testing.assert_close(recorded["logits"].softmax(-1), live["logits"].softmax(-1), rtol=0.02, atol=1e-3)
        # and the head that the words praise writes most of the answer, by direct attribution through the last norm
        paris = live["logits"][0, -1].argmax()
        last = live[f"layers.{model.config.n_layers - 1}.resid_post"][0, -1]
        towards = model.embedding.W_E.weight[paris] * model.final_norm.gamma / last.square().mean().sqrt()  # [model]
        says = torch.stack([  # [layer, head]
            torch.einsum("hk,mhk,m->h", live[f"layers.{i}.attention.z"][0, :, -1],
                         block.attention.W_O.weight.unflatten(1, (model.config.n_heads, -1)), towards)
            for i, block in enumerate(model.stack.blocks)
        ])  # fmt: skip
        default = DEFAULTS[file]
        assert divmod(int(says.argmax()), model.config.n_heads) == (default.layer, default.head)


def test_metadata_is_plain_json_beside_the_tensors():
    data = lzma.decompress((SHIPPED / f"smollm2-135m-capital{SUFFIX}").read_bytes())
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert metadata["format"] == recording.FORMAT
    assert json.loads(metadata["config"])["n_layers"] == 30 and json.loads(metadata["pieces"])[3] == " France"
