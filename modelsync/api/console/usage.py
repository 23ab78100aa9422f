"""The text of `GET /<base>/usage`: a curl command for each model, to paste into a shell."""

from __future__ import annotations

import shlex

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
        command = _curl(f"{host}{context.base}/{name}", model, token)
        parts.append(f"{name}{f': {about}' if about else ''}\n  {command}")
    parts.extend(f"{name} does not answer: {reason}" for name, reason in unavailable.items())
    if len(service.models) > 1:
        parts.append(
            f"Every model at once: POST {host}{links['all']} (?models=A,B picks, ?flat=true merges)"
        )
    parts.append(f"Schemas, examples and a form to try: {host}{links['docs']}")
    return "\n\n".join(parts) + "\n"


def _curl(url: str, model: LoadedModel, token: str) -> str:
    body = orjson.dumps({"variables": samples.variables(model)}).decode()
    media_type = "-H 'Content-Type: application/json'"
    return f"curl -s {shlex.quote(url)} {media_type}{token} -d {shlex.quote(body)}"
