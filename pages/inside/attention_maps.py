"""Attention maps (A2): every head of the model on the learner's text, one of them large, and what a token reads."""

from collections.abc import Mapping

import numpy as np
import streamlit as st
import torch

from charts import attention_maps as charts
from pages.shared import url
from pages.shared.lesson import Lesson
from pages.shared.models import Reading
from transformer import analysis, masks
from transformer import scores as score_functions
from transformer.attention import masked_softmax
from transformer.recording import DEFAULTS, PRONOUN, REPEAT

EXAMPLES = {
    "a pronoun": PRONOUN,
    "a phrase that returns": "The keeper of the Vellmar clock was late. Nobody knew that the keeper of the Vellmar",
    "codes": "x1 q7 z3 k9 x1 q7 z3 k9 x1 q7",
    "nothing returns": "The quick brown fox jumps over the lazy dog",
}
RECORD = ("*.attention.A", "*.attention.Q", "*.attention.K", "*.attention.V")
FORMS, MEASURES, SCOPES = ("map", "lines"), ("weights", "values"), ("head", "average", "rollout")

# id -> its name, the short one, what its score is, the sentence under a head that has it, what the outlined cells are,
# and why it may be missing
WORDS = {
    "previous": ("previous token", "previous", "weight on the token just before",
                 "On this text {score} of its weight goes to the token just before.",
                 "the token before", "needs two tokens"),
    "first": ("first-token sink", "first", "weight on the very first token",
              "On this text {score} of its weight rests on the first token, mostly as a place to put what it has no "
              "use for.",
              "the first token", "needs two tokens"),
    "induction": ("induction", "induction", "weight on what followed the same token elsewhere, where a token repeats",
                  "Where a token came up before, {score} of its weight goes to what followed it then: A B … A → B.",
                  "what followed this token before", "no token of this text repeats"),
    "duplicate": ("duplicate token", "duplicate", "weight on the other places of the same token, where a token repeats",
                  "Where a token stands more than once, {score} of its weight goes to its twin.",
                  "the same token elsewhere", "no token of this text repeats"),
    "self": ("itself", "itself", "weight on the token itself",
             "On this text {score} of its weight stays on the token itself.", "the token itself", "needs two tokens"),
    "broad": ("broad", "broad", "entropy of its rows, as a share of an even spread",
              "Its rows are spread wide: {score} of the entropy of reading everything evenly.", "", "needs two tokens"),
}  # fmt: skip
FIELDS = ("name", "short", "about", "sentence", "aims", "missing")
STATE_WORDS = {
    "alone": "A single token has nothing to choose from: it reads itself with weight 1.",
    "none": "No pattern of the six reaches its mark on this text; what it reads may depend on meaning, or on several "
            "keys at once.",
    "average": "The mean over the layer's heads: what most of them agree on; a head that does one thing well drowns "
               "in it.",
    "rollout": "Averaged heads and the residual stream, multiplied up from layer 0: how much of each input token "
               "could have arrived here. A sink swallows it.",
}  # fmt: skip

