"""The verb that opens a page for people to answer on."""

from __future__ import annotations

from typing import Annotated

import typer

from raylabel.cli.options import ConfigPath, Sets
from raylabel.toml import load


def review(
    config: ConfigPath,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine a token is asked for.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 for any that is free.")] = 8765,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name that browsers may use, as behind a proxy.")
    ] = None,
    sets: Sets = None,
) -> None:
    """Serve a page on which people answer the shortlist, alone or together; beside a waiting run, or before the next.

    Example: raylabel review campaign.toml
    """
    from raylabel.labeling.review import serve
    from raylabel.opening import find_campaign
    from raylabel.planned import find_plan

    campaign = find_campaign(load(config, overrides=sets or []))
    find_plan(campaign)
    serve(
        campaign,
        host=host,
        port=port,
        names=allow_host or (),
        tell=lambda address: typer.echo(f"review page: {address}", nl=True),
    )
