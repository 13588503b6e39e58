"""The manifests against Kubernetes' own schemas, and what the installer may do."""

import copy
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml
from kubernetes_validate.utils import SchemaNotFoundError, ValidationError, all_versions, validate

from kustomize import render

FOLDER = pathlib.Path(__file__).parent.parent.parent / "packaging/kubernetes"
OVERLAYS = ["base", "pools", "uninstall"]
# The first version that has an object; everything else here is older than the oldest schemas.
SINCE = {"ValidatingAdmissionPolicy": "1.30.0", "MutatingAdmissionPolicy": "1.36.0"}


def newer(version, than):
    number = lambda text: [int(part) for part in text.split(".")]
    return number(version) >= number(than)


def documents(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def everything():
    for overlay in OVERLAYS + ["admission", "admission/mutating"]:
        for o in render(FOLDER / overlay):
            yield f"{overlay}: {o['kind']}", o
    for path in sorted((FOLDER / "examples").glob("*.yaml")):
        for o in documents(path):
            yield f"examples/{path.name}: {o['kind']}", o


def daemon_sets(overlay):
    return [o for o in render(FOLDER / overlay) if o["kind"] == "DaemonSet"]


class Schemas(unittest.TestCase):
    def test_every_object_is_one_of_kubernetes_in_every_version_that_has_it(self):
        checked = 0
        for name, o in everything():
            since = SINCE.get(o["kind"].removesuffix("Binding"), "1.25.0")
            for version in (v for v in all_versions() if newer(v, since)):
                with self.subTest(name, version=version):
                    validate(o, version, strict=True)
                    checked += 1
        self.assertGreater(checked, 150)

    def test_the_mutating_policy_is_the_same_as_a_beta(self):
        for o in render(FOLDER / "admission/mutating"):
            for version in ["1.34.0", "1.35.0"]:
                validate({**o, "apiVersion": "admissionregistration.k8s.io/v1beta1"}, version, strict=True)
                with self.assertRaises(SchemaNotFoundError):
                    validate(o, version, strict=True)

    def test_a_field_that_there_isn_t_would_be_seen(self):
        def wrong(change):
            for name, o in everything():
                o = copy.deepcopy(o)
                if change(o):
                    with self.assertRaises(ValidationError, msg=name):
                        validate(o, "1.37.0", strict=True)

        def misspell(kind, *path):
            def change(o):
                if o["kind"] != kind:
                    return False
                at = o
                for part in path:
                    at = at[part]
                at["misspelt"] = 1
                return True

            return change

        template = ["spec", "template", "spec"]
        wrong(misspell("DaemonSet", *template))
        wrong(misspell("DaemonSet", *template, "initContainers", 0, "securityContext"))
        wrong(misspell("DaemonSet", *template, "volumes", 0, "hostPath"))
        wrong(misspell("RuntimeClass", "scheduling"))
        wrong(misspell("ValidatingAdmissionPolicy", "spec", "validations", 0))
        wrong(misspell("MutatingAdmissionPolicy", "spec", "mutations", 0, "jsonPatch"))
        wrong(misspell("Pod", "spec", "securityContext"))

    def test_kustomize_renders_what_is_rendered_here(self):
        kubectl = shutil.which("kubectl")
        version = kubectl and subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True).stdout
        if not version or "Kustomize Version: v5" not in version:
            self.skipTest("there is no kubectl with kustomize 5; what is rendered here isn't compared with it")
        for overlay in OVERLAYS + ["admission", "admission/mutating", "admission/kyverno"]:
            done = subprocess.run([kubectl, "kustomize", FOLDER / overlay], capture_output=True, text=True, check=True)
            # A ConfigMap's name ends with a hash of ten characters.
            text = re.sub(r"(name: runc-strict-config\S*)-[a-z0-9]{10}$", r"\1", done.stdout, flags=re.M)
            key = lambda o: (o["kind"], o["metadata"]["name"])
            theirs = sorted((d for d in yaml.safe_load_all(text) if d), key=key)
            self.assertEqual(sorted(render(FOLDER / overlay), key=key), theirs, overlay)


