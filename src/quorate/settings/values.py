"""Which settings are there, what do they mean, and what are they when nobody says anything?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, cast
from urllib.parse import quote, urlsplit

from msgspec import Meta, Struct, structs

from quorate.security.issuers import Issuer
from quorate.security.secrets import KeptSecret, Secret
from quorate.settings.council import CouncilSettings, TrustSettings
from quorate.settings.memory import MemorySettings
from quorate.specs import Limits

Environment = Literal["dev", "staging", "prod"]
Level = Literal["debug", "info", "warning", "error"]
DATABASE_PASSWORD = "QUORATE_DATABASE_PASSWORD"  # noqa: S105  # a name
"""Under which name the password of the database's URL is kept."""
BUS_PASSWORD = "QUORATE_BUS_PASSWORD"  # noqa: S105  # a name
"""Under which name the password of the bus's URL is kept."""

PLAIN = ("_REGION", "_LOCATION", "_PROJECT", "_PROFILE", "_VERSION")
"""How the names of variables end that hold no secret."""


class OpenAISettings(Struct, frozen=True, kw_only=True):
    """How to reach OpenAI, or any server that speaks its protocol."""

    api_key: Annotated[
        Secret | None,
        Meta(description="The key. `OPENAI_API_KEY` is honoured too.", examples=["${OPENAI_API_KEY}"]),
    ] = None
    """The key; hidden in every text form."""
    base_url: Annotated[
        str,
        Meta(
            description="Where the server is, when it is not OpenAI's own. `OPENAI_BASE_URL` is honoured too.",
            examples=["http://127.0.0.1:8000/v1"],
        ),
    ] = ""
    """Where the server is; empty for OpenAI's own."""


Count = Annotated[int, Meta(gt=0)]
Amount = Annotated[float, Meta(gt=0, le=1e9)]
Share = Annotated[float, Meta(gt=0, le=1)]


class LimitSettings(Struct, frozen=True, kw_only=True):
    """The most that any run may use, whatever its agent's own limits say; unset means that the agent's own hold."""

    steps: Annotated[Count | None, Meta(description="Model calls of one agent.", examples=[25])] = None
    """Model calls of one agent."""
    seconds: Annotated[Amount | None, Meta(description="Wall time of a run.", examples=[600])] = None
    """Wall time of a run."""
    cost_usd: Annotated[Amount | None, Meta(description="US dollars for a run.", examples=[0.5])] = None
    """US dollars for a run; needs a model whose price is known."""
    tokens: Annotated[Count | None, Meta(description="Tokens for a run.", examples=[100_000])] = None
    """Input and output tokens for a run."""
    repeated_calls: Annotated[Count | None, Meta(description="The same call in one run.", examples=[3])] = None
    """How often the same tool may be called with the same arguments."""
    depth: Annotated[Count | None, Meta(description="How deep agents may delegate.", examples=[5])] = None
    """How deep agents may delegate to agents."""
    tool_calls: Annotated[Count | None, Meta(description="Tool calls of one agent.", examples=[1000])] = None
    """Tool calls of one agent."""


class ProbeSettings(Struct, frozen=True, kw_only=True):
    """Which targets network tools may reach."""

    allow: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Targets beside those the principal may probe anyway: `loopback`, `private`, `public`, host names, "
                "addresses and networks. Link-local and metadata addresses are never reached."
            ),
            examples=[["10.0.0.0/8", "db.internal"]],
        ),
    ] = ()
    """Targets beside those the principal may probe anyway."""
    databases: Annotated[
        dict[str, Secret],
        Meta(
            description=(
                "Databases and servers that tools may look at, by names of yours: addresses that begin with "
                "`postgresql://` or `redis://`. Give them a login that may only read."
            ),
            examples=[{"shop": "${file:/run/secrets/shop_database}"}],
        ),
    ] = {}
    """Databases and servers that tools may look at, by name; their addresses are hidden in every text form."""


