"""Where the norm goes: before each sublayer, behind the sum, or on both sides, and what that does to a deep stack."""

import functools
from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import transformer
from charts import answers, blocks, curves
from charts import depth as charts
from charts.curves import Choice, Picks, Switch
from pages.block import depths, placement_words as words
from pages.block.depths import Shown
from pages.block.placement_numbers import final_of, flow_of, streams_of
from pages.block.placement_words import BLOCKS, FINAL, GRADIENT, MODEL, PLACES, VIEWS, WARMUP
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer import block, schedule
from transformer.experiments import depth, final_norm
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.training import depth as training

FILE, TRAINED = "norm-placement", "norm-placement-training"
EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "verse": "Shall I compare thee to a summer's day?"}
ROLES = {"pre": "value", "post": "key", "sandwich": "query"}
LAYERS, LAYER = 48, 40  # where the gradients' picture opens: depth, cursor
DRAWN = 12  # layers of the stack whose blocks are drawn
FIELDS = {
    "weights": charts.Field("Gradient of each layer's weights, ‖∂L/∂W‖", "Weights, ‖∂L/∂W‖", "‖∂L/∂W‖", share=1.2),
    "signal": charts.Field("Gradient of the stream there, ‖∂L/∂x‖", "Stream, ‖∂L/∂x‖", "‖∂L/∂x‖", switched=True),
    "stream": charts.Field("Stream, root mean square of its entries", "Stream, root mean square", "stream"),
    "turned": charts.Field("How far the layer turns a token, 1 − cos", "1 − cos", "1 − cos"),
}
WAYS = {"with warm-up": training.WARMUPS[1], "without": training.WARMUPS[0]}
LOOKS = {"with warm-up": ("value", None), "without": ("key", (7, 5))}
SHAPE = len(training.PLACES), len(training.LAYERS), len(training.RATES)
RUN = training.PLACES[0], 8, 3e-3  # telling
MOST = 48  # tokens of the text that a trained model's pictures take


# --- gradients at the start -------------------------------------------------------------------------------------------


def stand_gradient() -> tuple[int, int, str, bool]:
    layers = url.url_state("layers", LAYERS, int, depth.DEPTHS.__contains__)
    at = url.url_state("layer", LAYER, int, range(max(depth.DEPTHS) + 1).__contains__)
    passed = url.url_state("passed", "false", str.lower, ("true", "false").__contains__) == "true"
    return layers, min(at, layers), url.url_state("place", "post", str, PLACES.__contains__), passed


def keep_gradient() -> None:
    if (said := held.said("start", "stand")) is None:
        return
    if said.get("frame") in depth.DEPTHS:
        url.set_url_state("layers", said["frame"], LAYERS)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("layer", int(at), LAYER)
    if said.get("pick") in PLACES:
        url.set_url_state("place", said["pick"], "post")
    url.set_url_state("passed", "true" if said.get("switch") else "false", "false")
    held.reported("start", stand_gradient())


