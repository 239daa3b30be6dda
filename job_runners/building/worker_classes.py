"""Add a worker function to the template for each worker class in app.toml.

A worker class is a kind of worker with its own settings, such as more memory. Its function, role
and alarms are renamed copies of the ones that the template has for the default worker.
CloudFormation's Fn::ForEach can't copy them: sam build needs an option for it, and it can't add
items to lists, such as the resources of a policy.

A class's settings are written as literals, not as parameters, because a deploy keeps the old value
of a parameter that samconfig.toml doesn't set, even if its default has changed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from job_runners.building.app_folder import UnusableAppFolder, Workers
from job_runners.building.template_file import read_template
from job_runners.places import DATA

_FUNCTION = "WorkerFunction"
_ROLE = "WorkerFunctionRole"
# The parts of the template that are copied for each class. A copy's name begins with the class.
_COPIED_PARTS = {
    "Resources": (
        _FUNCTION,
        _ROLE,
        "WorkerThrottlesAlarm",
        "WorkerRecursionAlarm",
        "WorkerErrorsAlarm",
    ),
    # Classes don't inherit the worker's policy. Each class has its own.
    "Parameters": ("WorkerPolicyArn",),
    "Conditions": ("HasWorkerPolicy",),
}
# The functions that send jobs and tasks to workers.
_SENDERS = ("ApiFunction", "TimerFunction", "FailuresFunction")
# For each setting of a class: the property of a function, and the parameter of the worker, if any.
_PROPERTIES = {
    "memory": ("MemorySize", "WorkerMemory"),
    "timeout": ("Timeout", "WorkerTimeout"),
    "storage": ("EphemeralStorage", "WorkerEphemeralStorage"),
    "concurrency": ("ReservedConcurrentExecutions", None),
}
_MAX_SNAPSTART_STORAGE = 512  # megabytes


def add_worker_functions(text: str, workers: Workers) -> str:
    """Return a template with functions for these worker classes.

    Without classes, the template is returned unchanged. Raises UnusableAppFolder if it lacks a part
    that must be copied or changed.
    """
    if not workers:
        return text
    template = _read(text)
    resources = template["Resources"]
    shared_policies = [resource for resource in resources.values() if _is_worker_policy(resource)]
    for class_name, class_settings in workers.items():
        _add_class(template, class_name, class_settings)
    roles = [{"Ref": _name_for(class_name, _ROLE)} for class_name in workers]
    aliases = [{"Ref": f"{_name_for(class_name, _FUNCTION)}.Alias"} for class_name in workers]
    for policy in shared_policies:
        if policy is not resources.get("WorkerSendsToItself"):
            policy["Properties"]["Roles"] += roles
    for sender in _SENDERS:
        statement = _send_statement(resources, sender)
        statement["Resource"] = [statement["Resource"], *aliases]
    resources["WorkersSendToClasses"] = _send_policy(
        roles=[{"Ref": _ROLE}, *roles], aliases=[{"Ref": f"{_FUNCTION}.Alias"}, *aliases]
    )
    variables = _global_variables(template)
    variables["WORKER_CLASSES"] = ",".join(workers)
    variables["WORKER_CLASS_PREFIX"] = {"Fn::Sub": "${AWS::StackName}-worker-"}
    template["Outputs"]["WorkerClasses"] = {"Value": ",".join(workers)}
    match resources.get("MetricsDashboardPage"):
        case {"Properties": {"DashboardBody": {"Fn::Sub": [str(body), _] as parts}}}:
            parts[0] = _add_dashboard_lines(body, workers)
    return json.dumps(template, indent=1) + "\n"


def _read(text: str) -> dict[str, Any]:
    template = read_template(text, "template.yaml")
    if not isinstance(template, dict):
        raise _missing_part("Resources")
    for section in ("Resources", "Outputs", "Parameters", "Conditions"):
        template[section] = template.get(section) or {}
    for name in (_FUNCTION, _ROLE, *_SENDERS):
        if "Properties" not in template["Resources"].get(name, {}):
            raise _missing_part(name)
    if template["Resources"][_FUNCTION]["Properties"].get("AutoPublishAlias") != "live":
        raise _missing_part(f"AutoPublishAlias: live in {_FUNCTION}")
    return template


def _global_variables(template: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that the template sets for all functions. Add them if missing."""
    section = template
    for name in ("Globals", "Function", "Environment", "Variables"):
        section[name] = section.get(name) or {}
        section = section[name]
    return section


def _name_for(class_name: str, part: str) -> str:
    """Return the name of a class's copy of a part of the template."""
    return class_name.capitalize() + part