class ModelClasses(Struct, frozen=True, kw_only=True):
    """Which model an agent gets by how able a one it needs."""

    small: Annotated[
        str,
        Meta(description="For one kind of task, quickly; `model` when empty.", examples=["openai:gpt-5-mini"]),
    ] = ""
    """For one kind of task, quickly; the usual model when empty, as for the others."""
    standard: Annotated[str, Meta(description="For most work; `model` when empty.", examples=["openai:gpt-5.2"])] = ""
    """For most work."""
    large: Annotated[
        str, Meta(description="For much text at once; `model` when empty.", examples=["google:gemini-3-pro"])
    ] = ""
    """For much text at once."""
    reasoning: Annotated[
        str, Meta(description="For hard thinking; `model` when empty.", examples=["anthropic:claude-opus-4-5"])
    ] = ""
    """For hard thinking."""


class AgentSettings(Struct, frozen=True, kw_only=True):
    """Where agent files are, beside the built-in ones."""

    directories: Annotated[
        tuple[str, ...],
        Meta(description="Directories of agent files, relative to the settings file.", examples=[["agents"]]),
    ] = ()
    """Directories of agent files; absolute once loaded."""
    workflows: Annotated[
        tuple[str, ...],
        Meta(description="Directories of workflow files, relative to the settings file.", examples=[["workflows"]]),
    ] = ()
    """Directories of workflow files; absolute once loaded."""
    may_replace: Annotated[
        bool, Meta(description="Whether an agent file may stand in for a built-in agent.", examples=[True])
    ] = False
    """Whether a file marked `replaces = true` may stand in for a built-in agent."""
    index: Annotated[
        str,
        Meta(
            description=(
                "A directory for what is known of agent files, so that commands which list them read only those that "
                "have changed. Nothing is kept without one."
            ),
            examples=["/var/cache/quorate"],
        ),
    ] = ""
    """A directory for what is known of agent files, absolute once loaded; empty for none."""
    models: ModelClasses = ModelClasses()
    """Which model an agent gets by how able a one its file asks for."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """How this process owns runs, and takes over those that nobody works on."""

    lease_s: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="After how many seconds without a sign an owner counts as dead.", examples=[10]
        ),
    ] = 10.0
    """After how many seconds without a sign an owner counts as dead."""
    concurrency: Annotated[
        int, Meta(gt=0, le=10_000, description="How many runs a worker does at once.", examples=[16])
    ] = 16
    """How many runs a worker does at once."""
    max_crashes: Annotated[
        int,
        Meta(gt=0, le=100, description="After how many workers that died of it a run is put aside.", examples=[5]),
    ] = 5
    """After how many workers that died of it a run is put aside."""
    patience_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="How long a run waits for a database that is away.", examples=[60]),
    ] = 60.0
    """How long a run waits for a database that cannot be reached, in seconds; its attempt then ends, resumable."""
    agents: Annotated[
        tuple[str, ...],
        Meta(
            description="Which agents a worker does, by name or glob. Without any: all that it knows.",
            examples=[["network-diagnostics", "host*"]],
        ),
    ] = ()
    """Which agents a worker does, by name or glob; empty for all that it knows."""
    capabilities: Annotated[
        tuple[str, ...],
        Meta(description="What a worker offers to agents that require it.", examples=[["gpu"]]),
    ] = ()
    """What a worker offers to agents that require it."""
    beat_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="How often a worker writes that it is there.", examples=[10]),
    ] = 10.0
    """How often a worker writes its row in the registry, in seconds; it is gone after three of them are missed."""
    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="How long runs may still end by themselves when their worker is told to stop.",
            examples=[20],
        ),
    ] = 0.0
    """How long runs may still end by themselves before a worker that is told to stop hands them over, in seconds."""
    max_memory_mb: Annotated[
        Count | None,
        Meta(description="From how much memory on a worker takes no more runs, in megabytes.", examples=[800]),
    ] = None
    """From how many megabytes of 1,000,000 bytes on a worker takes no more runs."""
    max_memory_share: Annotated[
        Share | None,
        Meta(
            description="The same as a share of what its container, or else its machine, has.",
            examples=[0.8],
        ),
    ] = None
    """From which share of its container's or machine's memory on a worker takes no more runs."""


class ArtifactSettings(Struct, frozen=True, kw_only=True):
    """Where bytes that are too large for messages go."""

    store: Annotated[
        str,
        Meta(
            description=(
                "Where artifacts are: a directory, or `s3://bucket/prefix`. Without one: in the database beside the "
                "runs."
            ),
            examples=["/var/lib/quorate/artifacts"],
        ),
    ] = ""
    """A directory (absolute once loaded) or a bucket; empty for the database."""
    max_mb: Annotated[int, Meta(gt=0, le=1_000_000, description="The most one artifact may have.", examples=[100])] = (
        100
    )
    """The most one artifact may have, in megabytes of 1,000,000 bytes."""
    keys: Annotated[
        Secret | None,
        Meta(
            description=(
                "Keys to encrypt artifacts with: `id:base64` of 32 bytes each, with commas between, the newest last. "
                "Older ones still open what they closed."
            ),
            examples=["${QUORATE_ARTIFACT_KEYS}"],
        ),
    ] = None
    """Keys to encrypt artifacts with; hidden in every text form."""
    above_kb: Annotated[
        int,
        Meta(gt=0, le=65_536, description="Above what a tool's result becomes an artifact.", examples=[64]),
    ] = 64
    """Above how many kilobytes of 1,024 bytes a tool's result becomes an artifact."""


