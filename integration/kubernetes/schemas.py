"""Kubernetes' OpenAPI schemas, as the package kubernetes-validate ships them; "strict" ones know no unknown field."""

import functools
import importlib.resources
import json

from kubernetes_validate.utils import all_versions

NEWEST = all_versions()[-1]


@functools.cache
def _definitions(version):
    folder = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    return json.loads((folder / "_definitions.json").read_text())["$defs"]


class FieldNames:
    """The dotted names of a kind's fields: `"spec.securityContext.fsGroup" in field_names("Pod")`."""

    def __init__(self, kind, version):
        self.kind, self.definitions = kind, _definitions(version)

    def __contains__(self, path):
        at = self.definitions[f"io.k8s.api.core.v1.{self.kind}"]
        for name in path.split("."):
            at = at.get("properties", {}).get(name)
            if at is None:
                return False
            while "$ref" in at:
                at = self.definitions[at["$ref"].rsplit("/", 1)[1]]
        return True


def field_names(kind, version=NEWEST):
    return FieldNames(kind, version)
