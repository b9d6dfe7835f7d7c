"""The words of the lesson on texts longer than trained (pages/position/longer.py)."""

from collections.abc import Mapping

import numpy as np

from charts.longer import TITLES, Runs
from transformer.experiments.beyond import Slowed
from transformer.training.longer import BASE, LAST, LENGTH, POSITIONS
from transformer.training.longer import LENGTHS as ASKED

VIEWS = LENGTHS, PLACE, TEXT, HEADS = "Loss against length", "Loss by place", "Your text", "A head out there"

STAGE = (
    "All the world's a stage, And all the men and women merely players: They have their exits and their entrances; And "
    "one man "
    "in his time plays many parts, His acts being seven ages. At first the infant, Mewling and puking in the nurse's "
    "arms. And "
    "then the whining school-boy, with his satchel And shining morning face, creeping like snail Unwillingly to "
    "school. And then "
    "the lover, Sighing like furnace"
)
EXAMPLES = {
    "As you like it": STAGE,
    "Macbeth": "To-morrow, and to-morrow, and to-morrow, Creeps in this petty pace from day to day, To the last "
               "syllable of recorded "
    "time; And all our yesterdays have lighted fools The way to dusty death. Out, out, brief candle! Life's but a "
    "walking shadow, a "
    "poor player That struts and frets his hour upon the stage And then is heard no more. It is a tale Told by an "
    "idiot, full of "
    "sound and fury, Signifying nothing.",
    "one line, repeated": "What's in a name? That which we call a rose By any other word would smell as sweet. " * 4,
}

LOOK_FOR = {
    LENGTHS: f"All were trained on {LENGTH} tokens and on nothing else. Above, the same last tokens with more and more "
             f"before them: "
    "a line that rises is a model that is **spoilt** by text that it could have left alone. A line that falls uses it.",
    PLACE: f"Follow one line from left to right: up to place {LENGTH} most get better as they have more to go by. Then "
           f"some go on, some "
    "climb, and one is not there any more. RoPE, linear is worse from the start: it divides near angles too.",
    TEXT: "The same on your own words. Below: what the far text changes, against reading only the last "
          f"{LENGTH} tokens, unstretched. Most ways pay where they should gain; RoPE, linear pays from the start: it "
          "divides near angles too.",
    HEADS: f"Where do the last tokens look? Right of the line at {LENGTH} no key ever stood in training. Pick RoPE, "
           f"then ALiBi, then "
    "YaRN.",
}

FORMULA = {
    LENGTHS: r"\begin{gathered}L(n) = -\frac1W\sum_{t > n - W} \log p(x_{t+1}\mid x_1\dots x_t)"
    r"\\[.5em]s = n/n_{\text{trained}}\qquad\text{linear: }\theta_i\to\theta_i/s\\[.3em]\text{NTK: "
    r"base}\to\text{base}\cdot "
    r"s^{d_k/(d_k-2)}\\[.3em]\text{YaRN: slow pairs }\theta_i/s,\ \text{q, k}\cdot(0.1\ln s + 1)\end{gathered}",
    TEXT: r"\begin{gathered}\Delta_t = -\log p(x_{t+1}\mid x_1\dots x_t)\\[.3em]{} + \log p(x_{t+1}\mid x_{t-n+1}\dots "
          r"x_t),\quad "
    r"n = n_{\text{trained}}\end{gathered}",
    HEADS: r"\bar{\attention{A}}(r) = \frac{1}{W}\sum_{i > n - W} \attention{A_{i,\,i-r}}",
}
FORMULA[PLACE] = r"L_t = -\log p(x_{t+1}\mid x_1\dots x_t),\ \text{mean of all windows}"

SNIPPET = {
    LENGTHS: """
import json
from transformer.training import longer

rows = json.loads((longer.FOLDER / "table.json").read_text())["rows"]
for run in rows[{way!r}]["runs"]:                       # three seeds
    print(run["seed"], run["loss_same_tokens"].get("{n}"), run["loss"].get("{n}"))
""",
    PLACE: """
import json
from transformer.training import longer

rows = json.loads((longer.FOLDER / "table.json").read_text())["rows"]
for run in rows[{way!r}]["runs"]:
    print(run["seed"], run["by_place"])
""",
    TEXT: """
import transformer
from transformer.experiments import beyond
from transformer.training import longer

model, tokenizer = transformer.load(longer.FOLDER / {checkpoint!r})
ids = tokenizer.encode({text!r})[:{most}]
found = beyond.read(model, ids, scaling={scaling!r})
print(found.whole.nanmean().item(), found.near.mean().item())
print(beyond.running(found.whole - found.near, {width})[-1].item())
""",
    HEADS: """
import transformer
from transformer.experiments import beyond
from transformer.training import longer

model, tokenizer = transformer.load(longer.FOLDER / {checkpoint!r})
ids = tokenizer.encode({text!r})[:{most}]
found = beyond.seen(model, ids, scaling={scaling!r}, last={last})
print(found.beyond[{head}].item(), found.by_distance[{head}])
""",
}


