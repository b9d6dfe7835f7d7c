"""The words of the lesson on losses (pages/training/losses.py)."""

VIEWS = CURVES, RARE, PULLS, NOISE, SMOOTH, TABLE = (
    "Curves", "One rare digit", "Who pulls", "Label noise", "Label smoothing", "Which loss when",
)  # fmt: skip

LOOK_FOR = {
    CURVES: "Compare the gradient at p_t = 0.1 and at 0.9: with cross-entropy one hard example weighs as nine easy ones, with focal "
            "loss (γ = 2) as hundreds; label smoothing pushes back where the model is too sure.",
    RARE: "With 99 others for each 8, calling nothing an 8 is right 99 times in 100: move the slider and see which loss "
          "still finds them, and at what precision.",
    PULLS: "Easy negatives are the largest group. Move the step from 0 to 400: with every loss, plain cross-entropy too, their share "
           "of the pull at the weights shrinks. The digits underneath are the ones that the chosen loss listens to.",
    NOISE: "Some labels are wrong, on purpose, and every loss listens to them more than to as many right ones: the lower curves say "
           "how much of the pull is theirs, the upper ones what it cost. Does focal loss stand out?",
    SMOOTH: "Smoothing is said to hurt perplexity and to help accuracy: look which of the two makes the bands come apart, on digits "
            "and on characters.",
    TABLE: "Move the ratio: recall (focal, weighted) and calibration (cross-entropy) keep their winner, precision, F1 and "
           "average precision change it, and most ranges overlap. The noisy column stays at its one ratio.",
}  # fmt: skip

FORMULAS = {  # line by line: each fits on a phone
    CURVES: (
        r"L = -\alpha_t\,(1 - \output{p_t})^{\gamma}\,\log \output{p_t}",
        r"\tfrac{\partial L}{\partial \output{z_t}} = \alpha_t (1 - \output{p_t})^{\gamma} (\gamma \output{p_t} \log \output{p_t} + \output{p_t} - 1)",
        r"L_{\varepsilon} = -\textstyle\sum_c q_c \log \output{p_c} \quad \tfrac{\partial L_{\varepsilon}}{\partial \output{z_t}} = \output{p_t} - q_t",
        r"q_c = (1-\varepsilon)\,[c = t] + \tfrac{\varepsilon}{V}",
    ),
    RARE: (
        r"P = \tfrac{\text{8s it calls 8}}{\text{all it calls 8}} \quad R = \tfrac{\text{8s it calls 8}}{\text{all 8s}} \quad "
        r"F_1 = \tfrac{2PR}{P + R}",
        r"\text{average precision} = \textstyle\sum_k (R_k - R_{k-1})\,P_k",
        r"\alpha_c = \tfrac{N}{2 N_c}",
    ),
    PULLS: (
        r"g_i = \frac{\partial \ell_i}{\partial \theta} \qquad \text{share of } G = "
        r"\frac{\sum_{i \in G} \lVert g_i \rVert}{\sum_i \lVert g_i \rVert}",
    ),
    NOISE: (
        r"\tilde y_i = 1 - y_i \text{ with probability } \eta,\text{ else } y_i",
        r"E[\ell(\tilde y)] = (1 - \eta)\,\ell(y) + \eta\,\ell(1 - y)",
    ),
    SMOOTH: (
        r"q_c = (1-\varepsilon)\,[c = t] + \tfrac{\varepsilon}{V}",
        r"L_\varepsilon = (1-\varepsilon)(-\log \output{p_t}) + \tfrac{\varepsilon}{V} \textstyle\sum_c -\log \output{p_c}",
        r"\text{perplexity} = e^{\,\text{mean of } -\log \output{p_t}}",
    ),
    TABLE: (
        r"L = -\alpha_t\,(1 - \output{p_t})^{\gamma}\,\log \output{p_t}",
        r"\gamma = 0, \alpha = 1\text{: cross-entropy}",
        r"\gamma = 0\text{: class-weighted} \quad \alpha = 1\text{: focal}",
    ),
}  # fmt: skip

