"""The images that run in the cluster, all made here: buildah builds them, containerd on every node
imports them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.cluster.layout import Layout, Place

ROOT = Path(__file__).parents[3]
_HERE = Path(__file__).parent
_NAME = "localhost/modelsync-cluster/{}:1"
_PROGRAMS = ("pause", "coredns", "metrics-server")
_BASE = "docker.io/library/python:3.11-slim"


def archives(layout: Layout, programs: Path) -> list[Path]:
    """Return the archives of the cluster's own images, which stand beside the programs that they
    are made of.
    """
    folder = programs / "images"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=layout.cache, prefix=".images-") as work:
            made = Path(work) / "images"
            made.mkdir(mode=0o755)
            for name in _PROGRAMS:
                _bake(
                    name,
                    programs,
                    _HERE / "program.Containerfile",
                    made,
                    "--build-arg",
                    f"PROGRAM={name}",
                )
            base()
            context = Path(work) / "ingress"
            _ingress(context, programs)
            _bake("ingress", context, _HERE / "ingress.Containerfile", made)
            made.rename(folder)
    return sorted(folder.glob("*.tar"))


def base() -> None:
    """Make the base image under the Dockerfile's name, where no registry can be asked for one."""
    subprocess.run(
        [ROOT / "tests" / "image" / "build-base.sh"], check=True, stdout=subprocess.DEVNULL
    )


def load(nodes: list[Place], archive: Path) -> None:
    """Import the images of an archive into every node's container runtime."""
    for node in nodes:
        command = [
            "ctr",
            "--address",
            str(node.containerd),
            "--namespace",
            "k8s.io",
            "images",
            "import",
            str(archive),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def load_local(layout: Layout, image: str) -> None:
    """Import an image that buildah holds into every node, under the same name."""
    identity = subprocess.run(
        ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", image],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    notes = {node: node.folder / "images.json" for node in layout.nodes}
    known = {
        node: json.loads(note.read_text()) if note.exists() else {} for node, note in notes.items()
    }
    wanting = [node for node in layout.nodes if known[node].get(image) != identity]
    if wanting:
        with tempfile.TemporaryDirectory(dir=layout.run) as folder:
            archive = Path(folder) / "image.tar"
            export(image, archive)
            load(wanting, archive)
        for node in wanting:
            notes[node].write_text(json.dumps({**known[node], image: identity}))


def export(image: str, archive: Path) -> None:
    """Write an image that buildah holds into an archive."""
    subprocess.run(
        ["buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}"], check=True
    )


def _ingress(context: Path, programs: Path) -> None:
    context.mkdir()
    shutil.copy(programs / "nginx-ingress", context)
    shutil.copytree(programs / "nginx-templates", context / "templates")


def _bake(name: str, context: Path, recipe: Path, folder: Path, *arguments: str) -> None:
    tag = _NAME.format(name)
    runtime = [] if shutil.which("crun") else ["--runtime", "runc"]
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    lent = (
        ["--volume", f"{certificates.resolve()}:{certificates}:ro"] if certificates.exists() else []
    )
    subprocess.run(
        ["buildah", "bud", "--quiet", "--format", "docker", "--network", "host", *runtime, *lent,
         *arguments,
         "--tag", tag, "--file", recipe, context],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    export(tag, folder / f"{name}.tar")
    subprocess.run(["buildah", "rmi", tag], check=True, stdout=subprocess.DEVNULL)
