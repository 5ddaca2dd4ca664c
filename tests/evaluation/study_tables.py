"""Made-up tables of a study, with a known truth behind them."""

import numpy as np

from smash_lightning.evaluation.tables import Predicted, Retrained, Scored


def study(
    representative=40,
    shortlist=10,
    seeds=3,
    *,
    skill=0.6,
    noise=0.5,
    size_skill=0.2,
    hypernets=3,
    equal_ops=False,
    key=0,
):
    """Two tables as a run writes them.

    Quality of an architecture is normal; scores and sizes correlate with it (`skill`, `size_skill`, before noise);
    each training adds normal noise of `noise` times the quality's spread. The top is picked by score from a pool.
    """
    rng = np.random.default_rng(key)
    pool = representative + 8 * shortlist
    quality = rng.normal(size=pool)
    score = skill * quality + np.sqrt(1 - skill**2) * rng.normal(size=pool)
    size = size_skill * quality + np.sqrt(1 - size_skill**2) * rng.normal(size=pool)
    by_hypernet = 0.45 + 0.06 * (score[:, None] + 0.5 * rng.normal(size=(pool, hypernets)))
    losses = by_hypernet.mean(1)
    names = [f"{i:016x}" for i in range(pool)]
    params = np.round(9700 - 300 * size).astype(int)
    scored = [
        Scored(
            fingerprint=names[i],
            strategy="random",
            parent="",
            smash_score=float(losses[i]),
            val_error=round(100 * float(losses[i]) / 4, 1),
            val_loss=float(losses[i]),
            ensemble_error=9.0,
            images=500,
            params=int(params[i]),
            macs=int(40 * params[i] + rng.integers(200_000)),
            ops=8 if equal_ops else int(rng.integers(5, 11)),
            val_loss_by_hypernet=";".join(f"{loss:.6f}" for loss in by_hypernet[i]),
            seconds=0.36,
        )
        for i in range(pool)
    ]
    arms = dict.fromkeys(range(representative), "stratified")
    for i in np.argsort(losses)[:shortlist]:
        arms[int(i)] = f"shortlist+{arms[int(i)]}" if int(i) in arms else "shortlist"
    retrained = [
        Retrained(
            fingerprint=names[i],
            seed=seed,
            arm=arm,
            true_error=float(3.2 + 0.4 * (quality[i] + 2 * noise * rng.normal())),
            true_loss=float(0.145 + 0.012 * (quality[i] + noise * rng.normal())),
            epochs=11,
            seconds=2.8,
            failure="",
        )
        for i, arm in arms.items()
        for seed in range(seeds)
    ]
    return scored, retrained


def baselines(retrained, names=("naswot", "synflow", "early_stopping"), *, skill=0.4, key=0):
    """Rows of `baselines.csv` for every trained architecture; the values follow its mean true loss by `skill`."""
    losses = {}
    for row in retrained:
        losses.setdefault(row.fingerprint, []).append(row.true_loss)
    truth = np.array([np.mean(values) for values in losses.values()])
    truth = (truth - truth.mean()) / truth.std()
    rng = np.random.default_rng([key, 1])
    values = {name: skill * truth + np.sqrt(1 - skill**2) * rng.normal(size=len(truth)) for name in names}
    return [
        Predicted(fingerprint, name, float(value), 0.05, 40.0 if name == "weight_sharing" else 0.0)
        for name in names
        for fingerprint, value in zip(losses, values[name], strict=True)
    ]
