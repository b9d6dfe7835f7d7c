"""Next token: from logits to a choice, and from one choice to a text."""

from dataclasses import asdict

import streamlit as st
import torch

from charts import next_token
from pages.inside import writing
from pages.shared import held, models
from pages.shared.lesson import Lesson
from transformer import sampling
from transformer.generate import generate
from transformer.prefix import PrefixCache

TEXT = "Two plus two equals"
EXAMPLES = {
    "unsure": TEXT,
    "sure": "Water boils at 100 degrees",
    "knows the start": "Roses are red, violets are",
    "wide open": "Once upon a time, there was a",
    "code": "def is_even(n):\n    return n",
}

# Seed 9 draws “ Celsius (212 degrees Fahrenheit)”, greedy takes “ Celsius, which is approximately 21”.
LIKELIER = "?text=Water+boils+at+100+degrees&temperature=0.7&greedy=1&written=20590.365.34.33.34.5027.21391.25"

lesson = Lesson("A3")
lesson.header(
    look_for="Drag the temperature: every bar moves, and no two ever change places."
)
asked = models.decoder()
if asked != models.chosen():
    st.info(
        f"{models.TITLES[models.chosen()]} is an encoder: each token sees the later ones too, so it has no next token. "
        f"{models.TITLES[asked]} writes here.",
        icon=":material/info:",
    )
text = lesson.text(TEXT, EXAMPLES)
reading = lesson.read(text, record=("logits",), name=asked)
live = reading.model == asked and reading.label != "recorded"
writer = writing.writer(reading.model) if live else None

# What was written belongs to one text and one model: with another, the page starts afresh.
subject = (asked, reading.text)
if st.session_state.setdefault("_written_behind", subject) != subject:
    st.session_state["_written_behind"] = subject
    for key in ("written", "step"):
        st.query_params.pop(key, None)

vocab = reading.config.vocab_size
state = writing.from_url(vocab)
if not live:
    state = writing.State((), state.settings, state.seed)
prompt = reading.ids
ids = state.ids[: state.at]
logits = writer.logits(prompt, ids) if live else torch.tensor(reading["logits"][0, -1])
order = next_token.by_rank(logits.numpy())
named = order[: next_token.NAMED].tolist()
names = [writer.piece(i) for i in named] if live else models.vocabulary(reading, named)


def acted() -> None:
    """A button, a bar or a slider of the component: the new state goes into the URL, and the page follows from it."""
    action = st.session_state["next_token"].get("act")
    if isinstance(action, dict):
        after = writing.act(writing.from_url(vocab), action, prompt, writer)
        held.reported("next_token", after.settings)
        writing.to_url(after)


shown, epoch = held.to_send("next_token", state.settings)
why_not = ""
if not live:
    why_not = (
        "A recorded step: the bars are real and every slider works. Writing on needs the model itself, which the "
        "sidebar fetches."
        if reading.label == "recorded"
        else f"The tiny model reads this text until {models.TITLES[asked]} is here; choose it in the sidebar to write "
        "with it."
    )
ended = ""
if live and writer.ended(state.ids):
    ended = f"Here the model ended its text: it wrote {writer.piece(writer.end_id)}."
elif live and len(state.written) >= writer.room(prompt):
    ended = f"{len(state.written)} tokens are written, and that is all this page takes. Undo or restart."

facts = writing.tokens(writer, prompt, state.written) if live else []
greedy = None
if live and state.greedy:
    best = writer.continuation(prompt, writing.Settings(temperature=0.0), 0, len(facts))
    greedy = writing.tokens(writer, prompt, [(token, False) for token in best])

with st.container(key="gf-stage"):
    next_token.mount(
        key="next_token",
        data=next_token.message(
            logits.numpy(), order, names, next_token.Tape(reading.pieces, facts, state.at, greedy),
            next_token.Limits(live, why_not, ended), u=writing.roll(state.seed, state.at), seed=state.seed,
            settings=asdict(shown), epoch=epoch,
        ),
        on_act_change=acted,
    )  # fmt: skip

settings = asdict(state.settings)
q = sampling.probabilities(logits, **settings)


def numbers() -> str:
    """The formula for the most probable token, with what stands on the page put in."""
    T, ranked = state.settings.temperature, logits[order[:1].tolist()].item()
    if T == 0:
        return rf"T = 0:\quad q_1 = 1,\ \text{{the largest logit, }} \output{{{ranked:.2f}}}"
    p = sampling.tempered(logits, T)
    total, kept = 1 / p.max().item(), int((q > 0).sum())
    held = p[q > 0].sum().item()
    return (
        rf"p_1 = \frac{{e^{{(\output{{{ranked:.2f}}} - \output{{{ranked:.2f}}}) / {T:g}}}}}{{{total:.4g}}} = "
        rf"{p.max():.4f}"
        rf"\qquad q_1 = \frac{{{p.max():.4f}}}{{{held:.4f}}} = {q.max():.4f}\quad\text{{over }} {kept}\text{{ kept}}"
    )


lesson.formula(
    r"\output{p_i} = \frac{e^{\output{\ell_i} / T}}{\sum_{j=1}^{|V|} e^{\output{\ell_j} / T}}"
    r"\qquad q_i = \frac{p_i\,[i \in \text{kept}]}{\sum_{j \in \text{kept}} p_j}"
    r"\qquad H = -\sum_i q_i \log_2 q_i",
    shapes=[
        (r"\ell", [vocab], "output"), ("p", [vocab], "output"),
        ("q", [f"{int((q > 0).sum())} kept of {vocab}"], "output"),
    ],  # fmt: skip
    numbers=numbers,
)

