"""What the walkthrough shows of a reading: its message to the browser, its code lines, the view a link asks for."""

import inspect
import json
from collections.abc import Callable

import numpy as np
import streamlit as st
import torch

from charts import walkthrough as charts
from pages.shared import models, url
from pages.shared.lesson import inert
from pages.shared.models import Reading
from transformer import (
    Config,
    attention,
    block,
    embedding,
    feedforward,
    overview,
    recording,
    sampling,
    scores,
    stack,
    tokenizers,
)
from transformer.models import Model
from transformer.tokenizers import Tokenizer

TEMPERATURES = tuple(round(0.05 * i, 2) for i in range(41))  # 0 to 2
CANDIDATES = 12
SHOWN = ("weights", "scores")
CLOSED = -1  # the layer that stands for none
TOUR = 7  # steps

View = dict[str, object]

# The line of the library behind each stage, found by how it begins; a test asks for every one of them.
LINES: dict[str, tuple[Callable | type, str]] = {
    "tokens": (tokenizers.Wrapped.encode, "return self.inner.encode"),
    "embed": (embedding.Embedding.forward, "x = self.W_E(ids)"),
    "norm_1": (block.Block.forward, 'seen = tap("norm_1"'),
    "attention.Q": (attention.Attention.project, "Q = self.split("),
    "attention.K": (attention.Attention.project, "K = self.split("),
    "attention.V": (attention.Attention.project, "V = self.split("),
    "attention.scores": (attention.Attention.read, "S = self.score("),
    "mask": (attention.masked_softmax, "S = S.masked_fill("),
    "attention.A": (attention.Attention.read, 'A = tap("A"'),
    "attention.z": (attention.Attention.read, "z = A @ V"),
    "attention.out": (attention.Attention.forward, "return self.W_O("),
    "resid_mid": (block.Block.forward, "x = x + self.written(out, self.after_1"),
    "norm_2": (block.Block.forward, 'seen = tap("norm_2"'),
    "ffn.post": (feedforward.FeedForward.forward, 'a = tap("post", self.activation(g)'),
    "ffn.out": (feedforward.FeedForward.forward, "return self.W_2("),
    "resid_post": (block.Block.forward, "x = x + self.written(out, self.after_2"),
    "final_norm": (Model._read, 'x = tap("final_norm"'),
    "logits": (Model.read_off, 'return tap("logits"'),
    "probabilities": (sampling.tempered, "return ((logits"),
    "vectors": (stack.Stack.forward, "x, past, past_across = block("),
}
PLAIN_LINES = {"ffn.post": (feedforward.FeedForward.forward, 'a = tap("post", self.activation(u))')}
POST_LINES = {
    "norm_1": (block.Block.forward, 'x = tap("norm_1"'),
    "norm_2": (block.Block.forward, 'x = tap("norm_2"'),
}


Key = tuple[str, str, str]  # model, label, text


def code_lines(config: Config) -> dict[str, charts.Code]:
    """The source line of every stage of this config."""
    lines = LINES | ({} if config.gated else PLAIN_LINES) | (POST_LINES if config.norm_place == "post" else {})
    found = {}
    for stage, (function, start) in lines.items():
        for text in inspect.getsource(function).splitlines():
            if text.strip().startswith(start):
                found[stage] = charts.Code(f"{function.__module__}.{function.__qualname__}", text.strip())
    return found


def key_of(reading: Reading) -> Key:
    return reading.model, reading.label, reading.text


@st.cache_data(max_entries=12, show_spinner=False)
def summary(key: Key, _reading: Reading) -> dict[str, np.ndarray]:
    """transformer.overview of the reading, as arrays."""
    trace = {name: torch.tensor(array) for name, array in _reading.arrays.items()}
    found = overview.overview(trace, _reading.config, TEMPERATURES, CANDIDATES)
    return {name: tensor.numpy() for name, tensor in found.items()}


def message(reading: Reading, view: View, next_token: str, layer: int) -> bytes:
    """What the component gets: the same bytes as long as nothing but the view in the browser changes.

    Of a long text only the layers around ``layer`` go at once; the component asks for others by opening them.
    """
    key = key_of(reading)
    only = None if charts.fits(summary(key, reading)) else (layer - 1, layer, layer + 1)
    return _message(key, json.dumps(view), next_token, only, reading)


@st.cache_data(max_entries=24, show_spinner=False)
def _message(key: Key, view: str, next_token: str, only: tuple[int, ...] | None, _reading: Reading) -> bytes:
    arrays, config = summary(key, _reading), _reading.config
    ids = arrays.get("odds.ids", np.zeros((0, 0), int))  # [token, rank]
    pieces = iter(models.vocabulary(_reading, ids.flatten().tolist()))
    return charts.payload(
        key="|".join(key), title=_reading.title, label=_reading.label, config=config,
        tokens=list(zip(_reading.ids, _reading.pieces)), arrays=arrays,
        candidates=[[(i, next(pieces)) for i in row] for row in ids.tolist()], temperatures=TEMPERATURES,
        scale=scores.scale(config), code=code_lines(config), view=json.loads(view), next_token=next_token, only=only,
    )  # fmt: skip


