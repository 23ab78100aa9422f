"""`modelsync open`: the page of a running service, in the browser."""

from __future__ import annotations

from urllib.parse import quote

import click

from modelsync.cli.command import load_settings
from modelsync.cli.service_client import ServiceClient


@click.command("open", short_help="Open the page of a running service in the browser.")
@click.argument("model", required=False)
@click.option("--url", help="URL of the models; by default the service set up here.")
def open_page(model: str | None, url: str | None) -> int:
    """Open the page of all models, or of MODEL, and print its URL.

    The exit code is 1 where no browser can be started, as on a server: copy the URL then.
    """
    service = ServiceClient.of(load_settings(), url, None, 0)
    page = f"{service.url}/{quote(model or '')}"
    click.echo(page)
    return 1 if click.launch(page) else 0