SNIPPET = {
    CURVES: """
import torch
from transformer.experiments import loss_curves

p = torch.tensor([0.1, {p}, 0.9])
for name, (loss, slope) in {{
    "cross-entropy": loss_curves.cross_entropy(p),
    "label smoothing": loss_curves.smoothed(p, {eps}),
    "class-weighted": loss_curves.weighted(p, {alpha}),
    "focal": loss_curves.focal(p, {gamma}, {alpha}),
}}.items():
    print(name, [round(x, 4) for x in loss.tolist()], [round(x, 4) for x in slope.tolist()])
""",
    RARE: """
from transformer.training import imbalanced

*_, last = imbalanced.train({name!r}, ratio={ratio}, seed=0)
print({name!r}, {{field: round(value, 3) for field, value in last.verdict._asdict().items()}})
""",
    PULLS: """
from transformer.training import imbalanced

for at in imbalanced.train({name!r}, ratio={ratio}, seed=0, noise={noise}):
    if at.step == {step}:
        print(dict(zip(imbalanced.GROUPS, [round(share, 3) for share in at.shares])))
        print("pulls most:", at.carriers[0])
        break
""",
    NOISE: """
from transformer.training import imbalanced

*_, last = imbalanced.train({name!r}, ratio={ratio}, seed=0, noise={noise})
print("average precision", round(last.verdict.average_precision, 3), "flipped labels pull", round(last.shares[3], 3))
""",
    SMOOTH: """
from transformer.training import smoothing

*_, last = smoothing.train({data!r}, {eps}, seed=0)
print("held out", round(last.held_out, 3), "nats, accuracy", round(last.accuracy, 3))
""",
    TABLE: """
import json
from transformer.training import imbalanced

runs = json.loads(imbalanced.FILE.read_text("utf-8"))["runs"]
for name in imbalanced.NAMES:
    f1 = [run["f1"][-1] for run in runs[imbalanced.key(name, {ratio})]]
    print(name, "F1", round(sum(f1) / len(f1), 3), "from", min(f1), "to", max(f1))
""",
}