def span(values: np.ndarray) -> str:
    """Mean and range over the seeds."""
    return f"{values.mean():.2f} ({values.min():.2f}–{values.max():.2f})"


def prose(same: Mapping[str, Runs], beyond: Mapping[str, np.ndarray], last_n: int) -> dict[str, str]:
    """What happens, why, the catch, with the recorded numbers."""
    asked = {way: of for way, of in same.items() if way != "learned"}
    growth = {way: of.values[:, -1] - of.values[:, 0] for way, of in asked.items()}
    even = np.mean([(q + 1 - LENGTH) / (q + 1) for q in range(last_n - LAST, last_n)])
    best = min(asked, key=lambda way: asked[way].mean[-1])
    at_home = min(same, key=lambda way: same[way].mean[0])
    holds = [way for way in growth if growth[way].max() < 0.1]
    breaks = [way for way in growth if growth[way].min() > 0.5]
    gains = [way for way in growth if growth[way].max() < -0.01]
    by = " and ".join(f"{-growth[way].mean():.3f}" for way in gains)
    gained = f"only {_list(gains)} gains in every seed, by {by} nats" if gains else "no way gains in every seed"
    return {
        "what": f"At {LENGTH} tokens, {TITLES[at_home]} was best here: {same[at_home].mean[0]:.2f} nats a token on the "
                f"last {LAST} tokens. At "
                f"{last_n}, {TITLES[best]}: {asked[best].mean[-1]:.2f}. Hardly touched (less than 0.1 nats worse in "
                f"every seed): "
                f"{_list(holds)}. Broken (more than 0.5 nats worse in every seed): {_list(breaks)}. RoPE goes from "
                f"{same['rope'].mean[0]:.2f} to {same['rope'].mean[-1]:.2f}; stretched by YaRN, without any further "
                f"training, only to "
                f"{same['rope_yarn'].mean[-1]:.2f}. The learned table cannot be asked at all: the library refuses with "
                f"one sentence. "
                f"With no positions the loss grows by {growth['none'].mean():.2f}.",
        "why": "Two things happen at once when a text gets longer, and a single loss mixes them. There is **more to go "
               "by**: that alone "
               "lowers the loss. And heads meet **distances that were never trained**: angles that RoPE pairs of "
               "less than one turn never reached, "
               "sums of word and sinusoid that no weight has seen, and a softmax that now shares among four times as "
               "many keys. So "
               "the same last tokens are asked at every length: what changes there is the far text's doing alone. "
               f"Across the heads, RoPE lays {beyond['rope'].mean():.0%} of the last tokens' weight on keys beyond "
               f"{LENGTH} tokens back, "
               f"where an even share would be {even:.0%} and ALiBi lays {beyond['alibi'].mean():.0%}: much of "
               f"“extrapolating” is **not "
               "looking**.",
        "catch": f"These are {len(POSITIONS)} tiny decoders ({BASE['n_layers']} layers, width {BASE['d_model']}, "
                 f"{LENGTH} tokens, plays only), "
                 "three seeds each. They can use little beyond some tens of tokens, so nobody here shows what a long "
                 f"context is worth: {gained}"
                 + ". The order of the ways is this size's, not a law: large RoPE models, trained on longer texts "
                   "after being "
                 "stretched, are what most long-context models are. A flat line means “does no harm”, not “understands "
                 "a long text”: "
                 "perplexity says little about finding a fact far back. And T5 and Shaw hold here because their tables "
                 "end within "
                 f"{LENGTH} tokens (at {POSITIONS['t5']['max_distance']} and {POSITIONS['shaw']['max_distance']}); "
                 f"T5's own 128 would "
                 "have left rows untrained.",
    }  # fmt: skip


