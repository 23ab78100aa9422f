"""The plain manifests in k8s/, rendered from the chart: `make manifests`, and `make check` finds
stale ones.

`k8s/base/` holds one file an object; `k8s/components/` what may be added. `k8s/kustomization.yaml`
is the user's and not touched. Kustomize does there what Helm does for a release:

- settings are merged into a ConfigMap whose name gets a hash, so pods start anew when one changes:
  no checksum;
- Secrets are the user's own, made with kubectl: they are mounted if they exist, and no file is
  read that a setting does not name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.chart_helm import render

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "k8s"

BASE: dict[str, Any] = {
    "git": {"path": "https://github.com/you/models.git", "existingSecret": "modelsync-git"},
    "auth": {"existingSecret": "modelsync-auth"},
    "database": {"existingSecret": "modelsync-store", "existingSecretKey": "database-url"},
    "artifacts": {
        "existingSecret": "modelsync-store",
        "existingSecretKeys": {"accessKey": "s3-access-key", "secretKey": "s3-secret-key"},
    },
    "training": {"data": {"existingSecret": "modelsync-store", "existingSecretKey": "data-url"}},
}
COMPONENTS: dict[str, dict[str, Any]] = {
    "ingress": {"ingress": {"enabled": True}},
    "autoscaling": {"autoscaling": {"enabled": True}},
    "network-policy": {
        "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 22, "protocol": "TCP"}]}]}
    },
    "metrics": {
        "metrics": {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
            "dashboard": {"enabled": True},
        }
    },
    "canary": {"canary": {"enabled": True}},
    "training": {
        "training": {
            **BASE["training"],
            "enabled": True,
            "schedule": "0 2 * * *",
            "cronJob": {"suspend": True},  # whoever wants it says so
        }
    },
}
PATCHES: dict[str, list[dict[str, Any]]] = {
    "autoscaling": [
        {
            "target": {"kind": "Deployment", "name": "modelsync"},
            "patch": "- {op: remove, path: /spec/replicas}\n",
        }
    ],
    "canary": [
        {
            "target": {"kind": "Role", "name": "modelsync-rollout"},
            "patch": "- {op: add, path: /rules/0/resourceNames/-, value: modelsync-canary}\n"
            "- {op: add, path: /rules/1/resourceNames/-, value: modelsync-canary-rollout}\n",
        }
    ],
}
CHANGED = {"training": ("MODELSYNC_JOBS", "MODELSYNC_JOB_TEMPLATE")}
"""The settings that a component changes."""
GIVEN = {"canary": ["MODELSYNC_CANARY_REF=candidate"]}
"""Settings that the chart gives to the rollouts alone; here they are all pods', as all others."""
SETTINGS = "configmap.yaml"
"""The settings' ConfigMap, which kustomize makes, so that its name follows from its content."""
NAME = "modelsync-settings"
"""Its name. Were it that of the Deployment, kustomize would put its hash into the Role's
resourceNames as well.
"""
HEADER = (
    "# From the chart helm/modelsync, by `make manifests`: what you change belongs into "
    "k8s/kustomization.yaml.\n"
)

Object = dict[str, Any]


def files() -> dict[Path, str]:
    """Every file below k8s/ but the user's own, with its content."""
    base = {_file(one): one for one in _plain(BASE)}
    settings = base.pop(SETTINGS)
    found = {FOLDER / "base" / name: _dump(one) for name, one in base.items()}
    listed = _kustomization("Kustomization", "v1beta1", base)
    listed["configMapGenerator"] = [
        {
            "name": NAME,
            "envs": ["settings.env"],
            "options": {"labels": settings["metadata"]["labels"]},
        }
    ]
    found[FOLDER / "base" / "settings.env"] = HEADER + "".join(
        f"{k}={v}\n" for k, v in settings["data"].items()
    )
    found[FOLDER / "base" / "kustomization.yaml"] = _dump(listed)
    for component, values in COMPONENTS.items():
        folder = FOLDER / "components" / component
        all_of_it = {_file(one): one for one in _plain(BASE | values)}
        added = {name: one for name, one in all_of_it.items() if name not in {*base, SETTINGS}}
        found |= {folder / name: _dump(one) for name, one in added.items()}
        listed = _kustomization("Component", "v1alpha1", added)
        if component in PATCHES:
            listed["patches"] = PATCHES[component]
        given = all_of_it[SETTINGS]["data"]
        literals = [f"{name}={given[name]}" for name in CHANGED.get(component, ())]
        if literals := literals + GIVEN.get(component, []):
            listed["configMapGenerator"] = [
                {"name": NAME, "behavior": "merge", "literals": literals}
            ]
        found[folder / "kustomization.yaml"] = _dump(listed)
    return found