PROSE = {
    CURVES: {
        "what": "Training follows $\\partial L / \\partial z_t$: how hard each example pulls at the logit of its right class, $z_t$, "
                "whatever the loss itself is worth. Cross-entropy pulls with $1 - p_t$, so one example at 0.1 weighs as {ce} at 0.9. "
                "A weight $\\alpha_t$ multiplies that by the class, and nothing else. Focal loss fades what is already right: with "
                "$\\gamma = 2$ one hard example weighs as {focal} easy ones. Label smoothing aims at $q_t = 1 - \\varepsilon + \\varepsilon / V$ "
                "instead of 1, here with $V = 2$ classes; beyond it the gradient turns (–: easy ones no longer pull that way).",
        "why": "A thousand easy examples, each worth 0.1, outshout ten hard ones worth 0.9. That is the problem that focal loss was made "
               "for (a detector sees 100,000 background boxes in an image), and what class weights solve more bluntly. The same curve "
               "says what a wrong label does: it looks like the hardest example of all.",
        "catch": "The gradient of focal loss is **not** $(1-p_t)^\\gamma$ times cross-entropy's: the factor depends on $p_t$, too, and the "
                 "product rule adds $\\gamma\\,p_t \\log p_t$. At $p_t = 0.9$ and $\\gamma = 2$ the loss is 100 times smaller, the gradient "
                 "only {fades} times, and at $p_t = 0.1$ focal pulls **harder** than cross-entropy: {hard_focal} beside {hard_ce}.",
    },
    RARE: {
        "what": "A Vision Transformer of two layers learns “an 8, or not” from real digits, of which so few 8s are left that there are 9, 19, "
                "49 or 99 others for each. It is trained five times from the same weights, on the same batches, each time with another "
                "loss. $\\alpha_c = N / 2N_c$ ($N_c$ of the $N$ examples are of class $c$) makes both classes weigh alike. All held-out digits "
                "are asked, and the 8s among them count so much less that the ratio is the training's. {found}",
        "why": "Fraud, faults, diseases, background boxes: the rare class is the point, and accuracy is blind to it. Which measure matters "
               "decides the loss: a weight moves the **threshold** (more found, more false alarms), which precision and recall at "
               "$p \\ge \\tfrac12$ see and average precision does not: it goes through all thresholds, $k$, from the highest down.",
        "catch": "A class weight multiplies the odds that the model learns by $\\alpha_1 / \\alpha_0$: its $p$ is no probability any more (the "
                 "calibration error shows it least where the digits are easy: a $p$ near 0 or 1 stays there). Often the cheaper way to the same recall is plain cross-entropy and a **lower threshold**. Look at "
                 "average precision before you praise a loss for its recall.",
    },
    PULLS: {
        "what": "For each example $i$ that the model learns from, the gradient $g_i$ of its own loss $\\ell_i$ by **all** weights $\\theta$ is "
                "computed, and its length. A bar says which group $G$ makes up how much of all lengths: 8s (positives), the tenth of the "
                "others with the lowest $p_t$ (hard), and the rest (easy). "
                "Bars: mean of {seeds} seeds. The digits are those that pulled most with seed 0, with what they were called in the "
                "training and their share of the sum. {found}",
        "why": "It is the claim of focal loss, measured: easy examples must not drown hard ones. And it is how one finds wrong labels in real "
               "data: sort by loss or gradient and look at the first hundred.",
        "catch": "Lengths say who pulls, not where to: gradients of opposite direction cancel, and the sum of lengths is far longer than "
                 "the length of the sum. Before the first step each example pulls about alike, so that without weights the shares "
                 "are the class counts. And Adam divides by the gradients' size: a loss that is small everywhere (focal) trains no slower for it.",
    },
    NOISE: {
        "what": "A share $\\eta$ of the training labels $y$ is flipped (the model is told $\\tilde y$); the held-out ones are right. At "
                "1:{ratio}, as here, ten per cent of flipped labels make about as many false 8s as there are true ones. An example's loss $\\ell$ becomes, on "
                "average, the second line. {found}",
        "why": "Every hand-labelled set has wrong labels, a few per cent in the best known ones. To the loss a wrong label is the hardest "
               "example there is, and $-\\log p$ has no upper end. Bounded losses and smoothing are to soften that; focal loss, by its idea, "
               "sharpens it.",
        "catch": "Focal loss cannot tell a hard example from a wrong one: $1 - p_t$ is large for both. But its other effect, **less certainty "
                 "everywhere**, works against learning wrong labels by heart, and which of the two is larger is a question for "
                 "measurement, not for the formula.",
    },
    SMOOTH: {
        "what": "The same model is trained with $\\varepsilon = 0$, 0.1 and 0.3 and measured by the **plain** cross-entropy, whose exponential is the perplexity, "
                "by accuracy, and by the calibration error: how far its $p$ is from how often it is right. {digits} {characters}",
        "why": "*Attention is all you need* says: $\\varepsilon = 0.1$ “hurts perplexity, as the model learns to be more unsure, but improves accuracy "
               "and BLEU score.” The first is to be expected: $L_\\varepsilon$ is smallest at $p = q$, so the right class is never "
               "given all of $p$, and perplexity asks for just that. The second is a finding on one task.",
        "catch": "The loss with smoothing is no perplexity: its smallest value is the entropy of $q$, not 0, and runs with other $\\varepsilon$ "
                 "must be compared by the plain one. And a smoothed teacher teaches worse: it forgets **which** wrong answers were "
                 "nearly right.",
    },
    TABLE: {
        "what": "After the last step of the recorded runs, {seeds} seeds: mean, and lowest to highest. Bold: the best mean of a column. All of it "
                "was measured here, on one problem with one model; ranges that overlap say nothing about which is better.",
        "why": "Ask what is wrong with the result, not which loss is best. Too few found: a lower threshold, else a weight. Too many false "
               "alarms: a higher one. $p$ cannot be trusted: plain cross-entropy, then temperature. Labels are wrong: clean them. **Focal loss** is for easy "
               "examples that are so many that they lead the gradient even when learned; look at “Who pulls” first.",
        "catch": "One problem, one small model, a short training: the **direction** of what is large here (a weight raises "
                 "focal's recall; smoothing and focal loss cost calibration) may carry over, its size does not. Even that can turn: focal "
                 "loss keeps $p$ away from 0 and 1, which mends a model that is too sure (Mukhoti et al. 2020); here cross-entropy was not.",
    },
}  # fmt: skip

