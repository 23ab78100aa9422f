# A shell in the project with all its tools, and its tests: `docker compose run --rm box`, `docker compose run --rm test`.
# The project is mounted at /modelsync, over what is copied here for the installation alone.
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl git make nginx-light openssh-client \
        openssh-server postgresql tini tzdata util-linux \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/box/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    UV_LINK_MODE=copy

WORKDIR /modelsync
COPY . .
RUN --mount=type=cache,target=/var/cache/modelsync XDG_CACHE_HOME=/var/cache/modelsync \
    scripts/libraries.sh /opt/box create lock=requirements-dev.lock models=requirements-dev.lock editable compile

ENTRYPOINT ["tini", "--"]
CMD ["bash"]
