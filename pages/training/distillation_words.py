"""The words of the views on distillation (pages/training/distillation.py)."""

VIEWS = TEMPERATURE, DIGITS, DARK, LETTERS, SCALE = (
    "Temperature", "A student of digits", "What the teacher knows", "A student of letters", "Why T²",
)  # fmt: skip

LOOK_FOR = {
    TEMPERATURE: "Drag $T$, on the slider or in a curve: cold, the first token takes over; hot, all become alike; "
                 "always in the same order.",
    DIGITS: "Few digits have a label: the student with the teacher leaves the one alone behind. Label all, and the "
            "teacher is worth nothing.",
    DARK: "At $T = 1$ the teacher says one digit, of nearly every image. At $T = 5$ it says which others this one is "
          "**nearly**: that is what a label cannot tell.",
    LETTERS: "With little text the student alone learns it by heart and gets worse on what is new; the one that "
             "hears the teacher does not.",
    SCALE: "Without the factor the gradient fades as $1/T^2$; with it, it levels off at a height that does not "
           "depend on $T$.",
}  # fmt: skip

FORMULAS = {
    DIGITS: r"L = (1-\lambda)\,\underbrace{\output{-\log p_y}}_{\text{labels}} + \lambda\, T^2\, "
            r"\underbrace{\operatorname{KL}(\attention{q^{(T)}}\,\Vert\,\value{p^{(T)}})}_{\text{teacher}}"
            r"\qquad \attention{q_i^{(T)}} = \frac{e^{\attention{v_i}/T}}{\sum_j e^{\attention{v_j}/T}}",
    DARK: r"\attention{q_i^{(T)}} = \frac{e^{\attention{v_i}/T}}{\sum_j e^{\attention{v_j}/T}}",
    SCALE: r"\frac{\partial}{\partial z_i}\, \operatorname{KL}(\attention{q^{(T)}}\,\Vert\,\value{p^{(T)}}) = "
           r"\frac{1}{T}\left(\value{p_i^{(T)}} - \attention{q_i^{(T)}}\right) \;\xrightarrow{\;T \to \infty\;}\; "
           r"\frac{1}{N T^2}\left(\value{z_i} - \value{\bar z} - \attention{v_i} + \attention{\bar v}\right)",
}  # fmt: skip
FORMULAS[LETTERS] = FORMULAS[DIGITS]

SYMBOLS = (
    "$z$ are the student's logits, $v$ the teacher's; $p$ and $q$ are their shares, softened by $T$ where it is "
    "written. "
)
LOSS_SYMBOLS = SYMBOLS + (
    "$p_y$ is the student's share for the true class $y$, $\\lambda$ the teacher's weight. KL is the cross-entropy "
    "with $q$ in the label's place, less $q$'s own entropy, which no student changes.\n\n"
)

PROSE = {
    DIGITS: dict(
        what=LOSS_SYMBOLS +
             "The teacher is a Vision Transformer of four layers; the student has one, of width 16. Digits whose "
             "class nobody tells are half of each batch, while there are any. Both students have the same first "
             "weights and see the same batches; the one alone can use the labels only, the other also compares **all "
             "ten** shares with the teacher's, on every digit. At $\\lambda = 0$ the two are one and the same run, "
             "bit for bit.",
        why="Labels are dear, a trained model's answers are cheap, and small models are what runs on a phone. "
            "DistilBERT was made so. The student is used at $T = 1$: softening is for learning only.",
        catch="The help is **not magic**. Here most of it is that the teacher's answers stand in for labels that "
              "are missing. Where every digit is told, this student is limited by its size, the teacher (right on all "
              "of its own training digits) says little that the label does not, and at $T = 5$ its softened answers "
              "even pull the student's own confidence away from the best: look at the loss.",
    ),
    DARK: dict(
        what="One digit that neither has learnt from, as teacher and two small students answer it. The logits are the "
             "network's ($v$ the teacher's, of which the softmax at $T$ makes the shares $q$); only the $T$ that "
             "divides them differs between the three rows of each. Below, the teacher's softened answers, averaged "
             "over all unseen digits of a class: who is mistaken for whom.",
        why="Hinton called it **dark knowledge**: which digits this one is nearly, and which it is nothing like, "
            "stands in the small shares, and a label holds nothing of it (label smoothing neither: it gives all wrong "
            "digits the same). With $T > 1$ those shares become large enough to weigh in the loss.",
        catch="The order of the answers is the same at every $T$, and so is what the teacher *knows*. Temperature "
              "only changes how much of the loss the unlikely classes get. And at high $T$ they are nearly all of it, "
              "with what is noise in them.",
    ),
    LETTERS: dict(
        what=LOSS_SYMBOLS +
             "A language model's target is one next letter of some sixty, but after “th” an e, an a or an i would "
             "all be right. The teacher has read 37 plays and gives every letter a share. The student, about a "
             "fiftieth of its size, reads the beginning of a thirty-eighth.",
        why="Each position carries a whole distribution instead of one letter: more is learned from each word of "
            "text. For that one needs the teacher's logits. Many small chat models had only the text that a large one "
            "wrote, one sampled token a position (sequence-level distillation).",
        catch="Give both all the text and the advantage is gone; with a hot teacher, at $T = 5$, the student then "
              "spends its few numbers on how unlikely letters compare, and is **worse** than alone. Nor is all of it "
              "the teacher's wisdom at 2,000 letters: drag $t$ to where the loss of the student alone is least, and "
              "more than half of its lag is gone. Single letters can be learnt by heart, soft targets hardly.",
    ),
    SCALE: dict(
        what=SYMBOLS +
             "A bar is the mean over the $N$ classes. The gradient has two factors $1/T$. One comes from dividing the "
             "logits before the softmax. The other from $e^x \\approx 1 + x$: hot shares are "
             "$p_i \\approx (1 + (z_i - \\bar z)/T)/N$, so $p - q$ shrinks as $1/T$ too. Multiplying the loss by $T^2$ "
             "takes both out, so that $\\lambda$ weighs labels against teacher alike at every high $T$.",
        why="Without it, raising $T$ from 1 to 5 quietly shrinks the teacher's gradient, for the students here "
            "between 3 and 40 times: the labels take over, and one would conclude that temperature hurts.",
        catch="$T^2$ keeps the *order of size* and is exact only for high $T$. Between 1 and 5 the length still "
              "changes, the more so the better the student knows the answer already. And in the limit the loss is no "
              "longer about probabilities: it matches **logits**, all classes alike.",
    ),
}  # fmt: skip

