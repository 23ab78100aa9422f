# modelsync in a container: `make image`, or `docker build -t modelsync .`
# Pin the base by digest: --build-arg BASE=docker.io/library/python:3.11-slim@sha256:...
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE} AS libraries

# git and ssh follow the repository; tini reaps what models leave behind and passes signals on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/modelsync --shell /usr/sbin/nologin modelsync \
    && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/modelsync \
    && install --directory --owner 10001 --group 10001 /opt/environments

ENV PATH=/opt/modelsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    UV_LINK_MODE=copy

WORKDIR /srv/modelsync

# uv, or pip where uv cannot be had, as ./run.sh uses it. What both download stays on the builder.
COPY scripts/__init__.py scripts/libraries.sh scripts/
COPY scripts/uv scripts/uv
COPY modelsync/__init__.py modelsync/
COPY modelsync/environments/__init__.py modelsync/environments/pip_configuration.py modelsync/environments/

# Before the code, so that only a changed list installs again. Your models' libraries are asked for in
# requirements-models.txt, if there is one: a pattern may match nothing.
COPY requirements.txt requirements.lock requirements-models.tx[t] ./
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync create lock=requirements.lock models=requirements.lock compile

# The package. Unless COMPILED is empty, its predict path is compiled by mypyc; the compiler stays in this stage.
FROM libraries AS package
ARG COMPILED=1
RUN [ -z "$COMPILED" ] || { apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && { python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null \
         || apt-get install --yes --no-install-recommends libpython3-dev; } \
    && rm -rf /var/lib/apt/lists/*; }
COPY scripts/extension_modules.py scripts/
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY modelsync modelsync
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync "$([ -n "$COMPILED" ] && echo compiled || echo build)=/dist"

FROM libraries
COPY --from=package /dist dist
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync wheel="$(echo dist/*.whl)" compile && rm -rf dist modelsync scripts

# Served when no gitPath is set.
COPY models_serve models_serve

# The state directory is the only place that is written to: mount a volume there and the root may be read-only.
ENV MODELSYNC_HOME=/var/lib/modelsync \
    MODELSYNC_HOST=0.0.0.0 \
    MODELSYNC_ENVIRONMENTS=/opt/environments \
    TMPDIR=/var/lib/modelsync
VOLUME /var/lib/modelsync
USER 10001:10001
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MODELSYNC_PORT') or 8080), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["tini", "--", "modelsync"]
CMD ["serve"]

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="modelsync" \
      org.opencontainers.image.description="Push a folder, get an endpoint: serves the Python models of a git repository over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
