"""The residual path: signal and gradient with and without it, one layer of a real model without it, and 2^m paths."""

import functools
from collections.abc import Callable

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import answers, curves
from charts import depth as charts
from charts.curves import Choice, Picks
from pages.block import depths, residual_numbers as numbers, residual_words as words
from pages.block.depths import Shown
from pages.block.residual_words import ALIKE, CUT, CUTS, PATHS, SIGNAL, TRAIN, VARIANTS, VIEWS
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer import block
from transformer.experiments import depth, paths, skipping
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.training import depth as training

FILE, TRAINED = "residual", "residual-training"
EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "verse": "Shall I compare thee to a summer's day?"}
ROLES = dict(zip(VARIANTS, ("value", "key", "query", "attention"), strict=True))
LAYERS, LAYER, VARIANT = 48, 24, "no skip, norm"  # where the first picture opens
FIELDS = {
    "stream": charts.Field("Signal: root mean square of the stream", "Signal, root mean square", "signal"),
    "signal": charts.Field("Gradient that reaches this place, ‖∂L/∂x‖", "Gradient, ‖∂L/∂x‖", "‖∂L/∂x‖"),
    "apart": charts.Field("What still tells the tokens apart, ‖X − 1x̄ᵀ‖ / ‖X‖", "What tells tokens apart", "apart"),
}
DEEP = list(training.RESIDUAL_RATES)
RUN_LAYERS = 8
CUT_LAYER = 12  # where the real model's picture opens, if it has so many
MOST = 48  # tokens of the text that a trained model's pictures take


# --- signal and gradient ----------------------------------------------------------------------------------------------


def stand_signal() -> tuple[int, float, str]:
    layers = url.url_state("layers", LAYERS, int, depth.DEPTHS.__contains__)
    at = url.url_state("layer", LAYER, int, range(max(depth.DEPTHS) + 1).__contains__)
    return layers, min(at, layers), url.url_state("variant", VARIANT, str, VARIANTS.__contains__)


def keep_signal() -> None:
    if (said := held.said("signal", "stand")) is None:
        return
    if said.get("frame") in depth.DEPTHS:
        url.set_url_state("layers", said["frame"], LAYERS)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("layer", int(at), LAYER)
    if said.get("pick") in VARIANTS:
        url.set_url_state("variant", said["pick"], VARIANT)
    held.reported("signal", stand_signal())


