"""What is wrong with a configuration file is found on its line, and what is right is left alone. Part of row B1."""

from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.config import config_tools
from quorate.tools.workspace import Workspace

BAD_DOCKER = """\
FROM python
FROM node:20 AS build
ENV DB_PASSWORD=hunter2hunter2
ADD https://example.com/app.tar.gz /app/
ADD src /app
RUN apt-get install -y curl && curl https://example.com/i.sh | sh
RUN pip install flask && chmod 777 /app && sudo ls
WORKDIR app
MAINTAINER me
EXPOSE 22
FROBNICATE now
CMD python app.py
"""
GOOD_DOCKER = """\
FROM python:3.13@sha256:aaaa AS build
RUN --mount=type=cache,target=/root/.cache pip install flask \\
    # a comment in between
    && true
RUN <<EOF
curl https://example.com | sh
EOF
FROM build
USER app
HEALTHCHECK CMD ["true"]
CMD ["python", "app.py"]
"""
BAD_COMPOSE = """\
version: "3"
services:
  db:
    image: postgres
    privileged: true
    network_mode: host
    cap_add: [SYS_ADMIN]
    ports: ["5432:5432"]
    volumes: ["/var/run/docker.sock:/s", "/:/host"]
    environment: {POSTGRES_PASSWORD: hunter2}
    depends_on: [ghost]
  empty: {}
"""
GOOD_COMPOSE = """\
services:
  db:
    image: postgres:17@sha256:aaaa
    restart: always
    mem_limit: 1g
    healthcheck: {test: pg_isready}
    ports: ["127.0.0.1:5432:5432"]
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/p}
"""
BAD_KUBERNETES = """\
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  template:
    spec:
      hostNetwork: true
      volumes: [{name: v, hostPath: {path: /etc}}]
      containers:
        - name: web
          image: nginx
          securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}}
          env: [{name: DB_PASSWORD, value: hunter2}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
rules: [{verbs: ["*"], resources: ["*"]}]
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {a: aHVudGVyMg==}
"""
GOOD_KUBERNETES = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    spec:
      automountServiceAccountToken: false
      containers:
        - name: web
          image: nginx:1.27
          readinessProbe: {httpGet: {path: /}}
          livenessProbe: {httpGet: {path: /}}
          resources: {limits: {memory: 1Gi}, requests: {cpu: 1}}
          securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}
