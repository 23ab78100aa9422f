"""The network between this machine and the nodes: a bridge of our own, and the way to the nodes'
pods.
"""

from __future__ import annotations

import subprocess

from scripts.cluster.layout import BRIDGE, HOST, Place


def change(*arguments: str, inside: int | None = None) -> None:
    """Change the network, or that of process `inside`, by a command of ip(8); CalledProcessError if
    it refuses.
    """
    entered = ["nsenter", "--target", str(inside), "--net"] if inside else []
    subprocess.run([*entered, "ip", *arguments], check=True, capture_output=True, text=True)


def up() -> None:
    """Make the bridge, unless it is there."""
    if not _exists(BRIDGE):
        change("link", "add", BRIDGE, "type", "bridge")
    change("address", "replace", f"{HOST}/24", "dev", BRIDGE)
    change("link", "set", BRIDGE, "up")


def connect(node: Place, process: int, nodes: list[Place]) -> None:
    """Plug the network of `process` into the bridge as the node's; its pods are reached through its
    address.
    """
    change(
        "link", "add", node.interface, "type", "veth", "peer", "name", "eth0", "netns", str(process)
    )
    change("link", "set", node.interface, "master", BRIDGE, "up")
    change("link", "set", "lo", "up", inside=process)
    change("address", "add", f"{node.address}/24", "dev", "eth0", inside=process)
    change("link", "set", "eth0", "up", inside=process)
    change("route", "add", "default", "via", HOST, inside=process)
    change("route", "replace", node.pods, "via", node.address)
    for other in nodes:
        if other != node:
            change("route", "replace", other.pods, "via", other.address, inside=process)


def down(nodes: list[Place]) -> None:
    """Remove the bridge and what is plugged into it; the routes go with it."""
    for name in (*(node.interface for node in nodes), BRIDGE):
        if _exists(name):
            change("link", "delete", name)


def _exists(name: str) -> bool:
    return (
        subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode
        == 0
    )
