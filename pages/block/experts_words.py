"""The words of the lesson on mixtures of experts (pages/block/experts.py)."""

import numpy as np

VIEWS = ROUTES, BALANCE, TRAIN, SIZES = "Who reads what", "The balance loss", "Training", "Total and active"

LOOK_FOR = (
    "One expert takes the commas, another the ends of words, a third “to”, “of” and “in”: spelling, not topics, and "
    "the same "
    "token nearly always the same expert. Take the balance loss away, and some experts read much, others nothing."
)

FORMULA = {
    ROUTES: (
        r"\begin{gathered}\scores{p} = \operatorname{softmax}(\residual{x}\,W_r),\qquad "
        r"\attention{g_e} = \frac{\scores{p_e}}{\sum_{j \in \text{top-}k}\scores{p_j}}"
        r"\\[.5em]\residual{y} = \sum_{e \in \text{top-}k} \attention{g_e}\,\ffn{E_e}(\residual{x})\end{gathered}"
    ),
    BALANCE: (
        r"L_{\text{bal}} = E \sum_{e=1}^{E} f_e\,\scores{\bar p_e},\qquad f_e = \tfrac1n\,\#\{t: e \in "
        r"\text{top-}k(t)\},\quad "
        r"\scores{\bar p_e} = \tfrac1n \sum_t \scores{p_e(t)}"
    ),
    TRAIN: r"L = \underbrace{-\tfrac1n\sum_t \log p(x_{t+1} \mid x_{\le t})}_{\text{language}} + \alpha "
           r"\sum_{\text{layers}} L_{\text{bal}}",
    SIZES: (
        r"\begin{gathered}\text{in memory:}\quad E \cdot N_{\ffn{\text{expert}}} + N_{\text{rest}}"
        r"\\[.3em]\text{active:}\quad k \cdot N_{\ffn{\text{expert}}} + N_{\text{rest}}\end{gathered}"
    ),
}

SNIPPET = """
import torch, transformer
from transformer.experiments import routing
from transformer.experts import balance_loss

model, tokenizer = transformer.load({model!r})
ids = tokenizer.encode({text!r})
one = routing.read(model, ids, {capacity})        # {capacity}: tokens an expert takes, over an even share
print("p", one.p[{layer}, {token}].tolist())
print("gates", one.gates[{layer}, {token}].tolist())
print("loss", one.loss)
router = model.run(ids, record="layers.{layer}.ffn.router").trace["layers.{layer}.ffn.router"]
print("balance", balance_loss(router, model.config.experts_per_token).item())
for gates in routing.conventions(router, model.config.experts_per_token):  # uncut sum, divided, softmax over the chosen
    print("a way to make gates", gates[0, {token}].tolist())
"""


def span(values: np.ndarray) -> str:
    """Mean and range of the seeds."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def prose(losses: dict[str, np.ndarray], crowding: dict[str, np.ndarray], token: float, place: float, play: float,
          experts: int, k: int, total: int, active: int, steps: int, seeds: int) -> dict[str, str]:  # fmt: skip
    """What happens, why it matters, the catch, with the recorded numbers."""
    return {
        "what": "In place of one feed-forward network stand several, and a small matrix $W_r$, the router, gives "
                "each token a share for each expert. The $k$ largest are computed, the rest are not; their outputs "
                "are added, weighted by gates that sum to 1. Choosing has no gradient: the language loss teaches the "
                "router only through the gates of the experts it chose. This small model is trained by us on the "
                f"plays: {experts} experts a layer, {k} a token, {total:,} parameters of which a token meets "
                f"{active:,}. Its held-out loss came to {span(losses['balanced'])} nats a token, mean and range of "
                f"{seeds} seeds; that of a dense model of the same active cost to {span(losses['dense'])}, and of a dense one with all those "
                f"neurons at work to {span(losses['wide'])} (each {steps:,} steps).",
        "why": "Knowledge needs parameters, but not every token needs all of it. A mixture buys parameters with "
               "memory and not with FLOPs. The price is that the router must spread its tokens: an expert that is "
               "chosen rarely learns rarely. Without the balance loss the busiest expert of the most crowded layer "
               f"read {crowding['free'].max(1).mean():.1f} times an even share, with it "
               f"{crowding['balanced'].max(1).mean():.2f} times; taken over all layers counted together, as "
               "widespread code does, it evens the sum and leaves the layers uneven: "
               f"{crowding['joint'].max(1).mean():.1f} times. The experts sit on different devices, so the fullest "
               "decides how long all wait, and with a capacity it drops tokens.",
        "catch": "**Total parameters are memory, active ones are compute**: quote both, and do not call a mixture "
                 "“small” by its active count. The **balance loss is not the language loss**: a more even load is no "
                 f"better model in itself (held out {losses['balanced'].mean():.3f} with it, "
                 f"{losses['free'].mean():.3f} without, and the seeds differ by as much). **Softmax before or after "
                 "top-k**: this page takes the softmax over all experts, cuts it to the top $k$ and divides by their "
                 "sum, which equals a softmax over the chosen $k$ logits alone. Without the division the gates sum "
                 "to less than 1: another model. And experts are **not topics**: here the token alone tells "
                 f"{token:.0%} of which expert reads it, its place {place:.1%} and whose play it is {play:.1%}.",
    }  # fmt: skip


def predict(lost: int, asked: int, room: int, layer: int, free: float, held: float, worst: int) -> dict[str, object]:
    """One question about the page's own text at a capacity factor of 1: ``lost`` of ``asked`` readings in a layer."""
    options = ["None: there are as many places as readings", f"{lost} of {asked}", f"{asked - lost} of {asked}"]
    return {
        "question": f"The page's own text asks {asked} times in each layer, two experts for each token. Give the "
                    f"balanced model a capacity factor of 1: room for {asked} readings and a few more, {room} an "
                    f"expert. How many are dropped in layer {layer}?",
        "options": options, "answer": options[1],
        "reveal": f"Places stand empty at one expert while another turns tokens away: {lost} of {asked} are dropped, "
                  f"and the loss on this text goes from {free:.3f} to {held:.3f}. The load is even over much text, "
                  f"not over one sentence. Without the balance loss the same layer drops {worst}. That is why factors "
                  "of 1.25 to 2 are used, or kernels that drop nothing.",
    }  # fmt: skip


