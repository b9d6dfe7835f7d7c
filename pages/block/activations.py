"""Activations: the curve that every neuron goes through, over the neurons that really go through it."""

import streamlit as st
import torch

from charts import activations, curves
from pages.shared import url
from pages.shared.lesson import Lesson
from transformer.feedforward import (
    ACTIVATIONS, FeedForward, census, derivative, gelu_gap, histogram, let_through, loudest, share_below,
)  # fmt: skip
from transformer.recording import CAPITAL

EXAMPLES = {
    "a fact": CAPITAL,
    "story": "Once upon a time, there was a little girl who lived in a",
    "code": "for i in range(10):\n    print(i)",
    "noise": "xq zzv kkj wpt qqx vbn",
}
VIEWS = CURVES, AFTER, NEURONS = "The curves", "What they leave", "Single neurons"
BY_TITLE = {title: name for name, title in activations.TITLES.items()}
CURSOR = -1.28  # where SiLU is at its lowest
STEP = {2: 0.01, 3: 0.01, 4: 0.01, 8: 0.02, 16: 0.04}  # how far the u axis reaches -> between points
WORDS = 16  # columns of the strips
LATEX = {  # a line each, so that a phone has room
    "relu": (r"\operatorname{ReLU}(u) = \max(0, u)", r"\sigma'(u) = [u > 0]"),
    "gelu": (r"\operatorname{GELU}(u) = u\,\Phi(u)", r"\sigma'(u) = \Phi(u) + u\,\varphi(u)"),
    "gelu_tanh": (
        r"\operatorname{GELU}_{\tanh}(u) = \tfrac12 u\,(1 + t)",
        r"v = \sqrt{2/\pi}\,(u + 0.044715\,u^3),\quad t = \tanh v",
        r"\sigma'(u) = \tfrac12 (1 + t) + \tfrac12 u\,(1 - t^2)\,v'",
    ),
    "silu": (r"\operatorname{SiLU}(u) = u\,s(u),\quad s(u) = \frac{1}{1 + e^{-u}}", r"\sigma'(u) = s\,(1 + u\,(1 - s))"),
}


def keep_cursor() -> None:
    at = st.session_state["curves"].get("cursor")
    if isinstance(at, int | float):
        url.set_url_state("u", round(float(at), 2), CURSOR)


def keep_valid(key: str, options: list) -> None:
    """Another model or text has other layers and words: a choice that it lacks falls back to the default."""
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]


lesson = Lesson("D4")
lesson.header(
    look_for="Nearly all real neurons sit in the short bend around 0, just where the curves differ: ReLU cuts the left "
    "half off, GELU and SiLU only turn it down."
)
text = lesson.text(CAPITAL, EXAMPLES)
reading = lesson.read(text, record=("layers.*.ffn.[gp]*",))  # gate (where there is one), pre and post
config, own, n = reading.config, reading.config.activation, len(reading.ids)
part, symbol = ("gate", "g") if config.gated else ("pre", "u")
layers = [i for i in range(config.n_layers) if f"layers.{i}.ffn.{part}" in reading.arrays]

view = st.segmented_control("Picture", VIEWS, default=CURVES, required=True, key="view", bind="query-params",
                            label_visibility="collapsed", width="stretch")  # fmt: skip