class Installer(unittest.TestCase):
    def test_nothing_asks_the_api_server_and_nothing_is_given_that_isn_t_needed(self):
        for overlay in OVERLAYS:
            kinds = {o["kind"] for o in render(FOLDER / overlay)}
            self.assertLessEqual(kinds, {"Namespace", "RuntimeClass", "ConfigMap", "DaemonSet"}, overlay)
            for daemon_set in daemon_sets(overlay):
                pod = daemon_set["spec"]["template"]["spec"]
                self.assertIs(pod["automountServiceAccountToken"], False)
                self.assertFalse({"hostPID", "hostIPC", "hostNetwork", "serviceAccountName"} & set(pod))
                self.assertEqual(pod["securityContext"], {"seccompProfile": {"type": "RuntimeDefault"}})
                for container in pod["initContainers"] + pod["containers"]:
                    self.assertEqual(
                        container["securityContext"],
                        {
                            "runAsUser": 0,
                            "runAsGroup": 0,
                            "capabilities": {"drop": ["ALL"]},
                            "privileged": False,
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "seLinuxOptions": {"type": "spc_t"},
                        },
                    )
                [host] = [v["name"] for v in pod["volumes"] if v.get("hostPath", {}).get("path") == "/"]
                [container] = pod["containers"]
                self.assertNotIn(host, [m["name"] for m in container["volumeMounts"]])
                self.assertTrue(all(m.get("readOnly") for m in container["volumeMounts"]))

    def test_labels_selectors_and_volumes_fit_together_and_pools_don_t_overlap(self):
        for overlay in OVERLAYS:
            objects = render(FOLDER / overlay)
            pools = []
            for daemon_set in daemon_sets(overlay):
                spec = daemon_set["spec"]
                labels = spec["template"]["metadata"]["labels"]
                self.assertEqual(spec["selector"]["matchLabels"], labels)
                pool = spec["template"]["spec"]["nodeSelector"]["runc-strict/pool"]
                self.assertEqual(labels["runc-strict/pool"], pool)
                pools.append(pool)
                [config] = [v["configMap"]["name"] for v in spec["template"]["spec"]["volumes"] if "configMap" in v]
                [found] = [o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == config]
                self.assertEqual(found["metadata"]["namespace"], daemon_set["metadata"]["namespace"])
            self.assertEqual(len(pools), len(set(pools)))
        self.assertEqual(len(daemon_sets("pools")), 2)

    def test_uninstall_differs_from_install_in_one_container_s_words_alone(self):
        [there], [back] = daemon_sets("base"), daemon_sets("uninstall")
        [there_container], [back_container] = (d["spec"]["template"]["spec"]["initContainers"] for d in (there, back))
        self.assertEqual(back_container["args"][0], "uninstall")
        words = [w for w in there_container["args"][1:] if not w.startswith("--config")]
        self.assertEqual(back_container["args"][1:], words)
        for key in ["name", "args"]:
            back_container[key] = there_container[key]
        self.assertEqual(back, there)

    def test_the_pools_component_takes_every_pool_away(self):
        """As docs/kubernetes.md says it: one line more in the overlay."""
        with tempfile.TemporaryDirectory() as folder:
            copied = pathlib.Path(folder, "kubernetes")
            shutil.copytree(FOLDER, copied)
            path = copied / "pools/kustomization.yaml"
            path.write_text(path.read_text() + "components:\n  - ../uninstall/component\n")
            found = [o for o in render(copied / "pools") if o["kind"] == "DaemonSet"]
            words = [o["spec"]["template"]["spec"]["initContainers"][0]["args"][0] for o in found]
            self.assertEqual(words, ["uninstall", "uninstall"])

    def test_the_image_is_the_one_that_make_image_builds(self):
        version = re.search(r'^version = "(.*)"', (FOLDER.parent.parent / "Cargo.toml").read_text(), re.M).group(1)
        text = json.dumps([daemon_sets(overlay) for overlay in OVERLAYS])
        self.assertEqual(set(re.findall(r'"image": "([^"]*)"', text)), {f"localhost/runc-strict:{version}"})

    def test_every_file_that_the_documentation_names_is_there(self):
        text = (FOLDER.parent.parent / "docs/kubernetes.md").read_text()
        named = set(re.findall(r"packaging/kubernetes/([a-z][\w./-]*[a-z])", text))
        # The overlay that the reader writes.
        named -= {"mine", "mine/kustomization.yaml"}
        self.assertGreater(len(named), 5)
        for name in named:
            self.assertTrue((FOLDER / name).exists(), name)

    def test_the_reader_s_own_overlay_renders_and_is_turned_round_by_the_line_that_is_said(self):
        text = (FOLDER.parent.parent / "docs/kubernetes.md").read_text()
        [overlay] = re.findall(r"```yaml\n(.*?)```", text, re.S)
        [line] = re.findall(r"^printf '(.*)' >> packaging/kubernetes/mine/kustomization.yaml$", text, re.M)
        with tempfile.TemporaryDirectory() as folder:
            copied = pathlib.Path(folder, "kubernetes")
            shutil.copytree(FOLDER, copied)
            (copied / "mine").mkdir()
            path = copied / "mine/kustomization.yaml"
            for more, word in [("", "install"), (line.encode().decode("unicode_escape"), "uninstall")]:
                path.write_text(overlay + more)
                [daemon_set] = [o for o in render(copied / "mine") if o["kind"] == "DaemonSet"]
                [container] = daemon_set["spec"]["template"]["spec"]["initContainers"]
                self.assertEqual(container["args"][0], word)
                self.assertEqual(container["image"], "REGISTRY/runc-strict:0.1.0")


if __name__ == "__main__":
    unittest.main()