def show_gradient(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    works = {(place, depths.text_key(text)): functools.partial(depth.sweep, text.ids, place) for place in PLACES}
    with controls:
        st.caption(f"Untrained stacks of {depth.WIDTH} features and {depth.HEADS} heads read your text byte by byte and are asked "
                   "for each next byte; one backward pass. A curve is the middle of 3 seeds, the band their spread. "
                   "Drag the "
                   "depth; pick a placement to read it out.")  # fmt: skip
        runs = {} if text.recorded else live.panel("Measure on this text · about 15 s", works, len(depth.DEPTHS), "depth")
    found = depths.from_runs({place: job for (place, _), job in runs.items()}, FIELDS)
    of_default = not found
    if of_default:
        found = depths.start(FILE)
    here = stand_gradient()
    (layers, at, place, passed), epoch = held.to_send("start", here)
    with picture:
        curves.mount(
            key="start", on_stand_change=keep_gradient,
            data=charts.by_layer(
                "norm-placement", "Gradient and stream by layer for three places of the norm. Arrow keys move along the layers.",
                Choice("Layers of the stack", depth.DEPTHS, layers), ROLES, found, FIELDS,
                Picks("Read out", list(PLACES), place),
                "{pick}-norm, layer {x}: gradient of its weights {0}, of the stream {1}; stream {2}, turned by {3}",
                cursor=float(at), switch=Switch("Also the gradient that is passed down", passed, taller=150), epoch=epoch,
            ),
        )  # fmt: skip
        if of_default:
            st.caption(f"Recorded on “{CAPITAL}”.")
    layers, _, place, _ = here
    frame = depth.DEPTHS.index(layers)
    chosen = {p: of for p, of in found.items()}
    table = {"layer": np.arange(layers)} | {f"{p} {f}": of[f][0][frame, :layers] for p, of in chosen.items() for f in FIELDS}
    edge = {p: of["weights"][0][frame] for p, of in chosen.items()}
    numbers = r"\begin{gathered}" + r"\\[.3em]".join(
        rf"\text{{{p}: }}\lVert\partial L/\partial W\rVert\ {e[0]:.2f}\text{{ first, }}{e[layers - 1]:.2f}\text{{ "
        rf"last}}" for p, e in edge.items() if np.isfinite(e[0])
    ) + r"\end{gathered}"  # fmt: skip
    of = depths.text_of(CAPITAL) if of_default else text
    return Shown(table, numbers, {"text": of.text, "layers": layers, "place": place}, [
        ("x_l", (f"token {len(of.ids) - 1}", f"model {depth.WIDTH}"), "residual"),
        (r"\partial L/\partial x_l", (f"token {len(of.ids) - 1}", f"model {depth.WIDTH}"), "residual"),
        (r"\partial L/\partial W_1", (depth.WIDTH, 4 * depth.WIDTH), "ffn"),
    ])  # fmt: skip


# --- the three blocks -------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner=False)
def sizes_of(ids: tuple[int, ...]) -> dict[str, list[list[depth.Node]]]:
    """place -> layer -> what stands on its way, with the size that it really has."""
    found = {}
    for place in PLACES:
        model = transformer.build(depth.config(DRAWN, place), 0)
        found[place] = [depth.block_sizes(model, ids, layer) for layer in range(DRAWN)]
    return found


def stand_block() -> int:
    return url.url_state("block", DRAWN // 2, int, range(DRAWN).__contains__)


def keep_block() -> None:
    said = held.said("blocks", "stand")
    if said is not None and said.get("frame") in range(DRAWN):
        url.set_url_state("block", said["frame"], DRAWN // 2)
        held.reported("blocks", stand_block())


def show_blocks(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(f"Drawn from the three configs: what a run of each records, in the order of computation. The stream is as thick "
                   f"as it is large at that point, in an untrained stack of {DRAWN} layers that reads your text. "
                   "Numbers: root mean squares, below of the stream, above of what a box puts out.")  # fmt: skip
    here = stand_block()
    layer, epoch = held.to_send("blocks", here)
    found = sizes_of(text.ids)
    with picture:
        blocks.mount(key="blocks", on_stand_change=keep_block,
                     data=blocks.message(Choice("Layer", list(range(DRAWN)), layer), found, ROLES, epoch=epoch))  # fmt: skip
    nodes = {place: of[here] for place, of in found.items()}
    table = {"place": [p for p, of in nodes.items() for _ in of], "tensor": [n.name for of in nodes.values() for n in of],
             "root mean square": [n.size for of in nodes.values() for n in of]}  # fmt: skip
    return Shown(table, None, {"text": text.text, "layers": DRAWN, "place": "pre"},
                 [("x", (f"token {len(text.ids) - 1}", f"model {depth.WIDTH}"), "residual"),
                  (r"\hat{x}", (f"token {len(text.ids) - 1}", f"model {depth.WIDTH}"), "residual")])  # fmt: skip


# --- training ---------------------------------------------------------------------------------------------------------


def stand_training() -> tuple[str, int, float, float]:
    return (
        url.url_state("norm", RUN[0], str, training.PLACES.__contains__),
        url.url_state("deep", RUN[1], int, training.LAYERS.__contains__),
        url.url_state("rate", RUN[2], float, training.RATES.__contains__),
        url.url_state("step", float(training.STEPS), float, lambda s: depths.STEPS[0] <= s <= depths.STEPS[-1]),
    )


def keep_training() -> None:
    said = held.said("training", "stand")
    chosen = (said or {}).get("frames")
    if not isinstance(chosen, list) or len(chosen) != len(SHAPE):
        return
    place, layers, rate = chosen
    if place in training.PLACES and layers in training.LAYERS and rate in training.RATES:
        for key, value, default in zip(("norm", "deep", "rate"), chosen, RUN, strict=True):
            url.set_url_state(key, value, default)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("step", float(at), float(training.STEPS))
    held.reported("training", stand_training())


def show_training(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand_training()
    place, layers, rate, _ = here
    works = {(place, layers, rate, way, seed): functools.partial(training.train, layers, rate, warmup, seed, place)
             for seed in training.SEEDS for way, warmup in WAYS.items()}  # fmt: skip
    at = training.PLACES.index(place), training.LAYERS.index(layers), training.RATES.index(rate)
    with controls:
        st.markdown(f"**{place}-norm, {layers} layers, peak {rate:g}**")
        runs = live.panel(f"Train it here, 3 seeds with and 3 without · about {4 * layers // 2} s", works,
                          training.STEPS // training.EVERY, "report")  # fmt: skip
        st.caption(f"AdamW without clipping, {training.BATCH} passages of {training.LENGTH} characters a step, "
                   f"{training.STEPS} steps, one play. The rate rises over {WAYS['with warm-up']} steps or is there "
                   f"at once. Bands: "
                   "recorded, 3 seeds. Your runs lie over them in ink.")  # fmt: skip
    ways = {}
    for way, warmup in WAYS.items():
        settings = [training.key(p, n, lr, warmup) for p in training.PLACES for n in training.LAYERS for lr in training.RATES]
        role, dash = LOOKS[way]
        jobs = [job for key, job in runs.items() if key[3] == way]
        of = charts.Trained(role, depths.recorded(TRAINED, settings, SHAPE), dash=dash, apart=depths.apart(TRAINED, settings, SHAPE))
        ways[way] = depths.with_live(of, jobs, SHAPE, at)
    rates = {way: np.array([[[[schedule.constant(lr, warmup)(int(step)) for step in depths.STEPS] for lr in training.RATES]]])
             for way, warmup in WAYS.items()}  # fmt: skip
    (p, n, lr, step), epoch = held.to_send("training", here)
    blind = depths.measured(TRAINED)["made"]["blind"]
    with picture:
        curves.mount(
            key="training", on_stand_change=keep_training,
            data=charts.training(
                "warm-up", "Loss as training goes on, with and without warm-up. Arrow keys move along the steps.", depths.STEPS,
                ways, [Choice("Norm", training.PLACES, p), Choice("Layers", training.LAYERS, n),
                       Choice("Peak learning rate", training.RATES, lr)],
                rates=rates, blind=blind, cursor=step, y=(2.4, 5.2),
                sentence="step {x}: with warm-up {0} nats a character, without {1}", height=660, epoch=epoch,
            ),
        )  # fmt: skip
        st.markdown(words.verdict(place, layers, rate, {way: final_losses(here, warmup) for way, warmup in WAYS.items()}, blind))
    table = {"step": depths.STEPS} | {f"{way}, {edge}": of.recorded[i][at] for way, of in ways.items()
                                      for i, edge in enumerate(("middle", "lowest", "highest"))}  # fmt: skip
    return Shown(table, None, {"place": place, "layers": layers, "rate": rate, "warmup": WAYS["with warm-up"]},
                 [("x", (training.BATCH, f"token {training.LENGTH}", f"model {depth.WIDTH}"), "residual")])


def final_losses(run: tuple, warmup: int) -> np.ndarray:
    """Recorded, on the part of the play that no run learns from [seed]."""
    place, layers, rate, _ = run
    return depths.curve_of(TRAINED, training.key(place, layers, rate, warmup))["held_out"]


# --- without the final norm -------------------------------------------------------------------------------------------


def stand_final() -> tuple[str, str]:
    return (url.url_state("token", names[-1], str, names.__contains__),
            url.url_state("way", words.WAY, str, final_norm.WAYS.__contains__))  # fmt: skip


def keep_final() -> None:
    if (said := held.said("answers", "stand")) is None:
        return
    if said.get("place") in names:
        url.set_url_state("token", said["place"], names[-1])
    if said.get("kind") in final_norm.WAYS:
        url.set_url_state("way", said["kind"], words.WAY)
    held.reported("answers", stand_final())


def show_final(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(f"{reading.title}'s own stream, read off by its own matrix W_U, the final norm changed by an edit of the tensor "
                   "`final_norm`. Choose after which word the model is asked, and what is left of the "
                   "norm. Dashed: as trained; grey: the other ways.")  # fmt: skip
    here = stand_final()
    (token, way), epoch = held.to_send("answers", here)
    found = final_of(reading)
    whole = {name: np.repeat(values[:, :1], len(final_norm.WAYS), 1) for name, values in found.numbers.items()}
    facts = [answers.Fact(title, whole[name], found.numbers[name]) for name, title in words.FACTS.items()]
    entropy = found.numbers["entropy"]
    with picture:
        answers.mount(
            key="answers", on_stand_change=keep_final,
            data=answers.message(
                "final-norm", "The next token with the final norm and without it. Arrow keys choose the word.",
                Choice("after the word", names, token), Choice("Final norm", list(final_norm.WAYS), way),
                ["residual", "attention", "ffn", "key"], found.tokens, found.before, found.after, entropy,
                "Entropy of what comes next, "
                "nats", (0.0, 1.08 * float(entropy.max())), facts, columns=("as trained", "now"),
                base=True, epoch=epoch,
            ),
        )  # fmt: skip
    at, kind = names.index(here[0]), final_norm.WAYS.index(here[1])
    numbers = (rf"\begin{{gathered}}\sigma = {found.numbers['sigma'][at, 0]:.3g}\\[.3em]\text{{entropy }}{entropy[at, 0]:.3g} \to "
               rf"{entropy[at, kind]:.3g}\text{{ nats}}\\[.3em]\text{{spread of "
               rf"}}\output{{\ell}}\ {found.numbers['spread'][at, 0]:.3g} \to "
               rf"{found.numbers['spread'][at, kind]:.3g}\end{{gathered}}")  # fmt: skip
    table = {"token": [n for n in names for _ in final_norm.WAYS], "way": list(final_norm.WAYS) * len(names)}
    return Shown(table | {name: values.flatten() for name, values in found.numbers.items()}, numbers,
                 {"model": reading.model, "text": reading.text, "way": here[1]},
                 [("x", (f"token {len(reading.ids)}", f"model {config.d_model}"), "residual"),
                  (r"\sigma", (f"token {len(reading.ids)}",), "residual"), (r"\gamma", (f"model {config.d_model}",), "residual"),
                  ("W_U", (f"vocab {config.vocab_size:,}", f"model {config.d_model}"), "output")])  # fmt: skip


# --- in a trained model -----------------------------------------------------------------------------------------------


def stand_model() -> tuple[str, int]:
    return (url.url_state("token", names[-1], str, names.__contains__),
            url.url_state("layer", len(streams) // 2, int, range(len(streams)).__contains__))  # fmt: skip


def keep_model() -> None:
    if (said := held.said("flow", "stand")) is None:
        return
    if said.get("frame") in names:
        url.set_url_state("token", said["frame"], names[-1])
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("layer", int(at), len(streams) // 2)
    held.reported("flow", stand_model())


def show_model(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    place = "post" if config.norm_place == "post" else "pre"
    with controls:
        st.caption(words.IN_MODEL[place].format(title=reading.title))
    here = stand_model()
    (token, at), epoch = held.to_send("flow", here)
    flow = flow_of(reading)
    padded = [np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan) for values in (flow.written, flow.turned)]
    with picture:
        curves.mount(key="flow", on_stand_change=keep_model, data=charts.in_a_model(
            reading.title, len(streams), Choice("Token", names, token), flow.stream, *padded, cursor=float(at), epoch=epoch))
    i, at = names.index(here[0]), min(here[1], len(streams) - 2)
    table = {"layer": np.arange(len(streams)), "stream": flow.stream[i], "written": padded[0][i], "turned": padded[1][i]}
    return Shown(table, rf"\begin{{gathered}}\text{{stream before layer }}{at}\text{{: }}{flow.stream[i, at]:.3g}\\[.3em]"
                 rf"\lVert\Delta x\rVert/\lVert x\rVert = {flow.written[i, at]:.3g},\quad 1 - \cos = "
                 rf"{flow.turned[i, at]:.3g}\end{{gathered}}",
                 {"model": reading.model, "text": reading.text, "token": i},
                 [("x_l", (f"token {len(reading.ids)}", f"model {config.d_model}"), "residual")])  # fmt: skip


SHOW: dict[str, Callable[[DeltaGenerator, DeltaGenerator], Shown]] = {
    GRADIENT: show_gradient, BLOCKS: show_blocks, WARMUP: show_training, FINAL: show_final, MODEL: show_model,
}  # fmt: skip
CODE = {
    GRADIENT: [block.Block.forward, depth.measure], BLOCKS: [block.Block.forward, depth.block_sizes],
    WARMUP: [training.train, schedule.constant], FINAL: [final_norm.edits, final_norm.look], MODEL: [depth.flow],
}  # fmt: skip


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.24))
    depths.beside(lesson, code_place, shown, view, words.FORMULA[view], CODE[view], words.SNIPPET[view])


lesson, live = Lesson("D2"), Training("D2")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
above, stage, prose, code_place, more = (st.container() for _ in range(5))
with above:
    if view != WARMUP:
        typed = lesson.text(CAPITAL, EXAMPLES)
    if view in (FINAL, MODEL):
        pattern = ("embed",) if view == FINAL else ("layers.*.resid_p*",)
        reading = lesson.read(typed, pattern, models.decoder() if view == FINAL else None, most=MOST)
        config = reading.config
        names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces)]
        streams = streams_of(config)
    else:
        lesson.show_model("Trained here" if view == WARMUP else "Untrained stacks", "tiny")
        if view != WARMUP:
            text = depths.text_of(typed)
with stage:
    live.watch(draw)(code_place)
with prose:
    seen = words.Seen(depths.start(FILE), depths.measured(FILE)["final_norm"]["ways"], depths.measured(TRAINED)["runs"],
                      depths.measured(TRAINED)["made"]["blind"], depths.measured(FILE)["flow"])
    lesson.prose(**words.prose(seen))
    lesson.predict(**words.predict(seen))
with more:
    lesson.interview(words.interview(seen))
    lesson.sources(words.SOURCES)