FORMULAS = {
    "head": r"\attention{A}_{ij} = \frac{e^{\scores{S}_{ij}}}{\sum_{j'} e^{\scores{S}_{ij'}}}, \qquad "
            r"\scores{S}_{ij} = \frac{\query{q}_i \cdot \key{k}_j}{\sqrt{d_k}}, \qquad "
            r"\lVert \attention{A}_{ij}\, \value{v}_j \rVert = \attention{A}_{ij}\, \lVert \value{v}_j \rVert",
    "average": r"\attention{\bar A} = \frac1h \sum_{\text{heads}} \attention{A}",
    "rollout": r"\attention{R}_l = \attention{\tilde A}_l\, \attention{R}_{l-1}, \qquad "
               r"\attention{\tilde A}_l = \tfrac12 \attention{\bar A}_l + \tfrac12 I",
}  # fmt: skip
CHANGES = ("grows", "stays about the same", "shrinks")
INTERVIEW = (
    ("What is an induction head, and why can one layer alone not have it?",
     "A head that, at a token it has seen before, reads the token that came *after* that earlier copy: A B … A → B. "
     "Its key at B must therefore know that A stands before it, and a raw key only knows its own token. An earlier "
     "layer's previous-token head writes that into B's stream; the induction head's keys read it from there. Two "
     "heads in series, hence two layers."),
    ("A head gives the first token 95 % of its weight in every row. Does the model care so much about that token?",
     "Rarely. Softmax makes every row sum to 1, so a head with nothing to fetch needs somewhere to put its weight; "
     "the first token is visible to all, and its value is often short, so reading it adds little. It is a sink. "
     "Compare weights × ‖value‖, or better, switch the head off and see what the output does. Dropping the sink's "
     "keys from a cache, on the other hand, breaks many models."),
    ("What do rows and columns of an attention map sum to, and what is different in an encoder's map?",
     "Each row (one query) sums to 1; columns sum to anything, and a large column sum means a token that many read. "
     "In a decoder the upper triangle is masked: row i has i + 1 entries. An encoder has no causal mask, so both "
     "triangles are live, and every row has n entries."),
)  # fmt: skip
SOURCES = (
    "Vaswani et al. 2017, *Attention Is All You Need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*; Olsson et al. 2022, *In-context Learning "
    "and Induction Heads*, [arXiv:2209.11895](https://arxiv.org/abs/2209.11895)",
    "Clark et al. 2019, *What Does BERT Look At?*, [arXiv:1906.04341](https://arxiv.org/abs/1906.04341)",
    "Xiao et al. 2023, *Efficient Streaming Language Models with Attention Sinks*, "
    "[arXiv:2309.17453](https://arxiv.org/abs/2309.17453)",
    "Kobayashi et al. 2020, *Attention is Not Only a Weight*, [arXiv:2004.10102](https://arxiv.org/abs/2004.10102)",
    "Abnar & Zuidema 2020, *Quantifying Attention Flow in Transformers*, "
    "[arXiv:2005.00928](https://arxiv.org/abs/2005.00928)",
    "Jain & Wallace 2019, *Attention is not Explanation*, [arXiv:1902.10186](https://arxiv.org/abs/1902.10186), and "
    "the reply: Wiegreffe & Pinter 2019, *Attention is not not Explanation*, "
    "[arXiv:1908.04626](https://arxiv.org/abs/1908.04626)",
)  # fmt: skip

Study = Mapping[str, object]


@st.cache_data(max_entries=12, show_spinner=False)
def study(key: tuple, hide: tuple[str, ...], _reading: Reading) -> Study:
    """All that is measured once a text: patterns, labels, the mosaic, rollout, and the head worth looking at first."""
    config, ids = _reading.config, list(_reading.ids)
    A, V = stacked(_reading, "A"), stacked(_reading, "V")
    mask = visible(_reading)
    measured = analysis.pattern_scores(A, ids, mask)
    labels = analysis.label_heads(measured)
    targets = analysis.targets(ids)
    valued = analysis.value_weighted(A, V)
    shares = valued / valued.sum(-1, keepdim=True).clamp(min=1e-30)
    start = known(_reading) or telling(A, measured, labels, targets, mask)
    header = {
        "reading": repr(key), "start": start, "tokens": list(_reading.pieces), "causal": config.kind == "decoder",
        "factor": score_functions.scale(config),
        "divisor": f"/√{config.d_head}" if config.score == "scaled_dot" else "",
        "words": STATE_WORDS, "hide": hide,
        "patterns": [
            {"id": name, **dict(zip(FIELDS, WORDS[name])),
             "threshold": analysis.BROAD_THRESHOLD if name == "broad" else analysis.THRESHOLD}
            for name in analysis.PATTERNS
        ],
    }  # fmt: skip
    scores = torch.stack([measured[name] for name in analysis.PATTERNS]).numpy()
    return {
        "overview": charts.overview(
            header, A.numpy(), valued.numpy(), None if mask is None else mask.numpy(),
            [targets[name].numpy() for name in analysis.PATTERNS if name in targets], scores, labels.numpy(),
        ),
        "start": start, "scores": scores, "labels": labels.numpy(), "rollout": analysis.rollout(A).numpy(),
        "first_share": float(measured["first"].mean()),
        "first_share_valued": float(analysis.pattern_scores(shares, ids, mask)["first"].mean()),
    }  # fmt: skip


