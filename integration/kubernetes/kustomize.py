"""Renders the part of kustomize that packaging/kubernetes uses, since Debian has no kustomize that knows components.

Anything else in a kustomization is refused here, so that nothing is passed over in silence. Where a kubectl with
kustomize is at hand the tests compare the two. Generated ConfigMaps get no hash in their name here.
"""

import copy
import re

import yaml

KNOWN = {"apiVersion", "kind", "resources", "components", "namespace", "nameSuffix", "images", "configMapGenerator"}
KNOWN |= {"patches"}
CLUSTER_WIDE = re.compile(r"^(Namespace|RuntimeClass|Cluster.*|(Validating|Mutating)AdmissionPolicy(Binding)?)$")


def render(folder):
    """The objects of a folder with a kustomization."""
    return apply(folder, [])


def apply(folder, objects):
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(plan) - KNOWN
    if unknown:
        raise ValueError(f"{folder}: {unknown} isn't known here")
    objects = list(objects)
    for name in plan.get("resources", []):
        path = folder / name
        objects += render(path) if path.is_dir() else [d for d in yaml.safe_load_all(path.read_text()) if d]
    for generator in plan.get("configMapGenerator", []):
        data = {name: (folder / name).read_text() for name in generator["files"]}
        if generator.get("behavior") == "replace":
            [found] = [o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == generator["name"]]
            found["data"] = data
        else:
            metadata = {"name": generator["name"]}
            objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    for name in plan.get("components", []):
        objects = apply(folder / name, objects)
    for patch in plan.get("patches", []):
        targets = [o for o in objects if o["kind"] == patch["target"]["kind"]]
        if not targets:
            raise ValueError(f"{folder}: a patch has no target")
        for target in targets:
            for operation in yaml.safe_load(patch["patch"]):
                replace(target, **operation)
    for image in plan.get("images", []):
        rename(objects, **image)
    if "nameSuffix" in plan:
        suffix(objects, plan["nameSuffix"])
    for o in objects:
        if "namespace" in plan and not CLUSTER_WIDE.match(o["kind"]):
            o["metadata"]["namespace"] = plan["namespace"]
    return objects


def replace(target, op, path, value):
    if op != "replace":
        raise ValueError(f"{op} isn't known here")
    *folders, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    for folder in folders:
        target = target[int(folder) if isinstance(target, list) else folder]
    target[last]  # has to be there
    target[last] = copy.deepcopy(value)


def rename(objects, name, newName):
    for o in (o for o in objects if o["kind"] == "DaemonSet"):
        pod = o["spec"]["template"]["spec"]
        for container in pod["initContainers"] + pod["containers"]:
            found, _, tag = container["image"].rpartition(":")
            if found == name:
                container["image"] = f"{newName}:{tag}"


def suffix(objects, text):
    renamed = {}
    for o in objects:
        renamed[o["kind"], o["metadata"]["name"]] = o["metadata"]["name"] + text
        o["metadata"]["name"] += text
    for o in (o for o in objects if o["kind"] == "DaemonSet"):
        for volume in o["spec"]["template"]["spec"]["volumes"]:
            if "configMap" in volume:
                name = volume["configMap"]["name"]
                volume["configMap"]["name"] = renamed.get(("ConfigMap", name), name)
