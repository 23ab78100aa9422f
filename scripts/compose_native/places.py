"""Where things of the containers are on this machine: a port for a host and its port, a folder for
a volume.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from scripts.compose_native.definition import ComposeService

PORTS = {"postgres": [5432], "minio": [9000], "modelsync": [8080], "airflow": [8080], "nginx": []}
"""The ports inside the containers that others ask; nginx's are those that it publishes."""

LOOPBACK = "127.0.0.1"


class Places:
    """`folder` holds the volumes, one folder each, and whatever else the processes write."""

    def __init__(self, folder: Path, services: Mapping[str, ComposeService]) -> None:
        self.folder, self._services = folder, services
        self._ports = {
            (name, port): _free_port()
            for name, ports in PORTS.items()
            if name in services
            for port in ports
        }
        for name, service in services.items():
            for port, (address, published) in service.ports.items():
                self._ports[name, port] = published or _free_port(address)

    def port(self, service: str, port: int) -> int:
        """The port of this machine that stands for one of a container."""
        return self._ports[service, port]

    def ports(self, service: str) -> list[int]:
        """All of a service."""
        return [port for (name, _), port in self._ports.items() if name == service]

    def volume(self, source: str | Path) -> Path:
        """The folder of a volume, `secrets-postgres` in `secrets/`; a path stays as it is."""
        if isinstance(source, Path):
            return source
        return self.folder / source.replace("secrets-", "secrets/")

    def here(self, text: str, service: ComposeService) -> str:
        """A text of a service's definition with the hosts, ports and paths of this machine."""
        hosts = "|".join(map(re.escape, [*self._services, LOOPBACK]))

        def address(found: re.Match[str]) -> str:
            host = service.name if found[1] == LOOPBACK else found[1]
            port = self._ports.get((host, int(found[2])))
            return f"{LOOPBACK}:{port}" if port else found[0]

        text = re.sub(rf"(?<![\w.-])({hosts}):(\d+)", address, text)
        for target in sorted(service.volumes, key=len, reverse=True):
            place = str(self.volume(service.volumes[target]))
            text = re.sub(rf"(?<![\w.-]){re.escape(target)}(?![\w-])", place, text)
        return text

    def environment(self, service: ComposeService) -> dict[str, str]:
        """A service's variables, with the hosts, ports and paths of this machine."""
        return {name: self.here(value, service) for name, value in service.environment.items()}


def _free_port(address: str = LOOPBACK) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])
