"""The words of the lesson on tied and shared weights (pages/block/sharing.py)."""

from transformer import PRESETS, cost
from transformer.experiments.tying import variant

VIEWS = PARTS, STORAGE, GRADIENT, TRAINED = "What it saves", "One storage", "Two gradients", "In a trained model"


def _total(name: str, tied: bool, shared: bool, one_table: bool = True) -> int:
    return sum(cost.parameters(variant(PRESETS[name], tied, shared, one_table)).values())


_GPT2, _LOOSE = _total("gpt2", True, False), _total("gpt2", False, False)
_LLAMA, _LLAMA_TIED = _total("llama-3-8b", False, False), _total("llama-3-8b", True, False)
_ALBERT, _APART = _total("albert-base", True, True), _total("albert-base", True, False)
_FLOPS = sum(cost.flops(PRESETS["albert-base"], n=128).values())
_FLOPS_APART = sum(cost.flops(variant(PRESETS["albert-base"], True, False), n=128).values())
_THREE = _total("transformer-base", False, False, one_table=False) - _total("transformer-base", True, False)

LOOK_FOR = {
    PARTS: "Hatched is used and not stored. Switch the tie off and see what the last matrix would add; share the "
           "layers, and all but one of them are only used again.",
    STORAGE: "Equal numbers are one place in memory. Tied, the last product reads what the look-up reads; shared, "
             "every layer reads the same. These are the addresses that a model built a moment ago really read.",
    GRADIENT: "A tied table learns twice. As input only the rows of words that occur get a gradient; as output every "
              "row does: at every place every token of the vocabulary competes, its probability p against its target "
              "y, which is 1 for the true next token and 0 for all others.",
    TRAINED: "Read the table out with itself, without any layer: where rows are about equally long, as in SmolLM2, it "
             "predicts the very token that it just read. The layers have to carry the stream from that row to another "
             "one.",
}  # fmt: skip

FORMULAS = {
    PARTS: r"\begin{gathered}N_{\text{untied}} - N_{\text{tied}} = V d\\[.3em]N_{\text{three tables}} - "
           r"N_{\text{one}} = 2 V d\\[.3em]N_{\text{shared}} = N_{\text{blocks}} / \text{layers},\ "
           r"\text{same FLOPs}\end{gathered}",
    STORAGE: r"\residual{e_t} = \residual{E}\,[x_t] \qquad \output{\text{logits}_t} = \residual{E}\,h_t",
    GRADIENT: r"\frac{\partial L}{\partial E} = \underbrace{\sum_t \text{onehot}(x_t)\Big(\frac{\partial L}{\partial "
              r"\residual{e_t}}\Big)^{\!\top}}_{\text{as input}} + \underbrace{\sum_t (\output{p_t} - y_t)\,"
              r"h_t^\top}_{\text{as output}}",
    TRAINED: r"\output{\text{logits}}_t = \residual{E}\,\operatorname{norm}(h_t^{(l)}),\qquad l = 0:\ \ h_t = "
             r"\residual{E}[x_t]\ \Rightarrow\ \text{logits} \approx \residual{E}\residual{E}^\top",
}  # fmt: skip

SNIPPETS = {
    PARTS: """
from transformer import PRESETS, Config, cost
from transformer.experiments import tying

config = {made}
for tied in (True, False):
    for shared in (True, False):
        one = tying.variant(config, tied, shared)
        N, F = sum(cost.parameters(one).values()), sum(cost.flops(one, n=128).values())
        print(f"tied {{tied!s:>5}}  shared {{shared!s:>5}}  {{N:>15,}} parameters  {{F:>20,}} FLOPs for 128 tokens")
config = tying.variant(config, {tied}, {shared}, {one_table})
N = sum(cost.parameters(config).values())
print("in the picture", N)
""",
    STORAGE: """
from transformer import Config, build
from transformer.experiments import tying

model = build(Config(**{fields}), seed=0).eval()
uses = tying.reads(model, [1, 2, 3])
for use in uses:
    print(f"{{use.use:<14}} {{use.weight:<10}} {{use.address:#x}}")
storages = len({{use.address for use in uses}})
changed = tying.change_one(model)
print(storages, "storages; the last matrix's first number before and after:", changed)
""",
    GRADIENT: """
import transformer
from transformer.experiments import tying

model, tokenizer = transformer.load("tiny")
ids = tokenizer.encode({text!r})
found = tying.gradients(model, ids)
norms = [part.norm().item() for part in (found.input, found.output, found.whole)]
print("as input, as output, whole", norms)
print("their sum differs from autograd's by", (found.input + found.output - found.whole).abs().max().item())
""",
    TRAINED: """
import transformer
from transformer.experiments import tying

model, tokenizer = transformer.load({model!r})
ids = tokenizer.encode({text!r})
alone = tying.likeness(model.embedding.W_E.weight, ids)
print(alone.dots)                       # symmetric
trace = model.run(ids, record=("layers.0.resid_pre", "layers.*.resid_post")).trace
walk = tying.walk(model, trace, ids, every={every})
print("itself", walk.own[0], "the answer", walk.answer[-1])
""",
}

