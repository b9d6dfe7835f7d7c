"""The walkthrough's message holds the tensors that the model computed, in the order and shapes that it says."""

import numpy as np
import pytest

import transformer
from charts import walkthrough
from tests.messages import unpack
from transformer import Config, names, overview, sampling, scores

TEMPERATURES = (0.0, 0.5, 1.0, 2.0)
IDS = [3, 1, 4, 1, 5, 9, 2]
PRE = Config(vocab_size=50, d_model=24, n_layers=3, n_heads=4, n_kv_heads=2, d_ff=40, gated=True, activation="silu")
POST = Config(kind="encoder", vocab_size=50, d_model=24, n_layers=2, n_heads=3, norm="layer", norm_place="post",
              position="learned", max_len=16, n_segments=2, embed_norm=True)
BARE = Config(vocab_size=50, d_model=8, n_layers=1, n_heads=1, norm="none", position="none", score="dot",
              attention="window", window=2)
CONFIGS = {"pre-norm, grouped": PRE, "post-norm encoder": POST, "bare": BARE}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def made(config, only=None):
    """The trace, and the message made of it, unpacked."""
    model = transformer.build(config, seed=1).eval()
    trace = model.run(IDS, record=(*overview.RECORD, *[n for n in names.of(config) if n.endswith("resid_pre")])).trace
    arrays = {name: tensor.numpy() for name, tensor in overview.overview(trace, config, TEMPERATURES, 6).items()}
    rows = [[(i, f"t{i}") for i in row] for row in arrays.get("odds.ids", np.zeros((0, 0), int)).tolist()]
    message = walkthrough.payload(
        key="k", title="T", label="live", config=config, tokens=[(i, f" {i}") for i in IDS], arrays=arrays,
        candidates=rows, temperatures=TEMPERATURES, scale=scores.scale(config),
        code={"embed": walkthrough.Code("here", "x = 1")}, view={"layer": 0}, next_token="", only=only,
    )  # fmt: skip
    return trace, *unpack(message)


@every_config
def test_scores_and_weights_are_the_trace(config):
    trace, header, arrays = made(config)
    for i in range(config.n_layers):
        for name in ("attention.A", "attention.scores"):
            np.testing.assert_array_equal(arrays[f"layer.{name}"][i], trace[f"layers.{i}.{name}"][0].numpy())


@every_config
def test_what_hover_multiplies_gives_the_score(config):
    _, header, arrays = made(config)
    Q, K = arrays["exact.attention.Q"].astype(float), arrays["exact.attention.K"].astype(float)
    K = K.repeat(config.n_heads // config.n_kv_heads, axis=1)
    terms = Q[:, :, :, None, :] * K[:, :, None, :, :]
    np.testing.assert_allclose(terms.sum(-1) * header["scale"], arrays["layer.attention.scores"], atol=5e-3)


@every_config
def test_a_masked_cell_has_no_weight_and_the_rest_sums_to_one(config):
    _, header, arrays = made(config)
    A, mask = arrays["layer.attention.A"], arrays["mask"].astype(bool)
    assert not A[:, :, ~mask].any()
    np.testing.assert_allclose(A.sum(-1), 1, atol=1e-5)
    assert ("mask" in header["steps"]) == (not mask.all())


@every_config
def test_lengths_are_the_writes_and_the_stream(config):
    trace, _, arrays = made(config)
    for name in ("attention.out", "ffn.out", "resid_mid", "resid_post"):
        for i in range(config.n_layers):
            expected = np.linalg.norm(trace[f"layers.{i}.{name}"][0].numpy(), axis=-1)
            np.testing.assert_allclose(arrays[f"length.{name}"][i], expected, rtol=1e-5)
    expected = np.linalg.norm(trace["layers.0.resid_pre"][0].numpy(), axis=-1)
    np.testing.assert_allclose(arrays["length.embed"], expected, rtol=1e-5)


@every_config
def test_strips_are_means_of_the_dimensions_they_say(config):
    trace, header, arrays = made(config)
    for name, width in header["dims"].items():
        if width == 1:
            continue
        whole, strips = trace[f"layers.0.{name}"][0].numpy(), arrays[f"layer.{name}"][0].astype(float)
        assert whole.shape[-1] == width
        edges = overview.spans(width, strips.shape[-1])
        for cell, (a, b) in enumerate(zip(edges, edges[1:])):
            np.testing.assert_allclose(strips[..., cell], whole[..., a:b].mean(-1), rtol=2e-3, atol=2e-4)


@every_config
def test_odds_are_the_softmax_at_every_temperature(config):
    trace, header, arrays = made(config)
    if config.head == "none":
        assert not header["candidates"] and "odds.logits" not in arrays and "end.vectors" in arrays
        assert header["steps"][-1] == "vectors"
        return
    ids = np.array([[i for i, _ in row] for row in header["candidates"]])
    for t, T in enumerate(header["temperatures"]):
        p = np.take_along_axis(sampling.probabilities(trace["logits"][0], T).numpy(), ids, -1)
        np.testing.assert_allclose(arrays["odds.probabilities"][t], p, rtol=1e-4, atol=1e-7)
    order = arrays["odds.probabilities"][1:]
    assert (np.diff(order, axis=-1) <= 0).all(), "the order never changes with the temperature"


@every_config
def test_stages_stand_in_the_order_of_computation_and_have_their_true_shape(config):
    trace, header, _ = made(config)
    drawn = [stage["name"] for step in header["steps"] if (stage := header["stages"].get(step))]
    assert len(drawn) == len(set(drawn)) and len([name for name in drawn if name in names.GLOSSARY]) >= 10
    for at, name in enumerate(drawn):
        for earlier in names.GLOSSARY[name].computed_from if name in names.GLOSSARY else ():
            if config.norm_place == "post" and ".norm_" in earlier:
                continue  # there the norm ends the sublayer instead of beginning it
            assert earlier not in drawn[at:], f"{name} is shown before {earlier}, which it is computed from"
    for step in header["steps"]:
        stage = header["stages"].get(step)
        if stage and stage["name"].replace("*", "0") in trace:
            shape = list(trace[stage["name"].replace("*", "0")].shape)
            assert [size for _, size in stage["axes"]][-len(shape):] == shape[-len(stage["axes"]):], step
        if stage:
            assert stage["meaning"] and stage["symbol"]
    assert header["stages"]["embed"]["code"] == {"where": "here", "line": "x = 1"}


def test_a_layer_at_a_time_is_the_same_as_all():
    _, whole, every = made(PRE)
    _, header, some = made(PRE, only=(1, 2, 3))
    assert whole["layers"] == [0, 1, 2] and header["layers"] == [1, 2]
    for name, array in some.items():
        same = every[name][1:] if name.startswith(("layer.", "exact.")) else every[name]
        np.testing.assert_array_equal(array, same)


def test_what_is_too_much_for_one_message_is_said():
    small = {"layer.attention.A": np.zeros((30, 9, 12, 12), np.float32)}
    large = {"exact.attention.Q": np.zeros((30, 9, 100, 64), np.float32)}
    assert walkthrough.fits(small) and not walkthrough.fits(large)
    assert walkthrough.fits({"odds.probabilities": large["exact.attention.Q"]}), "only what belongs to a layer can wait"