def _add_class(
    template: dict[str, Any], class_name: str, class_settings: Mapping[str, int]
) -> None:
    parts = [
        (section, part)
        for section, names in _COPIED_PARTS.items()
        for part in names
        if part in template[section]
    ]
    new_names = {part: _name_for(class_name, part) for _, part in parts}
    literals = _parameter_values(class_settings)
    for section, part in parts:
        copy_name = new_names[part]
        if copy_name in template[section]:
            raise UnusableAppFolder(
                f"template.yaml has {copy_name}, which a build makes for the worker class "
                f"{class_name} in app.toml. Remove or rename it"
            )
        template[section][copy_name] = _copy(template[section][part], new_names, literals)
    resources = template["Resources"]
    function_name = new_names[_FUNCTION]
    _set_properties(resources[function_name]["Properties"], class_name, class_settings)
    for part in ("WorkerThrottlesAlarm", "WorkerRecursionAlarm"):
        # With the legacy runner, the worker's alarms watch the API's function, so set it here.
        if alarm := resources.get(new_names.get(part)):
            dimension = {"Name": "FunctionName", "Value": {"Ref": function_name}}
            alarm["Properties"]["Dimensions"] = [dimension]


def _parameter_values(class_settings: Mapping[str, int]) -> dict[str, str]:
    """Return the values of the worker's parameters that a class replaces."""
    values: dict[str, str] = {}
    for setting, value in class_settings.items():
        if parameter := _PROPERTIES[setting][1]:
            values[parameter] = str(value)
    if class_settings.get("storage", 0) > _MAX_SNAPSTART_STORAGE:
        values["SnapStart"] = "false"
    return values


def _set_properties(
    function: dict[str, Any], class_name: str, class_settings: Mapping[str, int]
) -> None:
    function["FunctionName"] = {"Fn::Sub": f"${{AWS::StackName}}-worker-{class_name}"}
    function["Description"] = f"Runs the jobs and tasks of the worker class {class_name}."
    for key in ("ProvisionedConcurrencyConfig", "ReservedConcurrentExecutions"):
        function.pop(key, None)
    for setting, value in class_settings.items():
        key = _PROPERTIES[setting][0]
        function[key] = {"Size": value} if setting == "storage" else value
    if class_settings.get("storage", 0) > _MAX_SNAPSTART_STORAGE:
        function["SnapStart"] = {"ApplyOn": "None"}
    variables = function.setdefault("Environment", {}).setdefault("Variables", {})
    variables["WORKER_CLASS"] = class_name
    variables["WORKER_LAMBDA_FUNCTION_NAME"] = {"Ref": f"{_FUNCTION}.Alias"}


def _copy(part: Any, new_names: Mapping[str, str], literals: Mapping[str, str]) -> Any:
    """Return a copy of a part of the template that refers to other copies by their new names.

    `literals` has values of parameters. They replace the parameters in strings (Fn::Sub), such as a
    version's description, which would otherwise show the worker's values.
    """
    text = json.dumps(part)
    for parameter, value in literals.items():
        text = text.replace(f"${{{parameter}}}", value)
    return json.loads(re.sub(r"\w+", lambda word: new_names.get(word[0], word[0]), text))


def _is_worker_policy(resource: Mapping[str, Any]) -> bool:
    roles = resource.get("Properties", {}).get("Roles", [])
    return resource.get("Type") == "AWS::IAM::Policy" and {"Ref": _ROLE} in roles


def _send_statement(resources: Mapping[str, Any], function: str) -> dict[str, Any]:
    """Return the statement that lets a function send jobs and tasks to the worker."""
    policies = resources[function]["Properties"].get("Policies", [])
    if not isinstance(policies, list):
        policies = [policies]
    for policy in policies:
        match policy:
            case {"Statement": [*statements]}:
                statement: dict[str, Any]
                for statement in statements:
                    if statement.get("Sid") == "SendToWorker":
                        return statement
    raise _missing_part(f"the statement SendToWorker in the policies of {function}")


def _send_policy(roles: Sequence[Any], aliases: Sequence[Any]) -> dict[str, Any]:
    """Return the policy that lets workers send jobs and tasks to the workers of other classes.

    It is a resource of its own, because policies in the functions would refer to each other.
    """
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": aliases}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "send-to-classes",
            "Roles": roles,
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def _add_dashboard_lines(body: str, workers: Workers) -> str:
    """Add a line for each class after each of the worker's lines in the metrics dashboard."""

    def replacement(match: re.Match[str]) -> str:
        line, comma = match.groups()
        lines = [line]
        for class_name in workers:
            labeled = re.sub(r'("label": "[^"]*)', rf"\1 ({class_name})", line)
            function = f"${{{_name_for(class_name, _FUNCTION)}}}"
            lines.append(labeled.replace("${Worker}", function))
        return ",\n".join(lines) + comma

    return re.sub(r'^( *\[.*"\$\{Worker\}".*\])(,?)$', replacement, body, flags=re.MULTILINE)


def _missing_part(part: str) -> UnusableAppFolder:
    """Return the error for a part that the template lacks."""
    return UnusableAppFolder(
        f"app.toml declares worker classes, but template.yaml lacks {part}, which they need. Copy "
        f"it from {DATA / 'template.yaml'}"
    )