PROSE = {
    "what": r"A language model has a table at each end: $\residual{E}$ (W_E in the pictures) turns a token into a "
            r"vector, and the last matrix turns a vector into a score for each token. Both have $V$ rows of $d$ "
            r"numbers, and both say which tokens are alike, so one can serve as both: $\output{\text{logits}} = "
            r"\residual{E}\,h$. With a source and a target over one vocabulary it serves three times. ALBERT goes "
            "on: one block, run at every depth. Nothing is copied: the tensor is the same, and so are its numbers "
            "after each step of training.",
    "why": f"It saves $Vd$: {_LOOSE - _GPT2:,} numbers in GPT-2 small, {(_LOOSE - _GPT2) / _LOOSE:.0%} of what it "
           f"would have, but only {(_LLAMA - _LLAMA_TIED) / _LLAMA:.1%} of Llama 3 8B, which leaves its tables apart. "
           f"The 2017 model ties three ways and saves {_THREE:,}. Rare words gain most: as input they are seldom "
           f"trained, as output at every place. ALBERT base has {_ALBERT:,} parameters, unshared it would have "
           f"{_APART:,}.",
    "catch": f"Sharing saves parameters, not work and not activations: ALBERT base takes {_FLOPS / 1e9:.1f} GFLOPs "
             f"for 128 tokens with its layers shared and {_FLOPS_APART / 1e9:.1f} without, and every depth keeps "
             f"activations of its own. Tying needs a table as wide "
             r"as the model, $d_E = d$, or a projection: ALBERT's table is 128 wide and is widened by $W_X$ on the "
             r"way in, and met after $W_X^\top$ on the way out. And one table has to have a size that suits both "
             r"ends: rows of length about 1, so that logits start small, are small for an input. The 2017 model "
             r"multiplies what it looks up by $\sqrt{d}$, and that is the usual reason given. Without layers a tied "
             r"model's scores are symmetric: it cannot score “York” after “New” without scoring “New” after “York” "
             r"alike.",
}  # fmt: skip
PREDICT = {
    "question": "All 12 layers of BERT-like ALBERT base share one block. What happens to the time and to the memory "
                "of one training step?",
    "options": ["Both fall to about a twelfth", "The time falls, activations stay",
                "The time stays, and only weights, gradients and optimiser state shrink", "Nothing shrinks at all"],
    "answer": "The time stays, and only weights, gradients and optimiser state shrink",
    "reveal": f"{_APART:,} parameters become {_ALBERT:,}, and with them gradients and Adam's moments. But the block "
              f"still runs 12 times: {_FLOPS:,} FLOPs for 128 tokens either way, and the backward pass needs the "
              f"activations of all 12 depths. The one gradient is the sum of "
              "twelve.",
}  # fmt: skip

INTERVIEW = [
    ("Why may the input table serve as the output matrix at all? They do different jobs.",
     "Both hold one vector a token, and both should be alike for tokens that can stand for each other: as input they "
     "mean much the same, as output they are likely after the same contexts. Press & Wolf (2016) find the tied table "
     "more like an untied model's output matrix, whose every row is updated at every step, and perplexity fell (Inan "
     "et al. too) in models where tables held most of the weights. What it costs is freedom: large models "
     "untie, since $Vd$ is a small share there, and one matrix need not be similarity in and prediction out at once."),
    ("A tied model without any layer: what can it not learn, and what does the first layer have to do?",
     "Its logits are $E E^\\top$, symmetric, and largest on the diagonal for rows of like length: it repeats the "
     "token. No table can make $P(b\\mid a)$ large and $P(a\\mid b)$ small before the softmax. So the early layers "
     "first have to take the token's own row out of the stream (see “In a trained model”: the token itself falls from "
     "the top within a layer or two), which an untied model need not."),
    ("What is the gradient of a tied matrix, and how would you check that a framework really tied it?",
     "The sum over both uses: $\\sum_t \\text{onehot}(x_t)\\,(\\partial L/\\partial e_t)^\\top + \\sum_t (p_t - y_t)"
     "\\,h_t^\\top$, with the row $e_t$ that was looked up, the softmax $p_t$, the one-hot target $y_t$ and the last "
     "state $h_t$. Autograd adds them when both uses hold the same tensor. Check the addresses (`data_ptr`), not "
     "values; check that a step moves both; and after `load_state_dict(assign=True)` or `to_empty()` tie again. A "
     "checkpoint may store the matrix once (`lm_head.weight` missing) and must not be read as untied with a random "
     "head."),
    ("When would you share layers, and what does Universal Transformer or ALBERT pay?",
     "When weights must be few: download, memory, or federated training. Quality falls at the same depth and width, "
     "so one makes the block wider, and since FLOPs are as for the unshared depth, it is then slower than a plain "
     "model of the same quality. Most of the loss comes from sharing the FFN; sharing attention alone costs little "
     "(ALBERT, §4.5)."),
]  # fmt: skip

SOURCES = [
    "Press & Wolf 2016, [Using the Output Embedding to Improve Language Models](https://arxiv.org/abs/1608.05859): "
    "the tie, also three ways.",
    "Inan et al. 2016, [Tying Word Vectors and Word Classifiers](https://arxiv.org/abs/1611.01462).",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.4: one matrix for all "
    "three, times √d.",
    "Lan et al. 2019, [ALBERT](https://arxiv.org/abs/1909.11942): factorised table, shared layers.",
    "Dehghani et al. 2018, [Universal Transformers](https://arxiv.org/abs/1807.03819): one block, as often as needed.",
]  # fmt: skip