class BusSettings(Struct, frozen=True, kw_only=True):
    """How processes that share a database tell each other at once what it tells them a little later."""

    url: Annotated[
        str,
        Meta(
            description=(
                "The NATS server over which processes wake each other, or several of a cluster with commas between. "
                "Without one they find work by looking. `QUORATE_BUS_URL` is the same."
            ),
            examples=["tls://nats.internal:4222"],
        ),
    ] = ""
    """Where the servers are, with commas between; empty for no bus."""
    token: Annotated[
        Secret | None, Meta(description="The token that lets us in there.", examples=["${NATS_TOKEN}"])
    ] = None
    """A token that lets us in; hidden in every text form."""
    credentials_file: Annotated[
        str, Meta(description="The credentials file (`.creds`) that lets us in there.", examples=["worker.creds"])
    ] = ""
    """A credentials file; absolute once loaded."""
    nkey_file: Annotated[
        str, Meta(description="The file with the NKEY seed that lets us in there.", examples=["worker.nk"])
    ] = ""
    """A file with an NKEY seed; absolute once loaded."""
    ca_file: Annotated[
        str,
        Meta(
            description="Whose certificates are believed there. Without one: the system's own list.",
            examples=["ca.pem"],
        ),
    ] = ""
    """Whose certificates are believed; absolute once loaded. With one, the connection always is secured."""
    cert_file: Annotated[str, Meta(description="Our own certificate, where it is asked for.", examples=["us.pem"])] = ""
    """Our own certificate; absolute once loaded."""
    key_file: Annotated[str, Meta(description="The private key of that certificate.", examples=["us.key"])] = ""
    """The key of our certificate; absolute once loaded."""
    tenant: Annotated[
        str, Meta(description="As which tenant of the bus the fleet talks there.", examples=["default"])
    ] = "default"
    """As which tenant of the bus the fleet talks."""
    principal: Annotated[
        str, Meta(description="As whom we talk there: answers come to that one's inbox.", examples=["worker"])
    ] = "local"
    """As whom we talk."""
    events: Annotated[
        bool,
        Meta(
            description=(
                "Whether what happens in runs is told as events over the bus, and kept there to be read again. All "
                "processes of a database say the same."
            ),
            examples=[True],
        ),
    ] = False
    """Whether what happens in runs is told as events over the bus; a worker of all does it."""


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """Who outside is told of what happens, by webhooks."""

    enabled: Annotated[
        bool,
        Meta(
            description=(
                "Whether what happens is kept for webhooks, and workers deliver it. All processes of a database say "
                "the same."
            ),
            examples=[True],
        ),
    ] = False
    """Whether what happens is kept for webhooks, and workers deliver it."""
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Where webhooks may be beside public addresses: `loopback`, `private`, addresses and networks. "
                "Link-local and metadata addresses are never reached."
            ),
            examples=[["10.2.0.0/16"]],
        ),
    ] = ()
    """Where webhooks may be beside public addresses."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """How runs are reached over HTTP."""

    host: Annotated[str, Meta(description="At which address `quorate serve` listens.", examples=["127.0.0.1"])] = (
        "127.0.0.1"
    )
    """At which address it listens."""
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="At which port; 0 for any that is free.", examples=[8080])
    ] = 8080
    """At which port it listens; 0 for any that is free."""
    open: Annotated[
        bool,
        Meta(
            description="Whether requests without a key are let in, as an operator; on loopback only.", examples=[False]
        ),
    ] = False
    """Whether requests without a key are let in, as an operator; on loopback only."""
    works: Annotated[
        bool, Meta(description="Whether the server does runs itself, or leaves them to workers.", examples=[False])
    ] = True
    """Whether the server does runs itself, or leaves them to workers."""
    secret: Annotated[
        Secret | None,
        Meta(
            description=(
                "What API keys are hashed with: 32 random bytes in hexadecimal, the same for all servers of a "
                "database. Without one, a file beside the database holds it."
            ),
            examples=["${QUORATE_KEY_SECRET}"],
        ),
    ] = None
    """What API keys are hashed with; hidden in every text form."""
    former_secret: Annotated[
        Secret | None,
        Meta(
            description=(
                "What `secret` was before: keys that were hashed with it go on working, and are hashed anew when they "
                "are used."
            ),
            examples=["${QUORATE_FORMER_KEY_SECRET}"],
        ),
    ] = None
    """What API keys were hashed with before; hidden in every text form."""
    issuers: Annotated[
        tuple[Issuer, ...],
        Meta(
            description="Identity providers whose signed tokens (JWT) are let in beside API keys, one table for each.",
            examples=[[{"issuer": "https://id.acme.com", "audience": "quorate", "tenant": "acme",
                        "roles": {"ops": "operator"}}]],
        ),
    ] = ()  # fmt: skip
    """Identity providers whose signed tokens are let in beside API keys."""
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Which `Host` headers are answered; all of them without any.", examples=[["agents.acme.com"]]),
    ] = ()
    """Which `Host` headers are answered; all of them without any."""
    origins: Annotated[
        tuple[str, ...],
        Meta(description="Web pages of which origins may ask (CORS).", examples=[["https://console.acme.com"]]),
    ] = ()
    """Web pages of which origins may ask."""
    connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="How many connections one address may have at once; more where a proxy is in front.",
            examples=[10_000],
        ),
    ] = 1_000
    """How many connections one address may have at once."""
    requests: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="How many requests may be answered at once, streams apart; more are refused at once with 503.",
            examples=[500],
        ),
    ] = 1_000
    """How many requests may be answered at once, streams apart; more are refused at once."""
    memory_mb: Annotated[
        Count | None,
        Meta(
            description="How much memory the server may have: from four fifths of it on, new requests are refused.",
            examples=[512],
        ),
    ] = None
    """How much memory the server may have; from four fifths of it on, new requests are refused."""
    operator_tenant: Annotated[
        str,
        Meta(
            description="The tenant whose keys are about all tenants: its admins make, suspend and bound them.",
            examples=["platform"],
        ),
    ] = ""
    """The tenant whose keys are about all tenants."""
    proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of proxies whose `X-Forwarded-For` is believed.",
            examples=[["10.0.0.5", "10.1.0.0/16"]],
        ),
    ] = ()
    """Addresses or networks of proxies whose `X-Forwarded-For` is believed."""
    guesses: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="How many requests of one address may let nobody in within a minute.",
            examples=[60],
        ),
    ] = 60
    """How many requests of one address may let nobody in within a minute."""
    metrics: Annotated[
        bool, Meta(description="Whether counts are kept and answered at `/metrics`.", examples=[True])
    ] = True  # fmt: skip
    """Whether counts are kept and answered at `/metrics`."""


class SecretSettings(Struct, frozen=True, kw_only=True):
    """Where secrets are kept that a setting refers to as `${file:…}` or `${vault:…}`, and how they are read there."""

    refresh_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="How often secrets that are kept elsewhere are looked at again.", examples=[5]),
    ] = 10.0
    """How often secrets that are kept elsewhere are looked at again, in seconds."""
    credentials: Annotated[
        dict[str, Secret],
        Meta(
            description="What model providers need, by the names of the variables that would hold it.",
            examples=[{"GROQ_API_KEY": "${file:/run/secrets/groq}"}],
        ),
    ] = {}
    """What model providers need, by the names of the variables that would hold it; hidden in every text form."""
    vault_url: Annotated[
        str, Meta(description="Where Vault is.", examples=["https://vault.internal:8200"])
    ] = ""  # fmt: skip
    """Where Vault is; empty for none."""
    vault_token: Annotated[
        Secret | None, Meta(description="The token that Vault knows us by.", examples=["${file:/run/secrets/vault}"])
    ] = None
    """The token that Vault knows us by; hidden in every text form."""
    vault_role: Annotated[
        str,
        Meta(description="The role to log in as with the pod's account of Kubernetes.", examples=["quorate"]),
    ] = ""
    """The role to log in as with the pod's account of Kubernetes."""
    vault_mount: Annotated[
        str, Meta(description="Where Vault has its login by Kubernetes.", examples=["kubernetes"])
    ] = "kubernetes"  # fmt: skip
    """Where Vault has its login by Kubernetes."""
    vault_token_file: Annotated[
        str,
        Meta(
            description="Where Kubernetes writes the token of the pod's account.",
            examples=["/var/run/secrets/kubernetes.io/serviceaccount/token"],
        ),
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
    """Where Kubernetes writes the token of the pod's account."""
    vault_namespace: Annotated[
        str, Meta(description="The namespace in Vault, where it has several.", examples=["team-a"])
    ] = ""  # fmt: skip
    """The namespace in Vault, where it has several."""


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """What of what happens is shown to those who operate this; nothing is, until one of these says so."""

    endpoint: Annotated[
        str,
        Meta(
            description="Where traces and counts are sent by OTLP; for HTTP without the path.",
            examples=["http://127.0.0.1:4318"],
        ),
    ] = ""
    """Where traces and counts are sent by OTLP."""
    protocol: Annotated[
        Literal["http/protobuf", "grpc"], Meta(description="What the receiver speaks.", examples=["grpc"])
    ] = "http/protobuf"
    """What the receiver speaks."""
    headers: Annotated[
        Secret | None,
        Meta(description="Headers for the receiver, as `name=value,name=value`.", examples=["${OTLP_HEADERS}"]),
    ] = None
    """Headers for the receiver; hidden in every text form."""
    console: Annotated[
        bool, Meta(description="Whether spans are printed on standard error, for development.", examples=[True])
    ] = False
    """Whether spans are printed."""
    metrics: Annotated[
        str,
        Meta(
            description="Where Prometheus may scrape a worker: a port of this machine, on loopback.",
            examples=["127.0.0.1:9464"],
        ),
    ] = ""
    """Where Prometheus may scrape a worker; loopback only."""
    share: Annotated[float, Meta(ge=0, le=1, description="The share of traces that is shown.", examples=[0.1])] = 1.0
    """The share of traces that is shown, 0 to 1."""
    keep_errors: Annotated[
        bool, Meta(description="Whether traces of runs that failed are shown anyway.", examples=[True])
    ] = True
    """Whether traces of runs that failed are shown though they were not drawn."""
    keep_slower_s: Annotated[
        Amount | None,
        Meta(description="From how many seconds on a run's trace is shown anyway.", examples=[30]),
    ] = None
    """From how many seconds on a run's trace is shown though it was not drawn."""
    content: Annotated[
        bool,
        Meta(description="Whether traces hold what people, models and tools said. It may be private.", examples=[True]),
    ] = False
    """Whether traces hold what people, models and tools said."""
    interval_s: Annotated[float, Meta(gt=0, le=3600, description="How often what happened is sent.", examples=[5])] = (
        5.0
    )
    """How often what happened is sent, in seconds."""
    logs: Annotated[
        bool, Meta(description="Whether what is logged is sent to the receiver, too.", examples=[True])
    ] = False  # fmt: skip
    """Whether what is logged is sent to the receiver, too."""
    objectives: Annotated[
        str, Meta(description="A file that says what is promised, instead of ours.", examples=["objectives.toml"])
    ] = ""  # fmt: skip
    """A file that says what is promised, instead of ours."""

    @property
    def is_on(self) -> bool:
        """Whether anything is shown to anybody."""
        return bool(self.endpoint or self.metrics or self.console)

    @property
    def shows_traces(self) -> bool:
        """Whether traces are shown to anybody; then those whom we ask are told of theirs."""
        return bool(self.endpoint or self.console)


class Settings(Struct, frozen=True, kw_only=True):
    """Everything Quorate is told from outside, checked; built by `load_settings`."""

    environment: Annotated[
        Environment, Meta(description="Which overlay applies. `QUORATE_ENV` is the same.", examples=["prod"])
    ] = "dev"
    """Which overlay applied."""
    database: Annotated[
        str,
        Meta(
            description=(
                "Where everything is kept: the path of an SQLite file, or the URL of a PostgreSQL database. Without "
                "one: `.quorate/quorate.db` beside the settings file, or `$XDG_DATA_HOME/quorate/quorate.db` where "
                "there is none."
            ),
            examples=["/var/lib/quorate/quorate.db", "postgresql://quorate@db.internal/quorate"],
        ),
    ] = ""
    """The SQLite file, absolute once loaded, or the URL of a PostgreSQL database."""
    database_tenant_role: Annotated[
        str,
        Meta(
            description=(
                "A role of PostgreSQL under which requests read, bound by row-level security to the tenant that asks; "
                "without one, only Quorate's own filters keep tenants apart."
            ),
            examples=["quorate_tenant"],
        ),
    ] = ""
    """A role of PostgreSQL under which requests read, bound to the tenant that asks; empty for none."""
    model: Annotated[
        str,
        Meta(
            description=(
                "The model of agents: `provider:name`, or `playbook`, or `auto`: an agent's own playbook, which needs "
                "no language model."
            ),
            examples=["openai:gpt-5.2"],
        ),
    ] = "auto"
    """The model of agents."""
    gateway: Annotated[
        str,
        Meta(
            description=(
                "The gateway file: providers of your own, prices, routes, limits, budgets, cache and guards. Without "
                "one, models are asked by their own names."
            ),
            examples=["gateway.toml"],
        ),
    ] = ""
    """The gateway file, absolute once loaded; empty for none."""
    workspace: Annotated[
        str,
        Meta(
            description=(
                "The only directory that file tools may read. Without one: whatever the local operator may read, "
                "with relative names from the current directory."
            ),
            examples=["/srv/work"],
        ),
    ] = ""
    """The only directory that file tools may read; absolute once loaded, empty for no confinement."""
    log_level: Annotated[Level, Meta(description="What is logged to standard error.", examples=["info"])] = "warning"
    """What is logged to standard error."""
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description="How it is logged: for people, or a line of JSON each with its trace.", examples=["json"]),
    ] = "text"
    """How it is logged."""
    openai: OpenAISettings = OpenAISettings()
    """How to reach OpenAI, or a server that speaks its protocol."""
    limits: LimitSettings = LimitSettings()
    """The most that any run may use."""
    probe: ProbeSettings = ProbeSettings()
    """Which targets network tools may reach."""
    agents: AgentSettings = AgentSettings()
    """Where agent files are."""
    worker: WorkerSettings = WorkerSettings()
    """How this process owns runs."""
    artifacts: ArtifactSettings = ArtifactSettings()
    """Where bytes that are too large for messages go."""
    memory: MemorySettings = MemorySettings()
    """How long hives remember what."""
    council: CouncilSettings = CouncilSettings()
    """What decisions are vouched for by."""
    trust: TrustSettings = TrustSettings()
    """How far members of councils and teams are relied on."""
    bus: BusSettings = BusSettings()
    """How processes tell each other what is new."""
    webhooks: WebhookSettings = WebhookSettings()
    """Who outside is told of what happens."""
    server: ServerSettings = ServerSettings()
    """How runs are reached over HTTP."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """What of what happens is shown to those who operate this."""
    secrets: SecretSettings = SecretSettings()
    """Where secrets are kept that other settings refer to."""
    credentials: dict[str, Secret] = {}
    """What other model providers need, as variables such as `GROQ_API_KEY` gave it; no setting itself."""

    def list_secrets(self) -> tuple[Secret, ...]:
        """List every secret there is, so that what is written for others can be kept free of them."""
        return tuple({id(secret): secret for secret in _find_secrets(self, ())}.values())

    def list_secret_texts(self) -> list[str]:
        """List what may be shown to nobody: the present values of all secrets, and what they were just before."""
        texts: list[str] = []
        for secret in self.list_secrets():
            texts += secret.list_values() if isinstance(secret, KeptSecret) else (secret.reveal(),)
        return texts

    def list_kept_secrets(self) -> tuple[KeptSecret, ...]:
        """List the secrets that are kept elsewhere, and may change while we run."""
        return tuple(secret for secret in self.list_secrets() if isinstance(secret, KeptSecret))

    @property
    def is_server(self) -> bool:
        """Whether the database is a server's, not a file."""
        return "://" in self.database

    @property
    def keeps_notices(self) -> bool:
        """Whether the database notes what others are told of: over the bus, or by webhooks."""
        return bool(self.bus.events and self.bus.url) or self.webhooks.enabled

    def without_notices(self) -> Settings:
        """Return the same settings for somebody of whose work nobody is told."""
        quiet = structs.replace(self.webhooks, enabled=False)
        return structs.replace(self, bus=structs.replace(self.bus, events=False), webhooks=quiet)

    def build_database_url(self) -> Secret:
        """Return the URL to connect to a database server with, its password put back in."""
        password = self.credentials.get(DATABASE_PASSWORD)
        if password is None:
            return Secret(self.database)
        parts = urlsplit(self.database)
        user, _, host = parts.netloc.rpartition("@")
        place = f"{user}:{quote(password.reveal(), safe='')}@{host}"
        return Secret(parts._replace(netloc=place).geturl())

    def find_credential(self, name: str) -> str | None:
        """Find what a model provider needs, by the name of its environment variable; `None` when it is not set.

        Args:
            name: Such as `OPENAI_API_KEY`.
        """
        if name == "OPENAI_API_KEY":
            key = self.openai.api_key or self.credentials.get(name)
            return key.reveal() if key else None
        if name == "OPENAI_BASE_URL":
            return self.openai.base_url or None
        found = self.credentials.get(name)
        return found.reveal() if found else None


def _find_secrets(value: object, place: tuple[str, ...]) -> Iterator[Secret]:
    """Find the secrets in settings; a new one is found without being named here."""
    if isinstance(value, Secret):
        # What is secret in an address or a login is not its region.
        if not place[-1].endswith(PLAIN):
            yield value
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _find_secrets(getattr(value, name), (*place, name))
    elif isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from _find_secrets(inner, (*place, name))
    elif isinstance(value, tuple):
        for inner in cast("tuple[object, ...]", value):
            yield from _find_secrets(inner, place)


def cap_limits(limits: Limits, caps: LimitSettings) -> Limits:
    """Return limits of which none is above what the settings allow."""
    bounds = {name: value for name, value in structs.asdict(caps).items() if value is not None}
    own = structs.asdict(limits)
    return structs.replace(limits, **{k: v if own[k] is None else min(v, own[k]) for k, v in bounds.items()})
