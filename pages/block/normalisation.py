"""Normalisation: which entries share a mean, and what follows from it."""

import functools
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves, normalisation as charts
from charts.ahead import Box, ahead
from pages.block import normalisation_words as words
from pages.block.normalisation_numbers import (
    JOINED, PASSES, POWERS, REPORTS, SHIFTS, TOKENS, Cube, cube_of, joined, profile_of, recorded_runs, runs_of, scaled_of,
    shifted_of, stream,
)  # fmt: skip
from pages.block.normalisation_words import COMPANIONS, CUBE, LAYERS, SIZE, TRAINED, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson, inert
from pages.shared.training import Training
from transformer import PRESETS
from transformer.experiments import normalised
from transformer.norms import BatchNorm, LayerNorm, RMSNorm
from transformer.recording import CAPITAL
from transformer.training import normed

BATCH = f"{CAPITAL} | My cat Zibbo loves fish | Water boils at one hundred degrees | She sold her old car"
EXAMPLES = {"single words": "king | queen | man | woman", "one sentence": CAPITAL, "nearly the same": "a red car | a "
    "red bus | a red hat"}
MOST = 4  # sentences of the batch
LAYER = 1  # where the cube opens: the embeddings have gone through one block
BY_TITLE = {title: key for key, title in charts.TITLES.items()}


def sentences_of(text: str) -> list[str]:
    """The batch in the learner's text: sentences between bars."""
    found = [sentence.strip() for sentence in text.split("|") if sentence.strip()]
    if len(found) > MOST:
        st.warning(f"The batch has {len(found)} sentences; the picture takes the first {MOST}.", icon=":material/info:")
    return found[:MOST] or [""]


def reader(count: int) -> str:
    """Which model reads: one for all sentences, of which only single ones are recorded."""
    name = models.decoder()
    return name if count == 1 or models.loaded(name) is not None else "tiny"


def read_all(sentences: list[str], name: str) -> list[models.Reading]:
    """The batch's readings; one that cannot be read is said, and left out."""
    found = [lesson.read(sentences[0], RECORD, name)]
    for sentence in sentences[1:]:
        try:
            found.append(models.read(sentence, RECORD, name))
        except ValueError as problem:
            st.warning(str(problem), icon=":material/info:")
    return found


def cell_in(text: str) -> tuple[int, int, int]:
    b, t, f = map(int, text.split("."))
    return b, t, f


def say(key: str, default: float) -> float:
    """A curve's cursor, by the link."""
    lo, hi = {"count": (1, JOINED), "depth": (0, config.n_layers - 1), "factor": (POWERS[0], POWERS[-1]),
        "shift": (0, SHIFTS[-1]),
              "step": (normed.EVERY, normed.STEPS)}[key]
    return url.url_state(key, default, float, lambda v: lo <= v <= hi)