"""
BAD_TERRAFORM = """\
provider "aws" {
  secret_key = "abcdefghijkl"
}
resource "aws_security_group" "web" {
  ingress {
    from_port   = 22
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_db_instance" "db" {
  publicly_accessible = true
  password            = "hunter2hunter2"
}
resource "aws_s3_bucket" "b" {
  acl = "public-read"
}
module "m" { source = "git::https://example.com/m.git" }
variable "db_password" {
  default = "hunter2"
}
output "token" { value = 1 }
"""
GOOD_TERRAFORM = """\
terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.0" }
  }
}
/* resource "aws_s3_bucket" "b" { acl = "public-read" } */
resource "aws_db_instance" "db" {
  storage_encrypted = true
  password          = var.db_password
  tags = {
    Name = "x"
  }
  user_data = <<-EOT
    acl = "public-read" }
  EOT
}
module "m" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "5.1"
}
"""
BAD_NGINX = """\
http {
  server_tokens on;
  add_header X-A 1;
  server {
    listen 443 ssl;
    server_name a.example;
    ssl_protocols TLSv1 TLSv1.2;
    location /static { alias /srv/static/; autoindex on; }
    location /x { proxy_pass http://$arg_host; add_header X-B 2; }
    location /y { if ($a) { proxy_pass http://b; } }
    return 301 https://a$uri;
  }
  server { listen 443 ssl; server_name a.example; ssl_certificate c; }
}
"""
GOOD_NGINX = """\
server {
  listen 443 ssl;
  server_name a.example;
  ssl_certificate c.pem;
  ssl_protocols TLSv1.2 TLSv1.3;
  add_header Strict-Transport-Security "max-age=31536000; includeSubDomains";
  location /static/ { alias /srv/static/; }
  location / { proxy_set_header Host $host; proxy_pass http://app; if ($bad) { return 403; } }
  log_format x '{"a": "${request_uri}"}';
}
server { listen 80; server_name a.example; return 301 https://$host$request_uri; }
"""
BAD_SSHD = "PermitRootLogin yes\nPasswordAuthentication yes\nPermitEmptyPasswords yes\nCiphers aes256-cbc\nLogLevel\nPermitRootLogin no\n"
GOOD_SSHD = (
    "PermitRootLogin no\nPasswordAuthentication no\nAllowGroups ops\nMatch User git\n  PasswordAuthentication no\n"
)
BAD_WORKFLOW = """\
on: {pull_request_target: {}, issues: {}}
permissions: write-all
env: {TOKEN: "${{ secrets.TOKEN }}"}
jobs:
  a:
    runs-on: ubuntu-latest
    needs: ghost
    steps:
      - uses: someone/action@main
      - uses: actions/checkout@v4
        with: {ref: "${{ github.event.pull_request.head.sha }}"}
      - run: echo "${{ github.event.issue.title }}"
      - run: curl https://example.com/i.sh | bash
"""
GOOD_WORKFLOW = """\
on: [push]
permissions: {contents: read}
jobs:
  a:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789
      - run: echo "$TITLE"
        env: {TITLE: "${{ github.event.issue.title }}"}
"""
BAD_OPENAPI = """\
{"openapi": "3.1.0", "info": {}, "servers": [{"url": "http://api.example.com"}], "paths": {
 "/a/{id}": {"get": {"operationId": "x", "responses": {"200": {}, "abc": {"description": "?"}}},
             "post": {"operationId": "x", "parameters": [{"name": "no", "in": "path"}]}},
 "/b": {"get": {"responses": {"200": {"description": "ok", "schema": {"$ref": "#/components/schemas/Gone"}}}}}},
 "components": {"schemas": {"Unused": {"type": "object"}}}}
"""
BAD_UNIT = """\
[Unit]
Wants=network-online.target
[Service]
ExecStart=app --x | tee log
Environment=DB_PASSWORD=hunter2
nonsense
[Servis]
"""
GOOD_UNIT = """\
[Unit]
Description=App
[Service]
ExecStart=/usr/bin/app \\
  --long
User=app
Restart=on-failure
NoNewPrivileges=yes
MemoryMax=1G
[Install]
WantedBy=multi-user.target
"""
BAD_CRON = """\
61 * * * * /bin/a
* * * * * b
*/5 * * * * /bin/c > /dev/null 2>&1
0 0 1 * 1 /bin/d $(date +%F)
@often /bin/e
0 0 * *
0 0 * * * /bin/last"""
BAD_ENV = "A=1\nA=2\nB-AD=3\nSECRET_KEY=9f8Kd02mfLq81nZpQw77\nnothing\nC=two words\nD='open\n"

Tools = dict[str, Callable[..., Checked]]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return {one.name: one for one in config_tools(Workspace(tmp_path))}


BAD: list[tuple[str, str, str, set[str]]] = [
    (
        "check_dockerfiles",
        "Dockerfile",
        BAD_DOCKER,
        {
            *("unpinned-image", "no-digest", "secret-in-image", "add-url", "add-for-copy", "apt-no-update"),
            *("pipe-to-shell", "pip-cache-kept", "open-permissions", "sudo", "relative-workdir", "deprecated"),
            *("exposes-ssh", "unknown-instruction", "shell-form", "runs-as-root", "no-healthcheck"),
        },
    ),
    (
        "check_compose",
        "compose.yaml",
        BAD_COMPOSE,
        {
            *("obsolete-version", "privileged", "host-namespace", "dangerous-capability", "unpinned-image"),
            *("open-port", "docker-socket", "sensitive-mount", "secret-in-file", "unknown-service", "no-image"),
        },
    ),
    (
        "check_kubernetes",
        "k8s/web.yaml",
        BAD_KUBERNETES,
        {
            *("removed-api", "one-replica", "host-namespace", "host-path", "unpinned-image", "privileged"),
            *("may-be-root", "dangerous-capability", "no-memory-limit", "no-probe", "secret-in-file", "wildcard-rights"),
        },
    ),
    (
        "check_terraform",
        "main.tf",
        BAD_TERRAFORM,
        {
            *("secret-in-file", "open-to-world", "public-database", "not-encrypted", "public-storage"),
            *("unpinned-module", "shown-secret", "unpinned-provider", "no-required-version", "untyped-variable"),
        },
    ),
    (
        "check_nginx",
        "nginx.conf",
        BAD_NGINX,
        {
            *("version-shown", "old-tls", "alias-traversal", "directory-listing", "open-proxy", "lost-headers"),
            *("if-is-evil", "header-injection", "double-server", "no-certificate", "no-hsts"),
        },
    ),
    ("check_sshd", "sshd_config", BAD_SSHD, {"root-login", "passwords", "empty-passwords", "weak-algorithm", "no-value", "set-twice", "everybody"}),
    (
        "check_workflows",
        ".github/workflows/ci.yml",
        BAD_WORKFLOW,
        {
            *("all-permissions", "wide-secret", "unknown-job", "unpinned-action", "runs-strangers", "injection"),
            *("pipe-to-shell", "no-timeout"),
        },
    ),
    (
        "check_openapi",
        "openapi.json",
        BAD_OPENAPI,
        {
            *("no-info", "plain-http", "undeclared-parameter", "double-operation-id", "no-responses", "bad-status"),
            *("unknown-parameter", "broken-reference", "unused-schema", "no-operation-id", "no-security"),
        },
    ),
    (
        "check_systemd_units",
        "a.service",
        BAD_UNIT,
        {
            *("no-description", "relative-command", "no-shell-here", "no-restart", "runs-as-root", "secret-in-unit"),
            *("no-setting", "unknown-section", "no-order", "not-installable"),
        },
    ),
    ("check_systemd_units", "a.timer", "[Timer]\nUnit=b.service\n", {"no-trigger", "not-installable"}),
    (
        "check_cron",
        "crontab",
        BAD_CRON,
        {
            *("faulty-schedule", "every-minute", "relative-command", "output-dropped", "no-lock", "day-or-weekday"),
            *("percent", "no-command", "no-last-newline"),
        },
    ),
    (
        "check_resolver",
        "resolv.conf",
        "nameserver 1.2.3\nnameserver 9.9.9.9\nnameserver 9.9.9.9\noptions ndots:5 timeout:30 attempts:9\nfoo\n",
        {"bad-address", "double-nameserver", "one-nameserver", "many-dots", "long-timeout", "many-attempts", "unknown-keyword"},
    ),
    ("check_resolver", "hosts", "10.0.0.1 a\n10.0.0.2 a\nx y\n10.0.0.3\n10.0.0.4 localhost\n", {"two-addresses", "bad-address", "no-name", "strange-localhost", "no-localhost"}),
    ("check_env_files", "app.env", BAD_ENV, {"double-key", "bad-name", "secret-in-file", "no-assignment", "unquoted", "open-quote"}),
    ("check_yaml", "a.yaml", "a: 1\na: 2\nb:\n  - c: [\n", {"not-yaml"}),
    ("check_yaml", "a.yaml", "a: 1\nx: {b: 1, b: 2}\n", {"double-key"}),
    ("check_json", "a.json", '{"a": 1, "a": 2}', {"double-key"}),
    ("check_json", "a.json", '{"a": NaN}', {"not-json"}),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "name", "text", "rules"), BAD, ids=[f"{one[0]}-{at}" for at, one in enumerate(BAD)])
def test_what_is_wrong_is_found(tools: Tools, tmp_path: Path, tool: str, name: str, text: str, rules: set[str]) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    report = tools[tool]()
    assert report.files == 1
    assert rules <= report.rules.keys(), rules - report.rules.keys()
    assert report.total == sum(report.rules.values()) >= len(report.findings)
    lines = len(text.splitlines())
    assert all(one.file == name and 1 <= one.line <= max(1, lines) and one.message for one in report.findings)
    assert "hunter2" not in str(report)
    assert "9f8Kd02mfLq81nZpQw77" not in str(report)
    # One file can be named as well, and fewer findings asked for: the worst come first.
    named = tools[tool](name, max_findings=1)
    assert named.rules == report.rules
    assert named.findings == report.findings[:1]


GOOD: list[tuple[str, str, str]] = [
    ("check_dockerfiles", "Dockerfile", GOOD_DOCKER),
    ("check_compose", "docker-compose.prod.yml", GOOD_COMPOSE),
    ("check_kubernetes", "web.yaml", GOOD_KUBERNETES),
    ("check_terraform", "main.tf", GOOD_TERRAFORM),
    ("check_nginx", "conf.d/site.conf", GOOD_NGINX),
    ("check_sshd", "sshd_config", GOOD_SSHD),
    ("check_workflows", ".github/workflows/ci.yml", GOOD_WORKFLOW),
    ("check_systemd_units", "app.service", GOOD_UNIT),
    ("check_cron", "jobs.cron", "PATH=/usr/bin\n30 2 * * mon-fri backup\n@daily /bin/x\n"),
    ("check_resolver", "hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("check_env_files", "app.env", "export A=1\nB=\"two words\"\nPASSWORD=${FROM_STORE}\n"),
    ("check_yaml", "a.yaml", "base: &b {x: 1}\nc:\n  <<: *b\n---\n- 1\n"),
    ("check_json", "a.json", '{"a": [1, {"b": null}]}'),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "name", "text"), GOOD, ids=[one[0] for one in GOOD])
def test_what_is_right_is_left_alone(tools: Tools, tmp_path: Path, tool: str, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    report = tools[tool]()
    assert report.files == 1
    assert [one for one in report.findings if one.severity != "low"] == []
    assert report.facts or report.items


@pytest.mark.parametrize("tool", sorted({one[0] for one in BAD}))
def test_no_file_of_the_kind_is_no_finding(tools: Tools, tmp_path: Path, tool: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    report = tools[tool]()
    assert (report.files, report.total, report.findings, report.skipped) == (0, 0, (), ())
    with pytest.raises(ToolError, match="There is no 'gone'"):
        tools[tool]("gone")


def test_yaml_that_unfolds_or_goes_deep_is_refused(tools: Tools, tmp_path: Path) -> None:
    """Aliases that unfold to billions, a document inside itself, and depth are met before anything is built."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(rows))
    (tmp_path / "self.yaml").write_text("&a [*a]")
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    chain = ["a0: &a0 x", *(f"a{at}: &a{at} {'[' * 40}*a{at - 1}{']' * 40}" for at in range(1, 400))]
    (tmp_path / "chain.yaml").write_text("\n".join(chain))
    (tmp_path / "code.yaml").write_text("a: !!python/object/apply:os.system ['touch hurt']\n")
    report = tools["check_yaml"]()
    messages = {one.file: one.message for one in report.findings}
    assert "unfolds to more than" in messages["bomb.yaml"]
    assert "unfolds deeper" in messages["self.yaml"]
    assert "unfolds deeper" in messages["chain.yaml"]
    assert "nested deeper" in messages["deep.yaml"]
    assert not (tmp_path / "hurt").exists()
    assert report.files == 5


def test_links_binaries_and_large_files_are_told_and_not_read(tools: Tools, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.tf"
    outside.write_text(BAD_TERRAFORM)
    (tmp_path / "link.tf").symlink_to(outside)
    (tmp_path / "binary.tf").write_bytes(b"\x00\x01" * 100)
    (tmp_path / "large.tf").write_bytes(b"#" * 1_100_000)
    (tmp_path / "broken.tf").write_bytes(b'resource "a" "b" {\n x = "\xff\xfe"\n')
    report = tools["check_terraform"]()
    assert report.files == 1
    assert report.rules == {"not-hcl": 1}
    assert len(report.skipped) == 2
    for path in ("link.tf", "../outside.tf", "/etc/passwd"):
        with pytest.raises(ToolError):
            tools["check_terraform"](path)


@pytest.mark.parametrize(
    ("tool", "name", "text"),
    [
        ("check_terraform", "a.tf", "/* " * 100_000),
        ("check_terraform", "a.tf", "<<A\n" * 100_000),
        ("check_terraform", "a.tf", '"' * 99_999),
        ("check_terraform", "a.tf", "a {\n" * 50_000),
        ("check_terraform", "a.tf", "}" * 50_000),
        ("check_nginx", "nginx.conf", "a {" * 50_000),
        ("check_nginx", "nginx.conf", "a '" + "\\'" * 50_000),
        ("check_dockerfiles", "Dockerfile", "RUN a \\\n" * 50_000),
        (
            "check_workflows",
            ".github/workflows/a.yml",
            "jobs: {a: {steps: [{run: '" + "${{ github.event." * 20_000 + "'}]}}",
        ),
        ("check_env_files", "a.env", "A=" + "x" * 500_000),
        ("check_cron", "crontab", "*," * 100_000 + " * * * * a\n"),
        ("check_json", "a.json", "[" * 100_000),
    ],
)
def test_hostile_files_end(tools: Tools, tmp_path: Path, tool: str, name: str, text: str) -> None:
    """What would make a careless reader go on for ever is read once."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    report = tools[tool](name)
    assert report.files == 1


def test_a_file_of_settings_is_held_against_its_example(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text("A=1\nEXTRA=2\n")
    (tmp_path / "app.env.example").write_text("")
    (tmp_path / "env.example").write_text("A=\nB=\nAPI_TOKEN=9f8Kd02mfLq81nZpQw77\n")
    report = tools["check_env_files"]()
    assert report.rules["missing-key"] == 2
    assert report.rules["undocumented-key"] == 1
    assert report.rules["secret-in-sample"] == 1
    assert "9f8Kd02m" not in str(report)
    with pytest.raises(ToolError, match="credentials"):
        tools["check_env_files"](".env")


def test_values_stay_hidden_on_whatever_line_they_stand(tools: Tools, tmp_path: Path) -> None:
    one_line = "services: {db: {image: postgres, privileged: true, environment: {DB_PASSWORD: hunter2xyz}}}\n"
    (tmp_path / "compose.yaml").write_text(one_line)
    (tmp_path / "a.cron").write_text("* * * * * curl -H 'Authorization: Bearer hunter2xyz' --token=hunter2xyz\n")
    (tmp_path / "Dockerfile").write_text("FROM x\nENV API_TOKEN hunter2xyz\nRUN sudo login --password hunter2xyz\n")
    (tmp_path / "main.tf").write_text('resource "aws_db_instance" "d" { password = "hunter2xyz" }\n')
    (tmp_path / "nginx.conf").write_text("server { autoindex on; proxy_set_header X-Secret hunter2xyz; }\n")
    for name in ("check_compose", "check_cron", "check_dockerfiles", "check_terraform", "check_nginx"):
        report = tools[name]()
        assert report.total
        assert "hunter2xyz" not in str(report), name
