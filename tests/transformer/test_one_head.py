"""One head through every approximation: the pieces fit together, and repeat what the single steps give."""

import pytest
import torch

from transformer.experiments import approximation, one_head
from transformer.kernels import log_elu_features

N, D = 7, 16


@pytest.fixture
def head() -> one_head.Head:
    Q, K, V = torch.randn(3, N, D, generator=torch.Generator().manual_seed(0))
    return one_head.Head(Q, K, V, torch.ones(N, N, dtype=torch.bool).tril())


def test_weights_are_softmaxes_and_products_of_what_they_are_made_of(head):
    fit = one_head.fit(head, [1, 3, 64])
    found = one_head.weights(head, [1, 3, 64], seed=1, fit=fit)
    torch.testing.assert_close(found.performer, found.performer_scores.masked_fill(~head.mask, -torch.inf).softmax(-1))
    torch.testing.assert_close(found.linear, found.linear_scores.masked_fill(~head.mask, -torch.inf).softmax(-1))
    for made, (P, F) in ((found.fitted, found.fitted_factors), (found.drawn, found.drawn_factors)):
        torch.testing.assert_close(made, P @ F)
        assert [int(torch.linalg.matrix_rank(one)) for one in made[:2]] == [1, 3]
    torch.testing.assert_close(found.best[2], found.unmasked, atol=1e-5, rtol=1e-4)  # rank n
    torch.testing.assert_close(found.unmasked, (head.Q @ head.K.T / 4).softmax(-1))


def test_errors_are_those_of_single_draws(head):
    omega = one_head.draws(3, 20, D)
    of_A, of_z = one_head.by_features(head, omega, [5, 20])
    A = approximation.performer(head.Q, head.K, omega[2, :5], head.mask)
    torch.testing.assert_close(of_A[0, 2], approximation.error(A, head.A))
    torch.testing.assert_close(of_z[0, 2], approximation.error(A @ head.V, head.A @ head.V))
    found = one_head.by_rank(head, torch.randn(4, N, N, generator=torch.Generator().manual_seed(2)))
    best = found["best"][0]
    assert all((of_A >= best - 1e-5).all() and of_A.shape[0] == N for of_A, _ in found.values())
    assert found["drawn"][0].shape == (N, 4) and found["pooled"][0][-1] < 1e-5


def test_running_means_are_means_of_the_first(head):
    omega, points = one_head.draws(50, 8, D), torch.tensor([10, 50])
    found = one_head.means(head, omega, 4, 2, [0.5], [8], points)
    q, K = head.Q[4, None] * 0.5, head.K * 0.5
    exact = (q @ K.T / 4)[0, 2].exp()
    for i, count in enumerate(points.tolist()):
        estimates = approximation.log_estimates(q, K, omega[:count])[:, 0, 2].exp()
        torch.testing.assert_close(found.kernel[0, 0, i], estimates.mean() / exact)
    made = approximation.performer(q, K, omega, head.mask[4, None])[:, 0, 2]
    torch.testing.assert_close(found.weight[0, 0, 1], made.mean())
    torch.testing.assert_close(found.weight_error[0, 0, 1], made.std() / 50**0.5)
    torch.testing.assert_close(found.true_weight[0], head.longer(0.5).A[4, 2])


def test_states_read_what_all_pairs_give(head):
    found = one_head.states(head)
    torch.testing.assert_close(found.out, found.pairs, atol=1e-5, rtol=1e-4)
    weights = (found.phi_Q * found.z).sum(-1, keepdim=True)
    torch.testing.assert_close(found.read / weights, found.out)
    torch.testing.assert_close(found.phi_K, log_elu_features(head.K).exp())
