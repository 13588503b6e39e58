"""Evaluates admission policies as the API server does, with the CEL that cel-expr-python brings.

What the API server adds to CEL and the policies use are the extended strings (split, trim, replace, substring), which
are cel-cpp's own extension; nothing else is switched on. A variable that can't be evaluated is an error where it is
read, and an error refuses (failurePolicy: Fail). A validation that refuses shows its messageExpression; where that
fails, is blank or has a line break, it shows its message
(k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go).
"""

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

ROOTS = ["object", "oldObject", "request", "namespaceObject", "variables"]


class CelError(Exception):
    """What CEL says of an expression that can't be evaluated."""


def patch_messages():
    """The message JSONPatch{op, path, value}, which the API server declares for mutating policies."""
    file = descriptor_pb2.FileDescriptorProto(name="jsonpatch.proto", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    message = file.message_type.add(name="JSONPatch")
    field = descriptor_pb2.FieldDescriptorProto
    for number, name in enumerate(["op", "path"], 1):
        message.field.add(name=name, number=number, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="value", number=3, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".google.protobuf.Value"
    )
    pool = descriptor_pool.DescriptorPool()
    struct = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    pool.Add(struct)
    pool.Add(file)
    return pool


ENVIRONMENT = cel.NewEnv(
    patch_messages(), variables={name: cel.Type.DYN for name in ROOTS}, extensions=[ext_strings.ExtStrings()]
)


def compiled(expression, kind=None):
    """Parses and checks; the result has to be of `kind`, and not only when it is evaluated: the API server asks that."""
    program = ENVIRONMENT.compile(expression)
    found = program.return_type()
    if kind is not None and found != kind:
        raise CelError(f"is of type {found.name()} and not {kind.name()}: {expression}")
    return program


def evaluate(program, data):
    try:
        value = program.eval(data=data)
    except RuntimeError as why:  # 10,000 iterations are the most that this CEL does, about what the API server does
        raise CelError(str(why)) from why
    if value.type() == cel.Type.ERROR:
        raise CelError(str(value.value()))
    return value.plain_value()


class Policy:
    """The expressions of a ValidatingAdmissionPolicy."""

    def __init__(self, spec):
        self.conditions = [compiled(c["expression"], cel.Type.BOOL) for c in spec.get("matchConditions", [])]
        self.variables = [(v["name"], compiled(v["expression"])) for v in spec.get("variables", [])]
        self.validations = [
            (
                compiled(v["expression"], cel.Type.BOOL),
                compiled(v["messageExpression"], cel.Type.STRING) if "messageExpression" in v else None,
                v["message"],
            )
            for v in spec["validations"]
        ]

    def judge(self, data):
        """The messages of all that refuse, in their order; none of a request that the conditions pass over."""
        data = {"oldObject": None, **data, "variables": {}}
        if not all(evaluate(condition, data) for condition in self.conditions):
            return None
        for name, program in self.variables:
            try:
                data["variables"][name] = evaluate(program, data)
            except CelError:
                pass  # an error where it is read
        refused = []
        for program, message_program, message in self.validations:
            try:
                if evaluate(program, data):
                    continue
                refused.append(self.message(message_program, message, data))
            except CelError as why:
                refused.append(f"can't be evaluated: {why}")
        return refused

    @staticmethod
    def message(program, fallback, data):
        if program is None:
            return fallback
        try:
            text = evaluate(program, data).strip()
        except CelError:
            return fallback
        return fallback if text == "" or "\n" in text or len(text.encode()) > 5 * 1024 else text