def stacked(reading: Reading, name: str) -> torch.Tensor:
    """One tensor of every layer: [layer, head, …]."""
    layers = range(reading.config.n_layers)
    return torch.from_numpy(np.stack([reading[f"layers.{i}.attention.{name}"][0] for i in layers]))


def visible(reading: Reading) -> torch.Tensor | None:
    """The mask of this text: bool [query, key], or None."""
    positions = torch.arange(len(reading.ids))[None]
    mask = masks.mask(reading.config, positions, positions)
    return None if mask is None else mask[0, 0]


def known(reading: Reading) -> dict | None:
    """The head and the pair that say the most about a text that was looked through beforehand."""
    for default in DEFAULTS.values():
        if (default.model, default.text) == (reading.model, reading.text):
            pin = f"{default.query}-{default.key}"
            return {"layer": default.layer, "head": default.head, "pin": pin, "tells": default.tells}
    return None


def telling(A: torch.Tensor, measured: dict, labels: torch.Tensor, targets: dict, mask: torch.Tensor | None) -> dict:
    """The head to show first: the purest of the rarest pattern that this text brings out, and its strongest pair."""
    for name in ("induction", "duplicate", "previous", "self", "first", "broad"):
        owners = labels == analysis.PATTERNS.index(name)
        if owners.any():
            best = int(measured[name].masked_fill(~owners, -1).argmax())
            break
    else:
        name, best = "broad", (labels.shape[0] // 2) * labels.shape[1]
    layer, head = divmod(best, labels.shape[1])
    weight = A[layer, head]  # [query, key]
    wanted = targets.get(name, torch.ones_like(weight, dtype=torch.bool))
    if mask is not None:
        wanted = wanted & mask
    if len(weight) > 1:
        wanted = wanted & (torch.arange(len(weight)) > 0)[:, None]  # the first row of a decoder has no choice
    pin = "none"
    if wanted.any():
        q, k = divmod(int(torch.where(wanted, weight, -1.0).argmax()), len(weight))
        pin = f"{q}-{k}"
    return {"layer": layer, "head": head, "pin": pin, "tells": ""}


def view_of(reading: Reading, start: Mapping) -> dict:
    """What the URL asks to look at, checked against the model and the text."""
    config, n = reading.config, len(reading.ids)
    mask = visible(reading)

    def pair(pin: str) -> bool:
        if pin == "none":
            return True
        parts = pin.split("-")
        if len(parts) != 2 or not all(part.isdecimal() and int(part) < n for part in parts):
            return False
        return mask is None or bool(mask[int(parts[0]), int(parts[1])])

    return {
        "layer": url.url_state("layer", start["layer"], int, lambda i: 0 <= i < config.n_layers),
        "head": url.url_state("head", start["head"], int, lambda i: 0 <= i < config.n_heads),
        "pin": url.url_state("pin", start["pin"], str, pair),
        "pattern": url.url_state("pattern", "", str, lambda name: name in analysis.PATTERNS),
        "form": url.url_state("form", FORMS[0], str, FORMS.__contains__),
        "measure": url.url_state("measure", MEASURES[0], str, MEASURES.__contains__),
        "scope": url.url_state("scope", SCOPES[0], str, SCOPES.__contains__),
    }


def follow(reading: Reading) -> None:
    """A pair belongs to its text, and a head to its model: what no longer fits leaves the URL. A text of this page's
    own is shown at the head that says the most about it."""
    seen = st.session_state.get("_maps_seen", (reading.model, reading.text))
    st.session_state["_maps_seen"] = (reading.model, reading.text)
    if seen == (reading.model, reading.text):
        return
    own = reading.text == REPEAT or reading.text in EXAMPLES.values()
    for name in ("layer", "head", "pattern", "pin") if own or seen[0] != reading.model else ("pin",):
        st.query_params.pop(name, None)


def keep(start: Mapping) -> None:
    """What the learner settled on in the browser goes into the URL."""
    view = st.session_state["maps"]["view"]
    defaults = {"layer": str(start["layer"]), "head": str(start["head"]), "pin": start["pin"], "pattern": "",
                "form": FORMS[0], "measure": MEASURES[0], "scope": SCOPES[0]}  # fmt: skip
    for name, default in defaults.items():
        url.set_url_state(name, str(view[name])[:16], default)


def numbers(pin: str, A: torch.Tensor, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor) -> str:
    """The formula with the numbers of the pinned pair; one head's A [query, key], Q, K, V [token, d_head]."""
    if pin == "none":
        return r"\text{Click a cell of the map, and its numbers stand here.}"
    i, j = map(int, pin.split("-"))
    factor = score_functions.scale(config)
    product, S = (float(analysis.score_terms(Q[i], K[j], by).sum()) for by in (1.0, factor))
    weight, norm = float(A[i, j]), float(V[j].norm())
    root = rf"\sqrt{{{config.d_head}}}" if config.score == "scaled_dot" else "1"
    return (
        rf"\scores{{S}}_{{{i},{j}}} = \frac{{{product:.4g}}}{{{root}}} = {S:.4g}, \qquad "
        rf"\attention{{A}}_{{{i},{j}}} = \frac{{e^{{{S:.4g}}}}}{{\sum_{{j'}} e^{{\scores{{S}}_{{{i},j'}}}}}} = "
        rf"{weight:.3g}, \qquad "
        rf"\attention{{A}}_{{{i},{j}}} \lVert \value{{v}}_{{{j}}} \rVert = "
        rf"{weight:.3g} \cdot {norm:.3g} = {weight * norm:.3g}"
    )


def changed(before: float, after: float) -> str:
    """What the first token's share does, in the words of the prediction."""
    if not before > 0 or 0.9 <= after / before <= 1.1:
        return CHANGES[1]
    return CHANGES[0] if after > before else CHANGES[2]


def snippet(reading: Reading, view: Mapping) -> str:
    """The numbers in view, without this page."""
    layer, head = view["layer"], view["head"]
    pair = "-1, 0" if view["pin"] == "none" else view["pin"].replace("-", ", ")
    mask = "torch.ones(len(ids), len(ids), dtype=torch.bool).tril()" if reading.config.kind == "decoder" else "None"
    fetch = "" if reading.model == "tiny" else f'  # once fetched: transformer.fetch("{reading.model}")'
    return f"""
import torch
import transformer
from transformer import analysis

model, tokenizer = transformer.load({reading.model!r}){fetch}
ids = tokenizer.encode({reading.text!r})
trace = model.run(ids, record="layers.{layer}.attention.*").trace
A, V = (trace[f"layers.{layer}.attention.{{name}}"][0] for name in "AV")  # [head, query, key], [kv_head, key, d_head]
mask = {mask}  # who may see whom
weight = A[{head}, {pair}]  # how much the pinned query reads the pinned key
valued = analysis.value_weighted(A, V)[{head}, {pair}]  # times the length of what it reads
scores = {{name: float(score[{head}]) for name, score in analysis.pattern_scores(A, ids, mask).items()}}
print(weight, valued, scores)
"""


lesson = Lesson("A2")
lesson.header(
    look_for="Each small square is one head reading your text. Many only rest on the first token; find the few that do "
             "something you can name."
)
text = lesson.text(REPEAT, EXAMPLES)
reading = lesson.read(text, RECORD)
follow(reading)
config, n = reading.config, len(reading.ids)
key = (reading.model, reading.label, reading.ids)
found = study(key, tuple(part for part in ("filters", "views", "details") if not lesson.shows(part)), reading)
start = found["start"]


@st.fragment
def picture() -> None:
    """All that follows what the learner looks at: it alone runs again when they settle on a head or a pair."""
    with st.container(key="gf-picture"):
        charts.maps()(key="maps", data=found["overview"], on_view_change=lambda: keep(start))
    view = view_of(reading, start)
    layer, head = view["layer"], view["head"]
    A, Q, K, V = (torch.from_numpy(np.array(reading[f"layers.{layer}.attention.{name}"][0])) for name in "AQKV")
    with st.container(key="gf-layer"):
        charts.layer_feed()(key="layer", data=charts.layer(
            {"reading": repr(key), "layer": layer}, A.numpy(), analysis.value_norms(V, config.n_heads).numpy(),
            Q.numpy(), K.numpy(), analysis.average(A).numpy(), analysis.average(analysis.value_weighted(A, V)).numpy(),
            found["rollout"][layer],
        ))  # fmt: skip
    h, h_kv, d = config.n_heads, config.n_kv_heads, config.d_head
    lesson.formula(
        FORMULAS[view["scope"]],
        [("Q", (f"head {h}", f"query {n}", d), "query"), ("K", (f"head {h_kv}", f"key {n}", d), "key"),
         ("V", (f"head {h_kv}", f"key {n}", d), "value"),
         (r"S,\, A", (f"head {h}", f"query {n}", f"key {n}"), "attention")],
        numbers=lambda: numbers(view["pin"], A[head], Q[head], K[head // (h // h_kv)], V[head // (h // h_kv)]),
    )  # fmt: skip
    share, valued = found["first_share"], found["first_share_valued"]
    lesson.prose(
        what=f"In every head a token asks with its \\query{{query}} and is found by its \\key{{key}}: the "
             f"\\scores{{score}} of a pair is their product, keys that a token may not see are masked, and each row is "
             f"turned into \\attention{{weights}} that sum to 1. **A row is what a token reads; a column is who reads "
             f"it.** {config.n_layers} layers of {h} heads do this side by side"
        + (f", and every {h // h_kv} query heads share one set of keys and values." if h_kv < h
           else ", each with its own keys and values."),
        why="Attention is the only place where tokens exchange anything, so what a model knows about your text as a "
            "whole went through these squares. Some heads have jobs one can measure: looking one back, finding an "
            "equal token, reading on after it. The last two together let a model continue a name that it has seen "
            "once.",
        catch="A bright cell is not an explanation. A weight says how much of a value is read, not how long that "
              "value is: switch to weights × ‖\\value{value}‖ and see what pales. Nor does a head matter because it "
              "looks tidy: only switching it off tests that. And a label holds for this text; on another the same "
              "head may do something else. Rollout shares the fault: it multiplies weights and knows no values.",
    )
    if n > 1:
        lesson.predict(
            "Many heads lean on the first token. If every weight is multiplied by the length of the value it carries, "
            "the share of the first token, over all heads and rows, …",
            CHANGES, changed(share, valued),
            f"It goes from {share:.1%} of the weights to {valued:.1%} of weights × ‖value‖. Switch between the two "
            "above the map: the mosaic follows. A head that has nothing to do must still spend a weight of 1 a row, "
            "and rests it where it does least.",
        )
    lesson.code(
        [masked_softmax, analysis.targets, analysis.pattern_scores, analysis.label_heads, analysis.value_weighted,
         analysis.average, analysis.rollout, analysis.score_terms],
        snippet(reading, view),
    )  # fmt: skip
    lesson.interview(INTERVIEW)
    lesson.sources(SOURCES)


picture()
lesson.downloads(
    table=charts.table(analysis.PATTERNS, found["scores"], found["labels"]),
    config={"model": reading.model, "text": reading.text, "ids": list(reading.ids), **config.to_dict()},
)
