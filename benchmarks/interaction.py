"""From a key press to a changed picture, in a real browser, beside the framework's own floor in the same run.

    python -m benchmarks.interaction [--presses 30] [--only A2 F2]

Each row of CASES focuses one control of one page, presses its keys, and stops the clock at the first animation frame in
which the picture's pixels or shapes are other than before. Its floor is a page of one slider and one line of text, served
by the same Streamlit with the same settings and measured right before it, so that both meet the same machine. Then: the
first picture after the process starts, and the memory that the process holds with SmolLM2 loaded.

SmolLM2 is used where it has been fetched (`python -m transformer fetch smollm2-135m`); else the pages show their recorded
trace, which is what they show before the download too, and the memory is not reported.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from pages.shared.lessons import lesson
from tests.browser.rig import DESKTOP, FLAGS, ROOT, find_chromium, serve, settle
from transformer.pretrained.fetch import is_fetched

FLOOR = "import streamlit as st\nst.text(st.slider('Value', 0, 1000, 500))\n"
LIMIT_P50 = {"component": 1.5, "altair": 2.0, "plotly": 3.0}  # times the floor's p50
LIMIT_P95 = 3.0                                               # times the floor's p95
FIRST_PICTURE = 4.0                                           # seconds after the process starts
MEMORY = 1.2e9                                                # bytes with SmolLM2 loaded


@dataclass(frozen=True)
class Case:
    """One control of one page: what is focused (a CSS selector that sees through shadow roots), what is pressed, in turn,
    and which elements are the picture. `drawn` names what draws it, and with it the limit. A press may take several keys,
    "ArrowDown Enter": the clock starts at the last. Where two buttons are pressed in turn, `other` is the second."""

    row: str
    what: str
    drawn: str
    focus: str
    keys: tuple[str, str] = ("ArrowRight", "ArrowLeft")
    picture: str = ".st-key-gf-picture"
    query: str = ""
    other: str = ""


# Layers, seeds, a text and a token to write ask the server for other tensors; all else is chosen from what it sent.
CASES = (
    Case("A1", "layer", "component", ".st-key-walkthrough canvas[aria-label*=layers]"),
    Case("A1", "token", "component", ".st-key-walkthrough canvas[aria-label*=layers]", keys=("ArrowUp", "ArrowDown")),
    Case("A1", "head", "component", ".st-key-walkthrough canvas[aria-label*=layers]", keys=("h", "Shift+H")),
    Case("A1", "map enlarged", "component", ".st-key-walkthrough canvas[aria-label*=layers]", keys=("Enter", "Enter")),
    Case("A1", "scores or weights", "component", ".st-key-walkthrough [aria-label='Show the scores before the softmax']",
         keys=("Enter", "Enter"), other=".st-key-walkthrough [aria-label='Show the attention weights']"),
    Case("A1", "temperature", "component", ".st-key-walkthrough input[type=range]"),
    Case("A2", "head", "component", ".st-key-maps canvas"),
    Case("A2", "pair of tokens", "component", ".st-key-maps canvas[aria-label*='Arrow']", keys=("ArrowLeft", "ArrowRight")),
    Case("A2", "kind of head", "component", ".st-key-maps button:has-text('previous token')", keys=("Enter", "Enter"),
         other=".st-key-maps button:has-text('induction')"),
    Case("A2", "rollout", "component", ".st-key-maps button:has-text('rollout')", keys=("Enter", "Enter"),
         other=".st-key-maps button:has-text('one head')"),
    Case("A2", "weights × ‖value‖", "component", ".st-key-maps button:has-text('value')", keys=("Enter", "Enter"),
         other=".st-key-maps button:text-is('weights')"),
    Case("A2", "map or lines", "component", ".st-key-maps canvas", keys=("m", "m")),
    Case("A3", "temperature", "component", ".st-key-next_token input[type=range]", picture=".st-key-next_token"),
    Case("A3", "top-k", "component", ".st-key-next_token input[aria-label^='Top-k']", keys=("ArrowLeft", "ArrowRight"),
         picture=".st-key-next_token"),
    Case("A3", "top-p", "component", ".st-key-next_token input[aria-label^='Top-p']", keys=("ArrowLeft", "ArrowRight"),
         picture=".st-key-next_token"),
    Case("A3", "min-p", "component", ".st-key-next_token input[aria-label^='Min-p']", picture=".st-key-next_token"),
    Case("A3", "stage", "component", ".st-key-next_token [aria-label$='up to: exp']", keys=("Enter", "Enter"),
         picture=".st-key-next_token", other=".st-key-next_token [aria-label$='up to: draw']"),
    Case("A3", "seed", "component", ".st-key-next_token [aria-label='New seed']", keys=("Enter", "Enter"),
         picture=".st-key-next_token"),
    Case("A3", "a token written, taken back", "component", ".st-key-next_token canvas", keys=("n", "Backspace"),
         picture=".st-key-next_token"),
    Case("B1", "layer and head", "component", ".st-key-steps_small .gf-scrubber input"),
    Case("B1", "way to score", "component", ".st-key-steps_small .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("B1", "step", "component", ".st-key-steps_small canvas", keys=(",", ".")),
    Case("B1", "cell", "component", ".st-key-steps_small canvas", keys=("ArrowLeft", "ArrowRight")),
    Case("B1", "the weights too", "component", ".st-key-steps_small [role=switch]", keys=(" ", " ")),
    Case("B1", "real head", "component", ".st-key-steps_real .gf-scrubber input", query="?view=A+real+head"),
    Case("B2", "d_k", "component", ".st-key-saturation .gf-scrubber:has-text('d_k') input"),
    Case("B2", "÷ √d_k", "component", ".st-key-saturation [role=switch]", keys=(" ", " ")),
    Case("B2", "query", "component", ".st-key-saturation .gf-scrubber:has-text('Query') input"),
    Case("B2", "factor on a head", "component", ".st-key-saturation .gf-scrubber:has-text('Scores') input",
         query="?view=A+trained+head"),
    Case("B3", "head", "component", ".st-key-weights input[type=range]", keys=("ArrowLeft", "ArrowRight")),
    Case("B3", "key vector", "component", ".st-key-plane canvas", query="?view=Two+vectors+by+hand"),
    Case("B3", "whose field", "component", ".st-key-plane .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=Two+vectors+by+hand"),
    Case("B3", "function that stands out", "component", ".st-key-curves .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=Cost"),
    Case("B4", "key/value heads", "component", ".st-key-wiring input[type=range]", keys=("ArrowLeft", "ArrowRight")),
    Case("B4", "query head", "component", ".st-key-wiring canvas"),
    Case("B4", "tokens in the cache", "component", ".st-key-bars input[type=range]", query="?view=Bytes+in+real+models"),
    Case("B5", "mask", "component", ".st-key-matrices .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("B5", "m", "component", ".st-key-matrices .gf-scrubber input", query="?mask=prefix"),
    Case("B5", "zero after the softmax", "component", ".st-key-matrices [role=switch]", keys=(" ", " ")),
    Case("B5", "step of training", "component", ".st-key-curves canvas", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Break+it:+the+loss"),
    Case("B5", "head of the cheat", "component", ".st-key-matrices .gf-scrubber input", query="?view=Break+it:+the+map"),
    Case("B5", "cell", "component", ".st-key-matrices canvas", keys=("ArrowLeft", "ArrowRight"), query="?view=Change+a+word"),
    Case("B6", "pattern", "component", ".st-key-matrices .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("B6", "layers", "component", ".st-key-matrices .gf-scrubber input", query="?pattern=window"),
    Case("B6", "head", "component", ".st-key-matrices .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=On+a+real+head"),
    Case("B6", "direction", "component", ".st-key-curves .gf-scrubber input", query="?view=What+it+costs"),
    Case("B6", "head of ours", "component", ".st-key-matrices .gf-scrubber input", query="?view=Trained+with+it"),
    Case("B7", "method", "component", ".st-key-matrices .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("B7", "size", "component", ".st-key-matrices .gf-scrubber input"),
    Case("B7", "what it is made of", "component", ".st-key-matrices [role=switch]", keys=(" ", " ")),
    Case("B7", "length of q and k", "component", ".st-key-curves .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Features"),
    Case("B7", "rank", "component", ".st-key-curves canvas", query="?view=Rank"),
    Case("B7", "features of the mean", "component", ".st-key-curves .gf-scrubber:has-text('Features') input",
         query="?view=Unbiased%3F"),
    Case("B7", "token of the state", "component", ".st-key-matrices .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=State"),
    Case("B7", "features that cost", "component", ".st-key-curves .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Cost"),
    Case("B8", "memory, reach", "component", ".st-key-matrices .gf-scrubber input"),
    Case("B8", "memory, attention", "component", ".st-key-matrices .gf-scrubber input", query="?view=Attention"),
    Case("B8", "scores of the attention", "component", ".st-key-matrices [role=switch]", keys=(" ", " "),
         query="?view=Attention"),
    Case("B8", "memory, differences", "component", ".st-key-curves .gf-scrubber input", query="?view=Same+or+not"),
    Case("B8", "place in the segment", "component", ".st-key-curves canvas", query="?view=What+it+is+worth"),
    Case("B9", "a sentence taken out", "component", ".st-key-document .weight", keys=("Enter", "Enter"),
         picture=".st-key-document"),
    Case("B9", "s", "component", ".st-key-curves canvas", query="?view=What+it+costs"),
    Case("B10", "layer and head", "component", ".st-key-alignment input[type=range]", keys=("ArrowLeft", "ArrowRight")),
    Case("B10", "step of writing", "component", ".st-key-alignment canvas", keys=("PageUp", "PageDown")),
    Case("B10", "cell", "component", ".st-key-alignment canvas", query="?way=Dates+→+ISO&cell=3,5"),
    Case("B10", "head of the three uses", "component", ".st-key-uses input[type=range]", picture=".st-key-uses"),
    Case("B11", "step", "component", ".st-key-cache input[type=range]", keys=("ArrowRight", "ArrowLeft")),
    Case("B11", "length", "component", ".st-key-curves canvas", keys=("ArrowLeft", "ArrowRight"), query="?view=FLOPs+and+time"),
    Case("B11", "texts at once", "component", ".st-key-curves input[type=range]:visible", query="?view=Bytes"),
    Case("B12", "tile", "component", ".st-key-tiles .gf-scrubber input"),
    Case("B12", "cell", "component", ".st-key-tiles canvas", keys=("ArrowRight", "ArrowLeft"), query="?cell=S.0.0"),
    Case("B12", "length", "component", ".st-key-memory canvas", picture=".st-key-memory"),
    Case("C1", "order", "component", ".st-key-matrices .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("C1", "positions on", "component", ".st-key-matrices [role=switch]", keys=(" ", " ")),
    Case("C1", "cell", "component", ".st-key-matrices canvas", keys=("ArrowRight", "ArrowLeft"), query="?cell=A,0,0"),
    Case("C1", "layer of the places", "component", ".st-key-curves .gf-scrubber:has-text('Vectors') input",
         query="?view=Who+knows+the+place"),
    Case("C2", "position", "component", ".st-key-turn .gf-scrubber:has-text('Position') input"),
    Case("C2", "shift", "component", ".st-key-turn .gf-scrubber:has-text('Shift') input"),
    Case("C2", "pair", "component", ".st-key-turn canvas", keys=("ArrowDown", "ArrowUp")),
    Case("C2", "width", "component", ".st-key-turn .gf-scrubber:has-text('Width') input"),
    Case("C2", "base", "component", ".st-key-turn .gf-scrubber:has-text('Base') input"),
    Case("C2", "layout", "component", ".st-key-turn .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("C2", "base of the products", "component", ".st-key-curves .gf-scrubber:has-text('Base') input",
         query="?view=PE+·+PE"),
    Case("C2", "head", "component", ".st-key-matrices .gf-scrubber input", query="?view=Through+a+real+head"),
    Case("C2", "step of training", "component", ".st-key-curves canvas", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Beside+the+words"),
    Case("C3", "head", "component", ".st-key-pair .gf-scrubber:has-text('Head') input"),
    Case("C3", "query", "component", ".st-key-pair .gf-scrubber:has-text('Query') input", keys=("ArrowLeft", "ArrowRight")),
    Case("C3", "key", "component", ".st-key-pair .gf-scrubber:has-text('Key') input", keys=("ArrowLeft", "ArrowRight")),
    Case("C3", "base of the rotation", "component", ".st-key-pair .gf-scrubber:has-text('Base') input"),
    Case("C3", "positions up to", "component", ".st-key-pair .gf-scrubber:has-text('Positions') input"),
    Case("C3", "place of the query", "component", ".st-key-pair canvas"),
    Case("C3", "pair", "component", ".st-key-pair canvas", keys=("ArrowDown", "ArrowUp")),
    Case("C3", "layer", "component", ".st-key-pair .gf-scrubber:has-text('Layer') input"),
    Case("C3", "distance", "component", ".st-key-curves canvas", query="?view=Score+by+distance"),
    Case("C3", "reach of the curves", "component", ".st-key-curves .gf-scrubber:has-text('Distances') input",
         query="?view=Score+by+distance"),
    Case("C3", "likeness ρ", "component", ".st-key-curves .gf-scrubber:has-text('Likeness') input",
         keys=("ArrowLeft", "ArrowRight"), query="?view=Score+by+distance"),
    Case("C3", "base, by distance", "component", ".st-key-curves .gf-scrubber:has-text('Base') input",
         query="?view=Score+by+distance"),
    Case("C3", "head, by distance", "component", ".st-key-curves .gf-scrubber:has-text('Head') input",
         query="?view=Score+by+distance"),
    Case("C3", "seed (asks the server)", "component", ".st-key-seed input", keys=("ArrowUp", "ArrowDown"),
         query="?view=Score+by+distance"),
    Case("C3", "layer, by distance (server)", "component", ".st-key-layer_box input",
         query="?view=Score+by+distance"),
    Case("C3", "base, beside sinusoids", "component", ".st-key-curves .gf-scrubber:has-text('Base') input",
         query="?view=Beside+sinusoids"),
    Case("C3", "head, beside sinusoids", "component", ".st-key-curves .gf-scrubber:has-text('Head') input",
         query="?view=Beside+sinusoids"),
    Case("C3", "words' own vectors", "component", ".st-key-curves [role=switch]", keys=(" ", " "),
         query="?model=tiny&view=Beside+sinusoids"),
    Case("C3", "key's word (asks the server)", "component", ".st-key-key_box input",
         keys=("ArrowLeft", "ArrowRight"), query="?view=Beside+sinusoids"),
    Case("C3", "head, both layouts", "component", ".st-key-layouts .gf-scrubber input", query="?view=Two+layouts"),
    Case("C3", "base, longer texts", "component", ".st-key-curves .gf-scrubber:has-text('Base') input",
         query="?view=Longer+texts"),
    Case("C3", "factor", "component", ".st-key-curves .gf-scrubber:has-text('times as long') input",
         query="?view=Longer+texts"),
    Case("C3", "scaling", "component", ".st-key-curves .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=Longer+texts"),
    Case("C4", "way", "component", ".st-key-parts .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("C4", "head", "component", ".st-key-parts .gf-scrubber input"),
    Case("C4", "step", "component", ".st-key-parts canvas", keys=(",", ".")),
    Case("C4", "distance", "component", ".st-key-distance canvas", query="?view=Against+distance"),
    Case("C4", "number of heads", "component", ".st-key-slopes .gf-scrubber:has-text('Number') input", query="?view=ALiBi's+slopes"),
    Case("C4", "buckets", "component", ".st-key-buckets .gf-scrubber:has-text('Buckets') input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=T5's+buckets"),
    Case("C4", "head of SmolLM2", "component", ".st-key-real .gf-scrubber input", query="?view=On+SmolLM2"),
    Case("C5", "way", "component", ".st-key-length .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("C5", "axis", "component", ".st-key-length .gf-scrubber:has-text('Axis') input"),
    Case("C5", "place", "component", ".st-key-place canvas", query="?view=Loss+by+place"),
    Case("C5", "token", "component", ".st-key-text_curves canvas", keys=("ArrowLeft", "ArrowRight"), query="?view=Your+text"),
    Case("C5", "head", "component", ".st-key-heads .gf-scrubber:has-text('Head') input", query="?view=A+head+out+there"),
    Case("D1", "sentences in the batch", "component", ".st-key-cube .gf-scrubber:has-text('Sentences') input",
         keys=("ArrowLeft", "ArrowRight")),
    Case("D1", "tokens of each", "component", ".st-key-cube .gf-scrubber:has-text('Tokens') input",
         keys=("ArrowLeft", "ArrowRight")),
    Case("D1", "norm", "component", ".st-key-cube .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("D1", "cell", "component", ".st-key-cube canvas", keys=("ArrowUp", "ArrowDown")),
    Case("D1", "layer (asks the server)", "component", ".st-key-layer input", keys=("ArrowDown Enter", "ArrowUp Enter")),
    Case("D1", "companions", "component", ".st-key-companions canvas", query="?view=Companions"),
    Case("D1", "step of the recorded runs", "component", ".st-key-live canvas", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Trained+with+it"),
    Case("D1", "layer of the model", "component", ".st-key-layers canvas", query="?view=In+the+model"),
    Case("D1", "token of the model", "component", ".st-key-layers .gf-scrubber input", query="?view=In+the+model"),
    Case("D1", "factor on x", "component", ".st-key-size canvas", query="?view=%CE%B5%2C+size+and+shift"),
    Case("D2", "layers of the stack", "component", ".st-key-start .gf-scrubber input", keys=("ArrowLeft", "ArrowRight")),
    Case("D2", "place of the norm", "component", ".st-key-start .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("D2", "layer", "component", ".st-key-start canvas", keys=("ArrowLeft", "ArrowRight")),
    Case("D2", "layer of the blocks", "component", ".st-key-blocks .gf-scrubber input", query="?view=The+three+blocks"),
    Case("D2", "depth that is trained", "component", ".st-key-training .gf-scrubber:has-text('Layers') input",
         query="?view=Warm-up"),
    Case("D2", "word, without the final norm", "component", ".st-key-answers .gf-scrubber input",
         keys=("ArrowLeft", "ArrowRight"), query="?view=Without+the+final+norm"),
    Case("D2", "what is left of the final norm", "component", ".st-key-answers .gf-pick input:checked",
         keys=("ArrowUp", "ArrowDown"), query="?view=Without+the+final+norm"),
    Case("D2", "token of a trained model", "component", ".st-key-flow .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=In+a+trained+model"),
    Case("D3", "word", "component", ".st-key-way .gf-scrubber input", keys=("ArrowLeft", "ArrowRight")),
    Case("D3", "cell", "component", ".st-key-way canvas", keys=("ArrowLeft", "ArrowRight")),
    Case("D3", "layer (asks the server)", "component", ".st-key-layer input", keys=("ArrowDown Enter", "ArrowUp Enter")),
    Case("D3", "whose neurons fire", "component", ".st-key-firing .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Who+fires"),
    Case("D3", "layer that fires", "component", ".st-key-firing canvas", keys=("ArrowLeft", "ArrowRight"), query="?view=Who+fires"),
    Case("D3", "which neurons are listed", "component", ".st-key-memories .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         picture=".st-key-memories", query="?view=What+neurons+write"),
    Case("D3", "changed token", "component", ".st-key-mixing .gf-scrubber input", query="?view=No+mixing"),
    Case("D3", "width", "component", ".st-key-widths .gf-pick input:checked", keys=("ArrowDown", "ArrowUp"), query="?view=How+wide"),
    Case("D4", "activation", "component", ".st-key-curves .gf-pick input:checked", keys=("ArrowUp", "ArrowDown")),
    Case("D4", "layer", "component", ".st-key-curves .gf-scrubber:has-text('Layer') input"),
    Case("D4", "reach of the u axis", "component", ".st-key-curves .gf-scrubber:has-text('u up to') input"),
    Case("D4", "u", "component", ".st-key-curves canvas"),
    Case("D4", "activation, what they leave", "component", ".st-key-curves .gf-pick input:checked",
         keys=("ArrowUp", "ArrowDown"), query="?view=What+they+leave"),
    Case("D4", "layer, what they leave", "component", ".st-key-curves .gf-scrubber:has-text('Layer') input",
         query="?view=What+they+leave"),
    Case("D4", "tanh gap", "component", ".st-key-curves [role=switch]", keys=(" ", " ")),
    Case("D4", "gate", "component", ".st-key-gates .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=Gated+variants"),
    Case("D4", "layer, real pairs", "component", ".st-key-gates .gf-scrubber input", query="?view=Gated+variants"),
    Case("D4", "neurons, the layer", "component", ".st-key-strips .gf-scrubber:has-text('Layer') input",
         query="?view=Single+neurons"),
    Case("D4", "neurons, the word", "component", ".st-key-strips .gf-scrubber:has-text('Loudest') input",
         keys=("ArrowLeft", "ArrowRight"), query="?view=Single+neurons"),
    Case("D5", "step", "component", ".st-key-boundary .gf-scrubber input", keys=("ArrowLeft", "ArrowRight")),
    Case("D5", "seed", "component", ".st-key-boundary canvas", keys=("ArrowUp", "ArrowDown")),
    Case("D5", "points (asks the server)", "component", ".st-key-data input", keys=("ArrowDown Enter", "ArrowUp Enter")),
    Case("D5", "linear layers", "component", ".st-key-modes .gf-scrubber:has-text('Linear layers') input",
         keys=("ArrowLeft", "ArrowRight"), query="?view=How+it+learns"),
    Case("D5", "size of the first W_eff", "component", ".st-key-modes .gf-scrubber:has-text('Size') input",
         query="?view=How+it+learns"),
    Case("D5", "head", "component", ".st-key-heads .gf-scrubber:has-text('Head') input", query="?view=In+a+real+model"),
    Case("D6", "token", "component", ".st-key-routing canvas", keys=("ArrowLeft", "ArrowRight")),
    Case("D6", "layer", "component", ".st-key-routing .gf-scrubber:has-text('Layer') input", keys=("ArrowLeft", "ArrowRight")),
    Case("D6", "capacity", "component", ".st-key-routing .gf-scrubber:has-text('Capacity') input", query="?capacity=1"),
    Case("D6", "trained with or without balancing", "component", ".st-key-routing .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("D6", "balance loss, layer", "component", ".st-key-balance .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=The+balance+loss"),
    Case("D6", "step of the recorded runs", "component", ".st-key-live canvas", keys=("ArrowLeft", "ArrowRight"), query="?view=Training"),
    Case("D6", "experts", "component", ".st-key-sizes canvas", query="?view=Total+and+active"),
    Case("D6", "experts a token", "component", ".st-key-sizes .gf-scrubber input", query="?view=Total+and+active"),
    Case("D7", "layers of the stack", "component", ".st-key-signal .gf-scrubber input", keys=("ArrowLeft", "ArrowRight")),
    Case("D7", "with or without", "component", ".st-key-signal .gf-pick input:checked", keys=("ArrowDown", "ArrowUp")),
    Case("D7", "layers that are trained", "component", ".st-key-training .gf-scrubber input", query="?view=Training"),
    Case("D7", "layer that is cut", "component", ".st-key-answers .gf-scrubber input", query="?view=One+layer+of+a+model"),
    Case("D7", "how it is cut", "component", ".st-key-answers .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=One+layer+of+a+model"),
    Case("D7", "share that skips", "component", ".st-key-alike .gf-scrubber input", query="?view=All+tokens+alike"),
    Case("D7", "stack of the paths", "component", ".st-key-paths .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Paths"),
    Case("D8", "last matrix = the table", "component", ".st-key-weights .switch:nth-child(1) input", keys=(" ", " ")),
    Case("D8", "layers share one block", "component", ".st-key-weights .switch:nth-child(3) input", keys=(" ", " ")),
    Case("D8", "whose weights", "component", ".st-key-weights select >> nth=0", keys=("ArrowDown", "ArrowUp")),
    Case("D8", "model of the storages", "component", ".st-key-storages .gf-pick input:checked", keys=("ArrowUp", "ArrowDown"),
         query="?view=One+storage"),
    Case("D8", "cell of a gradient", "component", ".st-key-gradients canvas", keys=("ArrowRight", "ArrowRight"),
         query="?view=Two+gradients"),
    Case("D8", "token of the walk", "component", ".st-key-walk .gf-scrubber input", keys=("ArrowLeft", "ArrowRight"),
         query="?model=tiny&view=In+a+trained+model"),
    Case("D8", "depth of the walk", "component", ".st-key-walk canvas", query="?model=tiny&view=In+a+trained+model"),
    Case("D9", "whose weights", "component", ".st-key-weights select >> nth=0", keys=("ArrowDown", "ArrowUp")),
    Case("D9", "layers", "component", ".st-key-weights .gf-scrubber input", query="?vary=layers"),
    Case("D9", "view", "component", ".st-key-weights .gf-pick input:checked", keys=("ArrowRight", "ArrowLeft")),
    Case("D9", "weight", "component", ".st-key-weights canvas", keys=("ArrowUp", "ArrowDown")),
    Case("D9", "own d_ff (asks the server)", "component", ".st-key-d_ff input", keys=("ArrowUp", "ArrowDown"),
         query="?arch=My+own+numbers"),
    Case("F2", "temperature", "component", ".st-key-temperature_stage input[type=range]",
         picture=".st-key-temperature_stage"),
    Case("F2", "token read on (asks the server)", "component", ".st-key-temperature_stage [aria-label$='token 2']",
         keys=("Enter", "Enter"), picture=".st-key-temperature_stage",
         other=".st-key-temperature_stage [aria-label$='token 3']"),
    Case("F5", "warm-up", "component", ".st-key-curves .gf-scrubber:has-text('Warm-up') input"),
    Case("F5", "step", "component", ".st-key-curves canvas"),
    Case("F5", "step with dropout", "component", ".st-key-curves canvas", keys=("ArrowLeft", "ArrowRight"),
         query="?view=Dropout"),
    Case("G1", "n", "component", ".st-key-gf-picture [role=slider]"),
    Case("G1", "whose cost", "component", ".st-key-gf-picture select", keys=("ArrowDown", "ArrowUp")),
    Case("G1", "shares or per token", "component", ".st-key-gf-picture [aria-label='Show FLOPs per token']",
         keys=("Enter", "Enter"), other=".st-key-gf-picture [aria-label='Show shares of all FLOPs']"),
    Case("G1", "own d_ff (asks the server)", "component", ".st-key-d_ff input", keys=("ArrowUp", "ArrowDown"),
         query="?arch=My+own+numbers"),
    Case("G1", "with logits", "component", ".st-key-gf-picture button:last-child", keys=("Enter", "Enter")),
    Case("G2", "length", "component", ".st-key-curves canvas"),
    Case("G2", "texts at once", "component", ".st-key-curves .gf-scrubber input"),
    Case("G2", "texts a step", "component", ".st-key-curves .gf-scrubber input", query="?view=To+train+it&arch=GPT-2"),
    Case("G2", "kind of attention", "component", ".st-key-curves .gf-pick input:checked", keys=("ArrowDown", "ArrowUp"),
         query="?view=Caches+by+kind"),
    Case("G3", "length", "component", ".st-key-curves canvas"),
    Case("G3", "pass", "component", ".st-key-curves .gf-scrubber input"),
    Case("G3", "length measured", "component", ".st-key-curves canvas", query="?view=Predicted+and+measured"),
    Case("G4", "tokens", "component", ".st-key-timeline .gf-scrubber input"),
    Case("G4", "step", "component", ".st-key-timeline canvas"),
    Case("G4", "length", "component", ".st-key-curves canvas", query="?view=On+the+clock"),
)

# The picture's fingerprint: every canvas scaled down and read, every SVG and every line of text by its markup.
WATCH = """
({picture}) => {
    const inside = (node, found) => {
        if (node.tagName === 'CANVAS' || node.tagName === 'svg') found.push(node);
        for (const child of node.shadowRoot ? node.shadowRoot.children : []) inside(child, found);
        for (const child of node.children) inside(child, found);
        return found;
    };
    const small = document.createElement('canvas');
    small.width = 320; small.height = 200;
    const ctx = small.getContext('2d', {willReadFrequently: true});
    const mark = () => {
        let hash = 2166136261;
        const add = (n) => { hash = Math.imul(hash ^ n, 16777619); };
        for (const root of document.querySelectorAll(picture)) {
            const shapes = inside(root, []);
            if (!shapes.length) for (const c of root.textContent) add(c.codePointAt(0));
            for (const shape of shapes) {
                if (shape.tagName === 'svg') {
                    const text = shape.innerHTML;
                    for (let i = 0; i < text.length; i += 1) add(text.charCodeAt(i));
                } else if (shape.width && shape.height) {
                    ctx.clearRect(0, 0, 320, 200);
                    ctx.drawImage(shape, 0, 0, 320, 200);
                    for (const word of new Uint32Array(ctx.getImageData(0, 0, 320, 200).data.buffer)) add(word);
                }
            }
        }
        return hash;
    };
    let presses = 0;
    window.addEventListener('keydown', () => {
        const start = performance.now(), before = mark(), press = presses += 1;
        window.took = null;
        const look = () => {
            if (press !== presses) return;   // another key of the same press
            if (mark() !== before) window.took = performance.now() - start;
            else if (performance.now() - start < 5000) requestAnimationFrame(look);
            else window.took = -1;
        };
        requestAnimationFrame(look);
    }, {capture: true});
}
"""


def presses(page: Page, case: Case, count: int) -> list[float]:
    """Milliseconds from key to picture, `count` times; ValueError where a press changes nothing."""
    page.evaluate(WATCH, {"picture": case.picture})
    page.locator(case.focus).first.focus()
    took = []
    for i in range(-2, count):  # two to warm up
        page.evaluate("window.took = null")
        if case.other:
            page.locator(case.other if i % 2 else case.focus).first.focus()
        for key in case.keys[i % 2].split() or [" "]:
            page.keyboard.press(key)
        page.wait_for_function("window.took !== null", timeout=10_000)
        ms = page.evaluate("window.took")
        if ms < 0:
            raise ValueError(f"{case.row}: pressing {case.keys[i % 2]!r} on {case.focus} changed no picture within 5 s.")
        if i >= 0:
            took.append(ms)
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        page.wait_for_timeout(120)
    return took


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport=DESKTOP, device_scale_factor=1, color_scheme="light")
    page.goto(url)
    settle(page)
    return page


def quantiles(values: list[float]) -> tuple[float, float]:
    """p50 and p95."""
    return statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[18]


def measure_keys(browser: Browser, app: str, floor: str, cases: list[Case], count: int) -> None:
    print(f"{'page':<5} {'key press on':<26} {'drawn by':<10} {'p50 ms':>7} {'p95 ms':>7} {'floor p50':>10} {'floor p95':>10}"
          f" {'p50 ×':>6} {'limit':>6} {'p95 ×':>6} {'limit':>6}")
    for case in cases:
        floor_page = opened(browser, floor)
        ground = Case("–", "", "", "[data-testid=stSlider] input", picture="[data-testid=stText]")
        base50, base95 = quantiles(presses(floor_page, ground, count))
        floor_page.close()
        page = opened(browser, app + lesson(case.row).path + case.query)
        p50, p95 = quantiles(presses(page, case, count))
        page.close()
        limit = LIMIT_P50[case.drawn]
        verdict = "ok" if p50 <= limit * base50 and p95 <= LIMIT_P95 * base95 else "OVER"
        print(f"{case.row:<5} {case.what:<26} {case.drawn:<10} {p50:7.0f} {p95:7.0f} {base50:10.0f} {base95:10.0f}"
              f" {p50 / base50:6.2f} {limit:6.1f} {p95 / base95:6.2f} {LIMIT_P95:6.1f}  {verdict}", flush=True)


def first_picture(browser: Browser, folder: Path, runs: int = 3) -> None:
    """Seconds from starting `streamlit run app.py` to the home page's picture, the disk warm."""
    seconds = []
    for run in range(runs + 1):  # the first warms the disk
        start = time.perf_counter()
        with serve(ROOT / "app.py", folder / "first.txt", GLASSFORMER_AUTO_FETCH="0") as (url, _):
            page = browser.new_page(viewport=DESKTOP)
            page.goto(url)
            page.locator(".st-key-gf-picture canvas, .st-key-gf-picture svg").first.wait_for(timeout=60_000)
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seconds.append(time.perf_counter() - start)
            page.close()
    best = statistics.median(seconds[1:])
    print(f"\nfirst picture after the process starts: {best:.1f} s, median of {runs} (limit {FIRST_PICTURE} s)  "
          f"{'ok' if best <= FIRST_PICTURE else 'OVER'}")


def memory(process: int) -> int:
    """Resident bytes of a process, from /proc."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presses", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=[case.row for case in CASES], help="rows of CASES, such as A2")
    options = parser.parse_args()
    cases = [case for case in CASES if case.row in options.only]
    live = is_fetched("smollm2-135m")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        (folder / "floor.py").write_text(FLOOR, "utf-8")
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        with (serve(folder / "floor.py", folder / "floor.txt") as (floor, _),
              serve(ROOT / "app.py", folder / "app.txt", GLASSFORMER_AUTO_FETCH="0") as (app, process)):
            first = opened(browser, app)
            if live:  # measure the pages as they are once the model is here
                first.get_by_text("· live").first.wait_for(timeout=60_000)
            first.close()
            print(f"pages read with {'SmolLM2, live' if live else 'the recorded trace of SmolLM2 or the tiny model'}\n")
            measure_keys(browser, app, floor, cases, options.presses)
            if live:
                held = memory(process.pid)
                print(f"\nresident memory with SmolLM2 loaded: {held / 1e9:.2f} GB (limit {MEMORY / 1e9:.1f} GB)  "
                      f"{'ok' if held < MEMORY else 'OVER'}")
        first_picture(browser, folder)
        browser.close()


if __name__ == "__main__":
    main()