def show_signal(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    works = {(key, depths.text_key(text)): functools.partial(depth.sweep, text.ids, norm=norm, share=share)
             for key, (norm, share) in VARIANTS.items()}  # fmt: skip
    with controls:
        st.caption(f"Untrained stacks of {depth.WIDTH} features read your text byte by byte and are asked for each next byte. “No "
                   "skip”: each sum x + F(x) keeps F(x) alone. A curve is the middle of 3 seeds, the band their "
                   "spread. X: all tokens; x̄: their mean.")  # fmt: skip
        runs = {} if text.recorded else live.panel("Measure on this text · about 20 s", works, len(depth.DEPTHS), "depth")
    found = depths.from_runs({key: job for (key, _), job in runs.items()}, FIELDS)
    if of_default := not found:
        recorded = depths.start(FILE)
        found = {key: recorded[training.key(*variant)] for key, variant in VARIANTS.items()}
    here = stand_signal()
    (layers, at, variant), epoch = held.to_send("signal", here)
    with picture:
        curves.mount(
            key="signal", on_stand_change=keep_signal,
            data=charts.by_layer(
                "residual", "Signal, gradient and difference of tokens by layer. Arrow keys move along the layers.",
                Choice("Layers of the stack", depth.DEPTHS, layers), ROLES, found, FIELDS,
                Picks("Read out", list(VARIANTS), variant), "{pick}, layer {x}: signal {0}, gradient {1}, apart {2}",
                cursor=float(at), height=660, epoch=epoch,
            ),
        )  # fmt: skip
        if of_default:
            st.caption(f"Recorded on “{CAPITAL}”.")
    layers, _, variant = here
    frame = depth.DEPTHS.index(layers)
    table = {"layer": np.arange(layers + 1)} | {f"{v}: {f}": of[f][0][frame, : layers + 1] for v, of in found.items() for f in FIELDS}
    lines = [r"\lVert\partial L/\partial x\rVert\text{ at the top} \to \text{at the bottom}"]
    ends = {v: of["signal"][0][frame, [layers, 0]] for v, of in found.items()}
    lines += [rf"\text{{{v}: {top:.1e}}} \to \text{{{bottom:.1e}}}" for v, (top, bottom) in ends.items()]
    norm, share = VARIANTS[variant]
    read = depths.text_of(CAPITAL) if of_default else text
    return Shown(table, r"\begin{gathered}" + r"\\[.3em]".join(lines) + r"\end{gathered}",
                 {"text": read.text, "layers": layers, "norm": norm, "share": share},
                 [("x_l", (f"token {len(read.ids) - 1}", f"model {depth.WIDTH}"), "residual"),
                  (r"\partial L/\partial x_l", (f"token {len(read.ids) - 1}", f"model {depth.WIDTH}"), "residual")])  # fmt: skip


# --- training ---------------------------------------------------------------------------------------------------------


def stand_training() -> tuple[int, float]:
    return (url.url_state("deep", RUN_LAYERS, int, DEEP.__contains__),
            url.url_state("step", float(training.STEPS), float, lambda s: depths.STEPS[0] <= s <= depths.STEPS[-1]))  # fmt: skip


def keep_training() -> None:
    if (said := held.said("training", "stand")) is None:
        return
    if said.get("frame") in DEEP:
        url.set_url_state("deep", said["frame"], RUN_LAYERS)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("step", float(at), float(training.STEPS))
    held.reported("training", stand_training())


def show_training(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand_training()
    layers, rate = here[0], training.RESIDUAL_RATES[here[0]]
    works = {(key, layers, seed): functools.partial(training.train, layers, rate, training.WARMUP, seed, norm=norm, share=share)
             for seed in training.SEEDS for key, (norm, share) in VARIANTS.items()}  # fmt: skip
    with controls:
        st.markdown(f"**{layers} layers**")
        runs = live.panel(f"Train all four, 3 seeds each · about {3 * layers} s", works, training.STEPS // training.EVERY, "report")
        st.caption(f"AdamW without clipping, {training.BATCH} passages of {training.LENGTH} characters a step, one play; the rate "
                   f"rises to {rate:g} over {training.WARMUP} steps. Bands: recorded, 3 seeds. Your runs lie over "
                   f"them in ink.")
    ways, shape, at = {}, (len(DEEP),), (DEEP.index(layers),)
    for key, (norm, share) in VARIANTS.items():
        settings = [training.key(norm, share, n) for n in DEEP]
        jobs = [job for (way, *_), job in runs.items() if way == key]
        of = charts.Trained(ROLES[key], depths.recorded(TRAINED, settings, shape), apart=depths.apart(TRAINED, settings, shape))
        ways[key] = depths.with_live(of, jobs, shape, at)
    (deep, step), epoch = held.to_send("training", here)
    blind = depths.measured(TRAINED)["made"]["blind"]
    with picture:
        curves.mount(
            key="training", on_stand_change=keep_training,
            data=charts.training(
                "residual-training", "Loss as training goes on, with and without skip connections. Arrow keys move along the steps.",
                depths.STEPS, ways, Choice("Layers", DEEP, deep), blind=blind, cursor=step, y=(2.4, 5.2),
                sentence="step {x}: " + "; ".join(f"{key} {{{i}}}" for i, key in enumerate(ways)), height=560, epoch=epoch,
            ),
        )  # fmt: skip
        losses = {key: depths.curve_of(TRAINED, training.key(norm, share, layers))["held_out"]
                  for key, (norm, share) in VARIANTS.items()}  # fmt: skip
        st.markdown(words.verdict(layers, losses, blind))
    table = {"step": depths.STEPS} | {f"{key}, {edge}": of.recorded[i][at] for key, of in ways.items()
                                      for i, edge in enumerate(("middle", "lowest", "highest"))}  # fmt: skip
    return Shown(table, None, {"layers": layers, "rate": rate},
                 [("x", (training.BATCH, f"token {training.LENGTH}", f"model {depth.WIDTH}"), "residual")])


# --- one layer of a real model ----------------------------------------------------------------------------------------


def stand_cut() -> tuple[int, str]:
    default = min(CUT_LAYER, config.n_layers - 1)
    return (url.url_state("cut", default, int, range(config.n_layers).__contains__),
            url.url_state("kind", CUTS[1], str, CUTS.__contains__))  # fmt: skip


def keep_cut() -> None:
    if (said := held.said("answers", "stand")) is None:
        return
    if said.get("place") in range(config.n_layers):
        url.set_url_state("cut", said["place"], min(CUT_LAYER, config.n_layers - 1))
    if said.get("kind") in CUTS:
        url.set_url_state("kind", said["kind"], CUTS[1])
    held.reported("answers", stand_cut())


def cuts_here() -> numbers.Cuts | None:
    """The cuts of this text: computed at once for a small model, in the pool for a large one."""
    model, _ = models.loaded(reading.model)
    if reading.model == "tiny":
        return numbers.cuts_of(reading, list(skipping.skipped(model, list(reading.ids))))
    run = live.panel(f"Cut each of {config.n_layers} layers on this text · about 20 s",
                     {subject: functools.partial(skipping.skipped, model, list(reading.ids))}, config.n_layers, "layer")
    return numbers.cuts_of(reading, run[subject].reports) if subject in run and run[subject].state == "done" else None


def show_cut(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("Two ways to cut at one layer. **Skip the layer**: its branches are cut, the residual path stays. **No "
                   "residual**: the branches stay, and of each sum only what was just added is passed on. Grey: the other ways.")  # fmt: skip
        own = reading.label == "recorded" or (reading.model == models.DEFAULT and reading.text == CAPITAL)
        found = numbers.cuts_recorded() if own else cuts_here()
    if found is None:  # not measured yet
        found, own = numbers.cuts_recorded(), True
    of, loss, entropy = found
    whose, n = numbers.subject_of(own, reading), len(of.tokens)
    here = stand_cut()
    (layer, kind), epoch = held.to_send("answers", here)
    curve = of.numbers["loss"]
    same = np.ones_like(curve)
    facts = [answers.Fact("loss on the text, nats a token", loss * same, curve),
             answers.Fact("entropy of what comes next, nats", entropy * same, of.numbers["entropy"]),
             answers.Fact("KL from the trained answer, nats", 0 * same, of.numbers["kl"])]  # fmt: skip
    with picture:
        answers.mount(
            key="answers", on_stand_change=keep_cut,
            data=answers.message(
                "residual-cuts", "The next token with one layer's residual path cut, or with the layer skipped. Arrow keys choose "
                "the layer.", Choice("Layer", list(range(n)), min(layer, n - 1)), Choice("At this layer", list(CUTS), kind),
                ["value", "key", "attention", "ffn"], of.tokens, of.before, of.after, curve, "Loss on the text, nats a token",
                (0.0, 1.06 * float(curve.max())), facts, columns=("as trained", "now"), whole=loss, said="as trained", epoch=epoch,
            ),
        )  # fmt: skip
        if own:
            st.caption(f"Recorded: SmolLM2 on “{CAPITAL}”.")
    at, which = min(here[0], n - 1), CUTS.index(here[1])
    table = {"layer": [i for i in range(n) for _ in CUTS], "cut": list(CUTS) * n}
    return Shown(table | {name: values.flatten() for name, values in of.numbers.items()},
                 rf"\begin{{gathered}}\text{{layer {at}, {here[1]}:}}\\[.3em]\text{{loss }}{loss:.2f} \to "
                 rf"{curve[at, which]:.2f}"
                 rf"\text{{ nats a token}}\end{{gathered}}",
                 {"model": whose.model, "text": whose.text, "layer": at, "cut": which},
                 [("x_l", (f"token {whose.tokens}", f"model {whose.width}"), "residual"),
                  ("F_l(x_l)", (f"token {whose.tokens}", f"model {whose.width}"), "residual")])  # fmt: skip


# --- all tokens alike -------------------------------------------------------------------------------------------------


def stand_alike() -> tuple[float, int]:
    return (url.url_state("share", 0.0, float, skipping.SHARES.__contains__),
            url.url_state("place", config.n_layers // 2, int, range(config.n_layers + 1).__contains__))  # fmt: skip


def keep_alike() -> None:
    if (said := held.said("alike", "stand")) is None:
        return
    if said.get("frame") in skipping.SHARES:
        url.set_url_state("share", float(said["frame"]), 0.0)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("place", int(at), config.n_layers // 2)
    held.reported("alike", stand_alike())


def show_alike(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(f"Every sum of {reading.title} becomes share · x + F(x): 1 is the model as trained, 0 has no skip connection at "
                   "all. Dashed: as trained. X: all tokens; x̄: their mean, which a row of 1s repeats for each.")  # fmt: skip
    here = stand_alike()
    (share, at), epoch = held.to_send("alike", here)
    found = numbers.collapse(reading.model, reading.label, reading.ids)
    with picture:
        curves.mount(key="alike", on_stand_change=keep_alike, data=charts.collapse(
            reading.title, Choice("Share of the stream that skips", skipping.SHARES, share), found["apart"], found["alike"],
            found["stream"], found["loss"], cursor=float(at), epoch=epoch))  # fmt: skip
    frame, at = skipping.SHARES.index(here[0]), here[1]
    table = {"place": np.arange(config.n_layers + 1)} | {name: found[name][frame] for name in ("apart", "alike", "stream")}
    return Shown(table, rf"\begin{{gathered}}\frac{{\lVert X - 1\bar x^\top\rVert}}{{\lVert X\rVert}} = {found['apart'][frame, at]:.2g}"
                 rf"\text{{ before layer }}{at}\\[.3em]\text{{loss }}{found['loss'][frame]:.2f}\text{{ nats a "
                 rf"token}}\end{{gathered}}",
                 {"model": reading.model, "text": reading.text, "share": here[0]},
                 [("X", (f"token {len(reading.ids)}", f"model {config.d_model}"), "residual"),
                  (r"\bar x", (f"model {config.d_model}",), "residual")])  # fmt: skip


# --- paths ------------------------------------------------------------------------------------------------------------


def stand_paths(stacks: list[str]) -> tuple[str, int]:
    return (url.url_state("stack", words.STACK, str, stacks.__contains__),
            url.url_state("length", 4, int, lambda k: 0 <= k <= 100))  # fmt: skip


def keep_paths(stacks: list[str]) -> None:
    if (said := held.said("paths", "stand")) is None:
        return
    if said.get("frame") in stacks:
        url.set_url_state("stack", said["frame"], words.STACK)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("length", int(at), 4)
    held.reported("paths", stand_paths(stacks))


def show_paths(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("Each sublayer can be gone through or gone around. The gradient at the embedding is the sum over all these "
                   "paths; here it is taken apart by their length, exactly, with one walk back: g is the gradient at the "
                   "top, G_k what arrives by the paths through k sublayers, G their sum. 3 seeds for untrained stacks.")
        own = reading.label == "recorded" or (reading.model == models.DEFAULT and reading.text == CAPITAL)
        runs, read = {}, depths.text_of(CAPITAL if own else reading.text)
        if not own:
            model, _ = models.loaded(reading.model)
            works = {("untrained", reading.text): functools.partial(paths.sweep, read.ids),
                     (reading.title, *subject): functools.partial(numbers.one_model, model, list(reading.ids))}  # fmt: skip
            runs = live.panel("Take the gradient of this text apart · about 15 s", works, len(paths.DEPTHS), "stack")
    found = numbers.paths_of(runs, reading.title)
    if of_default := not found:
        found, read = numbers.paths_recorded(), depths.text_of(CAPITAL)
    stacks = list(found)
    here = stand_paths(stacks)
    (stack, length), epoch = held.to_send("paths", here)
    share, size, count = numbers.laid_out(found)
    with picture:
        curves.mount(key="paths", on_stand_change=lambda: keep_paths(stacks), data=charts.by_length(
            Choice("Stack", stacks, stack if stack in stacks else stacks[0]), share, size, count, stacks,
            cursor=float(min(length, count.shape[1] - 1)), epoch=epoch))  # fmt: skip
        if of_default:
            st.caption(f"Recorded on “{CAPITAL}”.")
    at = stacks.index(here[0]) if here[0] in stacks else 0
    m = int(np.isfinite(count[at]).sum()) - 1
    lengths = np.arange(m + 1)
    table = {"length": lengths, "paths": count[at, : m + 1], "share": share[at, 0, : m + 1], "size": size[at, 0, : m + 1]}
    narrow = stacks[at] in map(words.stack, paths.DEPTHS)  # an untrained stack, which reads bytes
    whose = numbers.subject_of(of_default, reading)
    tokens, width = (len(read.ids), depth.WIDTH) if narrow else (whose.tokens, whose.width)
    mean = paths.mean_length(torch.tensor(np.mean(list(found.values())[at][0], 0)))
    return Shown(table, rf"\begin{{gathered}}2^{{{m}}}\text{{ paths, their mean length }}{m / 2:.1f}\\[.3em]"
                 rf"\text{{the gradient's }}{mean:.1f}\end{{gathered}}",
                 {"model": whose.model, "text": whose.text},
                 [("G_k", (f"token {tokens - 1}", f"model {width}"), "value")])  # fmt: skip


SHOW: dict[str, Callable[[DeltaGenerator, DeltaGenerator], Shown]] = {
    SIGNAL: show_signal, TRAIN: show_training, CUT: show_cut, ALIKE: show_alike, PATHS: show_paths,
}  # fmt: skip
CODE = {
    SIGNAL: [depth.residual, depth.measure, block.Block.forward], TRAIN: [training.without_skip, training.train],
    CUT: [skipping.skipped, skipping.cuts], ALIKE: [depth.apart, skipping.collapse], PATHS: [paths.split, paths.shares],
}  # fmt: skip


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.24))
    depths.beside(lesson, code_place, shown, view, words.FORMULA[view], CODE[view], words.SNIPPET[view])


lesson, live = Lesson("D7"), Training("D7")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
above, stage, prose, code_place, more = (st.container() for _ in range(5))
with above:
    if view != TRAIN:
        typed = lesson.text(CAPITAL, EXAMPLES)
    if view in (CUT, ALIKE, PATHS):
        reading = lesson.read(typed, ("embed",), models.decoder(), most=MOST)
        if len(reading.ids) < 2:
            st.warning("A loss needs a next token to predict: give at least two tokens.", icon=":material/info:")
            reading = lesson.read(CAPITAL, ("embed",), models.decoder())
        config, subject = reading.config, (reading.model, reading.label, reading.text)
    else:
        lesson.show_model("Trained here" if view == TRAIN else "Untrained stacks", "tiny")
        if view == SIGNAL:
            text = depths.text_of(typed)
with stage:
    live.watch(draw)(code_place)
with prose:
    seen = words.Seen(depths.start(FILE), depths.measured(FILE)["cuts"], depths.measured(FILE)["paths"], depths.measured(TRAINED))
    lesson.prose(**words.prose(seen))
    lesson.predict(**words.predict(seen))
with more:
    lesson.interview(words.interview(seen))
    lesson.sources(words.SOURCES)
