"""Verbs that measure."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylabel.cli.options import AsJson, ConfigPath, Sets, print_facts, working
from raylabel.toml import load


def throughput(
    config: ConfigPath,
    images: Annotated[int, typer.Option(min=64, help="Size of the sample of the pool.")] = 2000,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Measure storage, decoding, model and the whole pass on a sample of the pool, and say what to change.

    Example: raylabel bench throughput campaign.toml
    """
    from raylabel import runtime
    from raylabel.bench import throughput as measure

    settings = load(config, overrides=sets or [])
    with working(), runtime.session(settings.compute):
        facts = measure(settings, num_images=images)
    print_facts(facts, as_json=as_json, text=_throughput_text)


def _throughput_text(facts: dict[str, Any]) -> str:
    return (
        f"{facts['images']:,} images of {facts['mean_kb']:,.0f} kB, {facts['workers']} workers, {facts['arithmetic']}\n"
        f"storage   {facts['storage']:10,.0f} images/s, one reader\n"
        f"decode    {facts['decode']:10,.0f} images/s alone, all workers\n"
        f"model     {facts['model']:10,.0f} images/s alone, all workers\n"
        f"limit     {facts['limit']:10,.0f} images/s, decoding and model together\n"
        f"achieved  {facts['achieved']:10,.0f} images/s: {facts['of_limit']:.0%} of the limit, "
        f"after a start of {facts['start_s']:.0f} s\n"
        f"bound by {facts['bound_by']}: {facts['advice']}"
    )