def _list(ways: list[str]) -> str:
    names = [TITLES[way].replace(", ", " ") for way in ways]  # commas part the list
    return "nobody" if not names else names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def interview(same: Mapping[str, Runs], slow: Slowed) -> list[tuple[str, str]]:
    change = {way: same[way].mean[-1] - same[way].mean[0] for way in same if way != "learned"}
    bad = int((slow.loss[1:] - slow.loss[:-1]).argmax())  # the pair whose slowing mends most
    theta, slowest = float(slow.theta[bad]), float(slow.theta[-1])
    return [
        ("RoPE depends on the distance alone. Why does it break on longer texts at all?",
         "Because a distance is not a number to it but a point on one circle for each pair. Fast pairs have gone round "
         f"in training; the slowest here ($\\theta = {slowest:.4f}$ radians a token) hardly moves, "
         f"{slowest * ASKED[-1]:.2f} radians in {ASKED[-1]} tokens. The one at fault is between: "
         f"$\\theta = {theta:.3f}$ turned by {theta * LENGTH:.1f} radians in {LENGTH} tokens, {theta * LENGTH / (2 * np.pi):.0%} of its "
         f"circle, and turns by {theta * ASKED[-1]:.1f} in {ASKED[-1]}: on the rest no weight was trained. On “As you like it” "
         f"the tokens behind {LENGTH} cost {float(slow.loss[-1]):.2f} nats each; with this pair and all slower ones "
         f"divided by $s$ {float(slow.loss[bad]):.2f}, with the slower ones alone {float(slow.loss[bad + 1]):.2f}. "
         f"Over all windows: {change['rope']:+.2f} nats at four times the length."),
        ("Compare linear, NTK-aware and YaRN. Which works without fine-tuning, and why?",
         "Linear divides all angles by $s$: no unseen slow angle, but neighbours stand as close as $1/s$, and the fast "
         "pairs that tell "
         "token from token are blurred: it needs fine-tuning. NTK raises the base: the fastest pair stays, the slowest "
         "is squeezed by "
         "exactly $s$, those between by less: they leave their trained arc later (see “Loss by place”). YaRN decides "
         "by turns in the trained length: more than 32 kept, less than one squeezed, a ramp between, and it sharpens the "
         "scores by $0.1\\ln s + 1$ on q and k. Here, without "
         f"fine-tuning: linear {change['rope_linear']:+.2f}, NTK {change['rope_ntk']:+.2f}, YaRN "
         f"{change['rope_yarn']:+.2f} nats, plain RoPE "
         f"{change['rope']:+.2f}."),
        ("A model's perplexity falls when its window is doubled. Does it use the long context?",
         "Not shown. Averaged over all places, a longer window has a smaller share of early tokens, which have little "
         "context and a "
         "high loss: the mean falls although no token is read better. Ask the same tokens with 1× and 4× before them, "
         "look at the "
         "loss by place, or compare with a window that slides: ALiBi with steep slopes equals it almost exactly. Then "
         "test "
         "retrieval at a depth."),
        ("Why does a model without positions not stay flat?",
         "Nothing in it names a place, so no place is new to it. But its heads learnt to count by the causal mask (a "
         "softmax over "
         "$t$ keys gives $1/t$), and every row now shares among more keys: attention spreads, and what was a sharp "
         "average over 64 "
         f"becomes a blur over 256. Here {change['none']:+.2f} nats; sharper scores for longer texts are reported to "
         f"mend much of it (Wang et al. 2024)."),
        ("What does one do with a learned table when the text is longer?",
         "The table has no row: an index error, or, in code that clamps, the last place for all. In practice: slide "
         "the window (read "
         "only the last $n$ tokens, as the second reading in “Your text” does), cut the text in pieces, or interpolate "
         "the table "
         "and fine-tune, as ViT does for larger images."),
    ]  # fmt: skip


SOURCES = [
    "Press, Smith, Lewis 2022, [Train Short, Test Long](https://arxiv.org/abs/2108.12409): the question, and the "
    "curves.",
    "Chen et al. 2023, [Extending Context Window by Positional Interpolation](https://arxiv.org/abs/2306.15595) "
    "(linear); bloc97 2023 "
    "(NTK-aware, in public notes); Peng et al. 2023, [YaRN](https://arxiv.org/abs/2309.00071).",
    "Kazemnejad et al. 2023, [The Impact of Positional Encoding on Length Generalization in "
    "Transformers](https://arxiv.org/abs/2305.19466): no positions, and others, on small tasks; Wang et al. 2024, "
    "[Length Generalization "
    "of Causal Transformers without Position Encoding](https://arxiv.org/abs/2404.12224).",
    "Raffel et al. 2020, [T5](https://arxiv.org/abs/1910.10683); Shaw et al. 2018, [Relative position "
    "representations](https://arxiv.org/abs/1803.02155); Dai et al. 2019, "
    "[Transformer-XL](https://arxiv.org/abs/1901.02860).",
]  # fmt: skip
