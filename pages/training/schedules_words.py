"""The words of the lesson on schedules and dropout (pages/training/schedules.py)."""

VIEWS = RATE, WARM, DROP = "The schedule", "With and without warm-up", "Dropout"

LOOK_FOR = {
    RATE: "The 2017 schedule rises in a straight line and turns exactly at step = warm-up; from there it falls as 1/√t, long "
          "after a cosine has ended.",
    WARM: "Same model, same data, same peak: without the slow start the loss stays where a model is that has only counted "
          "letters.",
    DROP: "Without dropout the loss on the known text falls and falls, while the unseen one turns up: learning by heart. Dropout "
          "slows the first and holds down the second.",
}  # fmt: skip

FORMULAS = {
    RATE: (
        r"\text{2017: } lr(t) = d^{-1/2}\cdot\min\!\left(t^{-1/2},\ t \cdot w^{-3/2}\right)",
        r"\text{cosine: } lr(t) = p\left(f + (1-f)\,\tfrac{1 + \cos \pi s}{2}\right)",
    ),
    WARM: (r"lr(t) = p \cdot t / w \quad (t \le w)", r"\Delta W \propto lr \cdot \hat m / (\sqrt{\hat v} + \epsilon)"),
    DROP: (r"\tilde x_i = \frac{m_i}{1-p}\,x_i, \quad m_i \sim \text{Bernoulli}(1-p)", r"E[\tilde x_i] = x_i"),
}  # fmt: skip

SNIPPET = {
    RATE: """
from transformer.schedule import constant, cosine, noam

lr = noam({d}, {warmup})
peak = max(range(1, {steps} + 1), key=lr)
print("peak at step", peak, lr(peak), "=", ({d} * {warmup}) ** -0.5)
print("step {t}:", lr({t}), cosine(lr(peak), {steps}, {warmup})({t}), constant(lr(peak), {warmup})({t}))
""",
    WARM: """
from transformer.training import rates

for warmup in rates.WARMUPS:
    *_, last = rates.with_rate({kind!r}, warmup, seed=0)
    print("warm-up", warmup, "held out", round(last.held_out, 3))
""",
    DROP: """
from transformer.training import rates

for share in (0.0, {share}):
    *_, last = rates.with_dropout(share, seed=0)
    print("dropout", share, "known", round(last.known, 3), "unseen", round(last.unseen, 3))
""",
}

PROSE = {
    RATE: {
        "what": "A schedule says how far a step may go: lr at step $t$. The paper of 2017 rises in proportion to $t$ for $w$ = 4,000 "
                "steps, then falls as $1/\\sqrt t$. Both branches of the min are equal at $t = w$, and there the rate is "
                "$1/\\sqrt{d\\,w}$: no other knob. Today a cosine is more common, from a peak $p$ down to a share $f$ of it, a tenth here, "
                "$s$ being how much of the way from $w$ to the last step is done: it must know that step in advance. A constant "
                "rate with a short fall at the end (WSD: warm-up, stable, decay) can decide late.",
        "why": "Large steps early find a good region; small ones late settle in it. The width stands in the formula because a wider "
               "model's sums have more terms: each weight may move less for the same change of the output.",
        "catch": "The peak is at step = warm-up **exactly**, and it depends on $w$: a longer warm-up is also a lower peak, "
                 "$\\propto w^{-1/2}$. So “more warm-up helps” with this formula may mean “a smaller rate helps”. In the next picture "
                 "all kinds get the same peak.",
    },
    WARM: {
        "what": "Adam divides each gradient's running mean $\\hat m$ by the root of its running square $\\hat v$. In the first steps that average stands on a handful of "
                "gradients, so the quotient is close to ±1 for every weight: each moves by the full rate, in a direction "
                "that one batch chose. With the norm behind the sum the gradients near the output are large as well. Warm-up keeps those "
                "first steps small until the averages mean something.",
        "why": "It is why every recipe for Transformers begins with a warm-up, and what to try first when a run sits at one loss from "
               "the start. Eight layers, three seeds each; what is drawn are all of them.",
        "catch": "Warm-up is not a law of nature: with the norm **before** the sublayer the same stack learns without it ([Where the norm "
                 "goes](norm-placement) measures that), and with a lower peak this one does, too. It buys a higher rate.",
    },
    DROP: {
        "what": "In training, each number on its way into the sum is dropped with probability $p$ and the others are divided by "
                "$1 - p$, so that the mean stays. When the model is used, nothing is dropped and nothing needs to be scaled. The text "
                "here has 6,000 characters: few enough for this model to learn by heart.",
        "why": "What no single neuron can be relied on for must be known in several ways; that generalises better. The gap between the two "
               "losses, known and unseen, is what regularisation is about; dropout, weight decay and stopping early all "
               "trade the one for the other.",
        "catch": "Dropout helps where the text is read many times. Large language models see each token about once and are mostly trained "
                 "**without** it: there is nothing to learn by heart, and it would only waste capacity. And the training loss "
                 "under dropout is measured with numbers missing: compare losses only with dropout switched off, as here.",
    },
}  # fmt: skip

INTERVIEW = [
    ("Where is the peak of the 2017 schedule, and how high is it?",
     "The branches t^−½ and t·w^−3/2 meet at t = w, where the rate is d^−½·w^−½: with d = 512 and w = 4,000, 7.0·10⁻⁴. Before it the "
     "rate rises linearly, after it falls as 1/√t and never reaches 0."),
    ("Why does Adam need a warm-up more than SGD does?",
     "Adam's step is lr·m̂/(√v̂ + ε). After one step m̂/√v̂ is ±1 for each weight whatever the gradient's size, and the variance of this "
     "quotient is large while v̂ is an average of few samples. A full rate then makes a large, badly chosen move in all weights. "
     "SGD's step shrinks with the gradient. RAdam corrects for that variance instead of warming up."),
    ("Why divide by 1 − p in dropout, and where in a Transformer does it stand?",
     "E[m_i x_i / (1 − p)] = x_i: the next layer sees the same mean in training and in use, so inference needs no change. In the "
     "2017 model: on each sublayer's output before it is added, on the sum of embeddings and positions; many add it to the "
     "attention weights. 0.1 there."),
    ("The training loss is above the validation loss. Is that a bug?",
     "Not with dropout: training losses are measured with numbers missing, validation with all of them, and training averages over an "
     "epoch in which the model was worse. Measure both with dropout off to compare."),
]  # fmt: skip
SOURCES = [
    "Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), §5.3 and 5.4",
    "Loshchilov & Hutter 2017, *SGDR*, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983): the cosine",
    "Liu et al. 2020, *On the Variance of the Adaptive Learning Rate*, [arXiv:1908.03265](https://arxiv.org/abs/1908.03265)",
    "Xiong et al. 2020, *On Layer Normalization in the Transformer*, [arXiv:2002.04745](https://arxiv.org/abs/2002.04745)",
    "Srivastava et al. 2014, *Dropout*, [JMLR 15](https://jmlr.org/papers/v15/srivastava14a.html)",
]