lesson.prose(
    what="At its last position the model scores every entry of its vocabulary: the logits $\\output{\\ell}$. Dividing "
    "them by "
    "$T$ and taking the softmax makes shares of 1. Then, in this order, **top-k** keeps the $k$ most probable, "
    "**top-p** the "
    "fewest that hold $p$ of what is left, **min-p** those with at least that fraction of the largest. What stays is "
    "scaled "
    "back to 1 and laid end to end on a ruler; the die $u$ falls somewhere on it. The chosen token joins the text, "
    "and only "
    "its keys and values are new: the cache holds the rest.",
    why="The model is the same in all of these; only the way of choosing changes, and with it whether the text is "
    "dull, "
    "lively or broken. Long tails are the reason to cut: at $T = 2$ tens of thousands of entries, each next to "
    "impossible, "
    "together hold much of the ruler. A fixed $k$ keeps too many where the model is sure and too few where it is open; "
    "top-p and min-p follow the model's own certainty.",
    catch="Temperature never changes the order, so it can't make a wrong favourite right: after “Two plus two equals” "
    "this "
    "small model prefers “five”, cold or hot. And greedy is not the most probable **text**: the best token at every "
    "step can walk "
    f"past a likelier sentence. [After “Water boils at 100 degrees”]({LIKELIER}) eight tokens drawn at $T = 0.7$ cost "
    f"SmolLM2 6.7 "
    "bits, the eight that greedy takes 9.0.",
)

ranked = logits[torch.from_numpy(order)]  # heat keeps the order, so one sort serves every temperature
nucleus = [int(sampling.cuts(sampling.tempered(ranked, T), top_p=0.9).kept) for T in (1.0, 2.0)]
GROWTH = (
    "fewer than before", "as many, the order did not change", "up to ten times as many", "more than ten times as many",
)  # fmt: skip
grown = nucleus[1] / nucleus[0]
lesson.predict(
    "With top-p = 0.9, you raise the temperature from 1 to 2. How many tokens does the nucleus keep now?",
    GROWTH,
    GROWTH[0 if grown < 1 else 1 if grown == 1 else 2 if grown <= 10 else 3],
    f"At $T = 1$ it keeps {nucleus[0]:,} of {vocab:,} tokens, at $T = 2$ {nucleus[1]:,}: the tail is long, and heat "
    f"pours "
    "probability into it. Set top-p to 0.9 and drag the temperature to see the dashed line on the curve run to the "
    "right.",
)

snippet = f"""
import transformer
from transformer import sampling
from transformer.prefix import PrefixCache

model, tokenizer = transformer.load({reading.model!r})
prompt = tokenizer.encode({reading.text!r})
written = {list(ids)}                                     # what stands behind the prompt at this step
logits = PrefixCache(model).logits(prompt, written)      # [{vocab}]
q = sampling.probabilities(logits, {", ".join(f"{name}={value!r}" for name, value in settings.items())})
for i in q.argsort(descending=True)[:5].tolist():
    print(repr(tokenizer.pieces([i])[0]), round(q[i].item(), 4))
u = sampling.dice(seed={state.seed}, n={state.at + 1})[{state.at}]           # this step's roll
print("drawn:", repr(tokenizer.pieces([int(sampling.pick(q, u))])[0]))
"""
lesson.code([sampling.probabilities, sampling.tempered, sampling.cuts, sampling.pick, PrefixCache, generate], snippet)

lesson.interview([
    ("What does temperature do, and what can it not do?",
     "It divides the logits before the softmax: the ratio of two probabilities, $e^{(\\ell_a-\\ell_b)/T}$, is raised "
     "to the "
     "power $1/T$. $T \\to 0$ is argmax, $T \\to \\infty$ uniform. It never changes the order, and so never which "
     "token is the "
     "most probable."),
    ("Top-k, top-p or min-p: when does each fail?",
     "Top-k ignores how sure the model is: with $k = 50$ it keeps 49 bad entries after “New York C”, and cuts good "
     "ones at the "
     "start of a story. Top-p follows the mass, but at high temperature the nucleus swells with tail entries. Min-p "
     "ties the "
     "threshold to the largest probability, which stays sensible when it is hot; when nothing stands out it cuts "
     "little."),
    ("Why is generation with a KV cache the same as without, and what does it save?",
     "In a causal model earlier positions never see later ones, so their keys and values do not change when a token "
     "is added. "
     "Each step computes one new query, key and value per layer instead of all $n$; attention costs $O(n)$ a step "
     "rather than "
     "$O(n^2)$, for $2 \\cdot n \\cdot h_{kv} \\cdot d_k$ numbers of memory a layer."),
])  # fmt: skip
lesson.sources([
    "Holtzman et al. 2020, *The Curious Case of Neural Text Degeneration* (top-p), "
    "[arXiv:1904.09751](https://arxiv.org/abs/1904.09751)",
    "Fan et al. 2018, *Hierarchical Neural Story Generation* (top-k), "
    "[arXiv:1805.04833](https://arxiv.org/abs/1805.04833)",
    "Nguyen et al. 2024, *Turning Up the Heat: Min-p Sampling*, [arXiv:2407.01082](https://arxiv.org/abs/2407.01082)",
    "Ackley, Hinton, Sejnowski 1985, *A Learning Algorithm for Boltzmann Machines* (temperature in a softmax)",
])  # fmt: skip
lesson.downloads(config={"model": reading.model, "text": reading.text, "written": list(state.ids), "step": state.at,
                         "seed": state.seed, **settings})
