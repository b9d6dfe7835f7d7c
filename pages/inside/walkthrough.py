"""Walkthrough (A1): the whole model in one picture, with the learner's own tensors in it."""

import numpy as np
import streamlit as st

from charts import component
from pages.inside import walk
from pages.shared import models
from pages.shared.lesson import Lesson
from transformer import attention, block, feedforward, overview, recording
from transformer.models import Model

TEXT = recording.CAPITAL
EXAMPLES = {
    "a capital": TEXT,
    "two capitals": "Paris is the capital of France. Rome is the capital of",
    "who is “it”?": recording.PRONOUN,
    "a name again": recording.REPEAT,
}
PARTS = ("trace", "layout", "pen", "paint", "inside", "words", "formula", "detail", "play", "tour", "controls",
         "walkthrough", "guide", "pointer", "leave")

lesson = Lesson("A1")
lesson.header()
text = lesson.text(TEXT, EXAMPLES)
reading = lesson.read(text, record=overview.RECORD)
lesson.look(walk.look_for(reading))
config, n = reading.config, len(reading.ids)


def view_changed() -> None:
    walk.view_to_url(st.session_state["walkthrough"]["view"], reading)


def append() -> None:
    """The chosen token joins the text; the rerun that follows reads it."""
    ready, token = models.loaded(reading.model), st.session_state["walkthrough"]["append"]
    if ready is None or reading.label == "recorded":
        return
    try:
        st.session_state["text"] = walk.grown(reading.text, int(token), ready[1])
    except ValueError as problem:
        st.session_state["_walkthrough_note"] = str(problem)


now = walk.view_of_url(reading)
if "walkthrough" not in st.session_state:  # the component is not on the page yet: this is the view that it starts with
    st.session_state["_walkthrough_view"] = now
# Later the browser holds the view. The message stays as it is, so that it is sent once; only the telling place moves.
view = st.session_state["_walkthrough_view"] | {"home": now["home"]}
here = now["home"]["layer"] if now["layer"] is None else now["layer"]
with st.container(key="gf-stage"), st.container(key="gf-picture"):
    component.declare("walkthrough", *(f"walkthrough/{part}.js" for part in PARTS))(
        key="walkthrough", data=walk.message(reading, view, walk.why_not_grow(reading), here),
        on_view_change=view_changed, on_append_change=append,
    )  # fmt: skip
    if note := st.session_state.pop("_walkthrough_note", ""):
        st.info(note, icon=":material/info:")

row, head = now["token"], now["head"]
arrays = walk.summary(walk.key_of(reading), reading)
length = {name.removeprefix("length."): array for name, array in arrays.items() if name.startswith("length.")}
decoder = config.head == "lm"
post = config.norm_place == "post"


def numbers() -> str:
    """The lengths of what one layer does to one row, and the choice at the end."""
    before = length["embed"][row] if here == 0 else length["resid_post"][here - 1, row]
    said = (
        rf"\text{{layer {here}, row {row}:}}\quad \|\residual{{x}}\| = {before:.4g}\qquad"
        rf"\|\attention{{\Delta x_{{\text{{att}}}}}}\| = {length['attention.out'][here, row]:.4g}\qquad"
        rf"\|\ffn{{\Delta x_{{\text{{ffn}}}}}}\| = {length['ffn.out'][here, row]:.4g}\qquad"
        rf"\|\residual{{x''}}\| = {length['resid_post'][here, row]:.4g}"
    )
    if not decoder:
        return said
    at_one = arrays["odds.probabilities"][walk.TEMPERATURES.index(1.0), row, 0]
    logit = arrays["odds.logits"][row, 0]
    return said + rf"\qquad \output{{\ell_{{\max}}}} = {logit:.4g}\qquad \output{{p}} = {at_one:.3g}"


att, ffn = r"\attention{\operatorname{Att}}", r"\ffn{\operatorname{FFN}}"
stream = (
    rf"\residual{{x'}} = \operatorname{{norm}}(\residual{{x}} + {att}(\residual{{x}}))\qquad"
    rf"\residual{{x''}} = \operatorname{{norm}}(\residual{{x'}} + {ffn}(\residual{{x'}}))"
    if post
    else rf"\residual{{x'}} = \residual{{x}} + {att}(\operatorname{{norm}}(\residual{{x}}))\qquad"
    rf"\residual{{x''}} = \residual{{x'}} + {ffn}(\operatorname{{norm}}(\residual{{x'}}))"
)
choice = r"\qquad \output{p} = \operatorname{softmax}(W_U \operatorname{norm}(\residual{x''}) / T)" if decoder else ""
lesson.formula(
    stream + choice,
    shapes=[
        ("X", [f"token {n}", f"model {config.d_model}"], "residual"),
        ("Q", [f"head {config.n_heads}", f"query {n}", config.d_head], "query"),
        ("K, V", [f"kv_head {config.n_kv_heads}", f"key {n}", config.d_head], "key"),
        ("A", [f"head {config.n_heads}", f"query {n}", f"key {n}"], "attention"),
        ("a", [f"token {n}", f"ff {config.d_ff}"], "ffn"),
        *([("p", [f"token {n}", f"vocab {config.vocab_size}"], "output")] if decoder else []),
    ],
    numbers=numbers,
)

