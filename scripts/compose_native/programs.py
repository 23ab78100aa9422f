"""What runs on this machine in the place of each container."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from scripts import airflow, s3_server
from scripts.compose_native.definition import ROOT, ComposeService
from scripts.compose_native.places import LOOPBACK, Places


class CannotRun(Exception):
    """A program is not on this machine, or refuses it; the message says what to do."""


@dataclass(frozen=True)
class NativeProgram:
    """A command in the place of a container. `health` is a URL that answers, or a command that
    succeeds, once it is ready; `once_healthy` is called before others start. `user` are arguments
    of Popen.
    """

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: list[str] = field(default_factory=list)
    once_healthy: Callable[[], None] | None = None
    user: Mapping[str, Any] = field(default_factory=dict)


def program(service: ComposeService, places: Places) -> NativeProgram:
    """The program of a service. Raises CannotRun."""
    make = _MAKERS.get(service.name, _ours)
    return make(service, places, places.environment(service))


def _ours(service: ComposeService, places: Places, environment: dict[str, str]) -> NativeProgram:
    """A task, or anything else that our own image runs: the same command, with this Python."""
    command = [places.here(word, service) for word in service.command]
    if command[0] == "python":
        command[0] = sys.executable
    return NativeProgram(command, environment)


def _secrets(service: ComposeService, places: Places, environment: dict[str, str]) -> NativeProgram:
    environment |= {"SECRETS": str(places.folder / "secrets"), "UMASK": "077"}
    return _ours(service, places, environment)


def _modelsync(
    service: ComposeService, places: Places, environment: dict[str, str]
) -> NativeProgram:
    port = places.port("modelsync", 8080)
    environment |= {"MODELSYNC_HOST": LOOPBACK, "MODELSYNC_PORT": str(port)}
    command = [sys.executable, "-m", "modelsync", "serve"]
    return NativeProgram(command, environment, _health(service, places))


def _postgres(
    service: ComposeService, places: Places, environment: dict[str, str]
) -> NativeProgram:
    """PostgreSQL, whose data directory is made as its image does it; it refuses to run as root."""
    folder, user = places.folder / "postgres", _postgres_user()
    password = Path(environment["POSTGRES_PASSWORD_FILE"]).read_text("utf-8")
    if not (folder / "PG_VERSION").exists():
        _initialise(folder, password, environment["POSTGRES_INITDB_ARGS"].split(), user)
    port = places.port("postgres", 5432)
    roles = environment | {
        "PGHOST": LOOPBACK,
        "PGPORT": str(port),
        "PGPASSWORD": password,
        "PATH": f"{postgres_programs()}:{os.environ['PATH']}",
    }

    def make_roles() -> None:
        [script] = [str(path) for path in service.volumes.values() if isinstance(path, Path)]
        subprocess.run([script], env={**os.environ, **roles}, check=True)

    command = [str(postgres_programs() / "postgres"), "-D", str(folder), "-p", str(port)]
    return NativeProgram(
        [*command, "-h", LOOPBACK, "-c", "unix_socket_directories="],
        roles,
        _health(service, places),
        make_roles,
        user,
    )


def _initialise(folder: Path, password: str, options: list[str], user: Mapping[str, Any]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was ended in the middle of this
    folder.mkdir(mode=0o700)
    file = folder.with_name("postgres-password")
    file.touch(mode=0o600)
    file.write_text(password, "utf-8")
    if user:
        for path in (folder, file):
            os.chown(path, user["user"], user["group"])
    initdb = str(postgres_programs() / "initdb")
    command = [initdb, "-D", str(folder), "-U", "postgres", f"--pwfile={file}", *options]
    try:
        subprocess.run(
            [*command, "--auth-local=reject", "--no-instructions"],
            cwd="/",
            check=True,
            capture_output=True,
            **user,
        )
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"initdb: {error.stderr.decode(errors='replace').strip()}") from None
    finally:
        file.unlink()


def _postgres_user() -> dict[str, Any]:
    if os.geteuid():
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise CannotRun("there is no user postgres for PostgreSQL") from None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs, where Debian keeps them, or as the path says."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4])
    )
    on_path = shutil.which("postgres")
    if not debian and not on_path:
        raise CannotRun("PostgreSQL is not here (Debian: apt install postgresql)")
    return debian[-1].parent if debian else Path(str(on_path)).parent


def _minio(service: ComposeService, places: Places, environment: dict[str, str]) -> NativeProgram:
    """VersityGW, which keeps each object as a file of a folder, in the place of MinIO's server."""
    if not s3_server.cached().exists():
        raise CannotRun("the S3 server is not here: make s3-server")
    objects, metadata = places.folder / "minio", places.folder / "metadata-of-minio"
    for folder in (objects, metadata):
        folder.mkdir(exist_ok=True)
    address = f"{LOOPBACK}:{places.port('minio', 9000)}"
    keys = {
        "ROOT_ACCESS_KEY_ID": Path(environment["MINIO_ROOT_USER_FILE"]).read_text("utf-8"),
        "ROOT_SECRET_ACCESS_KEY": Path(environment["MINIO_ROOT_PASSWORD_FILE"]).read_text("utf-8"),
    }
    gateway = [str(s3_server.cached()), "--port", address, "--health", "/health"]
    command = [*gateway, "posix", "--sidecar", str(metadata), str(objects)]
    return NativeProgram(command, keys, [f"http://{address}/health"])