SNIPPET = {
    DIGITS: """
from transformer.training import distil

for mix in (0.0, {mix}):
    *_, last = distil.train({task!r}, {amount}, {T}, mix, seed=0)
    print("λ =", mix, "right:", round(last.accuracy, 3), "loss:", round(last.loss, 3))
""",
    DARK: """
from transformer import sampling
from transformer.training import distil

held = distil.unseen("digits")
i = {digit}                                   # a {true}
for T in {temperatures}:
    q = sampling.tempered(held.teacher[i], T)
    print(T, [round(share, 3) for share in q.tolist()])
""",
    SCALE: """
from transformer.experiments.softened import gradient_lengths
from transformer.training import distil

held = distil.unseen({task!r})
student = distil.shipped({task!r}, {who!r})
z = student(held.read).detach().flatten(0, -2)
found = gradient_lengths(z, held.teacher.flatten(0, -2), held.target.flatten(), [1, 2, 5, {T:.4g}])
for T, kept, bare in zip([1, 2, 5, {T:.4g}], found.kept, found.bare):
    print(T, round(kept.item(), 4), round(bare.item(), 4))
""",
}
SNIPPET[LETTERS] = SNIPPET[DIGITS]

INTERVIEW = [
    ("Why train on a teacher's probabilities when you have the true labels?",
     "Each soft target holds a share for every class: how far an example is from the others (dark knowledge; label "
     "smoothing has none, it treats all wrong classes alike). That is more bits an example, with less variance than "
     "one sampled label, and it exists for unlabelled data too. It pays where labels are few or the student could "
     "learn them by heart; with plentiful labels and a student limited by its size it may pay nothing, as on this "
     "page."),
    ("Where does T² come from, and what happens without it?",
     "∂KL/∂z = (p − q)/T, and for high T p − q is itself proportional to 1/T (eˣ ≈ 1 + x). So the soft gradient "
     "scales as 1/T²; multiplied by T² it is comparable with the hard one and λ keeps its meaning. Without it the "
     "labels outweigh the teacher, the more the higher T. In the limit it is (z − v)/N for centred logits: matching "
     "logits."),
    ("Your distilled student is worse than the same student trained on labels. What do you check?",
     "Teacher in eval mode and without gradient; T² there and KL the right way round (teacher ‖ student, batch mean "
     "rather than mean over classes); T = 1 when it is used; same tokens or classes on both sides; a teacher that is "
     "sure on its own training data and so teaches little there (use other data or augmentation); a gap in size too "
     "large for the student."),
]  # fmt: skip
SOURCES = [
    "Hinton, Vinyals, Dean 2015, *Distilling the Knowledge in a Neural Network*, "
    "[arXiv:1503.02531](https://arxiv.org/abs/1503.02531), §2 and 2.1",
    "Sanh et al. 2019, *DistilBERT*, [arXiv:1910.01108](https://arxiv.org/abs/1910.01108)",
    "Cho, Hariharan 2019, *On the Efficacy of Knowledge Distillation*, "
    "[arXiv:1910.01348](https://arxiv.org/abs/1910.01348): when it does not help",
    "Stanton et al. 2021, *Does Knowledge Distillation Really Work?*, "
    "[arXiv:2106.05945](https://arxiv.org/abs/2106.05945)",
]

T2_OPTIONS = ("it stays about the same", "it falls to about a fifth", "it falls to about a twenty-fifth or less")


def verdict(outcome: str, other: str, alone: tuple[str, str], taught: tuple[str, str], seeds: int, what: str) -> str:
    """What the recorded runs support, in words: outcome of what the task is measured by, other of its second measure
    (``distil.compare``'s both), and from where to where the seeds reach."""
    said = {
        "same": "At λ = 0 there is no teacher: both are the same run, bit for bit.",
        "better": "**The teacher helps by more than the seeds differ**: the worst taught student is better than the "
                  "best one alone.",
        "worse": "**The teacher hurts, by more than the seeds differ**: the best taught student is worse than the "
                 "worst one alone.",
        "within": "**Here the teacher makes no difference that stands out from the seeds' spread.**",
    }[outcome]  # fmt: skip
    also = "" if outcome == "same" else {
        "same": "", "better": f"By {what} it is better.",
        "worse": f"By {what} it is **worse**, by more than the seeds differ.",
        "within": f"By {what} they overlap.",
    }[other]  # fmt: skip
    ends = f"{alone[0]} to {alone[1]} alone, {taught[0]} to {taught[1]} with the teacher ({seeds} seeds each)."
    return f"{said} {ends} {also}".strip()
