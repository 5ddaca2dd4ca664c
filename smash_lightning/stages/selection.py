"""Which architectures are trained standalone? Some of the ranking, and others that are given."""

from collections.abc import Collection, Sequence

import pandas as pd

from smash_lightning.architecture import Architecture, cost, load_architecture
from smash_lightning.random_streams import Stream, rng
from smash_lightning.search_space import SearchSpace
from smash_lightning.search_space.presets import preset
from smash_lightning.training import RetrainOptions

Groups = dict[str, set[str]]  # for each fingerprint, the groups that it is in


def given_architectures(options: RetrainOptions, space: SearchSpace) -> dict[str, Architecture]:
    """The presets, then the architectures of JSON files, by these names; each once.

    Raises:
        ValueError: there is no such preset or file, or the images do not fit: they are too small, or have other axes;
            or trainings start with weights of a HyperNet, which has none for it.
    """
    found: dict[str, Architecture] = {}
    image_spec = space.image_spec
    for option in ("presets", "architectures"):
        for name in getattr(options, option):
            try:
                if option == "presets":
                    architecture = preset(name)(dimensions=image_spec.dimensions)
                else:
                    architecture = load_architecture(name, image_spec.dimensions)
                cost(architecture, image_spec)
                if options.start == "generated" and (reason := space.limits.violation(architecture)):
                    raise ValueError(
                        f"a HyperNet gives no weights to it, as {reason}: use retrain.start=random, or leave it out"
                    )
            except ValueError as error:
                raise ValueError(f"retrain.{option}: {name}: {error}") from None
            if architecture not in found.values():
                found[name] = architecture
    return found


def choose(ranking: pd.DataFrame, options: RetrainOptions, seed: int) -> Groups:
    """Fingerprints to train, each with the groups that it is in.

    "shortlist" is the best of each family, which is a random candidate with all that perturbation made of it: members
    of a family differ little, and ten of them would count one result ten times. "stratified" and "random" represent
    the pool of random candidates: the middle one of each of `stratified` equal parts of their ranking, and `random`
    others that are drawn without regard to it.

    With `options.rank` it is only the random candidate at that position, in the group "stratified": positions that are
    spread evenly over the ranking represent the pool, whichever jobs train them; `collect` checks that.

    Args:
        ranking: the table, best first.
        options: sizes of the groups.
        seed: of the group "random".

    Raises:
        ValueError: there are fewer architectures than the options need.
    """
    pool = list(ranking["fingerprint"][ranking["strategy"] == "random"])
    require_pool(options, len(pool))
    if options.rank is not None:
        return {pool[options.rank]: {"stratified"}}
    stratified = [pool[int((part + 0.5) * len(pool) / options.stratified)] for part in range(options.stratified)]
    others = [name for name in pool if name not in stratified]
    members = {
        "shortlist": best_of_families(ranking, options.shortlist),
        "stratified": stratified,
        "random": rng(Stream.RANDOM_GROUP, seed).sample(sorted(others), options.random),
    }
    groups: Groups = {}
    for group, names in members.items():
        for name in names:
            groups.setdefault(name, set()).add(group)
    return groups


def require_pool(options: RetrainOptions, random: int) -> None:
    """Checks that `random` random candidates suffice for the groups "stratified" and "random", or have such a rank.

    Raises:
        ValueError: they do not.
    """
    if options.rank is not None:
        if options.rank >= random:
            raise ValueError(
                f"retrain.rank={options.rank} is beyond the {random} random architectures that are ranked: "
                f"their ranks are 0 to {random - 1}"
            )
    elif options.stratified + options.random > random:
        raise ValueError(
            f"retrain.stratified={options.stratified} and retrain.random={options.random} are more than the {random} "
            "random architectures that are ranked: lower them, or raise ranking.strategies.random.count"
        )


def best_of_families(
    ranking: pd.DataFrame, count: int, without: Collection[str] = (), found: Sequence[str] = ()
) -> list[str]:
    """The best of each of the `count` best families, but not those of `without`, nor of the families of `found`.

    Raises:
        ValueError: there are fewer families, or an architecture descends from itself.
    """
    parents = dict(zip(ranking["fingerprint"], ranking["parent"], strict=True))
    roots: dict[str, str] = {}

    def root(name: str) -> str:
        descendants: dict[str, str] = {}
        while name not in roots and (parent := parents.get(name)):
            if name in descendants:
                raise ValueError(f"architecture {name} of the ranking descends from itself: its parents were changed")
            descendants[name] = parent
            name = parent
        roots.update(dict.fromkeys(descendants, roots.get(name, name)))
        return roots.get(name, name)

    best = {root(name): name for name in found}
    for name in parents:
        if name not in without:
            best.setdefault(root(name), name)
    if count > len(best) - len(found):
        raise ValueError(
            f"retrain.shortlist={count + len(found)} is more than the {len(best)} families of architectures that were "
            "scored" + " and are not in the sample" * bool(without)
        )
    return list(best.values())[len(found) :][:count]