def _plain(values: dict[str, Any]) -> Iterator[Object]:
    return (plain(one) for one in render(values) if one["kind"] != "Pod")


def plain(one: Object) -> Object:
    """The object as a user without Helm would write it."""
    _labels(one["metadata"])
    for subject in one.get("subjects", []):
        subject.pop("namespace", None)  # kustomize sets it
    if one["kind"] == "ConfigMap" and "data" in one:
        one["data"] = {name: value for name, value in one["data"].items() if not _is_users(name)}
    for group in one["spec"]["groups"] if one["kind"] == "PrometheusRule" else []:
        for rule in group["rules"]:  # the namespace is not known here
            rule["expr"] = rule["expr"].replace('namespace="default",', "")
    if template := _pod_template(one):
        _labels(template["metadata"])
        template["metadata"].get("annotations", {}).pop("checksum/settings", None)
        if not template["metadata"].get("annotations", True):
            del template["metadata"]["annotations"]
        for container in template["spec"]["containers"]:
            container["envFrom"] = [{"configMapRef": {"name": NAME}}]
        for volume in template["spec"]["volumes"]:
            if volume["name"] in {"git", "auth", "store"}:
                volume |= {"secret": _optional(volume["name"], volume.pop("projected", {}))}
    return one


def _optional(name: str, projected: Object) -> Object:
    """The user's Secret of this name; of the store's each pod gets what it needs."""
    secret = {"secretName": f"modelsync-{name}", "optional": True, "defaultMode": 0o440}
    if name == "store":
        secret["items"] = [
            item for source in projected["sources"] for item in source["secret"]["items"]
        ]
    return secret


def _is_users(setting: str) -> bool:
    """Whether the user's kustomization says it: where the repository is, and which Secrets there
    are.
    """
    return setting == "gitPath" or setting.endswith("_FILE")


def _labels(metadata: Object) -> None:
    for name in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
        metadata["labels"].pop(name, None)


def _pod_template(one: Object) -> Object | None:
    spec = one.get("spec", {})
    found: Object | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return found


def _file(one: Object) -> str:
    suffix = one["metadata"]["name"].removeprefix("modelsync")
    return f"{one['kind'].lower()}{suffix}.yaml"


def _kustomization(kind: str, version: str, resources: dict[str, Any]) -> Object:
    return {
        "apiVersion": f"kustomize.config.k8s.io/{version}",
        "kind": kind,
        "resources": sorted(resources),
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as somebody would who writes them by hand."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _dump(one: Object) -> str:
    return HEADER + yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=120)


def stale() -> Iterator[tuple[Path, str | None]]:
    """Files that differ from what the chart gives, with what should be in them; None: they should
    not be there.
    """
    wanted = files()
    for path, text in wanted.items():
        if not path.exists() or path.read_text("utf-8") != text:
            yield path, text
    for folder in ("base", "components"):
        for path in sorted((FOLDER / folder).rglob("*.*")):
            if path not in wanted:
                yield path, None


def main(check: bool) -> int:
    """Write the files, or say which are stale."""
    found = list(stale())
    for path, text in found:
        name = path.relative_to(ROOT)
        if check:
            print(
                f"{name} does not match helm/modelsync; run `make manifests` and commit it",
                file=sys.stderr,
            )
        elif text is None:
            path.unlink()
            print(f"removed {name}")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {name}")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
