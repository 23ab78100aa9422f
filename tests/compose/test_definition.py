"""docker-compose.yml: what it promises, and that Docker's own loader reads it as we do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dotenv
import pytest
import yaml

from scripts import compose_tool
from scripts.compose_native.definition import FILE, ROOT, interpolated, read, variables
from scripts.compose_native.places import Places
from scripts.compose_native.programs import CannotRun, nginx_program, program

DEFINITION: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = DEFINITION["services"]
SET = {"postgres", "minio", "airflow", "modelsync", "nginx"}
TASKS = {"secrets", "bucket"}
OLDER = {"box", "test", "app"}
EXAMPLE = ROOT / "compose" / "env.example"
REPLACED = {  # what is set in .env, and which services are not started then
    "MODELSYNC_DATABASE_URL": {"postgres"},
    "MODELSYNC_S3_ENDPOINT": {"minio", "bucket"},
    "AIRFLOW_URL": {"airflow"},
    "SERVING_ADDRESS": {"modelsync"},
}

needs_loader = pytest.mark.skipif(
    not compose_tool.command(), reason="needs Docker Compose: make compose-tool"
)


def files() -> list[Path]:
    """docker-compose.yml and all that it mounts or builds with."""
    return [FILE, *(path for path in (ROOT / "compose").iterdir() if path.is_file())]


def loaded(
    *arguments: str, environ: Mapping[str, str] = {}, file: Path = EXAMPLE
) -> dict[str, Any]:
    """docker-compose.yml as Docker's loader has it, with the variables of a file."""
    command = [*compose_tool.command(), "--env-file", str(file), "--project-directory", str(ROOT)]
    done = subprocess.run(
        [*command, *arguments, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


# --- what it promises -----------------------------------------------------------------------------


def test_the_services() -> None:
    """The set is started without a profile; each service of model-serving has one of its own."""
    assert {name for name, one in SERVICES.items() if "profiles" not in one} == SET | TASKS
    assert {name: SERVICES[name]["profiles"] for name in OLDER} == {name: [name] for name in OLDER}


def test_no_file_holds_a_secret() -> None:
    """A variable that is named like a secret names a file or another variable, and no URL has a
    password but those that are made up.
    """
    given = [
        (name, value)
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|TOKEN|KEY", name)
    ]
    elsewhere = re.compile(r'|\$\{\w+:-\}|(cat ")?/\S+')
    assert len(given) > 20
    assert [name for name, value in given if not elsewhere.fullmatch(value)] == []
    for path in files():
        passwords = re.findall(r"://[^/@\s:]+:([^/@\s]+)@", path.read_text("utf-8"))
        assert set(passwords) <= {"password", '$(<"postgres/$1")'}, path.name


@pytest.mark.parametrize("name", sorted(SET | {"app"}))
def test_each_has_a_health_check_and_comes_back(name: str) -> None:
    """Each service has a health check, restarts by itself, and says what memory it takes."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in service["security_opt"]
    if name != "app":
        assert {"limits", "reservations"} == set(service["deploy"]["resources"])


def test_images_are_pinned() -> None:
    """An image of others has a version, down to the last digit; ours are built."""
    version = re.compile(r"^[\w./-]+:(\d+\.\d+[\w.-]*|RELEASE\.[\dTZ-]+)$")
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["image"].startswith("modelsync"), name
            assert (ROOT / service["build"].get("dockerfile", "Dockerfile")).is_file(), name
        else:
            assert version.match(service["image"]), (name, service["image"])


def test_nothing_is_open_to_the_network() -> None:
    """Only nginx and the app are published, on loopback unless LISTEN is set."""
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert set(published) == {"nginx", "app"}
    for ports in published.values():
        assert all(port.startswith("${LISTEN:-127.0.0.1}:${") for port in ports)
    assert DEFINITION["networks"]["back"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["back"] for name in ("postgres", "minio"))


def test_every_variable_is_documented() -> None:
    """The variables of docker-compose.yml stand in compose/env.example with their defaults, and
    none else.
    """
    used = dict(re.findall(r"\$\{(\w+)(?::-([^}]*))?\}", FILE.read_text("utf-8")))
    example = EXAMPLE.read_text("utf-8")
    documented = dict(re.findall(r"^#?([A-Z]\w+)=(.*)$", example, re.MULTILINE))
    assert set(used) == set(documented)
    for name, default in used.items():
        if default and not name.endswith("_REPLICAS") and name not in REPLACED:
            assert documented[name] == default, name


def test_every_setting_that_stays_a_secret_has_a_file() -> None:
    """A secret of modelsync reaches its containers as a file, whatever .env says."""
    environment = SERVICES["modelsync"]["environment"]
    files = [name for name in environment if name.endswith("_FILE")]
    assert len(files) == 7
    assert all(environment[name.removesuffix("_FILE")] == "" for name in files)


def test_volumes_are_named_and_secrets_apart() -> None:
    """What must last is in named volumes; each service sees only the secrets that it needs, and
    cannot change them.
    """
    mounted = {
        name: [one for one in service.get("volumes", []) if one.startswith("secrets-")]
        for name, service in SERVICES.items()
        if name != "secrets"
    }
    assert all(one.endswith(":ro") for volumes in mounted.values() for one in volumes)
    assert mounted["nginx"] == mounted["app"] == mounted["box"] == []
    assert {name: len(volumes) for name, volumes in mounted.items() if volumes} == {
        "postgres": 1,
        "minio": 1,
        "bucket": 1,
        "modelsync": 1,
        "airflow": 2,
    }
    used = {
        one.split(":")[0] for service in SERVICES.values() for one in service.get("volumes", [])
    }
    assert set(DEFINITION["volumes"]) == {name for name in used if name[0] not in "./$"}


def test_the_tests_are_those_of_make_test() -> None:
    """`docker compose run test` runs what `make test` does, with the libraries of its image."""
    command = SERVICES["test"]["command"]

    def told(*command: str) -> str:
        """The commands that make would run; this test may be run by make itself."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environ.pop("MFLAGS", None)
        return subprocess.run(
            [*command, "--dry-run"], cwd=ROOT, env=environ, capture_output=True, text=True
        ).stdout

    ours, wanted = told(*command), told("make", "test")
    assert ours == wanted.partition("\n")[2].replace(".venv/bin", "/opt/box/bin")
    assert ours.startswith("/opt/box/bin/pytest ")


# --- each part elsewhere --------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPLACED)
def test_a_url_replaces_a_part(name: str, tmp_path: Path) -> None:
    """With one line of compose/env.example uncommented in .env, a part is not started."""
    text, uncommented = re.subn(
        rf"^#({name}=).*$",
        r"\1https://elsewhere.example.org",
        EXAMPLE.read_text("utf-8"),
        flags=re.M,
    )
    assert uncommented == 1
    (tmp_path / ".env").write_text(text, "utf-8")
    ours = read(variables(tmp_path, {}))
    assert set(ours) == (SET | TASKS) - REPLACED[name]
    assert not any(set(service.depends_on) & REPLACED[name] for service in ours.values())


@needs_loader
@pytest.mark.parametrize("name", REPLACED)
def test_docker_replaces_it_too(name: str) -> None:
    """Docker's loader gives these services no replica, as the variable of the environment wins."""
    services = loaded(environ={name: "https://elsewhere.example.org"})
    assert {one for one in services if services[one].get("scale") == 0} == REPLACED[name]


# --- Docker's loader ------------------------------------------------------------------------------


@needs_loader
@pytest.mark.parametrize("profile", ["", *sorted(OLDER)])
def test_docker_accepts_it(profile: str) -> None:
    """`docker compose config` finds nothing wrong, with each profile."""
    services = loaded(*(["--profile", profile] if profile else []))
    assert set(services) == SET | TASKS | ({profile} if profile else set())


@needs_loader
def test_docker_reads_it_as_we_do() -> None:
    """Commands, variables, conditions, ports and volumes are the same in Docker and natively."""
    theirs, ours = loaded(), read(variables(Path("/nonexistent"), {}))
    for name, service in ours.items():
        other = theirs[name]
        words = (*(other.get("entrypoint") or []), *(other.get("command") or []))
        assert service.command == words, name
        assert dict(service.environment) == (other.get("environment") or {}), name
        assert service.depends_on == {
            one: found["condition"] for one, found in (other.get("depends_on") or {}).items()
        }
        assert list(service.health) == other.get("healthcheck", {}).get("test", [""])[1:], name
        assert {target: str(source) for target, source in service.volumes.items()} == {
            one["target"]: one["source"] for one in other.get("volumes", [])
        }, name
        assert {port: (host, str(public)) for port, (host, public) in service.ports.items()} == {
            one["target"]: (one["host_ip"], one["published"]) for one in other.get("ports", [])
        }


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${SET}-${EMPTY}-${NONE}", "x--"),
        ("${SET:-a} ${EMPTY:-a} ${NONE:-a}", "x a a"),
        ("${SET-a} ${EMPTY-a} ${NONE-a}", "x  a"),
        ("${SET:+a}|${EMPTY:+a}|${NONE:+a}", "a||"),
        ("${SET+a}|${EMPTY+a}|${NONE+a}", "a|a|"),
        ("$$ $${SET}", "$ ${SET}"),
    ],
)
def test_variables_are_filled_in(text: str, result: str) -> None:
    """As the specification says: https://github.com/compose-spec/compose-spec, 12-interpolation."""
    assert interpolated(text, {"SET": "x", "EMPTY": ""}) == result