ending = (
    f"After {config.n_layers} layers the last norm and one multiplication with the vocabulary's vectors turn each row into "
    "odds for the token that follows it."
    if decoder
    else f"After {config.n_layers} layers each row is a vector of its token in this context; their mean stands for the sentence."
)
lesson.prose(
    what=f"Every token becomes a vector of {config.d_model} numbers, the \\residual{{residual stream}}, and keeps it to the "
    "end. A layer reads the stream, works out something to add, and adds it, twice: \\attention{attention} fetches from "
    "other rows, the \\ffn{FFN} transforms each row alone. Nothing is replaced, and no row ever changes place. " + ending,
    why="Only attention moves information between rows, so whatever the last row knows about the text, some head carried "
    "there; look for the thick green curve. The FFNs hold most of a layer's weights. And because every write is a plain "
    "addition, each one can be measured, traced and switched off on its own, which is what the other lessons do.",
    catch="A tall bar is a long vector, not an important one. In SmolLM2 the longest writes of all go into the "
    "**first** token, hundreds of times the usual length; later layers take them out again. They make that token a "
    "resting place for heads that have nothing to fetch, and they say nothing about its meaning.",
)

writes = np.stack([length["attention.out"], length["ffn.out"]])  # [sublayer, layer, token]
kind, deep, longest = np.unravel_index(writes.argmax(), writes.shape)
WHERE = ("the first token's", "the last token's", "some row between")
answer = WHERE[0] if longest == 0 else WHERE[1] if longest == n - 1 else WHERE[2]
typical = float(np.median(writes))


def reveal() -> None:
    st.markdown(
        f"The {('attention', 'FFN')[kind]} of layer {deep} writes a vector of length {writes.max():.4g} into row "
        f"{longest}. The middle one of all {writes.size} writes has {typical:.3g}."
    )
    st.dataframe(
        {"row": range(n), "token": reading.pieces, "longest write": writes.max((0, 1)).round(1),
         "median write": np.median(writes, (0, 1)).round(1)},
        hide_index=True, width="content",
    )  # fmt: skip


lesson.predict(
    f"{2 * config.n_layers} times something is added to every row: by attention and by the FFN of each layer. Into "
    "whose row goes the longest single vector?",
    WHERE, answer, reveal,
)

snippet = f"""
import transformer

model, tokenizer = transformer.load({reading.model!r})
ids = tokenizer.encode({reading.text!r})
run = model.run(ids, record=("*.attention.A", "*.attention.out", "*.ffn.out"{', "logits"' if decoder else ""}))

weights = run.trace["layers.{here}.attention.A"][0, {head}]  # [query, key]
print(weights[{row}])  # what token {row} reads in layer {here}, head {head}
written = run.trace["layers.{here}.attention.out"][0].norm(dim=-1), run.trace["layers.{here}.ffn.out"][0].norm(dim=-1)
print(written)  # by attention and by the FFN, one length a token
"""
snippet += f"""
p = run.trace["logits"][0, {row}].softmax(-1)
for share, token in zip(*p.topk(5)):
    print(tokenizer.pieces([int(token)])[0], round(float(share), 4))
""" if decoder else """
vectors = run.output[0]  # [token, model]
"""
lesson.code(
    [block.Block.forward, attention.Attention.forward, attention.Attention.read, feedforward.FeedForward.forward,
     Model._read, overview.overview],
    snippet,
)  # fmt: skip

lesson.interview([
    ("What is the residual stream, and why does it matter?",
     "One vector a token that runs from the embedding to the head. Each sublayer reads it and adds to it, so the "
     "final vector is the embedding plus the sum of all writes (exactly so with pre-norm). That gives gradients a "
     "straight path, lets layers pass information past those that do not need it, and makes single contributions "
     "measurable."),
    ("Where do tokens exchange information?",
     "Only in attention: row i of $\\attention{A}$ weighs the values of the keys it may see. Norms, FFN and head work "
     "on each position alone, with the same weights everywhere; without attention a Transformer would be a bag of "
     "separate tokens."),
    ("A prompt of n tokens gives n rows of logits. Why are all of them right, and which one do you use?",
     "The causal mask keeps row i from seeing anything after i, so each row is a prediction of token i + 1 from what "
     "stands before. In training all n rows are scored at once; to go on writing only the last row is used, and its "
     "keys and values join the cache."),
])  # fmt: skip

lesson.sources([
    "Vaswani et al. 2017, *Attention Is All You Need*, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Elhage et al. 2021, *A Mathematical Framework for Transformer Circuits*: the residual stream as a channel that "
    "layers write to, [transformer-circuits.pub](https://transformer-circuits.pub/2021/framework/index.html)",
    "Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*: pre-norm and post-norm, "
    "[arXiv:2002.04745](https://arxiv.org/abs/2002.04745)",
    "Sun et al. 2024, *Massive Activations in Large Language Models*, "
    "[arXiv:2402.17762](https://arxiv.org/abs/2402.17762); Xiao et al. 2023, *Efficient Streaming Language Models "
    "with Attention Sinks*, [arXiv:2309.17453](https://arxiv.org/abs/2309.17453)",
    "SmolLM2-135M: Allal et al. 2025, [arXiv:2502.02737](https://arxiv.org/abs/2502.02737), weights Apache-2.0; "
    "MiniLM: Wang et al. 2020, [arXiv:2002.10957](https://arxiv.org/abs/2002.10957), weights Apache-2.0",
])  # fmt: skip


def table() -> dict[str, object]:
    """The profile: one line a layer and token."""
    layers, rows = np.divmod(np.arange(config.n_layers * n), n)
    return {
        "layer": layers, "row": rows, "token": [reading.pieces[i] for i in rows],
        "attention_write": length["attention.out"].ravel(), "ffn_write": length["ffn.out"].ravel(),
        "stream_after": length["resid_post"].ravel(),
    }  # fmt: skip


here_now = {"model": reading.model, "text": reading.text, "layer": here, "head": head, "token": row}
lesson.downloads(table=table, config=here_now | {"config": config.to_dict()})
