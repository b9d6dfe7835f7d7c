"""Rotary position: queries and keys are turned by their place, and what remains is the distance between them."""

from dataclasses import replace

import streamlit as st
import torch

from charts import curves
from charts import rope as charts
from pages.shared import models, url
from pages.shared.lesson import Lesson
from transformer import positions, rope, scores
from transformer.recording import CAPITAL, PRONOUN, REPEAT

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "a fact": CAPITAL, "code": "for i in range(10):\n    print(i)"}
VIEWS = TURN, DISTANCE, BESIDE, LONGER = "One pair turns", "Score by distance", "Beside sinusoids", "Longer texts"
TELLING = {"smollm2-135m": (16, 0), "tiny": (2, 3)}  # model -> layer and head; these read one word back by rotation
BASES = ["as trained", "100", "1,000", "10,000", "100,000", "1,000,000"]
CURSORS = {DISTANCE: ("at", 1), BESIDE: ("at", 1), LONGER: ("i", 20)}  # what the cursor is called in the URL, and its default
STARTS = (0, 64, 256, 1024, 4096)
MOST_PAIRS = 400  # pairs of words in the band of the real head

LOOK_FOR = {
    TURN: "Walk both words on together: all the hands turn, each pair at its own speed, and the score does not move. Only the "
    "distance between the two words counts.",
    DISTANCE: "The same words, moved to every distance: a real head need not decay. The decay that RoPE is known for comes with "
    "likeness of q and k. Pull ρ down to 0 and it is gone.",
    BESIDE: "Five starts, the same distances. Sinusoids give one curve until W_Q and W_K touch them; RoPE gives one curve after "
    "W_Q and W_K.",
    LONGER: "Every way to stretch a model turns the slow pairs more slowly. They differ in what they do to the fast ones, which "
    "tell neighbours apart.",
}

lesson = Lesson("C3")
lesson.header(LOOK_FOR.get(st.session_state.get("view") or st.query_params.get("view"), LOOK_FOR[TURN]))
asked = models.decoder()
if asked != models.chosen():
    st.info(f"{models.TITLES[models.chosen()]} adds learned positions and turns nothing. {models.TITLES[asked]} does, so it "
            "reads here.", icon=":material/info:")  # fmt: skip
text = lesson.text(PRONOUN, EXAMPLES)
view = st.segmented_control("Picture", VIEWS, default=TURN, required=True, key="view", bind="query-params",
                            label_visibility="collapsed", width="stretch")  # fmt: skip
weights = models.loaded(asked)
wanted = ("layers.*.attention.[QK]_unrotated",)
if view == BESIDE and weights is not None:
    wanted += ("layers.*.norm_1",)  # the word's vector as the head reads it
reading = lesson.read(text, wanted, name=asked)
config, n_words = reading.config, len(reading.ids)
weights = models.loaded(reading.model) if reading.label != "recorded" else None
picture, controls = lesson.stage(0.3)


def keep_valid(key: str, options: list) -> None:
    """Another model or text has other heads and words: a choice that it lacks falls back to the default."""
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]


def choose(label: str, options: list, default: object, key: str) -> object:
    keep_valid(key, options)
    return st.selectbox(label, options, options.index(default), key=key, bind="query-params")


def keep_place() -> None:
    place = st.session_state["pair"].get("place")
    if isinstance(place, dict) and all(isinstance(place.get(key), int) for key in ("m", "n", "pair")):
        url.set_url_state("m", place["m"], own.m)
        url.set_url_state("n", place["n"], own.n)
        url.set_url_state("pair", place["pair"], 0)


def keep_cursor() -> None:
    at = st.session_state["curves"].get("cursor")
    if isinstance(at, int | float):
        name, default = CURSORS[view]
        url.set_url_state(name, int(at), default)


layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q_unrotated" in reading.arrays]
layer, head = TELLING.get(reading.model, (0, 0))
with controls:
    if view != LONGER:
        left, right = st.columns(2)
        with left:
            layer = choose("Layer", layers, layer if layer in layers else layers[0], "layer")
        with right:
            head = choose("Head", list(range(config.n_heads)), head, "head")
    if view in (TURN, BESIDE):
        names = [f"{i} {reading.pieces[i].strip() or '␣'}" for i in range(n_words)]
        query = names.index(choose("Query: the word that looks", names, names[-1], "query"))
        key = names.index(choose("Key: the word that is found", names[: query + 1], names[max(0, query - 1)], "key"))
    base = st.select_slider("Base of the speeds θ", BASES, key="base", bind="query-params",
                            help=f"θ_i = base^(−2i/d). {reading.title} was trained with {config.rope_base:,.0f}.")  # fmt: skip
trained_base = base == BASES[0]
turning = replace(config, rope_base=config.rope_base if trained_base else float(base.replace(",", "")))
theta, on_cos_and_sin = rope.scaled_frequencies(turning)
scale = scores.scale(config) * on_cos_and_sin**2
Q = torch.tensor(reading[f"layers.{layer}.attention.Q_unrotated"][0, head])  # [query, d_head]
K = torch.tensor(reading[f"layers.{layer}.attention.K_unrotated"][0, head * config.n_kv_heads // config.n_heads])
who = f"layer {layer}, head {head}"
figure, table, numbers = None, None, None

if view == TURN:
    with controls:
        reach = st.select_slider("Positions up to", [64, 512, 4096], key="reach", bind="query-params")
    own = charts.Place(query, key)
    subject = f"{reading.model} {reading.text} {query} {key}"
    if st.session_state.setdefault("_rope_subject", subject) != subject:  # other words stand where their text has them
        st.session_state["_rope_subject"] = subject
        st.query_params.pop("m", None)
        st.query_params.pop("n", None)
    m = url.url_state("m", own.m, int, lambda m: 0 <= m <= 4096)
    n = url.url_state("n", own.n, int, lambda n: 0 <= n <= 4096)
    pair = url.url_state("pair", 0, int, lambda i: 0 <= i < config.d_head // 2)
    distance = torch.arange(reach + 1.0)
    curve = rope.scores_by_distance(Q[query], K[key], theta, distance, config.rope_layout) * scale
    with picture:
        charts.mount_pair(
            key="pair", on_place_change=keep_place,
            data=charts.pair_message(
                rope.pairs(Q[query], config.rope_layout).numpy(), rope.pairs(K[key], config.rope_layout).numpy(), theta.numpy(),
                curve.numpy(), query=reading.pieces[query].strip() or "␣", key=reading.pieces[key].strip() or "␣", own=own,
                place=charts.Place(max(m, n), n, pair), subject=subject,
                d_head=config.d_head, scale=scale, label=f"A query and a key of {who}, turned by their positions.",
            ),
        )  # fmt: skip
    with controls:
        st.caption("The words keep their vectors; you move only their places. In the big dial the hands have their true lengths "
                   "and the dashed ones are not turned yet; the small dials show directions.")  # fmt: skip
    table = {"distance": distance, "score": curve}
    by_pair = rope.pair_scores(Q[query], K[key], theta, torch.tensor([float(m - n)]), config.rope_layout)[0] * scale
    numbers = (
        rf"\query{{q}}_{{{m}}} \cdot \key{{k}}_{{{n}}} / \sqrt{{{config.d_head}}} = "
        + " ".join(f"{value:+.3f}" for value in by_pair[:4].tolist())
        + rf" + \dots = \scores{{{by_pair.sum().item():.3f}}}"
    )
elif view == DISTANCE:
    with controls:
        alignment = st.slider("Drawn vectors: how much k resembles q (ρ)", 0.0, 1.0, 1.0, 0.1, key="rho", bind="query-params")
        seed = st.number_input("Seed of the drawn vectors", 0, 9999, 0, key="seed", bind="query-params")
        reach = st.select_slider("Distances up to", [64, 256, 1024], 256, key="reach2", bind="query-params")
        st.caption("The first panel is this head on your text: all pairs of its words, each moved to every distance. The second "
                   "is 400 pairs of normal random vectors of your seed.")  # fmt: skip
    distance = torch.arange(reach + 1.0)
    later, earlier = torch.tril_indices(n_words, n_words)
    if n_words > 2:  # the first word's key is where heads rest, unlike any other
        later, earlier = later[earlier > 0], earlier[earlier > 0]
    step = -(-len(later) // MOST_PAIRS)
    real = rope.scores_by_distance(Q[later[::step]], K[earlier[::step]], theta, distance, config.rope_layout) * scale
    q, k = rope.random_pairs(400, config.d_head, alignment, seed)
    drawn = rope.scores_by_distance(q, k, theta, distance) * scale
    envelope, aligned = rope.decay_envelope(theta, distance), rope.aligned_decay(theta, distance)
    with picture:
        curves.mount(
            key="curves", on_cursor_change=keep_cursor,
            data=charts.distance_message(
                distance.numpy(),
                charts.Spread.of(real.numpy(), f"Real: {len(real)} pairs of words in {who}", f"Real: {who}"),
                charts.Spread.of(drawn.numpy(), f"Drawn at random, seed {seed}: k resembles q by ρ = {alignment:g}",
                                 f"Drawn: ρ = {alignment:g}"),
                envelope.numpy(), aligned.numpy(), subject=str(reach),
                cursor=url.url_state("at", 1, int, lambda r: 0 <= r <= 1024),
            ),
        )  # fmt: skip
    table = {"distance": distance, "real mean": real.mean(0), "drawn mean": drawn.mean(0), "aligned": aligned,
             "envelope": envelope}  # fmt: skip
elif view == BESIDE:
    with controls:
        words_too = st.toggle("Add the words' own vectors too", key="words", bind="query-params", disabled=weights is None)
    starts, distance = torch.tensor(STARTS), torch.arange(129)
    sinusoid_base = 10_000.0 if trained_base else turning.rope_base
    raw = positions.similarity(starts, distance, config.d_model, sinusoid_base)
    turned = rope.scores_in_place(Q[query], K[key], turning, starts, distance)
    fans = [charts.Fan(raw.numpy(), positions.share_of_distance(raw), "Sinusoids as they are: PE(n + r) · PE(n)", "PE · PE")]
    if weights is not None:
        attention = weights[0].stack.blocks[layer % len(weights[0].stack.blocks)].attention
        W_Q, W_K = positions.of_head(attention.W_Q.weight, attention.W_K.weight, config, head)
        x, y = torch.tensor(reading[f"layers.{layer}.norm_1"][0, [query, key]]) * float(words_too)
        mixed = positions.mixed_scores(W_Q, W_K, x, y, starts, distance, sinusoid_base)
        through = "words + sinusoids" if words_too else "sinusoids"
        fans.append(charts.Fan(mixed.numpy(), positions.share_of_distance(mixed), f"The same {through} through W_Q and W_K of {who}",
                               "through W"))  # fmt: skip
    fans.append(charts.Fan(turned.numpy(), positions.share_of_distance(turned), f"RoPE: {who}, turned after W_Q and W_K", "RoPE"))
    with picture:
        curves.mount(key="curves", on_cursor_change=keep_cursor, data=charts.fans_message(
            distance.numpy(), STARTS, fans, subject=str(len(fans)), cursor=url.url_state("at", 1, int, lambda r: 0 <= r <= 128),
        ))  # fmt: skip
    with controls:
        if weights is None:
            st.info(f"The panel between needs {reading.title}'s own W_Q and W_K, which come with the download in the sidebar.",
                    icon=":material/info:")  # fmt: skip
        st.caption(f"{reading.title} was trained with RoPE; its weights stand in for any learned ones. A model trained with "
                   "sinusoids has others, but nothing makes them keep the property.")  # fmt: skip
    table = {"distance": distance} | {
        f"{fan.short}, n = {start}": fan.scores[i] for fan in fans for i, start in enumerate(STARTS)
    }
else:
    with controls:
        by_title = {title: name for name, title in charts.SCALINGS.items()}
        chosen = by_title[st.radio("Scaling", list(by_title), 3, key="scaling", bind="query-params")]
        factor = st.select_slider("How much longer the text may get", [2, 4, 8, 16, 32], 4, key="factor", bind="query-params")
        st.caption(f"{reading.title} was trained on {config.max_len:,} positions. A pair above that line never finished a turn: "
                   "further on it shows angles that the model has not seen.")  # fmt: skip
    waves, kept = {}, {}
    for name in charts.SCALINGS:
        scaled = replace(turning, rope_scaling=name, rope_factor=float(factor), rope_original_len=config.max_len)
        speed, _ = rope.scaled_frequencies(scaled)
        waves[name], kept[name] = rope.wavelengths(speed).numpy(), (speed / theta).numpy()
    with picture:
        curves.mount(key="curves", on_cursor_change=keep_cursor, data=charts.scalings_message(
            waves, kept, chosen, config.max_len, factor,
            cursor=url.url_state("i", min(20, config.d_head // 2 - 1), int, lambda i: 0 <= i < config.d_head // 2)))  # fmt: skip
    table = {"pair": range(len(theta))} | {f"{name} wavelength": wave for name, wave in waves.items()}

FORMULAS = {  # a line each, so that a phone has room
    TURN: (
        r"\scores{S} = \frac{(R_m\query{q})\cdot(R_n\key{k})}{\sqrt{d_k}}",
        r"R_m \binom{a_i}{b_i} = \binom{a_i\cos m\theta_i - b_i\sin m\theta_i}{a_i\sin m\theta_i + b_i\cos m\theta_i}",
        r"\theta_i = \text{base}^{-2i/d_k}",
    ),
    DISTANCE: (
        r"(R_m\query{q})\cdot(R_n\key{k}) = \operatorname{Re}\sum_i h_i\,e^{i(m-n)\theta_i}",
        r"|\dots| \le \max_i|h_{i+1}-h_i| \sum_j |S_j|",
        r"h_i = \query{\tilde q_i}\,\key{\tilde k_i^*},\quad S_j = \sum_{i<j} e^{i(m-n)\theta_i}",
    ),
    BESIDE: (
        r"PE_m\cdot PE_n = \sum_i\cos\,(m-n)\,\theta_i",
        r"W_Q(\residual{x}+PE_m)\cdot W_K(\residual{y}+PE_n) \ne f(m-n)",
        r"(R_m W_Q\residual{x})\cdot(R_n W_K\residual{y}) = f(m-n)",
    ),
    LONGER: (
        r"\text{linear: }\theta_i' = \theta_i/s",
        r"\text{NTK-aware: base}' = \text{base}\cdot s^{d_k/(d_k-2)}",
        r"\text{YaRN, Llama 3: } \theta_i' = (1-\gamma_i)\,\theta_i + \gamma_i\,\theta_i/s",
        r"\gamma_i = 0 \text{ for fast pairs, } 1 \text{ for slow ones}",
    ),
}
d_k, h, h_kv = config.d_head, config.n_heads, config.n_kv_heads
lesson.formula(
    r"\begin{gathered}" + r"\\[.6em]".join(FORMULAS[view]) + r"\end{gathered}",
    shapes=[("Q", (f"head {h}", f"query {n_words}", d_k), "query"), ("K", (f"kv_head {h_kv}", f"key {n_words}", d_k), "key"),
            (r"\theta", (f"pair {d_k // 2}",), "output"), ("S", (f"head {h}", f"query {n_words}", f"key {n_words}"), "scores")],
    numbers=numbers,
)  # fmt: skip
lesson.prose(
    what="The numbers of a query and of a key are taken in pairs, and each pair is a hand on a dial. At position $m$ every hand is "
    "turned by $m\\theta_i$: the first pair by a radian a word, the last so slowly that a book is too short for one turn. The score "
    "compares hands, so what counts is the angle between them, and that depends on $m - n$ alone. Nothing is added to the words and no "
    "length changes.",
    why="The same two words score the same wherever the text starts, a cached key stays good for ever, and a head can tell “one word "
    "back” from “two words back” by its fast pairs while its slow pairs carry meaning over any distance. Because only angles matter, a "
    "model can be stretched to longer texts by turning more slowly.",
    catch="Two of them. Sinusoids have the property as well: PE·PE depends on the distance alone. They lose it once $W_Q$, $W_K$ and the "
    "words' own vectors mix in, and RoPE keeps it because it turns afterwards. And “RoPE's scores decay with distance” is a bound for "
    "aligned $\\query{q}$ and $\\key{k}$, not a law: independent vectors do not decay at all, and a real head may rise, peak one word "
    "back, or hardly care.",
)
lesson.predict(
    "Two words stand at positions 9 and 8. You put 1,000 other words in front of both. What happens to their score before the softmax?",
    ["It shrinks, as they are farther from the start", "It stays exactly the same", "It changes, as the angles are different now"],
    "It stays exactly the same",
    "Both hands of every pair have turned on by the same angle, so the angle between them is what it was. Try it: drag the grip "
    "“both”, or choose “Beside sinusoids” and compare the starts from 0 to 4,096. (In a deep model the words' vectors would change, as they "
    "read those 1,000 words; the rotation is innocent of that.)",
)
lesson.code(
    [rope.frequencies, rope.rotation, rope.rotate, rope.scores_by_distance, rope.scaled_frequencies],
    f"""
    import dataclasses, torch, transformer
    from transformer import rope, scores

    model, tokenizer = transformer.load({reading.model!r})
    ids = tokenizer.encode({reading.text!r})
    at = "layers.{layer}.attention."
    trace = model.run(ids, record=(at + "Q_unrotated", at + "K_unrotated", at + "scores")).trace
    config = dataclasses.replace(model.config, rope_base={turning.rope_base!r})
    q = trace[at + "Q_unrotated"][0, {head}]                                                  # [query, d_head]
    k = trace[at + "K_unrotated"][0, {head} * config.n_kv_heads // config.n_heads]            # [key, d_head]

    theta, factor = rope.scaled_frequencies(config)
    distance = torch.arange(65.0)
    curve = rope.scores_by_distance(q[-1], k[max(0, len(ids) - 2)], theta, distance) * scores.scale(config) * factor**2
    print(curve[:4])                             # the last word and the one before it, at distance 0, 1, 2, 3
    print(trace[at + "scores"][0, {head}, -1])   # what the model itself computed, at the words' own places
    """,
)
lesson.interview([
    ("Why rotate queries and keys, and not add positions to the embeddings?",
     "Added positions go through $W_Q$ and $W_K$ and mix with the word: four terms, and the score depends on absolute places. RoPE turns "
     "after the projections, so the score depends on content and distance only; values carry no position, lengths stay, no parameter is "
     "added, and cached keys never have to change."),
    ("What do the fast and the slow pairs do?",
     "$\\theta_i$ falls geometrically from 1 to about 1/base. Fast pairs turn within a few words and can single out a precise offset, such "
     "as the previous word. Slow pairs hardly turn, so they behave like plain content matching at any distance. A larger base makes more "
     "of them slow, which long contexts want."),
    ("How do you run a RoPE model on texts longer than it was trained on?",
     "Positions beyond the training length turn slow pairs to angles never seen. Linear scaling divides all speeds by $s$: angles are "
     "familiar, but neighbouring words blur. NTK-aware scaling raises the base, so fast pairs hardly change. YaRN and Llama 3 keep fast "
     "pairs, squeeze slow ones, ramp between (YaRN also sharpens the softmax a little). A short fine-tuning helps all of them."),
])  # fmt: skip
lesson.sources([
    "Su et al. 2021, [RoFormer: Enhanced Transformer with Rotary Position Embedding](https://arxiv.org/abs/2104.09864), §3.4; the envelope: "
    "§3.4.3.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.5: the sinusoids.",
    "Chen et al. 2023, [Position Interpolation](https://arxiv.org/abs/2306.15595); Peng et al. 2023, [YaRN](https://arxiv.org/abs/2309.00071), "
    "with NTK-aware scaling in its §3.1.",
    "Barbero et al. 2024, [Round and Round We Go! What makes Rotary Positional Encodings useful?](https://arxiv.org/abs/2410.06205): what "
    "fast and slow pairs are used for in a real model.",
])  # fmt: skip
lesson.downloads(figure, table, config={"model": reading.model, "text": reading.text, "layer": layer, "head": head, "view": view,
                                        "rope_base": turning.rope_base})  # fmt: skip