WHEN = {
    "cross-entropy": "The default: its p is the best calibrated, and the threshold can be moved afterwards.",
    "smoothed": "When over-sure answers do harm, not where p itself is used.",
    "weighted": "When misses cost more than false alarms and the threshold cannot be moved.",
    "focal": "When easy negatives lead the gradient to the end, which they did not here.",
    "focal weighted": "The same, where the class is so rare that it needs weight as well.",
}

INTERVIEW = [
    ("RetinaNet weighs the rare class with α = 0.25, less than the background's 0.75. Is that a mistake?",
     "No. With γ = 2 the background boxes, easy ones, have lost nearly all of their pull already, and the rare positives, hard ones, dominate; "
     "α then takes some of it back. α and γ act together: the best α falls as γ grows (0.75 at γ = 0, 0.25 at γ = 2 in the "
     "paper's table). With class weights alone one would take α near the inverse frequency."),
    ("Derive the gradient of focal loss. Where is it larger than cross-entropy's?",
     "With p = softmax(z)_t, ∂p/∂z_t = p(1 − p). L = −(1 − p)^γ log p gives ∂L/∂p = γ(1 − p)^(γ−1) log p − (1 − p)^γ / p, times "
     "p(1 − p): (1 − p)^γ (γ p log p + p − 1). Its size divided by 1 − p is (1 − p)^γ (1 + γ p |log p| / (1 − p)), which is above 1 for small "
     "p: hard examples, and wrong labels, pull more than with cross-entropy."),
    ("Does weighting the classes give a better model, or only another threshold?",
     "In the limit of enough data and capacity only another threshold: the minimum is at odds multiplied by α₁/α₀, the same ranking. So average "
     "precision and ROC stay, precision and recall at ½ move, and calibration is lost (subtract log α₁/α₀ from the logit to have it "
     "back). With little data or capacity it also decides what the model spends itself on, and the ranking may change "
     "either way."),
    ("Why does label smoothing make a worse teacher?",
     "It pulls all wrong classes to the same logit, so examples of a class gather at one point and what made a 3 look a little like an 8 is lost "
     "(Müller et al. 2019). That is just what distillation reads from the teacher. Training with smoothing also breaks the reading of "
     "the loss as log-perplexity."),
    ("Your labels are 10 % wrong and one class is 1 %. Which loss?",
     "Flipped labels of the common class then outnumber the rare class tenfold, so anything that raises hard or rare examples raises "
     "wrong ones. Clean first: sort by loss, relabel the top. Then plain cross-entropy (or a bounded loss such as generalised "
     "cross-entropy) with a threshold chosen on a small clean set, and γ or a large α only if that set says so: by its formula focal "
     "chases wrong labels, in this page's runs it was no clear loser by it."),
]  # fmt: skip

SOURCES = [
    "Lin et al. 2017, *Focal Loss for Dense Object Detection*, [arXiv:1708.02002](https://arxiv.org/abs/1708.02002); gradient in appendix B",
    "Szegedy et al. 2016, *Rethinking the Inception Architecture*, [arXiv:1512.00567](https://arxiv.org/abs/1512.00567): label smoothing, §7",
    "Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), §5.4: ε = 0.1",
    "Müller, Kornblith, Hinton 2019, *When Does Label Smoothing Help?*, [arXiv:1906.02629](https://arxiv.org/abs/1906.02629)",
    "Mukhoti et al. 2020, *Calibrating Deep Neural Networks using Focal Loss*, [arXiv:2002.09437](https://arxiv.org/abs/2002.09437)",
    "Zhang & Sabuncu 2018, *Generalized Cross Entropy Loss* (noisy labels), [arXiv:1805.07836](https://arxiv.org/abs/1805.07836)",
    "Guo et al. 2017, *On Calibration of Modern Neural Networks*, [arXiv:1706.04599](https://arxiv.org/abs/1706.04599)",
    "Saito & Rehmsmeier 2015, *The Precision-Recall Plot Is More Informative than the ROC Plot*, "
    "[PLOS ONE 10](https://doi.org/10.1371/journal.pone.0118432)",
    "Digits: Alpaydin & Kaynak 1998, [UCI](https://doi.org/10.24432/C50P49), CC BY 4.0",
]
