"""Losses against torch's own, their closed-form gradients, and the laws that the papers state."""

import pytest
import torch
import torch.nn.functional as F
from transformers.loss.loss_for_object_detection import sigmoid_focal_loss

from transformer.losses import cross_entropy, distillation, focal

torch.manual_seed(0)
LOGITS = torch.randn(4, 6, 5, dtype=torch.float64) * 3
TARGET = torch.randint(5, (4, 6))
WEIGHT = torch.tensor([0.1, 2.0, 1.0, 0.7, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("ignore", [None, 3], ids=["all", "padded"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_is_torchs(weight, ignore, smoothing):
    ours = cross_entropy(LOGITS, TARGET, smoothing=smoothing, weight=weight, ignore=ignore)
    theirs = F.cross_entropy(
        LOGITS.flatten(0, 1), TARGET.flatten(), weight, label_smoothing=smoothing,
        ignore_index=-100 if ignore is None else ignore,
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_padding_takes_no_part_in_smoothing():
    logits, target = LOGITS[0], torch.tensor([1, 2, 0, 0, 0, 0])
    padded = cross_entropy(logits, target, smoothing=0.1, ignore=0)
    torch.testing.assert_close(padded, cross_entropy(logits[:2], target[:2], smoothing=0.1))


def test_focal_at_gamma_zero_is_weighted_cross_entropy():
    ours = focal(LOGITS, TARGET, gamma=0.0, alpha=WEIGHT)
    theirs = F.cross_entropy(LOGITS.flatten(0, 1), TARGET.flatten(), WEIGHT, reduction="none").mean()
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_focal_is_retinanets_and_so_is_its_gradient(gamma, alpha):
    """Hugging Face keeps RetinaNet's: two classes by one logit, class 1 weighing α and class 0 the rest."""
    x = torch.linspace(-4, 4, 31, dtype=torch.float64).requires_grad_()
    target = (torch.arange(31) % 3 == 0).long()
    theirs = sigmoid_focal_loss(x[:, None], target[:, None].double(), 31, alpha, gamma)
    two = torch.stack((torch.zeros_like(x), x), -1)
    ours = focal(two, target, gamma=gamma, alpha=torch.tensor([1 - alpha, alpha]))
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-7)
    gradients = (torch.autograd.grad(loss, x)[0] for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_many_classes_is_its_definition_position_by_position(gamma):
    p = LOGITS.softmax(-1)
    terms = [
        -WEIGHT[TARGET[b, t]] * (1 - p[b, t, TARGET[b, t]]) ** gamma * p[b, t, TARGET[b, t]].log()
        for b in range(4) for t in range(6)
    ]  # fmt: skip
    ours = focal(LOGITS, TARGET, gamma=gamma, alpha=WEIGHT)
    torch.testing.assert_close(ours, sum(terms) / 24, atol=1e-12, rtol=1e-12)


def test_padding_takes_no_part_in_focal_and_distillation():
    logits, teacher, target = LOGITS[0], LOGITS[1], torch.tensor([1, 0, 2, 0, 0, 4])
    real = target != 0
    torch.testing.assert_close(focal(logits, target, ignore=0), focal(logits[real], target[real]))
    setting = dict(temperature=2.0, mix=0.4)
    torch.testing.assert_close(
        distillation(logits, teacher, target, ignore=0, **setting),
        distillation(logits[real], teacher[real], target[real], **setting),
    )


def test_every_gradient_is_what_finite_differences_say():
    logits = LOGITS[:1, :3].clone().requires_grad_()
    target, teacher = TARGET[:1, :3], LOGITS[1:2, :3]
    for loss in (
        lambda x: cross_entropy(x, target, smoothing=0.1, weight=WEIGHT),
        lambda x: focal(x, target, gamma=1.5, alpha=WEIGHT),
        lambda x: distillation(x, teacher, target, temperature=2.0, mix=0.7),
    ):
        assert torch.autograd.gradcheck(loss, logits)


def test_smoothings_gradient_is_p_minus_q():
    logits = LOGITS.clone().requires_grad_()
    cross_entropy(logits, TARGET, smoothing=0.1).backward()
    q = 0.9 * F.one_hot(TARGET, 5) + 0.1 / 5
    torch.testing.assert_close(logits.grad * 24, logits.detach().softmax(-1) - q)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focals_gradient_is_the_papers(gamma):
    """dL/dx of a binary problem with p_t = sigmoid(x): (1 − p)^γ (γ p log p + p − 1). Lin et al., appendix B."""
    x = torch.linspace(-6, 6, 25, dtype=torch.float64, requires_grad=True)
    logits = torch.stack((x, torch.zeros_like(x)), -1)
    (focal(logits, torch.zeros(25, dtype=torch.long), gamma=gamma) * 25).backward()
    p = x.detach().sigmoid()
    torch.testing.assert_close(x.grad, (1 - p) ** gamma * (gamma * p * p.log() + p - 1), atol=1e-12, rtol=1e-9)


def test_focal_stays_finite_where_the_model_is_sure():
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        logits.grad = None
        focal(logits, torch.tensor([0, 0]), gamma=gamma).backward()
        assert logits.grad.isfinite().all()


def test_distillation_is_its_two_parts():
    student, teacher = LOGITS, torch.roll(LOGITS, 1, 0)
    T, mix = 3.0, 0.3
    soft = F.kl_div(
        (student / T).log_softmax(-1).flatten(0, 1), (teacher / T).softmax(-1).flatten(0, 1), reduction="batchmean"
    )
    expected = (1 - mix) * F.cross_entropy(student.flatten(0, 1), TARGET.flatten()) + mix * T**2 * soft
    torch.testing.assert_close(distillation(student, teacher, TARGET, temperature=T, mix=mix), expected)


def test_distillation_without_the_teacher_is_plain_training_bit_for_bit():
    assert torch.equal(
        distillation(LOGITS, LOGITS * 2, TARGET, temperature=4.0, mix=0.0), cross_entropy(LOGITS, TARGET)
    )


@pytest.mark.parametrize("mix", [0.0, 0.4, 1.0])
def test_of_an_unlabelled_position_the_teacher_alone_says_something(mix):
    student, teacher, target = LOGITS[0], LOGITS[1], torch.tensor([1, -1, 2, -1, 0, 4])
    told, T = target != -1, 2.0
    ours = distillation(student, teacher, target, temperature=T, mix=mix, unlabelled=-1)
    soft = F.kl_div((student / T).log_softmax(-1), (teacher / T).softmax(-1), reduction="batchmean")
    expected = (1 - mix) * F.cross_entropy(student[told], target[told]) + mix * T**2 * soft
    torch.testing.assert_close(ours, expected)
    nobody = torch.full_like(target, -1)
    if mix < 1:
        with pytest.raises(ValueError, match="no position counts"):
            distillation(student, teacher, nobody, temperature=T, mix=mix, unlabelled=-1)
    else:
        assert torch.equal(distillation(student, teacher, nobody, temperature=T, mix=1.0, unlabelled=-1), ours)


def test_t_squared_keeps_the_gradients_scale():
    """For large T the gradient tends to (student − teacher) / V, whatever T is, for logits of mean 0."""
    student = (LOGITS[0] - LOGITS[0].mean(-1, keepdim=True)).requires_grad_()
    teacher = LOGITS[1] - LOGITS[1].mean(-1, keepdim=True)
    limit = (student - teacher).detach() / 5 / 6
    for T in (200.0, 2000.0):
        (gradient,) = torch.autograd.grad(distillation(student, teacher, TARGET[0], temperature=T, mix=1.0), student)
        torch.testing.assert_close(gradient, limit, atol=10 / T, rtol=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: cross_entropy(LOGITS, TARGET, smoothing=1.0),
        lambda: cross_entropy(LOGITS, torch.zeros_like(TARGET), ignore=0),
        lambda: cross_entropy(LOGITS, TARGET[:, :5]),
        lambda: focal(LOGITS, TARGET, gamma=-1.0),
        lambda: focal(LOGITS, torch.zeros_like(TARGET), ignore=0),
        lambda: focal(LOGITS, TARGET[:1]),
        lambda: distillation(LOGITS, LOGITS[:1], TARGET, temperature=2.0, mix=0.5),
        lambda: distillation(LOGITS, LOGITS, TARGET, temperature=0.0, mix=0.5),
        lambda: distillation(LOGITS, LOGITS, TARGET, temperature=1.0, mix=1.5),
    ],
)
def test_what_means_nothing_is_refused(call):
    with pytest.raises(ValueError):
        call()