def home(reading: Reading) -> dict[str, int | None]:
    """Where to look first: the telling head of this model on this text, else of this model, else in the middle layer.

    token None is the last row.
    """
    known = [default for default in recording.DEFAULTS.values() if default.model == reading.model]
    for default in known:
        if default.text == reading.text:
            return {"layer": default.layer, "head": default.head, "token": default.query}
    if known:
        return {"layer": known[0].layer, "head": known[0].head, "token": None}
    return {"layer": reading.config.n_layers // 2, "head": 0, "token": None}


def look_for(reading: Reading) -> str:
    """What the telling head's row reads most, and what comes out: one sentence, out of this reading's own tensors."""
    place, last = home(reading), len(reading.ids) - 1
    layer, head, row = place["layer"], place["head"], last if place["token"] is None else place["token"]
    A = reading[f"layers.{layer}.attention.A"][0, head, row]  # [key]
    key = int(A.argmax())
    of = f"the row of {_quoted(reading.pieces[row])}"
    if key == row:
        reads = f"lets {of} read itself"
    elif key == 0 and reading.config.kind == "decoder":
        reads = f"lets {of} rest on the first token"
    else:
        reads = f"carries {_quoted(reading.pieces[key])} into {of}"
    ends = "one vector for each token comes out"
    if reading.config.head == "lm":
        arrays = summary(key_of(reading), reading)
        (best,) = models.vocabulary(reading, arrays["odds.ids"][last, :1].tolist())
        p = arrays["odds.probabilities"][TEMPERATURES.index(1.0), last, 0]
        ends = f"{_quoted(best)} comes out ({_percent(p)})" if row == last else (
            f"after the last row {_quoted(best)} is likeliest ({_percent(p)})"
        )  # fmt: skip
    return (
        f"Each row is a token on its way to the right: in layer {layer}, head {head} {reads} ({_percent(A[key])} of its "
        f"weight), and {ends}."
    )


def _quoted(piece: str) -> str:
    return f"“{inert(piece.strip() or piece.replace(' ', '·'))}”"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def view_of_url(reading: Reading) -> View:
    """The view that the link asks for; what it does not say is the default. layer None: no layer is open."""
    config, start, n = reading.config, home(reading), len(reading.ids)
    layer = url.url_state("layer", start["layer"], _layer, lambda i: i == CLOSED or 0 <= i < config.n_layers)
    last = n - 1 if start["token"] is None else start["token"]
    return {
        "layer": None if layer == CLOSED else layer,
        "head": url.url_state("head", start["head"], int, lambda h: 0 <= h < config.n_heads),
        "token": url.url_state("token", last, int, lambda i: 0 <= i < n),
        "temperature": url.url_state("temperature", 1.0, float, lambda T: 0 <= T <= TEMPERATURES[-1]),
        "map": url.url_state("show", SHOWN[0], str, lambda shown: shown in SHOWN),
        "big": url.url_state("grown", 0, int, lambda grown: grown in (0, 1)) == 1,
        "part": url.url_state("part", "", str, lambda part: part in LINES) or None,
        "tour": url.url_state("tour", 0, int, lambda step: 0 <= step <= TOUR) or None,
        "home": start,
        "untouched": not {"layer", "head", "token", "show", "grown", "part", "tour"} & set(st.query_params),
    }


def view_to_url(view: View, reading: Reading) -> None:
    """The learner settled on a view: the link follows. token None: the row that is shown by default."""
    start = home(reading)
    url.set_url_state("layer", "none" if view["layer"] is None else view["layer"], start["layer"])
    url.set_url_state("head", view["head"], start["head"])
    url.set_url_state("token", view["token"], None)
    url.set_url_state("temperature", view["temperature"], 1.0)
    url.set_url_state("show", view["map"], SHOWN[0])
    url.set_url_state("grown", int(view["big"]), 0)
    url.set_url_state("part", view["part"] or "", "")
    url.set_url_state("tour", view["tour"] or 0, 0)


def why_not_grow(reading: Reading) -> str:
    """The sentence that says why no token can be appended; "" where one can."""
    if reading.label == "recorded":
        return (f"This is a recorded run of one text. Fetch {reading.title} in the sidebar, or choose the tiny model, "
                "to let the text grow.")  # fmt: skip
    most = models.limit(reading.model, overview.RECORD)
    return f"The text has {most} tokens, and this page takes no more." if len(reading.ids) >= most else ""


def grown(text: str, token: int, tokenizer: Tokenizer) -> str:
    """The text with a token behind it. ValueError, one sentence, where the token is no text to go on from."""
    if not 0 <= token < tokenizer.vocab_size:
        raise ValueError("The model has no such token.")
    if token == tokenizer.end_id:
        raise ValueError("With that token the model ends its text; pick another one to go on.")
    added = tokenizer.decode([token])
    if "\ufffd" in added:
        raise ValueError("That token is only a part of a character, which no text field can hold; pick another one.")
    return text + added


def _layer(raw: str) -> int:
    return CLOSED if raw == "none" else int(raw)
