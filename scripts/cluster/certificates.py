"""Keys and certificates of the cluster, and the kubeconfigs that carry them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

_DAYS = "365"


class Authority:
    """A certificate authority of its own in a folder; `issue` makes a pair `NAME.crt`, `NAME.key`
    once.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text("[req]\ndistinguished_name=name\n[name]\n")
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        if not self.certificate.exists():
            usage = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
            self._request(name, f"/CN={folder.parent.name}-{name}", usage, [])

    def issue(self, name: str, subject: str, addresses: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Return the certificate and key of `subject` (`/O=group/CN=user`), good as a client and as
        a server.
        """
        pair = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        if not pair[0].exists():
            extensions = ["basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth"]
            if addresses:
                kinds = ("IP" if address[0].isdigit() else "DNS" for address in addresses)
                named = ",".join(
                    f"{kind}:{address}" for kind, address in zip(kinds, addresses, strict=True)
                )
                extensions.append(f"subjectAltName={named}")
            self._request(
                name, subject, extensions, ["-CA", str(self.certificate), "-CAkey", str(self._key)]
            )
        return pair

    def kubeconfig(self, path: Path, user: str, subject: str, server: str) -> Path:
        """Write a kubeconfig with which `subject` speaks to `server`; returns its path."""
        certificate, key = self.issue(user, subject)
        cluster = {"server": server, "certificate-authority-data": _inline(self.certificate)}
        credentials = {
            "client-certificate-data": _inline(certificate),
            "client-key-data": _inline(key),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "modelsync", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "modelsync", "context": {"cluster": "modelsync", "user": user}}],
            "current-context": "modelsync",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))
        return path

    def _request(self, name: str, subject: str, extensions: list[str], signer: list[str]) -> None:
        added = [word for extension in extensions for word in ("-addext", extension)]
        subprocess.run(
            ["openssl", "req", "-x509", "-config", str(self._config), "-newkey", "ec",
             "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", _DAYS, "-subj", subject,
             *added, *signer,
             "-keyout", str(self._folder / f"{name}.key"), "-out",
             str(self._folder / f"{name}.crt")],
            check=True, capture_output=True,
        )  # fmt: skip


def signing_key(folder: Path) -> tuple[Path, Path]:
    """Return the keys, private and public, that sign service-account tokens; made once."""
    private, public = folder / "tokens.key", folder / "tokens.pub"
    if not public.exists():
        subprocess.run(
            ["openssl", "genrsa", "-out", str(private), "2048"], check=True, capture_output=True
        )
        subprocess.run(
            ["openssl", "rsa", "-in", str(private), "-pubout", "-out", str(public)],
            check=True,
            capture_output=True,
        )
    return private, public


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
