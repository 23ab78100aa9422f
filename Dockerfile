# modelsync in a container: `make image`, or `docker build -t modelsync .`. Its last two stages are two images: `full`, and
# `slim` (`--target slim`) without numpy, pandas, scikit-learn, ONNX and pyarrow. docs/image.md says what weighs what.
# Pin the base by digest: --build-arg BASE=docker.io/library/python:3.11-slim@sha256:...
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE} AS system

# git and ssh follow the repository; tini reaps what models leave behind and passes signals on. Of git's packages a client
# needs neither the servers nor perl's modules. dpkg leaves these files out, and counts the packages as installed, so that
# apt works as ever in an image that is made from this one.
RUN printf 'path-%s\n' 'exclude=/usr/share/doc/*' 'include=/usr/share/doc/*/copyright' \
        'exclude=/usr/share/man/*' 'exclude=/usr/share/locale/*' 'exclude=/usr/share/gitweb/*' \
        'exclude=/usr/share/perl/*' 'exclude=/usr/share/perl5/*' 'exclude=/usr/lib/*/perl/*' 'exclude=/usr/lib/*/libperl.so*' \
        'exclude=/usr/lib/git-core/git-daemon' 'exclude=/usr/lib/git-core/git-http-backend' \
        'exclude=/usr/lib/git-core/git-http-push' 'exclude=/usr/lib/git-core/git-imap-send' \
        'exclude=/usr/*/git-shell' 'exclude=/usr/*/scalar' >/etc/dpkg/dpkg.cfg.d/modelsync \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini tzdata \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/dpkg/dpkg.cfg.d/modelsync \
    && useradd --uid 10001 --home-dir /var/lib/modelsync --shell /usr/sbin/nologin modelsync \
    && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/modelsync \
    && install --directory --owner 10001 --group 10001 /opt/environments

ENV PATH=/opt/modelsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/modelsync

# --- what is built; of these stages only /opt/modelsync gets into the images --------------------------------------------

FROM system AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && { python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null \
         || apt-get install --yes --no-install-recommends libpython3-dev; } \
    && rm -rf /var/lib/apt/lists/*
ENV UV_LINK_MODE=copy

# uv, or pip where uv cannot be had, as ./run.sh uses it. What both download stays on the builder.
COPY scripts/__init__.py scripts/libraries.sh scripts/
COPY scripts/uv scripts/uv
COPY modelsync/__init__.py modelsync/
COPY modelsync/environments/__init__.py modelsync/environments/pip_configuration.py modelsync/environments/

# The libraries, before the code, so that only a changed list installs again. Your models' libraries are asked for in
# requirements-models.txt, if there is one: a pattern may match nothing.
FROM build AS slim-libraries
COPY requirements-slim.lock requirements-models.tx[t] ./
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync create lock=requirements-slim.lock lean models=requirements-slim.lock compile

FROM build AS full-libraries
COPY requirements.txt requirements.lock requirements-models.tx[t] ./
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync create lock=requirements.lock lean models=requirements.lock compile

# The package, in an environment without any library. Unless COMPILED is empty, its predict path is compiled by mypyc.
FROM build AS package
ARG COMPILED=1
COPY scripts/extension_modules.py scripts/
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY modelsync modelsync
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/modelsync create "$([ -n "$COMPILED" ] && echo compiled || echo build)=/dist" \
    && scripts/libraries.sh /opt/modelsync wheel="$(echo /dist/*.whl)" compile

# --- the images: the libraries are one layer, the package another -------------------------------------------------------

FROM system AS service

# The state directory is the only place that is written to: mount a volume there and the root may be read-only.
ENV MODELSYNC_HOME=/var/lib/modelsync \
    MODELSYNC_HOST=0.0.0.0 \
    MODELSYNC_ENVIRONMENTS=/opt/environments \
    TMPDIR=/var/lib/modelsync
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MODELSYNC_PORT') or 8080), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["tini", "--", "modelsync"]
CMD ["serve"]

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="modelsync" \
      org.opencontainers.image.description="Push a folder, get an endpoint: serves the Python models of a git repository over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# models_serve is served when no gitPath is set; of the examples, this image has the libraries of one.
FROM service AS slim
COPY --from=slim-libraries /opt/modelsync /opt/modelsync
COPY --from=package /opt/modelsync /opt/modelsync
COPY models_serve/Exchange models_serve/Exchange
VOLUME /var/lib/modelsync
USER 10001:10001
ARG REVISION=
LABEL org.opencontainers.image.revision="${REVISION}"

FROM service AS full
COPY --from=full-libraries /opt/modelsync /opt/modelsync
COPY --from=package /opt/modelsync /opt/modelsync
COPY models_serve models_serve
VOLUME /var/lib/modelsync
USER 10001:10001
ARG REVISION=
LABEL org.opencontainers.image.revision="${REVISION}"
