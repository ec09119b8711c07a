"""What a config must be before anything is begun for it: names that exist, and an audit that could certify.

Knows settings, strategies, labeling functions and the arithmetic of audits; knows nothing of workspaces.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

from raylabel import runtime
from raylabel.config import Config
from raylabel.errors import ConfigError, UnknownName
from raylabel.models.functions import digests_of


def check_strategies(config: Config) -> None:
    """Refuse strategies that do not exist, and a cold start that wants a model."""
    from raylabel.sampling import STRATEGIES, find  # as with acceptance: SciPy and FAISS are not for every worker

    for name in (strategy_of(config), config.sampling.cold_start):
        find(name)
    if not find(config.sampling.cold_start).fits_cold_start:
        fits = [name for name, strategy in STRATEGIES.items() if strategy.fits_cold_start]
        raise ConfigError(
            f"sampling.cold_start: {config.sampling.cold_start!r} needs a model or answers and round 0 has none; "
            f"choose {' or '.join(sorted(fits))}"
        )


def check_gold(config: Config) -> None:
    """Refuse a sheet of gold items that is not there: what stands in it is read once the pool is planned."""
    source = config.labeling.gold
    if source is not None and not Path(source).is_file():
        raise ConfigError(f"labeling.gold: there is no file {source}; a relative path starts at the TOML's folder")


def strategy_of(config: Config) -> str:
    """The strategy of rounds that have a model, a class to look for by its index: "rare:cat" is "rare:1" in a config.

    Raises:
        UnknownName: "rare:" with a name that is no class of the campaign.
    """
    named, classes = config.sampling.strategy, config.classes
    if not named.startswith("rare:"):
        return named
    wanted = named.removeprefix("rare:")
    if wanted not in classes:
        raise UnknownName("class", wanted, classes)
    return f"rare:{classes.index(wanted)}"


def check_audit(config: Config) -> None:
    """Refuse an audit that could not certify anything even if every answer agreed; 0 answers ask for none."""
    settings, budget = config.acceptance, config.budget
    least = least_audit(config, config.alpha_per_look())
    if 0 < budget.audit_answers < least:
        raise ConfigError(
            f"budget.audit_answers: {budget.audit_answers} cannot certify at most {settings.max_error:.1%} wrong with "
            f"{1 - config.alpha_per_look():.1%} confidence a look, even if all agree: {least} is the least"
            ", and several times that is usual; raise it or acceptance.max_error, or set it to 0 for no machine labels"
        )


def least_audit(config: Config, alpha: float) -> int:
    """The audit answers, all draws together, that can certify something at `alpha` if every one of them agrees."""
    from raylabel.acceptance import smallest_audit  # SciPy takes a second to import, and decoders never ask

    # A certificate rests on one draw alone: the second one where there is one.
    needed = smallest_audit(config.acceptance.max_error, alpha)
    return next(total for total in count(needed) if max(config.split_audit(total)) >= needed)


def sources_of(config: Config) -> dict[str, dict[str, str]]:
    """What labeling functions are, for the fingerprint: "functions", by name the sha256 of the source; {} without any.

    Read in a task: the machines that run them are those that must have them.

    Raises:
        UnknownName: a function that does not exist.
        ConfigError: one that cannot be imported.
    """
    names = config.weak.functions
    return {"functions": runtime.call(partial(digests_of, setting="weak.functions"), names)} if names else {}