INTERVIEW = [
    ("Does it matter whether softmax comes before or after top-k?",
     "With renormalisation no: p_e / Σ_{top-k} p = exp(r_e) / Σ_{top-k} exp(r), the same gates (Mixtral, "
     "Granite, Shazeer 2017 without noise). Without it yes: then the gates are the raw probabilities and sum to less "
     "than 1, so an unsure router also shrinks the expert's output (Switch, and models with `norm_topk_prob` false). "
     "That matters most at k = 1: renormalised, the one gate is always 1 and no gradient of the language loss "
     "reaches the router; raw, the gate p carries it."),
    ("Why is the balance loss Σ f·p̄ and not Σ f², when f is what we want even? And when does it not help?",
     "f counts choices: it is piecewise constant, with no gradient. p̄ is smooth and follows f, so f acts as a "
     "weight: crowded experts have their probability pushed down. It is E·k/E = k where both are even. But it is "
     "also k where p̄ is even and f is not, since f then only sums to k: a router that is hardly sure can be as "
     "uneven as it likes. Taken over all layers together it lets one layer's crowd hide another's. It also fights "
     "the language loss, so α is small (0.01); newer models instead shift the choice by a bias that is no loss at "
     "all (DeepSeek-V3)."),
    ("What is the capacity factor, and why does it make a model's answer depend on its batch?",
     "Hardware wants a fixed shape: each expert takes ⌈c · n · k / E⌉ tokens, and the rest of what comes is dropped: "
     "the residual stream carries the token on. Which tokens lose depends on who else is there, so the same text can "
     "come out differently in another batch, or when it is read piece by piece while generating. Here each text has "
     "its own capacity, and earlier tokens come first, so nothing leaks from the future. Dropless kernels sort "
     "tokens by expert and need no capacity."),
    ("A mixture has 47 B parameters and 13 B active. What does it cost to serve?",
     "Memory as 47 B: all experts must be at hand. (Not 8 × 7 = 56: only the FFN stands eightfold, attention and "
     "embeddings once.) FLOPs a token as 13 B. At batch 1, decoding is bound by reading "
     "weights, and only the chosen experts are read: about a 13 B's speed. With a large batch nearly all experts are "
     "touched at each step, so it reads 47 B and needs several times the batch to be as busy as a dense model. "
     "Across devices two all-to-all exchanges a layer come on top."),
]  # fmt: skip

SOURCES = [
    "Shazeer et al. 2017, [Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts "
    "Layer](https://arxiv.org/abs/1701.06538).",
    "Fedus, Zoph, Shazeer 2021, [Switch Transformers](https://arxiv.org/abs/2101.03961): capacity and the balance "
    "loss used here.",
    "Jiang et al. 2024, [Mixtral of Experts](https://arxiv.org/abs/2401.04088): the gates used here, and no topics "
    "found either.",
    "Zoph et al. 2022, [ST-MoE](https://arxiv.org/abs/2202.08906): what experts specialise in, and the z-loss, "
    "which keeps the router's logits small.",
    "Wang et al. 2024, [Auxiliary-Loss-Free Load Balancing](https://arxiv.org/abs/2408.15664).",
]
