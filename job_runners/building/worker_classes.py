"""Add a worker function for each class in app.toml to the template.

A class's function is a renamed copy of the template's worker. CloudFormation's Fn::ForEach can't do
this: sam build needs an option for it, and it can't create items of lists, such as the resources of
a policy. Values are literals, because a deploy keeps the old value of a parameter that
samconfig.toml doesn't set, even if its default has changed.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from job_runners.building.app_config import UnusableAppFolder, Workers
from job_runners.building.template_file import read_template
from job_runners.places import DATA

# What is copied for each class, and their names get the class as a prefix.
_FUNCTION, _ROLE = "WorkerFunction", "WorkerFunctionRole"
_COPIED = {
    "Resources": (
        *(_FUNCTION, _ROLE),
        *("WorkerThrottlesAlarm", "WorkerRecursionAlarm", "WorkerErrorsAlarm"),
    ),
    # Classes don't inherit the worker's policy: each has its own.
    "Parameters": ("WorkerPolicyArn",),
    "Conditions": ("HasWorkerPolicy",),
}
_SENDERS = ("ApiFunction", "TimerFunction", "FailuresFunction")
_PARAMETERS = {
    "memory": "WorkerMemory",
    "timeout": "WorkerTimeout",
    "storage": "WorkerEphemeralStorage",
}
_PROPERTIES = {
    "memory": "MemorySize",
    "timeout": "Timeout",
    "storage": "EphemeralStorage",
    "concurrency": "ReservedConcurrentExecutions",
}
_SNAPSHOT_STORAGE = 512  # megabytes: SnapStart allows no more


def rendered(text: str, workers: Workers) -> str:
    """Return a template with the functions of these worker classes. Without classes, it is
    unchanged.

    Raises UnusableAppFolder if the template lacks a part that is copied or changed.
    """
    if not workers:
        return text
    template = _read(text)
    resources = template["Resources"]
    sharing = [each for each in resources.values() if _is_policy_of_worker(each)]
    for name, given in workers.items():
        _add_class(template, name, given)
    functions = [f"{_prefix(name)}{_FUNCTION}" for name in workers]
    roles = [{"Ref": f"{_prefix(name)}{_ROLE}"} for name in workers]
    aliases = [{"Ref": f"{each}.Alias"} for each in functions]
    for policy in sharing:
        if policy is not resources.get("WorkerSendsToItself"):
            policy["Properties"]["Roles"] += roles
    for sender in _SENDERS:
        statement = _statement(resources, sender)
        statement["Resource"] = [statement["Resource"], *aliases]
    resources["WorkersSendToClasses"] = _policy_to_send(
        [{"Ref": _ROLE}, *roles], [{"Ref": f"{_FUNCTION}.Alias"}, *aliases]
    )
    variables = template
    for name in ("Globals", "Function", "Environment", "Variables"):
        variables[name] = variables.get(name) or {}
        variables = variables[name]
    variables["WORKER_CLASSES"] = ",".join(workers)
    variables["WORKER_CLASS_PREFIX"] = {"Fn::Sub": "${AWS::StackName}-worker-"}
    template["Outputs"]["WorkerClasses"] = {"Value": ",".join(workers)}
    match resources.get("MetricsDashboardPage"):
        case {"Properties": {"DashboardBody": {"Fn::Sub": [str(body), _] as parts}}}:
            parts[0] = _with_lines(body, workers)
    return json.dumps(template, indent=1) + "\n"


def _read(text: str) -> dict[str, Any]:
    template = read_template(text, "template.yaml")
    if not isinstance(template, dict):
        raise _lacks("Resources")
    for section in ("Resources", "Outputs", "Parameters", "Conditions"):
        template[section] = template.get(section) or {}
    for name in (_FUNCTION, _ROLE, *_SENDERS):
        if "Properties" not in template["Resources"].get(name, {}):
            raise _lacks(name)
    if template["Resources"][_FUNCTION]["Properties"].get("AutoPublishAlias") != "live":
        raise _lacks(f"AutoPublishAlias: live in {_FUNCTION}")
    return template


def _prefix(name: str) -> str:
    return name.capitalize()


def _add_class(template: dict[str, Any], name: str, given: Mapping[str, int]) -> None:
    names = {each: each for section in (*_COPIED, "Mappings") for each in template.get(section, {})}
    copied = {section: [each for each in _COPIED[section] if each in names] for section in _COPIED}
    names |= {old: _prefix(name) + old for listed in copied.values() for old in listed}
    literals = {_PARAMETERS[each]: str(given[each]) for each in _PARAMETERS if each in given}
    if given.get("storage", 0) > _SNAPSHOT_STORAGE:
        literals["SnapStart"] = "false"
    copier = _Copier(names, literals)
    for section, listed in copied.items():
        for old in listed:
            if names[old] in template[section]:
                raise UnusableAppFolder(
                    f"template.yaml has {names[old]}, which a build makes for the worker class "
                    f"{name} in app.toml. Remove or rename it"
                )
            template[section][names[old]] = copier.copy(template[section][old])
    copies = template["Resources"]
    _set_properties(copies[names[_FUNCTION]]["Properties"], name, given)
    for old in ("WorkerThrottlesAlarm", "WorkerRecursionAlarm"):
        if alarm := copies.get(names.get(old)):  # with legacy, the worker's are those of the API
            dimension = {"Name": "FunctionName", "Value": {"Ref": names[_FUNCTION]}}
            alarm["Properties"]["Dimensions"] = [dimension]


def _set_properties(function: dict[str, Any], name: str, given: Mapping[str, int]) -> None:
    function["FunctionName"] = {"Fn::Sub": f"${{AWS::StackName}}-worker-{name}"}
    function["Description"] = f"Runs the jobs and tasks of the worker class {name}."
    for key in ("ProvisionedConcurrencyConfig", "ReservedConcurrentExecutions"):
        function.pop(key, None)
    for setting, value in given.items():
        key = _PROPERTIES[setting]
        function[key] = {"Size": value} if setting == "storage" else value
    if given.get("storage", 0) > _SNAPSHOT_STORAGE:
        function["SnapStart"] = {"ApplyOn": "None"}
    variables = function.setdefault("Environment", {}).setdefault("Variables", {})
    variables["WORKER_CLASS"] = name
    variables["WORKER_LAMBDA_FUNCTION_NAME"] = {"Ref": f"{_FUNCTION}.Alias"}


class _Copier:
    """Copies parts of the template, so that they refer to the copies of resources.

    `names` has the new name of everything in the template. In texts, parameters become their
    literals: a version's description must have only the values that its function reads.
    """

    def __init__(self, names: Mapping[str, str], literals: Mapping[str, str]) -> None:
        self._names, self._literals = names, literals

    def copy(self, value: Any) -> Any:
        """Return the copy of a part. Raises UnusableAppFolder if it refers to a missing one."""
        match value:
            case {"Ref": str(reference)}:
                return {"Ref": self._name(reference)}
            case {"Fn::GetAtt": [str(reference), *rest]}:
                return {"Fn::GetAtt": [self._name(reference), *rest]}
            case {"Fn::Sub": str(text)}:
                return {"Fn::Sub": self._text(text)}
            case {"Fn::Sub": [str(text), given]}:
                return {"Fn::Sub": [self._text(text, given), self.copy(given)]}
            case {"Fn::If": [str(condition), *rest]}:
                return {"Fn::If": [self._name(condition), *self.copy(rest)]}
            case {"Condition": str(condition), **others}:
                return {"Condition": self._name(condition), **self.copy(others)}
            case dict():
                return {key: self.copy(each) for key, each in value.items()}
            case list():
                return [self.copy(each) for each in value]
        return deepcopy(value)

    def _name(self, reference: str, local: Iterable[str] = ()) -> str:
        head, dot, rest = reference.partition(".")
        if not (head in self._names or head in local or head.startswith("AWS::")):
            raise _lacks(head)
        return f"{self._names.get(head, head)}{dot}{rest}"

    def _text(self, text: str, local: Iterable[str] = ()) -> str:
        def value(found: re.Match[str]) -> str:
            return self._literals.get(found[1]) or f"${{{self._name(found[1], local)}}}"

        return re.sub(r"\$\{([\w.]+)\}", value, text)


def _is_policy_of_worker(resource: Mapping[str, Any]) -> bool:
    return resource.get("Type") == "AWS::IAM::Policy" and {"Ref": _ROLE} in resource.get(
        "Properties", {}
    ).get("Roles", [])


def _statement(resources: Mapping[str, Any], function: str) -> dict[str, Any]:
    """Return the statement that lets a function send to the worker."""
    policies = resources[function]["Properties"].get("Policies", [])
    for policy in policies if isinstance(policies, list) else [policies]:
        match policy:
            case {"Statement": [*statements]}:
                for each in statements:
                    if each.get("Sid") == "SendToWorker":
                        found: dict[str, Any] = each
                        return found
    raise _lacks(f"the statement SendToWorker in the policies of {function}")


def _policy_to_send(roles: Sequence[Any], aliases: Sequence[Any]) -> dict[str, Any]:
    """Return a policy apart from the functions and roles. In them it would be a circular
    reference."""
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": aliases}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "send-to-classes",
            "Roles": roles,
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def _with_lines(body: str, workers: Workers) -> str:
    """Return the body of the metrics dashboard, with a line for each class after the worker's."""

    def lines(found: re.Match[str]) -> str:
        line, comma = found.groups()
        classes = [
            re.sub(r'("label": "[^"]*)', rf"\1 ({name})", line).replace(
                "${Worker}", f"${{{_prefix(name)}{_FUNCTION}}}"
            )
            for name in workers
        ]
        return ",\n".join([line, *classes]) + comma

    return re.sub(r'^( *\[.*"\$\{Worker\}".*\])(,?)$', lines, body, flags=re.MULTILINE)


def _lacks(what: str) -> UnusableAppFolder:
    return UnusableAppFolder(
        f"app.toml declares worker classes, but template.yaml lacks {what}, which they need. Copy "
        f"it from {DATA / 'template.yaml'}"
    )
