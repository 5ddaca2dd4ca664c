"""The learned predictor: features, fit and proposals."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import rng
from smash_lightning.strategies import History, LearnedPredictor, ScoredCandidate
from smash_lightning.strategies.predictor import RIDGE, describe, expected_improvement, fit, normal_scores, predict
from tests.cases import V1, Case, every_case, every_seed
from tests.strategies.synthetic import Separable


@every_case
@every_seed
def test_features_are_c_averaged_over_the_slices_of_a_block(case: Case, seed: int) -> None:
    limits, architecture = case.space.limits, case.draw(seed)
    encoding = Encoding(limits, 1)
    c, spans = encoding.encode(architecture)[0, :, 0].numpy(), encoding.spans(architecture)
    found = describe(limits, architecture).reshape(len(architecture.blocks), -1)
    for block, features in zip(architecture.blocks, found, strict=True):
        own, spans = spans[: len(block.ops)], spans[len(block.ops) :]
        mean = np.mean([c[:, i] for i in range(own[0].first, own[-1].last)], axis=0)
        np.testing.assert_allclose(features[:-2], mean, rtol=1e-5, atol=1e-6)
        channels = sum(len(op.read) * block.width + len(op.pooled) * block.pooled_width for op in block.ops)
        units = channels // limits.base
        assert features[-2:].tolist() == [len(block.ops), units]


def test_predictions_are_those_of_ridge_regressions_on_bootstrap_samples() -> None:
    random = np.random.default_rng(0)
    features, targets = random.normal(size=(30, 7)) * 3 + 1, random.normal(size=30)
    features[:, 4] = 2.0  # constant
    ensemble = fit(features, targets, 3, rng("members"))
    found = []
    for rows in ensemble.estimators_samples_:
        x, y = features[rows], targets[rows]
        stds = np.where(x.std(0) > 0, x.std(0), 1)
        z = (x - x.mean(0)) / stds
        weights = np.linalg.solve(z.T @ z + 6 * RIDGE * np.eye(7), z.T @ (y - y.mean()))
        found.append((features - x.mean(0)) / stds @ weights + y.mean())
    mean, std = predict(ensemble, features)
    np.testing.assert_allclose(mean, np.mean(found, axis=0), atol=1e-10)
    np.testing.assert_allclose(std, np.std(found, axis=0), atol=1e-10)


@every_seed
def test_expected_improvement_is_an_integral(seed: int) -> None:
    random = np.random.default_rng(seed)
    mean, std, incumbent = random.normal(), 0.1 + random.random(), random.normal()

    def improvement(value: float) -> float:
        return max(0.0, incumbent - value) * float(norm.pdf(value, mean, std))

    expected, _ = quad(improvement, mean - 12 * std, mean + 12 * std, points=[incumbent], limit=200)
    found = expected_improvement(np.array([mean]), np.array([std]), incumbent)
    assert found == pytest.approx(expected, abs=1e-7)


def test_improvement_without_uncertainty() -> None:
    found = expected_improvement(np.array([-2.0, 0.5, 3.0]), np.zeros(3), 1.0)
    assert found == pytest.approx([3.0, 0.5, 0.0])


def candidate(position: int, loss: float) -> ScoredCandidate:
    return ScoredCandidate(V1.sample(rng("predictor", position)), "random", "", loss)


def test_targets_are_ranks() -> None:
    losses = [3.0, 1.0, 2.0, float("inf"), 1.0]
    found = normal_scores([candidate(position, loss) for position, loss in enumerate(losses)])
    assert found == pytest.approx(norm.ppf([0.6 + 0.1, 0.2, 0.5, 0.9, 0.2]))
    assert abs(found[[0, 2]].sum()) == pytest.approx(norm.ppf(0.7))


def test_proposals_are_ordered_by_expected_improvement() -> None:
    loss, strategy = Separable.over(V1), LearnedPredictor(1, 12, 2, 0.3, 4)
    scored = [candidate(position, loss(V1.sample(rng("predictor", position)))) for position in range(20)]
    order: list[str] = []

    def reject(architecture: object) -> bool:
        order.append(architecture.fingerprint)  # type: ignore[attr-defined]
        return False

    strategy.propose(V1, History(scored, accepts=reject), rng("pool"))
    draws, parents = rng("pool"), sorted(scored, key=lambda e: e.smash_score)[:2]
    pool = [
        V1.perturb(draws.choice(parents).architecture, draws, 0.3) if i % 2 else V1.sample(draws) for i in range(12)
    ]
    known, new = (
        np.stack([describe(V1.limits, a) for a in group]) for group in ([e.architecture for e in scored], pool)
    )
    ensemble = fit(known, normal_scores(scored), 4, draws)
    gains = expected_improvement(*predict(ensemble, new), predict(ensemble, known)[0].min())
    assert order == [pool[i].fingerprint for i in np.argsort(-gains, kind="stable")]
    assert len(set(gains.tolist())) > 8