# --- nginx ----------------------------------------------------------------------------------------


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    """`nginx -t` finds nothing wrong in what the template becomes."""
    try:
        nginx_program()
    except CannotRun as error:
        pytest.skip(str(error))
    services = read(variables(Path("/nonexistent"), {"HTTP_PORT": "0", "AIRFLOW_PORT": "0"}))
    command = program(services["nginx"], Places(tmp_path, services)).command
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "syntax is ok" in done.stderr
    text = (tmp_path / "nginx" / "default.conf").read_text("utf-8")
    assert "${" not in text


# --- secrets --------------------------------------------------------------------------------------


def make_secrets(folder: Path, **given: str) -> dict[str, str]:
    """The secrets that compose/secrets.sh makes, by the names of their files."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [ROOT / "compose" / "secrets.sh"],
        env={"PATH": os.environ["PATH"], "SECRETS": str(folder), "POSTGRES": "db:5432", **given},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_secrets_are_random_and_stay(tmp_path: Path) -> None:
    """Each is of its own and differs from machine to machine; a second run changes none."""
    first, other = make_secrets(tmp_path / "a"), make_secrets(tmp_path / "b")
    assert make_secrets(tmp_path / "a") == first
    made = [value for name, value in first.items() if not name.endswith(("_url", ".json"))]
    copies = 2  # modelsync's keys of S3 are MinIO's
    assert len(set(made)) == len(made) - copies
    assert set(first.values()) & set(other.values()) == set()
    assert min(map(len, made)) >= 20
    assert first["modelsync/database_url"] == (
        f"postgresql://modelsync:{first['postgres/modelsync']}@db:5432/modelsync"
    )
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "a").rglob("*"))


def test_a_run_that_was_killed_is_completed(tmp_path: Path) -> None:
    """An empty or missing file is made again, and what was half written is not taken."""
    first = make_secrets(tmp_path)
    (tmp_path / "postgres" / "postgres").write_text("")
    (tmp_path / "minio" / "access_key").unlink()
    (tmp_path / "minio" / "access_key.new").write_text("half")
    again = make_secrets(tmp_path)
    assert len(again["postgres/postgres"]) == 64
    assert len(again["minio/access_key"]) == 20
    assert again["airflow/fernet_key"] == first["airflow/fernet_key"]


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    """URLs, keys and tokens of .env come to the service as they are, and take the place of ours."""
    url = "postgresql://me:p%40ss$word@db.example.org/models"
    made = make_secrets(
        tmp_path,
        MODELSYNC_DATABASE_URL=url,
        AIRFLOW_DATABASE_URL="postgresql://airflow@db.example.org/airflow",
        MODELSYNC_S3_ENDPOINT="https://s3.example.org",
        MODELSYNC_TRAIN_TOKENS="mine,and yours",
    )
    assert made["modelsync/database_url"] == made["modelsync/data_url"] == url
    assert made["modelsync/s3_access_key"] == ""  # the machine's own credentials
    assert made["modelsync/train_tokens"] == "mine,and yours"
    assert made["airflow/database_url"].endswith("@db.example.org/airflow")


def test_airflow_needs_a_database_too(tmp_path: Path) -> None:
    """With PostgreSQL elsewhere and none for Airflow, the first start says what to set."""
    with pytest.raises(AssertionError, match="set AIRFLOW_DATABASE_URL, or AIRFLOW_REPLICAS=0"):
        make_secrets(tmp_path, MODELSYNC_DATABASE_URL="postgresql://x", POSTGRES_REPLICAS="0")


def test_the_example_of_env_is_valid() -> None:
    """compose/env.example is read without a complaint, and starts everything."""
    assert all(line for line in dotenv.dotenv_values(EXAMPLE, interpolate=False))
    assert set(read(variables(EXAMPLE.parent, {}))) == SET | TASKS
