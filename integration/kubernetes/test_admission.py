"""The admission policies over a table of pods, and over the product's own reading of the annotations."""

import copy
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

from cel_policy import CelError, Policy, compiled, evaluate
from schemas import field_names

HERE = pathlib.Path(__file__).parent
ADMISSION = HERE.parent.parent / "packaging/kubernetes/admission"


def documents(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def spec_of(path, kind):
    [found] = [d["spec"] for d in documents(path) if d["kind"] == kind]
    return found


def merged(base, more):
    """`more` over `base`; a null takes a key away."""
    if not isinstance(base, dict) or not isinstance(more, dict):
        return copy.deepcopy(more)
    out = copy.deepcopy(base)
    for key, value in more.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


BASE_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "user-1"},
    "spec": {"containers": [{"name": "main", "image": "localhost/busybox:1"}]},
}
BASE_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "user-1"}}


def request_of(case):
    pod = merged(BASE_POD, case.get("pod", {}))
    # In the table `old` says how the object was, as a difference to what it is.
    old = merged(pod, case["old"]) if "old" in case else None
    return {
        "object": pod,
        "oldObject": old,
        "namespaceObject": merged(BASE_NAMESPACE, {"metadata": case.get("namespace", {})}),
        "request": {
            "operation": "CREATE" if old is None else "UPDATE",
            "subResource": case.get("subresource", ""),
            "namespace": "user-1",
        },
    }


def numbers(count):
    return ",".join(str(5000 + n) for n in range(count))


# Lists that nobody wants to read in a table.
LONG = [
    {
        "name": "as many gids and ranges as are checked",
        "namespace": {"annotations": {"runc-strict/allowed-groups": numbers(63) + ",6000-9000"}},
        "pod": {"metadata": {"annotations": {"runc-strict/supplemental-groups": ",".join(["9000"] * 128)}}},
    },
    {
        "name": "one gid more",
        "pod": {"metadata": {"annotations": {"runc-strict/supplemental-groups": numbers(129)}}},
        "refused": 'annotation "runc-strict/supplemental-groups": it lists 129 gids; 128 are the most that are checked '
        "here",
    },
    {
        "name": "one range more",
        "namespace": {"annotations": {"runc-strict/allowed-groups": numbers(65)}},
        "refused": 'annotation "runc-strict/allowed-groups" of namespace "user-1": it lists 65 ranges; 64 are the most '
        "that are checked here",
    },
]


class Validating(unittest.TestCase):
    """policy.yaml over pods.yaml."""

    @classmethod
    def setUpClass(cls):
        cls.spec = spec_of(ADMISSION / "policy.yaml", "ValidatingAdmissionPolicy")
        cls.policy = Policy(cls.spec)
        cls.cases = documents(HERE / "pods.yaml")[0] + LONG

    def test_every_pod_of_the_table_is_allowed_or_refused_with_the_message_that_stands_there(self):
        for case in self.cases:
            with self.subTest(case["name"]):
                refused = self.policy.judge(request_of(case))
                if case.get("passed-over"):
                    self.assertIsNone(refused)
                elif "refused" in case:
                    self.assertTrue(refused, "it is allowed")
                    self.assertEqual(refused[0], case["refused"])
                else:
                    self.assertEqual(refused, [])

    def test_every_validation_refuses_a_pod_of_the_table_and_nothing_fails_to_evaluate(self):
        programs = [v[0] for v in self.policy.validations]
        refusing = set()
        for case in self.cases:
            data = request_of(case)
            for n, validation in enumerate(self.policy.validations):
                one = copy.copy(self.policy)
                one.validations = [validation]
                for message in one.judge(data) or []:
                    self.assertNotIn("can't be evaluated", message, case["name"])
                    refusing.add(n)
        self.assertEqual(refusing, set(range(len(programs))))

    def test_a_refused_pod_is_allowed_where_the_policy_lacks_the_rule_that_refuses_it(self):
        """Each rule is needed: without the one whose message is expected, another message comes, or none."""
        for case in (c for c in self.cases if "refused" in c):
            for n, validation in enumerate(self.policy.validations):
                one = copy.copy(self.policy)
                one.validations = [validation]
                if one.judge(request_of(case)) == [case["refused"]]:
                    one.validations = self.policy.validations[:n] + self.policy.validations[n + 1 :]
                    self.assertNotIn(case["refused"], one.judge(request_of(case)), case["name"])
                    break
            else:
                self.fail(f"no rule says it alone: {case['name']}")

    def test_a_policy_with_an_expression_that_can_t_be_evaluated_refuses(self):
        spec = {"validations": [{"expression": "object.spec.nothing == 1", "message": "m"}]}
        [message] = Policy(spec).judge(request_of({}))
        self.assertIn("can't be evaluated", message)

    def test_a_message_that_can_t_be_shown_is_the_plain_one(self):
        for expression in ['"a\\nb"', '"  "', "string(object.spec.nothing)"]:
            spec = {"validations": [{"expression": "false", "message": "m", "messageExpression": expression}]}
            self.assertEqual(Policy(spec).judge(request_of({})), ["m"], expression)

    def test_every_field_that_an_expression_reads_is_one_of_kubernetes(self):
        """CEL's checker doesn't know the types here, and has() of a misspelt field would be false for ever."""
        texts = [json.dumps(self.spec), json.dumps(documents(ADMISSION / "mutating/policy.yaml"))]
        seen = set()
        for root, kind in [("object", "Pod"), ("oldObject", "Pod"), ("namespaceObject", "Namespace"), ("c", "Container")]:
            known = field_names(kind)
            for path in re.findall(rf"\b{root}((?:\.[A-Za-z]+\b(?!\())+)", " ".join(texts)):
                seen.add(root)
                # A map's keys are nobody's fields.
                path = re.sub(r"\.(annotations|labels)\..*", r".\1", path)
                self.assertIn(path[1:], known, f"{root}{path}")
        self.assertEqual(seen, {"object", "oldObject", "namespaceObject", "c"})

    def test_the_kyverno_policy_has_the_same_expressions(self):
        [rule] = [r for r in spec_of(ADMISSION / "kyverno/policy.yaml", "ClusterPolicy")["rules"] if "validate" in r]
        cel = rule["validate"]["cel"]
        self.assertEqual(rule["celPreconditions"], self.spec["matchConditions"])
        self.assertEqual(cel["variables"], self.spec["variables"])
        self.assertEqual(cel["expressions"], self.spec["validations"])