def _airflow(service: ComposeService, places: Places, environment: dict[str, str]) -> NativeProgram:
    """All parts of Airflow in its own environment, with the DAGs of this checkout; its tasks run
    our command.
    """
    if not (python := airflow.python()):
        raise CannotRun("Airflow is not here: make airflow, or AIRFLOW_REPLICAS=0 to go without it")
    home = places.folder / "airflow-home"
    home.mkdir(exist_ok=True)
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(places.port("airflow", 8080)),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "MODELSYNC_AIRFLOW_FOLDER": str(home),
        "MODELSYNC_AIRFLOW_COMMAND": f"{sys.executable} -m modelsync",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    command = [places.here(word, service) for word in service.command]
    return NativeProgram(command, environment, _health(service, places))


def _nginx(service: ComposeService, places: Places, environment: dict[str, str]) -> NativeProgram:
    """The configuration of its container, below one that has nginx write in our folder."""
    folder = places.folder / "nginx"
    folder.mkdir(exist_ok=True)
    address = {port: service.ports[port][0] for port in service.ports}
    environment |= {
        name: f"{address[int(environment[name])]}:{places.port('nginx', int(environment[name]))}"
        for name in ("HTTP_LISTEN", "AIRFLOW_LISTEN")
    }
    environment["NGINX_LOCAL_RESOLVERS"] = LOOPBACK  # never asked: all addresses are numbers
    [template] = [path for path in service.volumes.values() if isinstance(path, Path)]
    text = Template(template.read_text("utf-8")).safe_substitute(environment)
    (folder / "default.conf").write_text(text, "utf-8")
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=_nginx_user()), "utf-8")
    command = [nginx_program(), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    return NativeProgram([*command, "-e", "stderr"], {}, _health(service, places))


_NGINX = """{user}
daemon off;
worker_processes auto;
pid "{folder}/nginx.pid";
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    include "{folder}/default.conf";
}}
"""


def _nginx_user() -> str:
    return "" if os.geteuid() else "user root;"  # whose folder another user may not enter


def nginx_program() -> str:
    """Where nginx is; Debian puts it where users without root do not look."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise CannotRun("nginx is not here (Debian: apt install nginx-light)")
    return found


def _health(service: ComposeService, places: Places) -> list[str]:
    """The health check of the container: the URL that it asks, else its command."""
    words = [places.here(word, service) for word in service.health]
    urls = [part for word in words for part in word.split("'") if part.startswith("http://")]
    return urls or words


_MAKERS = {
    "secrets": _secrets,
    "postgres": _postgres,
    "minio": _minio,
    "modelsync": _modelsync,
    "airflow": _airflow,
    "nginx": _nginx,
}