def keep(component: str, key: str, default: float, words_: list[str] | None = None) -> None:
    """A component's cursor, and its token where there is one, into the link."""
    if (said := held.said(component, "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state(key, round(float(at), 2), default)
    if words_ and said.get("frame") in words_:
        url.set_url_state("word", words_.index(said["frame"]), 0)
    held.reported(component, stand_of(component, key, default))


def stand_of(component: str, key: str, default: float) -> tuple:
    word = url.url_state("word", 0, int, lambda i: 0 <= i < len(batch[0].ids)) if component == "layers" else 0
    return (component, batch[0].text, say(key, default), word)


class Stand(NamedTuple):
    pick: str
    batch: int
    tokens: int
    at: tuple[int, int, int]


def cube_stand(cube: Cube) -> Stand:
    B, T = cube.x.shape[:2]
    pick = url.url_state("norm", charts.TITLES["layer"], str, lambda name: BY_TITLE.get(name) in cube.norms)
    b = url.url_state("sentences", B, int, lambda n: 1 <= n <= B)
    t = url.url_state("tokens", T, int, lambda n: 1 <= n <= T)
    home = (0, T - 1, int(np.argmax(np.abs(cube.x[0, T - 1, cube.features].numpy()))))
    at = url.url_state("cell", home, cell_in, lambda at: all(0 <= i < n for i,
        n in zip(at, (B, T, len(cube.features)), strict=True)),
                       shown=".".join(map(str, home)))  # fmt: skip
    return Stand(pick, b, t, (min(at[0], b - 1), min(at[1], t - 1), at[2]))


def keep_cube(cube: Cube) -> None:
    if (said := held.said("cube", "stand")) is None:
        return
    B, T = cube.x.shape[:2]
    if said.get("pick") in BY_TITLE:
        url.set_url_state("norm", said["pick"], charts.TITLES["layer"])
    url.set_url_state("sentences", int(said["sentences"]), B)
    url.set_url_state("tokens", int(said["tokens"]), T)
    home = (0, T - 1, int(np.argmax(np.abs(cube.x[0, T - 1, cube.features].numpy()))))
    url.set_url_state("cell", ".".join(str(int(i)) for i in said["at"]), ".".join(map(str, home)))
    held.reported("cube", cube_stand(cube))


def layer_box(key: str = "layer", default: int = LAYER) -> Box:
    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        every = list(range(config.n_layers))
        return Box(key, every, choose("The stream before layer", every, default, key))


def show_cube(code_place: DeltaGenerator) -> None:
    box = layer_box()
    layer = box.at
    cube = cube_of(subject, layer, batch, tokens, eps)
    here = cube_stand(cube)
    held.to_send("cube", here)

    def message(one: int) -> bytes:
        there = cube_of(subject, one, batch, tokens, eps)
        shown, epoch = held.would_send("cube", cube_stand(there))
        return charts.cube(
            [(reading.text, reading.pieces[:tokens]) for reading in batch], there.features, config.d_model,
            there.x[..., there.features].numpy(), there.norms, eps, pick=shown.pick, batch=shown.batch,
            tokens=shown.tokens, at=shown.at, epoch=epoch,
        )  # fmt: skip

    with st.container(key="gf-picture"):
        charts.mount_cube(key="cube", on_stand_change=lambda: keep_cube(cube), data=ahead(message, box))
    notes = [f"Real numbers: each sentence's first {tokens} tokens (as many as the shortest has, {TOKENS} at most), "
             f"the stream before layer {layer}; {len(cube.features)} of {config.d_model} features, the loudest and "
             f"ordinary ones, while means are over all {config.d_model}; colours end where the scale does. γ is the "
             "model's own for RMSNorm, and 1 with β = 0 for the others, which this model does not have. Eval uses "
             f"running averages over {PASSES} batches of these sentences."]  # fmt: skip
    st.caption(" ".join(notes))
    one = cube.norms[BY_TITLE[here.pick]]
    frame = 0 if len(one.y) == 1 else (here.batch - 1) * tokens + here.tokens - 1
    b, t, f = here.at
    mean, variance, y = (float(getattr(one, part)[frame][b, t, f]) for part in ("mean", "variance", "y"))
    value, gamma = cube.x[b, t, cube.features[f]].item(), float(one.gamma[f])
    above = f"{value:.4g}" if BY_TITLE[here.pick] == "rms" else rf"{value:.4g} - ({mean:.4g})"
    frame_of(layer, cube.features[f], rf"y = {gamma:.4g} \cdot \frac{{{above}}}{{\sqrt{{{tex(variance)} + "
                                      rf"{tex(eps)}}}}} = "
                                      rf"\residual{{{y:.4g}}}",
             code_place, (b, t, cube.features[f]),
             {"sentence": [i + 1 for i in range(len(batch)) for _ in range(tokens)],
              "token": [piece for reading in batch for piece in reading.pieces[:tokens]]}
             | {f"x {feature}": cube.x[..., feature].flatten().numpy() for feature in cube.features}
             | {f"{here.pick} y {feature}": one.y[frame][..., i].flatten() for i,
             feature in enumerate(cube.features)})  # fmt: skip


def show_companions(code_place: DeltaGenerator) -> None:
    box = layer_box()
    layer = box.at
    order, features, rows, moved = joined(subject, layer, batch, eps)
    shown, epoch = held.to_send("companions", stand_of("companions", "count", 2.0))

    def message(one: int) -> bytes:
        order, features, rows, moved = joined(subject, one, batch, eps)
        return charts.companions(features, order, order[0].strip() or "␣", rows, moved, min(shown[2], len(order)),
                                 epoch=epoch)

    with st.container(key="gf-picture"):
        if len(order) > 1:
            curves.mount(key="companions", on_stand_change=lambda: keep("companions", "count", 2.0),
                         data=ahead(message, box))
        else:
            st.info("One token is all there is: type more, or a second sentence after a bar.", icon=":material/info:")
    try:
        BatchNorm(config.d_model, eps).train()(stream(batch[0], layer)[-1:])
        refusal = ""
    except ValueError as problem:
        refusal = f" torch, asked to train BatchNorm on this one token, says: “{inert(str(problem))}”."
    st.caption(f"The token is the last of the first sentence, “{inert(order[0].strip())}”; the others join in reading "
               f"order. γ = 1, β = 0.{refusal}")
    count = int(say("count", 2.0))
    at = min(count, len(order)) - 1
    frame_of(layer, features[0], rf"\frac{{\lVert y_{{{at + 1}}} - y_{{{len(order)}}}\rVert}}{{\lVert "
                                 rf"y_{{{len(order)}}}\rVert}} = {moved['batch'][at]:.3f}",
             code_place, (0, 0, features[0]), {"tokens in the batch": list(range(1, len(order) + 1)), "joined": order}
             | {f"moved, {charts.TITLES[kind]}": of for kind, of in moved.items()})  # fmt: skip


def show_layers(code_place: DeltaGenerator) -> None:
    found, after = profile_of(subject, batch[0])
    names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(batch[0].pieces)]
    _, _, depth, word = stand_of("layers", "depth", float(telling))
    (_, _, cursor, at), epoch = held.to_send("layers", ("layers", batch[0].text, depth, word))
    with st.container(key="gf-picture"):
        curves.mount(key="layers", on_stand_change=lambda: keep("layers", "depth", float(telling), names),
                     data=charts.layers(names, names[at], *(np.asarray(part, dtype=np.float32) for part in (
                         found.rms, found.mean, found.top)), after.astype(np.float32), cursor,
                         epoch=epoch))  # fmt: skip
    layer = int(depth)
    gamma = normalised.gamma_of(stream(batch[0], layer), torch.tensor(batch[0][f"layers.{layer}.norm_1"][0]), eps)
    loud = int(found.feature[layer, word])
    st.caption(f"The first sentence. Before layer {layer} feature {loud} of “{inert(names[word])}” holds "
               f"{found.top[layer, word]:.0%} of Σ x². There this model learned γ = {gamma[loud]:.3g}; its middling "
               f"|γ| is {gamma.abs().median():.3g}. One loud feature sets the rms, and so shrinks all the other "
               "features of its token.")  # fmt: skip
    frame_of(layer, loud, rf"\text{{rms}} = \sqrt{{\tfrac1{{{config.d_model}}}\sum x^2}} = "
                          rf"{found.rms[layer, word]:.4g},\qquad "
             rf"\text{{rms after }}\gamma = {after[layer, word]:.4g}", code_place, (0, 0, loud),
             {"layer": [i for i in range(config.n_layers) for _ in names], "token": names * config.n_layers,
              "rms": found.rms.flatten(), "mean / rms": found.mean.flatten(),
              "share of the largest": found.top.flatten(),
              "largest feature": found.feature.flatten(), "rms after": after.flatten()})  # fmt: skip


def show_size(code_place: DeltaGenerator) -> None:
    box = layer_box("size_layer", 0)
    layer = box.at
    at_factor, pressed = held.to_send("size", stand_of("size", "factor", -1.0))
    at_shift, epoch = held.to_send("shift", stand_of("shift", "shift", 1.0))

    def sizes(one: int) -> bytes:
        found, sigma = scaled_of(subject, one, batch[0], eps)
        return charts.epsilon(POWERS, found.layer, found.outside, found.rms, eps, sigma, at_factor[2], epoch=pressed)

    def shifts(one: int) -> bytes:
        return charts.shift_and_bessel(SHIFTS, *shifted_of(subject, one, batch[0], eps), at_shift[2], epoch=epoch)

    with st.container(key="gf-picture"):
        curves.mount(key="size", on_stand_change=lambda: keep("size", "factor", -1.0), data=ahead(sizes, box))
        curves.mount(key="shift", on_stand_change=lambda: keep("shift", "shift", 1.0), data=ahead(shifts, box))
    found, sigma = scaled_of(subject, layer, batch[0], eps)
    x = stream(batch[0], layer)[-1].double()
    few = x[:4]
    st.caption(f"The vector of “{inert(batch[0].pieces[-1].strip())}” before layer {layer}: σ = {sigma:.4g}, ε = "
               f"{eps:g}. Its first 4 numbers alone have σ = {few.std(correction=0):.4g} with 1/d and {few.std():.4g} "
               f"with 1/(d − 1), {normalised.bessel(4) - 1:.1%} more; all {config.d_model}: {sigma:.5g} and "
               f"{x.std():.5g}, {normalised.bessel(config.d_model) - 1:.3%} more.")  # fmt: skip
    s = 10 ** say("factor", -1.0)
    frame_of(layer, 0, rf"\frac{{s\,\sigma}}{{\sqrt{{(s\,\sigma)^2 + \varepsilon}}}} = "
                       rf"\frac{{{s * sigma:.3g}}}{{\sqrt{{{tex((s * sigma) ** 2)} + {tex(eps)}}}}} = "
             rf"{s * sigma / ((s * sigma) ** 2 + eps) ** 0.5:.4f}", code_place, (0, 0, 0),
             {"log10 of the factor": POWERS, "LayerNorm": found.layer, "RMSNorm": found.rms, "outside": found.outside})


def show_training(code_place: DeltaGenerator) -> None:
    lesson.show_model("Small models, trained by us", "tiny")
    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        counts = list(normed.WINDOWS)
        count = choose("Passages in a batch", counts, 1, "passages")
        works = {(norm, count, seed): functools.partial(normed.live, norm, count, seed) for norm in normed.NORMS
            for seed in normed.SEEDS}
        live.panel(f"Train {len(works)} small models · about 15 s", works, REPORTS, unit="measurement")
    titles = {"layer": "LayerNorm", "rms": "RMSNorm", "batch": "BatchNorm"}
    steps = np.arange(1, REPORTS + 1) * float(normed.EVERY)
    shown, epoch = held.to_send("live", stand_of("live", "step", float(steps[-1])))

    def message(count: int) -> bytes:
        every = {title: [job.reports for seed in normed.SEEDS if (job := live.run((norm, count, seed))) is not None]
                 for norm, title in titles.items()}  # fmt: skip
        return charts.training(
            steps, {title: recorded_runs()[norm, count] for norm, title in titles.items()},
            {title: runs_of(reports) for title, reports in every.items() if reports},
            min(max(shown[2], steps[0]), steps[-1]), epoch=epoch,
        )  # fmt: skip

    with st.container(key="gf-picture"):
        curves.mount(key="live", on_stand_change=lambda: keep("live", "step", float(steps[-1])),
                     data=ahead(message, Box("passages", counts, count)))
    recorded = {title: recorded_runs()[norm, count] for norm, title in titles.items()}
    unseen, own = recorded["BatchNorm"]
    st.caption(f"Recorded, {len(normed.SEEDS)} seeds, and yours over it, dashed: a decoder of "
               f"{normed.BASE['n_layers']} layers on one play, {count} passage{'s' if count > 1 else ''} of "
               f"{normed.LENGTH} characters a batch; `transformer.training.normed.live` makes both. With BatchNorm "
               f"the seeds end at {', '.join(f'{x:.2f}' for x in unseen[:, -1])} in eval mode and at "
               f"{', '.join(f'{x:.2f}' for x in own[:, -1])} with each passage's own averages; the worst on the way "
               f"was {unseen.max():.1f}. With large batches BatchNorm holds its own on this toy: it is the small "
               "batch that breaks it.")  # fmt: skip
    last = {title: values[0][:, -1] for title, values in recorded.items()}
    frame_of(LAYER, 0, r"\begin{gathered}" + r"\\".join(rf"\text{{{title}}}:\ {of.mean():.3f}\ "
                                                        rf"({of.min():.3f}\dots{of.max():.3f})" for title,
                                                        of in last.items())
             + r"\end{gathered}", code_place, (0, 0, 0), {"step": steps} | {
                 f"{title}, seed {seed}": values[0][i] for title, values in recorded.items() for i,
                 seed in enumerate(normed.SEEDS)}, (normed.live, normed.as_in_training))  # fmt: skip


def tex(value: float) -> str:
    """1.5e-05 as LaTeX writes it."""
    digits, _, power = f"{value:.4g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


def frame_of(layer: int, feature: int, numbers: str, code_place: DeltaGenerator, cell: tuple[int, int, int],
table: dict,
             functions: tuple = (normalised.parts, normalised.companions)) -> None:  # fmt: skip
    """What stands around every picture."""
    d = config.d_model
    lesson.formula(words.FORMULA, [("x", (f"batch {len(batch)}", f"token {tokens}", f"feature {d}"), "residual"),
                                   (r"\mu_{\text{Layer}}", (f"batch {len(batch)}", f"token {tokens}"), "output"),
                                   (r"\mu_{\text{Batch}}", (f"feature {d}",), "output"),
                                   (r"\gamma,\ \beta", (f"feature {d}",), "output")], numbers)  # fmt: skip
    setting = {"model": batch[0].model, "sentences": [reading.text for reading in batch], "layer": layer,
        "tokens": tokens, "eps": eps}
    with code_place:
        lesson.code([LayerNorm, RMSNorm, BatchNorm, *functions],
                    words.SNIPPET.format(**setting, cell=", ".join(map(str, cell))))  # fmt: skip
    lesson.downloads(table=table, config=setting | {"view": view})


SHOW = {CUBE: show_cube, COMPANIONS: show_companions, TRAINED: show_training, LAYERS: show_layers, SIZE: show_size}
RECORD = ("layers.*.resid_pre", "layers.*.norm_1")


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        SHOW[view](code_place)


lesson, live = Lesson("D1"), Training("D1")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
text = BATCH if view == TRAINED else lesson.text(BATCH, EXAMPLES, follows=False)  # what trains reads a play
if view != TRAINED and lesson.shows("text"):
    st.caption("A bar | parts the sentences of the batch.")
sentences = sentences_of(text)
alone = view in (LAYERS, SIZE, TRAINED)  # these look at one sentence, which may be recorded
batch = read_all(sentences[:1] if alone else sentences, reader(1 if alone else len(sentences)))
config, eps = batch[0].config, batch[0].config.norm_eps
tokens = min(TOKENS, *(len(reading.ids) for reading in batch)) if len(batch) > 1 else min(TOKENS, len(batch[0].ids))
subject = tuple((reading.model, reading.label, reading.text) for reading in batch)
telling = 2 * config.n_layers // 3  # of the model's layers: deep in it the first token's stream is huge
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    (live.watch(draw) if view == TRAINED else st.fragment(draw))(code_place)
with after:
    real = PRESETS["smollm2-135m"].d_model
    lesson.prose(**words.prose(config.d_model, normalised.bessel(4) - 1, real, normalised.bessel(real) - 1))
    first = stream(batch[0], telling)[None, :1]  # [batch, token, feature]
    loud = normalised.profile(first)
    lesson.predict(**words.predict(
        inert(batch[0].pieces[0].strip()), telling, first.abs().max().item(), loud.top.item(), config.d_model,
        normalised.parts("rms", first, eps).out.abs().max().item()))  # fmt: skip
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
