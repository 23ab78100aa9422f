"""The text of `GET /<base>/usage`: a curl command for each model, to paste into a shell."""

from __future__ import annotations

import shlex
from typing import Any
from urllib.parse import urlencode

import orjson

from modelsync.api import samples
from modelsync.api.resource import Context
from modelsync.models.types import LoadedModel


def usage_text(context: Context, host: str) -> str:
    """How to call each model; `host` is the scheme and host with which the URLs begin.

    The variable `$TOKEN` stands for a token, so that none is shown.
    """
    service = context.service
    links = context.links()
    token = ' -H "Authorization: Bearer $TOKEN"' if context.predict_needs_token else ""
    unavailable = service.unavailable()
    callable_models = {
        name: model for name, model in sorted(service.models.items()) if name not in unavailable
    }
    parts = [f"{len(callable_models)} models, release {service.commit or 'none yet'}"]
    for name, model in callable_models.items():
        about = model.doc.strip().partition("\n")[0]
        commands = _commands(f"{host}{context.base}/{name}", model, token)
        parts.append("\n  ".join([f"{name}{f': {about}' if about else ''}", *commands]))
    parts.extend(f"{name} does not answer: {reason}" for name, reason in unavailable.items())
    if len(service.models) > 1:
        parts.append(
            f"Every model at once: POST {host}{links['all']} (?models=A,B picks, ?flat=true merges)"
        )
    parts.append(f"Schemas, examples and a form to try: {host}{links['docs']}")
    return "\n\n".join(parts) + "\n"


def _commands(url: str, model: LoadedModel, token: str) -> list[str]:
    """The commands that call a model; one with a schema also takes a query; an artefact also takes
    several rows, and can be fetched; a trained one is fitted first.
    """
    variables = samples.variables(model)
    if model.spec.trainable and model.fitted is None:
        return [_fit(url, model), _curl(url, {"x": {"<column>": [1, 2]}}, token)]
    commands = [_curl(url, {"variables": variables}, token)]
    if model.spec.schema:
        given = {name: value for name, value in variables.items() if value is not None}
        commands.append(f"curl -s {shlex.quote(f'{url}/predict?{urlencode(given)}')}{token}")
    if model.artefact:
        columns = model.artefact.features
        data = {name: [variables[name]] for name in columns if name in variables}
        commands += [
            _curl(f"{url}/predict", {"data": data or [variables.get("x", [])]}, token),
            f"curl -s {shlex.quote(url)}{token}",
            f"curl -s -OJ {shlex.quote(f'{url}/download')}{token}",
        ]
    return commands


def _fit(url: str, model: LoadedModel) -> str:
    """The command that fits a model: with data, or by its own method train."""
    headers = ' -H "Authorization: Bearer $TOKEN" -H "Prefer: wait=60"'
    if "fit" not in model.spec.methods:
        return f"curl -s -X PUT {shlex.quote(url)}{headers}"
    body = {"x": {"<column>": [1, 2]}, "y": [0, 1]}
    return _curl(url, body, headers).replace("curl -s", "curl -s -X PUT", 1)


def _curl(url: str, body: dict[str, Any], token: str) -> str:
    media_type = "-H 'Content-Type: application/json'"
    data = shlex.quote(orjson.dumps(body).decode())
    return f"curl -s {shlex.quote(url)} {media_type}{token} -d {data}"