picture, controls = lesson.stage(0.3)
with controls:
    layer, chosen = layers[0], own
    if len(layers) > 1:
        keep_valid("layer", layers)
        telling = min(layers, key=lambda i: abs(i - config.n_layers // 6))  # early layers keep most neurons low
        layer = st.select_slider("Layer whose neurons are shown", layers, telling, key="layer", bind="query-params")
    if view != NEURONS:
        title = st.radio(
            "Push them through", list(BY_TITLE), list(BY_TITLE.values()).index(own), key="activation", bind="query-params",
            captions=["this model's own" if name == own else "" for name in BY_TITLE.values()],
        )
        chosen = BY_TITLE[title]

u = torch.tensor(reading[f"layers.{layer}.ffn.{part}"][0])  # [token, ff]
counted = {name: census(name, u) for name in ACTIVATIONS}
figure, table, numbers = None, None, None
if view == CURVES:
    with controls:
        reach = st.select_slider("The u axis reaches to ±", list(STEP), 3, key="reach", bind="query-params")
        magnify = st.toggle("Magnify exact − tanh GELU", key="gap", bind="query-params")
    cursor = url.url_state("u", CURSOR, float, lambda v: -16 <= v <= 16)
    grid = torch.linspace(-reach, reach, round(2 * reach / STEP[reach]) + 1, dtype=torch.float64)
    values = {name: sigma(grid) for name, sigma in ACTIVATIONS.items()}
    slopes = {name: derivative(name, grid) for name in ACTIVATIONS}
    passed = {name: let_through(name, grid) for name in ACTIVATIONS}
    edges, share = histogram(u, -reach, reach, 96)
    with picture:
        curves.mount(
            key="curves", on_cursor_change=keep_cursor,
            data=activations.over_neurons(
                grid.numpy(), values, slopes, passed, chosen, edges.numpy(), share.numpy(), share_below(u, grid).numpy(),
                neurons=f"the {u.numel():,} {'gates' if config.gated else 'neurons'} of layer {layer}",
                zeros={name: c.zero for name, c in counted.items()}, flat={name: c.asleep for name, c in counted.items()},
                outside=max(0.0, 1 - share.sum().item()), cursor=cursor, gap=gelu_gap(grid).numpy() if magnify else None,
            ),
        )  # fmt: skip
    table = {"u": grid} | values | {f"{name} slope": slope for name, slope in slopes.items()}
    at = torch.tensor(cursor, dtype=torch.float64)
    numbers = (
        rf"\sigma({cursor:.2f}) = {cursor:.2f} \times {let_through(chosen, at):.4f} = \ffn{{{ACTIVATIONS[chosen](at):.4f}}}"
        rf"\qquad \sigma'({cursor:.2f}) = {derivative(chosen, at):.4f}"
    )
elif view == AFTER:
    most = min(4.0, max(1.0, round(u.abs().quantile(0.99).item() * 2) / 2))
    after = {name: sigma(u) for name, sigma in ACTIVATIONS.items()}
    spread = {name: histogram(a[a != 0], -0.4, most, 110) for name, a in after.items()}
    edges = spread["silu"][0].numpy()
    shares = {name: (share * (1 - counted[name].zero)).numpy() for name, (_, share) in spread.items()}
    with picture:
        curves.mount(
            key="curves",
            data=activations.after(edges, shares, {name: c.zero for name, c in counted.items()},
                                   {name: c.negative for name, c in counted.items()}, chosen),
        )  # fmt: skip
    table = {"from": edges[:-1], "to": edges[1:]} | shares
else:
    post = torch.tensor(reading[f"layers.{layer}.ffn.post"][0])  # [token, ff]
    words = list(range(max(0, n - WORDS), n))
    with controls:
        names = [f"{i} {reading.pieces[i].strip() or '␣'}" for i in words]
        keep_valid("word", names)
        word = st.selectbox("Loudest neurons at the word", names, n - 1 - words[0], key="word", bind="query-params")
    ids = loudest(post[None, words[names.index(word)]], 5)
    if config.gated:
        ups = torch.tensor(reading[f"layers.{layer}.ffn.pre"][0])
        parts = {f"{activations.TITLES[own]}(g)": ACTIVATIONS[own](u), "u": ups, "a": post}
    else:
        parts = {"u": u, f"{activations.TITLES[own]}(u)/u": let_through(own, u), "a": post}
    cells = {key: value[words][:, ids].numpy() for key, value in parts.items()}
    figure = activations.strips(names, ids.tolist(), cells, lesson.palette)
    with picture:
        lesson.chart(figure, "strips", alt_text=f"Five neurons of layer {layer} over the words of the text")
    table = {"token": [i for i in words for _ in ids], "neuron": ids.tolist() * len(words)}
    table |= {key: value.flatten() for key, value in cells.items()}

with controls:
    if view == CURVES:
        st.caption(
            "“passes” is σ(u)/u, the share of u that gets through. “made 0” and “slope ≈ 0” (below 0.01, so hardly any "
            "gradient comes back) count this layer's real neurons."
        )
    elif view == AFTER:
        st.caption("The share of the neurons in each bin. The one tall bar is what is exactly 0. The scale is logarithmic: each grid "
            "line is ten times the one below.")
    elif config.gated:
        st.caption("The gate decides, word by word, how much of u passes. Hover a cell for the product.")
    else:
        st.caption("This model has no gate: each neuron passes the share of itself that the curve lets through.")

if view == NEURONS and config.gated:
    lesson.formula(
        rf"\begin{{gathered}}\ffn{{a}} = \operatorname{{{activations.TITLES[own]}}}(\ffn{{g}}) \odot \ffn{{u}}\\[.5em]"
        r"\ffn{g} = \residual{\hat{x}'} W_g,\quad \ffn{u} = \residual{\hat{x}'} W_1\end{gathered}",
        shapes=[(r"\hat{x}'", (f"token {n}", f"model {config.d_model}"), "residual"),
                ("g", (f"token {n}", f"ff {config.d_ff}"), "ffn"), ("u", (f"token {n}", f"ff {config.d_ff}"), "ffn"),
                ("W_g", (config.d_model, config.d_ff), "output"), ("a", (f"token {n}", f"ff {config.d_ff}"), "ffn")],
    )  # fmt: skip
else:
    lesson.formula(
        r"\begin{gathered}" + r"\\[.5em]".join(LATEX[chosen]) + r"\end{gathered}",
        shapes=[(symbol, (f"token {n}", f"ff {config.d_ff}"), "ffn"),
                (rf"\sigma({symbol})", (f"token {n}", f"ff {config.d_ff}"), "ffn")],
        numbers=numbers,
    )  # fmt: skip

relu, mine = counted["relu"], counted[own]
lesson.prose(
    what="Every neuron of the FFN is one number per word, $u$. The activation is $u$ times a gate that $u$ opens itself: ReLU's "
    "gate is shut or open, GELU's is $\\Phi(u)$, SiLU's is sigmoid$(u)$, and both slide. Without it the two matrices around "
    "would collapse into one."
    + (" Here the curve does not even act on the neuron: it opens a gate $\\ffn{g}$, and a second number $\\ffn{u}$ goes "
       "through it (SwiGLU)." if config.gated else ""),
    why=f"In layer {layer}, {relu.zero:.0%} of these neurons lie below 0. ReLU would make each of them exactly 0 and send no "
    f"gradient back through it. {activations.TITLES[own]} is nearly flat for {mine.asleep:.1%} of them only, "
    "so nearly all can still learn from this text. Smooth curves train a little better; ReLU's true zeros, in return, "
    "need not be computed at all.",
    catch="“GELU and SiLU give sparse activations” is not true in the sense of ReLU: they are never 0 except at $u = 0$. The zeros "
    f"that float32 shows for GELU here ({counted['gelu'].zero:.2%}) are rounding, far out on the left. And the two GELUs in "
    "checkpoints are different functions: BERT uses the exact one, GPT-2 the tanh form. They differ by less than 5·10⁻⁴, "
    "which is harmless for the text and fatal for a test that compares at 10⁻⁵.",
)
lesson.predict(
    f"In layer {layer} of this model, {relu.negative + relu.zero:.0%} of the neurons are not positive. How many of them would "
    "GELU set to exactly 0?",
    ["All of them, like ReLU", "About half of them", "None, but for rounding in the last bits"],
    "None, but for rounding in the last bits",
    f"ReLU: {relu.zero:.2%} exactly 0. GELU: {counted['gelu'].zero:.2%}, and those only because $1 + \\mathrm{{erf}}$ rounds to 0 in "
    f"float32 below about −5.5. SiLU: {counted['silu'].zero:.2%}. Look at “{AFTER}”: the black bar is there for ReLU alone.",
)
lesson.code(
    [FeedForward.forward, let_through, derivative, gelu_gap, census],
    f"""
    import torch, transformer
    from transformer.feedforward import ACTIVATIONS, census, derivative

    model, tokenizer = transformer.load({reading.model!r})
    ids = tokenizer.encode({reading.text!r})
    name = "layers.{layer}.ffn.{part}"
    u = model.run(ids, record=name).trace[name][0]  # [token, ff], before the activation

    for activation in ACTIVATIONS:
        print(activation, census(activation, u))

    at = torch.tensor(-1.28, dtype=torch.float64)
    print(ACTIVATIONS[{chosen!r}](at), derivative({chosen!r}, at))
    """,
)
lesson.interview([
    ("Why do Transformers use GELU or SiLU and not ReLU?",
     "They are smooth, and they let some gradient through for negative inputs, so a neuron that is pushed below 0 can come back. "
     "ReLU's slope there is exactly 0: if that happens on all data, the neuron is dead. The gain in loss is small but steady, and "
     "the cost is small beside the matrix products. ReLU has a virtue of its own: its zeros are exact and can be skipped."),
    ("What does a gated FFN (SwiGLU) change, and what does it cost?",
     "One more matrix: $(\\mathrm{SiLU}(xW_g) \\odot xW_1)W_2$. The gate decides by content, word by word, how much of a second "
     "linear reading passes. To keep the number of parameters, $d_{ff}$ is cut to two thirds: $\\tfrac23 \\cdot 4d = \\tfrac83 d$. "
     "SmolLM2 does exactly this: $d = 576$, $d_{ff} = 1536$."),
    ("Exact or tanh GELU: does it matter which one you load a checkpoint with?",
     "They differ by less than 5·10⁻⁴ for any input, so text hardly changes. But errors of that size add up over layers and break "
     "any comparison at 10⁻⁵, so a port of GPT-2 (tanh) or BERT (exact) must use the right one."),
])  # fmt: skip
lesson.sources([
    "Hendrycks & Gimpel 2016, [Gaussian Error Linear Units](https://arxiv.org/abs/1606.08415): GELU and its tanh form; SiLU too.",
    "Shazeer 2020, [GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202): GEGLU, SwiGLU, the two-thirds rule.",
    "Ramachandran, Zoph & Le 2017, [Searching for Activation Functions](https://arxiv.org/abs/1710.05941): SiLU as “Swish”.",
    "Nair & Hinton 2010, [Rectified Linear Units](https://icml.cc/Conferences/2010/papers/432.pdf).",
])  # fmt: skip
lesson.downloads(figure, table, config={"model": reading.model, "text": reading.text, "layer": layer, "tensor": part,
                                        "activation": chosen, "view": view})  # fmt: skip