class Parity(unittest.TestCase):
    """The policy and the program read annotations alike, to the letter of the message."""

    @classmethod
    def setUpClass(cls):
        cls.policy = Policy(spec_of(ADMISSION / "policy.yaml", "ValidatingAdmissionPolicy"))
        cls.product = os.environ["RUNC_STRICT"]
        cls.texts = [json.loads(line) for line in (HERE / "annotations.jsonl").read_text().splitlines()]

    def policy_says(self, key, text):
        refused = self.policy.judge(request_of({"pod": {"metadata": {"annotations": {key: text}}}}))
        # At sealed and above the pod lacks its runAsGroup: that is another rule.
        return [message for message in refused if message.startswith("annotation ")]

    def product_says(self, key, text):
        with tempfile.TemporaryDirectory() as bundle:
            os.makedirs(f"{bundle}/rootfs")
            document = {
                "ociVersion": "1.0.2",
                "process": {"user": {"uid": 1000, "gid": 1000}, "args": ["sh"], "cwd": "/"},
                "root": {"path": "rootfs"},
                "annotations": {key: text},
            }
            pathlib.Path(bundle, "config.json").write_text(json.dumps(document))
            done = subprocess.run(
                [self.product, "explain", bundle, "--json"], capture_output=True, check=False, text=True, timeout=30
            )
            self.assertEqual(done.stderr, "")
            found = json.loads(done.stdout)
        # A gid that nobody authorises is no matter of syntax.
        reason = found["reason"] or ""
        return [reason] if reason.startswith("annotation ") else []

    def test_both_take_and_refuse_the_same_texts_with_the_same_words(self):
        taken = {True: 0, False: 0}
        for key, text in self.texts:
            with self.subTest(key=key, text=text):
                policy, product = self.policy_says(key, text), self.product_says(key, text)
                self.assertEqual(bool(policy), bool(product), f"{policy} and {product}")
                taken[not policy] += 1
                # The policy can't spell out every character that isn't seen; the program does.
                if not re.search(r"[^ -~\n\r]|\S\t+\S", text):
                    self.assertEqual(policy, product)
        self.assertGreater(taken[True], 15)
        self.assertGreater(taken[False], 25)


class Mutating(unittest.TestCase):
    """mutating/policy.yaml: what it adds, and that what it made is what the validating policy wants."""

    @classmethod
    def setUpClass(cls):
        spec = spec_of(ADMISSION / "mutating/policy.yaml", "MutatingAdmissionPolicy")
        cls.mutations = [compiled(m["jsonPatch"]["expression"]) for m in spec["mutations"]]
        cls.policy = Policy(spec_of(ADMISSION / "policy.yaml", "ValidatingAdmissionPolicy"))

    def patches(self, case):
        return [
            {"op": p.op, "path": p.path, "value": as_json(p.value)}
            for mutation in self.mutations
            for p in evaluate(mutation, request_of(case))
        ]

    def applied(self, case):
        pod = request_of(case)["object"]
        for patch in self.patches(case):
            self.assertEqual(patch["op"], "add")
            *folders, last = [p.replace("~1", "/").replace("~0", "~") for p in patch["path"].split("/")[1:]]
            at = pod
            for folder in folders:
                at = at[folder]
            at[last] = patch["value"]
        return pod

    namespace = {"labels": {"runc-strict/runtime-class": "strict"}, "annotations": {"runc-strict/level": "sealed"}}

    def test_class_and_level_are_added_where_the_pod_says_nothing(self):
        case = {"namespace": self.namespace}
        add = {"op": "add", "path": "/spec/runtimeClassName", "value": "strict"}
        level = {"op": "add", "path": "/metadata/annotations/runc-strict~1level", "value": "sealed"}
        self.assertEqual(
            self.patches(case), [add, {"op": "add", "path": "/metadata/annotations", "value": {}}, level]
        )
        self.assertEqual(self.patches({**case, "pod": {"metadata": {"annotations": {"a": "b"}}}}), [add, level])
        self.assertEqual(self.patches({"namespace": {"labels": self.namespace["labels"]}}), [add])

    def test_what_the_pod_says_stays(self):
        pod = {"metadata": {"annotations": {"runc-strict/level": "groups"}}, "spec": {"runtimeClassName": "kata"}}
        self.assertEqual(self.patches({"namespace": self.namespace, "pod": pod}), [])

    def test_a_pod_that_it_made_complete_is_allowed(self):
        case = {"namespace": self.namespace, "pod": {"spec": {"securityContext": {"runAsGroup": 1000}}}}
        self.assertTrue(self.policy.judge(request_of(case)))
        self.assertEqual(self.policy.judge(request_of({**case, "pod": self.applied(case)})), [])


def as_json(value):
    from google.protobuf import json_format

    return json_format.MessageToDict(value)


if __name__ == "__main__":
    unittest.main()
