"""Open a campaign: a config's workspace, begun or gone on with.

Opening a workspace again compares what it was made with; a difference that could change a result is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from raylabel.campaign import BEGUN, Campaign
from raylabel.check import check_audit, check_gold, check_strategies, sources_of
from raylabel.config import Config
from raylabel.errors import ConfigError, FingerprintError
from raylabel.profile import Profile, kept, resolve_profile
from raylabel.workspace import Store

_FREE = {
    "pool": {"quarantine_limit"},
    "labeling": {"wait", "poll_s"},
    "compute": {"address", "workers", "device", "dtype", "compile", "batch_size", "decode", "gpu_decode"},
}
"""Settings that cannot change a result, or change it through the profile, which is compared: a workspace may be opened
again with others."""

PREPARED = ("audit/draw", "audit/forecast", "gold/known", "pool/plan")
"""Records made before `BEGUN`, in seconds, each with the number of its version behind it: until that one exists, nobody
has worked for this workspace."""


def open_campaign(config: Config) -> Campaign:
    """Open the workspace of a config, or begin one; a Ray session and the driver's lease must be there.

    A workspace in which only the pool was planned and the audit drawn is begun anew where the settings differ: whoever
    mended a path, a budget or a backbone after a first error loses nothing.

    Raises:
        FingerprintError: the workspace was made with other settings, code or libraries; shows each difference.
        UnknownName: a strategy or labeling function that does not exist.
        ConfigError: a strategy that cannot stand where it does, a labeling function that cannot be imported, or a sheet
            of gold items that is not there.
    """
    check_strategies(config)
    check_audit(config)
    store = Store(config.workspace)
    found = _stored(store) if store.exists("campaign.json") else None
    begun = store.exists(f"{BEGUN}.json")
    if not begun:
        check_gold(config)  # it is read before the backbone is stored, once
    # Until the backbone is stored it may be another one, or its code: then what was measured says nothing of it.
    profile, measured = resolve_profile(config, found=Profile.from_json(found["profile"]) if found and begun else None)
    mine = {
        "raylabel": version("raylabel"),
        "config": config.model_dump(mode="json"),
        "profile": asdict(profile),
        "measured": measured,
        **sources_of(config),
    }
    if found is not None and not begun and _differences(found, mine):
        _begin_anew(store)
    if not store.create("campaign.json", json.dumps(mine, indent=1).encode()):
        _compare(_stored(store), mine, where=store.uri("campaign.json"))
    return Campaign(config, store, profile, _fingerprint(mine))


def find_campaign(config: Config) -> Campaign:
    """The campaign of a workspace that exists, as it stands: for looking, exporting and importing. Needs no Ray.

    Raises:
        ConfigError: the workspace has not been begun.
        FingerprintError: it was made with other settings.
    """
    store = Store(config.workspace)
    try:
        found = _stored(store)
    except FileNotFoundError:
        raise ConfigError(f"{config.workspace}: nothing was begun there; start with `raylabel run`") from None
    profile = Profile.from_json(found["profile"])
    profile = replace(profile, arithmetic=kept(profile.arithmetic, config.compute))
    mine = {**found, "config": config.model_dump(mode="json"), "profile": asdict(profile)}
    _compare(found, mine, where=store.uri("campaign.json"))
    return Campaign(config, store, profile, _fingerprint(mine))


def _stored(store: Store) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(store.read("campaign.json"))
    return tree


def _fingerprint(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_bound(tree), sort_keys=True).encode()).hexdigest()


def _bound(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree as "config.pool.path" -> value, without what was measured and the settings that are free to change."""
    flat: dict[str, Any] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping) and value:
            for key, below in value.items():
                walk(below, (*path, str(key)))
        else:
            flat[".".join(path)] = value

    walk(tree, ())
    free = {"config.workspace"} | {f"config.{s}.{k}" for s, keys in _FREE.items() for k in keys}
    return {key: value for key, value in flat.items() if key not in free and not key.startswith("measured")}


def _begin_anew(store: Store) -> None:
    for name in store.list("quarantine"):
        store.remove(f"quarantine/{name}")
    for place, _, stem in (name.partition("/") for name in PREPARED):
        for name in store.list(place):
            if name.startswith(f"{stem}-") and name.endswith(".json"):
                store.remove(f"{place}/{name}")
    store.remove("campaign.json")  # last: stopped in between, this is done again


def _differences(found: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    theirs, ours = _bound(json.loads(json.dumps(found))), _bound(json.loads(json.dumps(mine)))
    keys = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    return [f"  {key}: there {theirs.get(key)!r}, now {ours.get(key)!r}" for key in keys]


def _compare(found: Mapping[str, Any], mine: Mapping[str, Any], *, where: str) -> None:
    if lines := _differences(found, mine):
        listed = "\n".join(lines)
        raise FingerprintError(
            f"{where}: this workspace was made with other settings:\n{listed}\n"
            "set them back to go on with it, or choose another workspace"
        )
