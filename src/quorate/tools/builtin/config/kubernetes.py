"""What is wrong with the manifests of a Kubernetes cluster?"""

from __future__ import annotations

from collections.abc import Iterator

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Severity, Source
from quorate.tools.builtin.trees import EMPTY, Tree, read_yaml
from quorate.tools.workspace import Workspace

_WORKLOADS = frozenset(
    ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "ReplicationController")
)
_OLD = {
    "extensions/v1beta1": "apps/v1 or networking.k8s.io/v1",
    "apps/v1beta1": "apps/v1",
    "apps/v1beta2": "apps/v1",
    "batch/v1beta1": "batch/v1",
    "batch/v2alpha1": "batch/v1",
    "networking.k8s.io/v1beta1": "networking.k8s.io/v1",
    "policy/v1beta1": "policy/v1",
    "rbac.authorization.k8s.io/v1beta1": "rbac.authorization.k8s.io/v1",
    "autoscaling/v2beta1": "autoscaling/v2",
    "autoscaling/v2beta2": "autoscaling/v2",
    "apiextensions.k8s.io/v1beta1": "apiextensions.k8s.io/v1",
    "storage.k8s.io/v1beta1": "storage.k8s.io/v1",
}
_CAPABILITIES = frozenset(("SYS_ADMIN", "ALL", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE"))


def check_kubernetes(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every manifest; other YAML files are passed over.

    Raises:
        MissingExtra: `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("objects", "workloads", "containers")
    files = 0
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith((".yaml", ".yml"))):
        if "apiVersion" not in source.text or "{{" in source.text:
            if "{{" in source.text and "apiVersion" in source.text:
                board.skipped.append(f"{source.file}: it is a template; render it first")
            continue
        files += 1
        try:
            documents = read_yaml(source.text)
        except ToolError as error:
            board.find(source, 1, "not-yaml", "high", error.message)
            continue
        for document in documents:
            for one in document.at("items").items if document.at("kind").text == "List" else [document]:
                if "apiVersion" in one and "kind" in one:
                    _check_object(source, one, board)
    board.files = files
    return board.build(path, most=most)


def _check_object(source: Source, one: Tree, board: Board) -> None:
    kind, name = one.at("kind").text, one.at("metadata", "name").text
    board.count("objects")
    board.item(f"{kind}/{name}")
    version = one.at("apiVersion").text
    if version in _OLD:
        message = f"{kind} `{name}`: `{version}` is gone from current clusters; use {_OLD[version]}"
        board.find(source, one.at("apiVersion").line, "removed-api", "high", message)
    if not name and not one.at("metadata", "generateName").text:
        board.find(source, one.line, "no-name", "high", f"this {kind} has no `metadata.name`")
    if kind in _WORKLOADS:
        board.count("workloads")
        _check_workload(source, f"{kind} `{name}`", one, board)
    elif kind in ("Role", "ClusterRole"):
        _check_role(source, f"{kind} `{name}`", one, board)
    elif kind in ("ClusterRoleBinding", "RoleBinding"):
        if one.at("roleRef", "name").text == "cluster-admin":
            message = f"{kind} `{name}` gives all rights over the cluster"
            board.find(source, one.at("roleRef").line, "cluster-admin", "high", message)
    elif kind == "Secret" and (one.at("data").fields or one.at("stringData").fields):
        message = f"Secret `{name}` stands in the file, and base64 hides nothing; keep it in a secret store"
        board.note(source.file, one.line, "secret-in-file", "high", message)
    elif kind == "Service" and one.at("spec", "type").text in ("NodePort", "LoadBalancer"):
        message = f"Service `{name}` is reached from outside the cluster ({one.at('spec', 'type').text})"
        board.find(source, one.at("spec", "type").line, "open-service", "low", message)
    elif kind == "Ingress" and not one.at("spec", "tls").items:
        message = f"Ingress `{name}` has no `tls`: what it carries can be read on the way"
        board.find(source, one.at("spec").line, "no-tls", "medium", message)


def _pod(one: Tree) -> Tree:
    spec = one.at("spec")
    if one.at("kind").text == "Pod":
        return spec
    if one.at("kind").text == "CronJob":
        spec = spec.at("jobTemplate", "spec")
    return spec.at("template", "spec")


def _check_workload(source: Source, what: str, one: Tree, board: Board) -> None:
    pod = _pod(one)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.at(key).is_true:
            message = f"{what} shares the node's `{key}`; nothing keeps it apart there"
            board.find(source, pod.at(key).line, "host-namespace", "high", message)
    for volume in pod.at("volumes").items:
        if "hostPath" in volume:
            place = volume.at("hostPath", "path").text
            severity: Severity = "critical" if place.rstrip("/") in ("", "/etc", "/var/run", "/root") else "high"
            message = f"{what} sees `{place}` of the node"
            board.find(source, volume.at("hostPath").line, "host-path", severity, message)
    if not pod.at("automountServiceAccountToken").is_false and one.at("kind").text != "Pod":
        message = (
            f"{what} gets a token for the cluster's API; `automountServiceAccountToken: false` where it needs none"
        )
        board.find(source, pod.line or one.line, "token-mounted", "low", message)
    if one.at("kind").text == "Deployment" and one.at("spec", "replicas").scalar == 1:
        message = f"{what} has one replica: it is away whenever its node or version changes"
        board.find(source, one.at("spec", "replicas").line, "one-replica", "low", message)
    for container, is_first in _containers(pod):
        board.count("containers")
        _check_container(source, what, container, pod, board)
        if is_first and one.at("kind").text not in ("Job", "CronJob", "Pod"):
            for probe in ("readinessProbe", "livenessProbe"):
                if probe not in container:
                    message = f"{what}: the container `{container.at('name').text}` has no `{probe}`"
                    board.find(source, container.line, "no-probe", "low", message)


def _containers(pod: Tree) -> Iterator[tuple[Tree, bool]]:
    for one in pod.at("containers").items:
        yield one, True
    for one in pod.at("initContainers").items:
        yield one, False


def _check_container(source: Source, what: str, one: Tree, pod: Tree, board: Board) -> None:
    name, security = one.at("name").text, one.at("securityContext")
    where = f"{what}: the container `{name}`"
    image = one.at("image")
    tag = image.text.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image.text and tag in ("", "latest"):
        message = f"{where} takes `{image.text}`, which can be another image tomorrow"
        board.find(source, image.line or one.line, "unpinned-image", "medium", message)
    if security.at("privileged").is_true:
        message = f"{where} has all rights of the node"
        board.find(source, security.at("privileged").line, "privileged", "critical", message)
    non_root = security.at("runAsNonRoot").is_true or pod.at("securityContext", "runAsNonRoot").is_true
    user = (security.at("runAsUser") or pod.at("securityContext", "runAsUser") or EMPTY).scalar
    if not non_root and not (isinstance(user, int) and user > 0):
        message = f"{where} may run as root; set `runAsNonRoot: true`"
        board.find(source, one.line, "may-be-root", "medium", message)
    if not security.at("allowPrivilegeEscalation").is_false:
        message = f"{where} may gain rights; set `allowPrivilegeEscalation: false`"
        board.find(source, one.line, "may-gain-rights", "low", message)
    for capability in security.at("capabilities", "add").items:
        if capability.text.upper() in _CAPABILITIES:
            message = f"{where} has `{capability.text}`, which is nearly all rights"
            board.find(source, capability.line, "dangerous-capability", "high", message)
    resources = one.at("resources")
    if "memory" not in resources.at("limits"):
        board.find(source, one.line, "no-memory-limit", "medium", f"{where} has no limit for memory")
    if not resources.at("requests").fields:
        message = f"{where} requests nothing, so the scheduler places it blindly"
        board.find(source, one.line, "no-requests", "low", message)
    for entry in one.at("env").items:
        key, value = entry.at("name").text, entry.at("value").text
        if value and any(word in key.lower() for word in ("password", "secret", "token", "api_key", "apikey")):
            message = f"{where}: the value of `{key}` stands in the file; take it from a Secret"
            board.note(source.file, entry.line, "secret-in-file", "high", message, evidence=f"{key}=***")


def _check_role(source: Source, what: str, one: Tree, board: Board) -> None:
    for rule in one.at("rules").items:
        verbs = {verb.text for verb in rule.at("verbs").items}
        resources = {resource.text for resource in rule.at("resources").items}
        if "*" in verbs and "*" in resources:
            board.find(source, rule.line, "wildcard-rights", "high", f"{what} may do everything with everything")
        elif "*" in verbs or "*" in resources:
            board.find(source, rule.line, "wildcard-rights", "medium", f"{what} names its rights with `*`")
        if "secrets" in resources and verbs & {"get", "list", "watch", "*"}:
            board.find(source, rule.line, "reads-secrets", "medium", f"{what} may read secrets")
