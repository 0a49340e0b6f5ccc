"""Are settings read from every place, in the declared order, and is everything wrong found at once?"""

import pickle
import pprint
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.context.memory.kinds import KINDS
from quorate.council.trust import TrustRules
from quorate.errors import InvalidFiles
from quorate.models.facts import PLACE, load_table
from quorate.security.secrets import encode_secret
from quorate.settings import Settings, load_settings, read_settings
from quorate.settings.load import list_rows

KEY = "sk-live-0123456789abcdef"
HIDDEN = {"PEPPER": bytes(range(32)).hex(), "HEADERS": "authorization=Bearer-of-a-token"}


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def find_faults(folder: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidFiles) as caught:
        load_settings(folder, environ or {})
    return list(caught.value.faults)


def test_without_anything_defaults_hold(tmp_path: Path) -> None:
    """No file, no variable: the database goes where the desktop standard says. row: C6"""
    settings = load_settings(tmp_path, {"HOME": "/home/ann"})
    assert settings == Settings(database="/home/ann/.local/share/quorate/quorate.db")


def test_the_data_directory_of_the_standard_is_honoured(tmp_path: Path) -> None:
    """`XDG_DATA_HOME` wins over the home; a relative one is ignored, as the standard asks."""
    assert load_settings(tmp_path, {"XDG_DATA_HOME": "/data"}).database == "/data/quorate/quorate.db"
    assert load_settings(tmp_path, {"XDG_DATA_HOME": "data", "HOME": "/h"}).database.startswith("/h/")
    assert load_settings(tmp_path, {}).database == str(tmp_path / ".quorate/quorate.db")


def test_a_project_keeps_its_own_database(tmp_path: Path) -> None:
    """Beside a settings file, the log belongs to the project."""
    write(tmp_path, "quorate.toml", "")
    assert load_settings(tmp_path, {"HOME": "/home/ann"}).database == str(tmp_path / ".quorate/quorate.db")


def test_every_key_can_be_written_in_a_file(tmp_path: Path) -> None:
    """One file with everything in it. row: C6"""
    (tmp_path / "agents").mkdir()
    (tmp_path / "work").mkdir()
    write(
        tmp_path,
        "quorate.toml",
        f"""
        environment = "staging"
        database = "data/log.db"
        database_tenant_role = "quorate_tenant"
        model = "openai:gpt-5.2"
        gateway = "gateway.toml"
        workspace = "work"
        log_level = "info"
        log_format = "json"
        [openai]
        api_key = "{KEY}"
        base_url = "http://127.0.0.1:8000/v1/"
        [limits]
        steps = 5
        seconds = 60
        cost_usd = 0.5
        tokens = 1000
        repeated_calls = 2
        depth = 1
        tool_calls = 7
        [probe]
        allow = ["private", "10.0.0.0/8", "db.internal", "2001:db8::1"]
        [probe.databases]
        shop = "postgresql://reader@db/shop"
        [agents]
        directories = ["agents"]
        workflows = ["agents"]
        may_replace = true
        index = "known"
        [agents.models]
        small = "openai:gpt-5-mini"
        standard = "openai:gpt-5.2"
        large = "google:gemini-3-pro"
        reasoning = "anthropic:claude-opus-4-5"
        [worker]
        lease_s = 5
        concurrency = 4
        max_crashes = 2
        patience_s = 30
        agents = ["net", "host*"]
        capabilities = ["gpu"]
        beat_s = 3
        grace_s = 20
        max_memory_mb = 800
        max_memory_share = 0.8
        [artifacts]
        store = "kept"
        max_mb = 5
        keys = "${{KEYS}}"
        above_kb = 32
        [memory.working]
        max_entries = 10
        max_kb = 20
        ttl_s = 30
        half_life_s = 40
        [memory.episodic]
        max_entries = 10
        max_kb = 20
        ttl_s = 30
        half_life_s = 40
        [memory.semantic]
        max_entries = 10
        max_kb = 20
        ttl_s = 30
        half_life_s = 40
        [memory.procedural]
        max_entries = 10
        max_kb = 20
        ttl_s = 30
        half_life_s = 40
        [memory.collective]
        max_entries = 10
        max_kb = 20
        ttl_s = 30
        half_life_s = 40
        [trust]
        half_life_days = 60
        floor = 0.1
        ceiling = 0.9
        prior = 0.4
        source_cap = 3
        [bus]
        url = "tls://nats-1.internal, tls://nats-2.internal:4223"
        token = "${{TOKEN}}"
        credentials_file = "us.creds"
        nkey_file = "us.nk"
        ca_file = "ca.pem"
        cert_file = "us.pem"
        key_file = "us.key"
        tenant = "acme"
        principal = "worker"
        events = true

        [webhooks]
        enabled = true
        allow = ["loopback"]
        [council]
        secret = "${{PEPPER}}"
        former_secret = "${{PEPPER}}"
        [server]
        host = "0.0.0.0"
        port = 8443
        open = false
        works = false
        secret = "${{PEPPER}}"
        former_secret = "${{PEPPER}}"
        hosts = ["agents.acme.com"]
        origins = ["https://console.acme.com"]
        connections = 5000
        requests = 500
        memory_mb = 512
        operator_tenant = "platform"
        proxies = ["10.0.0.5", "10.1.0.0/16"]
        guesses = 10
        metrics = false
        [[server.issuers]]
        issuer = "https://id.acme.com"
        audience = "quorate"
        tenant = "acme"
        roles = {{ ops = "operator" }}
        [secrets]
        refresh_s = 2
        vault_url = "https://vault.internal:8200/"
        vault_token = "${{TOKEN}}"
        vault_role = "quorate"
        vault_mount = "cluster-a"
        vault_token_file = "/run/account"
        vault_namespace = "team-a"
        [secrets.credentials]
        GROQ_API_KEY = "${{TOKEN}}"
        MISTRAL_API_KEY = "${{vault:secret/providers#mistral}}"
        [telemetry]
        endpoint = "http://127.0.0.1:4317"
        protocol = "grpc"
        headers = "${{HEADERS}}"
        console = true
        metrics = "127.0.0.1:9464"
        share = 0.1
        keep_errors = false
        keep_slower_s = 30
        content = true
        interval_s = 2
        logs = true
        objectives = "objectives.toml"
        """,
    )
    for name in ("us.creds", "us.nk", "ca.pem", "us.pem", "us.key"):
        write(tmp_path, name, "")
    write(tmp_path, "gateway.toml", "")
    write(tmp_path, "objectives.toml", "")
    loaded = read_settings(tmp_path, {"KEYS": "k1:c2VjcmV0", "TOKEN": "let-me-in", **HIDDEN})
    settings = loaded.settings
    assert settings.environment == "staging"
    assert (settings.worker.lease_s, settings.worker.concurrency) == (5.0, 4)
    assert (settings.worker.agents, settings.worker.capabilities) == (("net", "host*"), ("gpu",))
    assert (settings.worker.max_memory_mb, settings.worker.max_memory_share) == (800, 0.8)
    assert (settings.artifacts.store, settings.artifacts.max_mb) == (str(tmp_path / "kept"), 5)
    assert settings.artifacts.keys is not None
    assert "c2VjcmV0" not in repr(settings)
    rules = settings.memory.build_rules()
    assert {rules.get(kind).half_life_s for kind in KINDS} == {40}
    assert settings.trust.build_rules() == TrustRules(
        half_life_days=60, floor=0.1, ceiling=0.9, prior=0.4, source_cap=3
    )  # fmt: skip
    assert settings.bus.url == "tls://nats-1.internal,tls://nats-2.internal:4223"
    assert settings.bus.token is not None
    assert settings.bus.token in settings.list_secrets()
    assert "let-me-in" not in repr(settings)
    assert settings.bus.key_file == str(tmp_path / "us.key")
    assert (settings.bus.tenant, settings.bus.principal) == ("acme", "worker")
    assert settings.bus.events
    assert settings.keeps_notices
    assert (settings.webhooks.enabled, settings.webhooks.allow) == (True, ("loopback",))
    assert (settings.server.port, settings.server.works, settings.server.hosts) == (8443, False, ("agents.acme.com",))
    assert (settings.server.operator_tenant, settings.server.guesses) == ("platform", 10)
    assert settings.server.proxies == ("10.0.0.5", "10.1.0.0/16")
    assert (settings.telemetry.protocol, settings.telemetry.share) == ("grpc", 0.1)
    assert settings.telemetry.is_on
    assert (settings.telemetry.logs, settings.server.metrics) == (True, False)
    assert settings.telemetry.objectives == str(tmp_path / "objectives.toml")
    assert {settings.server.secret, settings.telemetry.headers} <= {*settings.list_secrets()}
    assert not any(secret in repr(settings) for secret in HIDDEN.values())
    assert settings.log_format == "json"
    assert settings.database == str(tmp_path / "data/log.db")
    assert settings.workspace == str(tmp_path / "work")
    assert settings.gateway == str(tmp_path / "gateway.toml")
    assert settings.openai.api_key is not None
    assert settings.openai.api_key.reveal() == KEY
    assert settings.openai.base_url == "http://127.0.0.1:8000/v1"
    assert settings.limits.seconds == 60.0
    assert settings.probe.allow == ("private", "10.0.0.0/8", "db.internal", "2001:db8::1")
    assert settings.agents.directories == settings.agents.workflows == (str(tmp_path / "agents"),)
    assert settings.agents.may_replace
    assert settings.agents.index == str(tmp_path / "known")
    assert settings.agents.models.small == "openai:gpt-5-mini"
    assert {origin for _, _, origin in list_rows(loaded)} <= {f"quorate.toml:{n}" for n in range(2, 200)}


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    """Each with its file, line and key, and what to write instead. row: C6"""
    write(
        tmp_path,
        "quorate.toml",
        'datbase = "x"\n'
        'log_level = "loud"\n'
        "base_url = 3\n"
        "openai = 4\n"
        "[limits]\n"
        "steps = 0\n"
        'seconds = "soon"\n'
        "[probe]\n"
        'allow = ["169.254.169.254", "10.0.0.0/8", "not a host"]\n'
        "[env.production]\n"
        "[env.staging.limits]\n"
        "step = 3\n",
    )
    write(tmp_path, "quorate.prod.toml", 'log_level = "quiet"\n')
    write(tmp_path, ".env", "QUORATE_MODLE=x\nnonsense\nOPENAI_BASE_URL='ftp://x\n")
    assert find_faults(tmp_path, {"QUORATE_LIMITS__DEPTH": "deep", "QUORATE_OPENAI__KEY": "x"}) == [
        ".env:1: there is no setting `QUORATE_MODLE`; did you mean `QUORATE_MODEL`?",
        ".env:2: this sets nothing; write `NAME=value`, or begin the line with `#`",
        ".env:3: the quotes of `OPENAI_BASE_URL` are not closed on this line, or text follows them",
        (
            "environment: `QUORATE_LIMITS__DEPTH`: 'deep' does not fit: expected `int`, got `str`; "
            "write for example `depth = 5`"
        ),
        "environment: there is no setting `QUORATE_OPENAI__KEY`; did you mean `QUORATE_OPENAI__API_KEY`?",
        'quorate.prod.toml:1: `log_level`: \'quiet\' is unknown; write one of `"debug"`, `"info"`, `"warning"`, `"error"`',
        "quorate.toml:1: `datbase` is no setting; did you mean `database`?",
        'quorate.toml:2: `log_level`: \'loud\' is unknown; write one of `"debug"`, `"info"`, `"warning"`, `"error"`',
        "quorate.toml:3: `base_url` is no setting; did you mean `openai.base_url`?",
        "quorate.toml:4: `openai` must be a table; write it as `[openai]`",
        "quorate.toml:6: `limits.steps`: 0 is not more than 0; write for example `steps = 25`",
        (
            "quorate.toml:7: `limits.seconds`: 'soon' does not fit: expected `float`, got `str`; "
            "write for example `seconds = 600`"
        ),
        (
            "quorate.toml:9: `probe.allow`: '169.254.169.254' is link-local or metadata, which is never reached; take it out; "
            "'not a host' is no target; write `loopback`, `private`, `public`, a host name, an address or a network"
        ),
        "quorate.toml:10: `env.production` is no environment; known: `dev`, `prod`, `staging`",
        "quorate.toml:12: `env.staging.limits.step` is no setting; did you mean `steps`?",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('model = "gpt-5"', "'gpt-5' is no model; write `provider:model`, `playbook`, or `auto`"),
        ('model = "opnai:gpt-5"', "There is no model provider 'opnai'. Did you mean `openai`?"),
        (
            'database = "mysql://db/x"',
            "`mysql:` databases are not supported; write the path of an SQLite file, or `post",
        ),
        (
            'database = "postgresql://db"',
            "it is no URL of a PostgreSQL database; write one such as `postgresql://user@",
        ),
        ('database = "postgresql://db:port/x"', "it is no URL of a PostgreSQL database"),
        (
            'artifacts.store = "ftp://host/x"',
            "`ftp:` is no place for artifacts; write a directory, or `s3://bucket/prefix`",
        ),
        ('database = " "', "' ' is no path; write one such as `data/quorate.db`"),
        ('workspace = "nowhere"', "create it, or write another"),
        ('openai.base_url = "https://user:pw@host/v1"', "it may hold no user, password, query or fragment"),
        ('openai.api_key = "two words"', "the key is empty, or holds a space or a character no key has"),
        ("openai.api_key = 12345", "expected text"),
        ('agents.directories = "agents"', 'expected a list, got `str`; write for example `directories = ["agents"]`'),
        ('server.proxies = ["proxy"]', "'proxy' is no address of a proxy; write one such as `10.0.0.5`"),
        ('server.operator_tenant = "The Boss"', "name 'The Boss' is not an identifier"),
        ('worker.agents = ["Net"]', "'Net' is no agent's name or glob; write one such as `host*`"),
        ('worker.capabilities = ["G P U"]', "capability 'G P U' is not an identifier"),
        ("limits.seconds = nan", "nan is not more than 0; write for example `seconds = 600`"),
        ("limits.seconds = inf", "inf does not fit: expected `float` <= 1000000000.0"),
        ("log_level = {", "this is not TOML"),
        ("limits = [1]", "`limits` must be a table; write it as `[limits]`"),
        ('env = "prod"', "`env` must be a table; write it as `[env.prod]`"),
        ("env.prod = 3", "`env.prod` must be a table; write it as `[env.prod]`"),
    ],
)
def test_a_bad_value_says_what_to_write(tmp_path: Path, line: str, said: str) -> None:
    """Every message has the place and a way out. row: C6"""
    write(tmp_path, "quorate.toml", f"\n{line}\n")
    faults = find_faults(tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith(("quorate.toml:2: ", "quorate.toml:3: "))
    assert said in faults[0]


def test_a_bad_secret_is_not_shown(tmp_path: Path) -> None:
    """A message about a secret, or about what a variable holds, does not repeat it. row: C6"""
    write(tmp_path, "quorate.toml", 'log_level = "${LEVEL}"\n')
    faults = find_faults(tmp_path, {"OPENAI_API_KEY": "hunter2 hunter2", "LEVEL": "hunter2"})
    assert len(faults) == 2
    assert "hunter2" not in "".join(faults)


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    """The first wrong byte is named, and reading stops at a bound."""
    (tmp_path / "quorate.toml").write_bytes(b"model = '\xff'")
    assert find_faults(tmp_path) == ["quorate.toml: byte 0xff is not UTF-8; save the file as UTF-8"]
    (tmp_path / "quorate.toml").write_bytes(b"#" * (1 << 20) + b"#")
    assert find_faults(tmp_path) == ["quorate.toml: it has more than 1048576 bytes"]


def test_secrets_are_hidden_in_every_text_form(tmp_path: Path) -> None:
    """Text, representation, pretty-printing, rows, JSON and pickles show stars or nothing. row: C6"""
    loaded = read_settings(tmp_path, {"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY})
    settings = loaded.settings
    forms = [
        str(settings), repr(settings), f"{settings}", pprint.pformat(settings), str(list_rows(loaded)), repr(loaded),
        msgspec.json.encode(settings, enc_hook=encode_secret).decode(), str(msgspec.structs.asdict(settings)),
    ]  # fmt: skip
    assert all(KEY not in form for form in forms)
    with pytest.raises(TypeError):
        pickle.dumps(settings)
    assert settings.find_credential("OPENAI_API_KEY") == KEY
    assert settings.find_credential("GROQ_API_KEY") == KEY
    assert settings.find_credential("XAI_API_KEY") is None
    assert settings.find_credential("OPENAI_BASE_URL") is None


PLACES = ("file", "table", "overlay", "secrets", "dotenv", "environment")
"""Where a value may stand, the weakest first."""


@given(st.dictionaries(st.sampled_from(PLACES), st.integers(1, 10**6), min_size=1))
def test_the_weightiest_place_wins(tmp_path: Path, values: dict[str, int]) -> None:
    """File < its overlay table < the overlay's file < secrets < `.env` < environment, whichever are there. row: C6"""
    folder = tmp_path / "case"
    write(folder, "quorate.toml", "[limits]\n")
    for name in ("quorate.dev.toml", ".env", "secrets/limits__steps"):
        (folder / name).unlink(missing_ok=True)
    (folder / "secrets").mkdir(exist_ok=True)
    environ = {"QUORATE_SECRETS_DIR": "secrets"}
    text = f"[limits]\nsteps = {values['file']}\n" if "file" in values else ""
    if "table" in values:
        text += f"[env.dev.limits]\nsteps = {values['table']}\n"
    write(folder, "quorate.toml", text + "[env.prod.limits]\nsteps = 77\n")
    if "overlay" in values:
        write(folder, "quorate.dev.toml", f"limits.steps = {values['overlay']}\n")
    if "secrets" in values:
        write(folder, "secrets/limits__steps", f"{values['secrets']}\n")
    if "dotenv" in values:
        write(folder, ".env", f"export QUORATE_LIMITS__STEPS='{values['dotenv']}'  # many\n")
    if "environment" in values:
        environ["QUORATE_LIMITS__STEPS"] = str(values["environment"])
    strongest = max(values, key=PLACES.index)
    assert load_settings(folder, environ).limits.steps == values[strongest]


@given(st.dictionaries(st.sampled_from(["steps", "depth", "tokens"]), st.integers(1, 99)), st.data())
def test_places_are_laid_over_each_other_key_by_key(tmp_path: Path, below: dict[str, int], data: st.DataObject) -> None:
    """A place that sets one key leaves the others of its table as they were."""
    above = data.draw(st.dictionaries(st.sampled_from(["steps", "depth", "tokens"]), st.integers(1, 99)))
    lines = "".join(f"limits.{key} = {value}\n" for key, value in below.items())
    write(tmp_path, "quorate.toml", lines)
    limits = load_settings(tmp_path, {f"QUORATE_LIMITS__{k.upper()}": str(v) for k, v in above.items()}).limits
    expected = {"steps": None, "depth": None, "tokens": None} | below | above
    assert {key: getattr(limits, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("environ", "file", "expected"),
    [
        ({}, "", "dev"),
        ({}, 'environment = "staging"', "staging"),
        ({"QUORATE_ENV": "prod"}, 'environment = "staging"', "prod"),
        ({"QUORATE_ENV": "prod", "QUORATE_ENVIRONMENT": "dev"}, "", "dev"),
    ],
)
def test_the_environment_is_chosen(tmp_path: Path, environ: dict[str, str], file: str, expected: str) -> None:
    """By variable, else by file, else `dev`; its overlay applies and no other's. row: C6"""
    overlays = "".join(f'[env.{name}]\nmodel = "openai:{name}"\n' for name in ("dev", "staging", "prod"))
    write(tmp_path, "quorate.toml", f"{file}\n{overlays}")
    settings = load_settings(tmp_path, environ)
    assert settings.environment == expected
    assert settings.model == f"openai:{expected}"
    assert load_settings(tmp_path, environ, environment="prod").model == "openai:prod"


def test_dotenv_is_read_in_dev_only(tmp_path: Path) -> None:
    """A developer's file does not reach production. row: C6"""
    write(tmp_path, ".env", "QUORATE_LOG_LEVEL=debug\n")
    assert load_settings(tmp_path, {}).log_level == "debug"
    assert load_settings(tmp_path, {"QUORATE_ENV": "prod"}).log_level == "warning"


def test_dotenv_cannot_choose_the_environment(tmp_path: Path) -> None:
    """It would be read in no environment but `dev`."""
    write(tmp_path, ".env", "QUORATE_ENV=prod\nQUORATE_SECRETS_DIR=/x\n")
    assert find_faults(tmp_path) == [
        ".env:1: `QUORATE_ENV` has no effect in `.env`; set it in the environment itself",
        ".env:2: `QUORATE_SECRETS_DIR` has no effect in `.env`; set it in the environment itself",
    ]


def test_secrets_are_files(tmp_path: Path) -> None:
    """Named as keys or as variables, in any case; hidden files and folders are not read. row: C6"""
    write(tmp_path, "s/openai__api_key", KEY + "\n")
    write(tmp_path, "s/QUORATE_LOG_LEVEL", "info")
    write(tmp_path, "s/GROQ_API_KEY", "groq-key")
    write(tmp_path, "s/..data/x", "x")
    settings = load_settings(tmp_path, {"QUORATE_SECRETS_DIR": "s"})
    assert settings.find_credential("OPENAI_API_KEY") == KEY
    assert settings.find_credential("GROQ_API_KEY") == "groq-key"
    assert settings.log_level == "info"
    write(tmp_path, "s/QUORATE_LOGLEVEL", "info")
    file = tmp_path / "s/QUORATE_LOGLEVEL"
    assert find_faults(tmp_path, {"QUORATE_SECRETS_DIR": "s"}) == [
        f"{file}: there is no setting `QUORATE_LOGLEVEL`; did you mean `QUORATE_LOG_LEVEL`?"
    ]


def test_a_secrets_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """It is never taken for an empty one."""
    assert "cannot be read: No such file or directory" in find_faults(tmp_path, {"QUORATE_SECRETS_DIR": "none"})[0]


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("${LEVEL}", {"LEVEL": "info"}, "info"),
        ("${LEVEL:-error}", {}, "error"),
        ("${LEVEL:-error}", {"LEVEL": ""}, "error"),
        ("in${X}", {"X": "fo"}, "info"),
        ("${A}${B}", {"A": "er", "B": "ror"}, "error"),
    ],
)
def test_references_stand_for_variables(tmp_path: Path, text: str, environ: dict[str, str], expected: str) -> None:
    """`${NAME}` and `${NAME:-default}`, as in a shell. row: C6"""
    write(tmp_path, "quorate.toml", f'log_level = "{text}"\n')
    assert load_settings(tmp_path, environ).log_level == expected


def test_references_reach_secrets_and_numbers(tmp_path: Path) -> None:
    """A file of the secrets directory may be named; a number may come from a variable. row: C6"""
    write(tmp_path, "s/model-key", KEY)
    write(tmp_path, "s/MODEL_KEY", KEY)
    write(
        tmp_path, "quorate.toml", 'openai.api_key = "${MODEL_KEY}"\nlimits.steps = "${STEPS}"\nprobe.allow = ["${H}"]\n'
    )
    settings = load_settings(tmp_path, {"QUORATE_SECRETS_DIR": "s", "STEPS": "7", "H": "db.internal"})
    assert settings.find_credential("OPENAI_API_KEY") == KEY
    assert settings.limits.steps == 7
    assert settings.probe.allow == ("db.internal",)


def test_what_a_variable_holds_is_not_read_again(tmp_path: Path) -> None:
    """One pass: a value cannot name further variables."""
    write(tmp_path, "quorate.toml", 'database = "${A}$${B}"\n')
    assert load_settings(tmp_path, {"A": "${B}", "B": "no"}).database == str(tmp_path / "${B}${B}")


def test_a_missing_variable_is_a_fault_only_where_it_counts(tmp_path: Path) -> None:
    """The overlay of production may name what is set there only."""
    write(tmp_path, "quorate.toml", '[env.prod]\nlog_level = "${PROD_LEVEL}"\n[openai]\napi_key = "${bad name}"\n')
    assert find_faults(tmp_path) == [
        (
            "quorate.toml:4: `openai.api_key`: '${bad name}' is no reference; "
            "write `${NAME}`, `${NAME:-default}`, or `$${` for text"
        )
    ]
    write(tmp_path, "quorate.toml", '[env.prod]\nlog_level = "${PROD_LEVEL}"\n')
    assert load_settings(tmp_path, {}).log_level == "warning"
    assert find_faults(tmp_path, {"QUORATE_ENV": "prod"}) == [
        (
            "quorate.toml:2: `env.prod.log_level`: the variable `PROD_LEVEL` is not set; "
            "set it, or write `${PROD_LEVEL:-default}`"
        )
    ]


@pytest.mark.parametrize("key", ["short", "changeme-changeme", "your-api-key-goes-here", "xxxxxxxxxxxxxxxxxxxx"])
def test_weak_keys_stop_the_start_in_production(tmp_path: Path, key: str) -> None:
    """In `dev`, and for a server on this machine, any key will do. row: C6"""
    write(tmp_path, "quorate.toml", f'openai.api_key = "{key}"\n')
    assert load_settings(tmp_path, {}).openai.api_key
    assert "write the real one" in find_faults(tmp_path, {"QUORATE_ENV": "prod"})[0]
    local = {"QUORATE_ENV": "prod", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    assert load_settings(tmp_path, local).openai.api_key


def test_pyproject_may_hold_the_settings(tmp_path: Path) -> None:
    """`[tool.quorate]`, overlays included, with lines of that file; other projects' files are not ours. row: C6"""
    write(tmp_path, "pyproject.toml", "[project]\nname = 'x'\n")
    assert read_settings(tmp_path, {}).files == ()
    write(
        tmp_path, "pyproject.toml", "[tool.quorate]\nlog_level = 'info'\n[tool.quorate.env.prod]\nlog_level = 'error'\n"
    )
    assert load_settings(tmp_path, {}).log_level == "info"
    assert load_settings(tmp_path, {"QUORATE_ENV": "prod"}).log_level == "error"
    write(tmp_path, "pyproject.toml", "[project]\nname = 'x'\n[tool.quorate]\nlimits.stepz = 3\n")
    assert find_faults(tmp_path) == ["pyproject.toml:4: `limits.stepz` is no setting; did you mean `steps`?"]


def test_two_settings_files_are_one_too_many(tmp_path: Path) -> None:
    """Nobody has to guess which of them counts."""
    write(tmp_path, "quorate.toml", "")
    write(tmp_path, "pyproject.toml", "[tool.quorate]\n")
    assert find_faults(tmp_path) == ["pyproject.toml: `[tool.quorate]` stands beside a `quorate.toml`; move it there"]


def test_the_file_is_found_from_inside_the_repository(tmp_path: Path) -> None:
    """Parents are searched up to the repository's root, and no further."""
    write(tmp_path, "quorate.toml", "log_level = 'error'\n")
    inner = tmp_path / "repository" / "deep"
    inner.mkdir(parents=True)
    assert load_settings(inner, {}).log_level == "warning"
    (tmp_path / "repository" / ".git").mkdir()
    assert load_settings(inner, {}).log_level == "warning"
    write(tmp_path, "repository/quorate.toml", "log_level = 'info'\ndatabase = 'x.db'\n")
    loaded = read_settings(inner, {})
    assert loaded.settings.log_level == "info"
    assert loaded.settings.database == str(tmp_path / "repository/x.db")


def test_a_file_may_be_named(tmp_path: Path) -> None:
    """`QUORATE_CONFIG` says which one; it must be there."""
    write(tmp_path, "other/my.toml", "log_level = 'info'\n")
    assert load_settings(tmp_path, {"QUORATE_CONFIG": "other/my.toml"}).log_level == "info"
    assert "there is no file" in find_faults(tmp_path, {"QUORATE_CONFIG": "none.toml"})[0]


def test_an_unknown_environment_is_a_fault(tmp_path: Path) -> None:
    """It never falls back to another one in silence."""
    assert find_faults(tmp_path, {"QUORATE_ENV": "production"}) == [
        'environment: `QUORATE_ENV`: \'production\' is unknown; write one of `"dev"`, `"staging"`, `"prod"`'
    ]
    with pytest.raises(InvalidFiles, match="there is no environment 'prd'; did you mean `prod`"):
        load_settings(tmp_path, {}, environment="prd")


def test_lists_in_variables_are_commas_or_json(tmp_path: Path) -> None:
    """Both are usual; a broken JSON list is a fault."""
    assert load_settings(tmp_path, {"QUORATE_PROBE__ALLOW": "a.b, private"}).probe.allow == ("a.b", "private")
    assert load_settings(tmp_path, {"QUORATE_PROBE__ALLOW": '["a.b"]'}).probe.allow == ("a.b",)
    assert "this is no JSON list" in find_faults(tmp_path, {"QUORATE_PROBE__ALLOW": '["a.b"'})[0]


def test_an_empty_key_is_no_key(tmp_path: Path) -> None:
    """Many shells export names with nothing in them."""
    settings = load_settings(tmp_path, {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""})
    assert settings.openai.api_key is None
    assert settings.openai.base_url == ""
    write(tmp_path, "quorate.toml", 'openai.api_key = "${OPENAI_API_KEY:-}"\n')
    assert load_settings(tmp_path, {}).openai.api_key is None


def test_nothing_is_no_model(tmp_path: Path) -> None:
    """Where no default can be meant, an empty value is a fault; an empty path is the usual place."""
    assert "'' is no model" in find_faults(tmp_path, {"QUORATE_MODEL": ""})[0]
    assert load_settings(tmp_path, {"QUORATE_DATABASE": "", "HOME": "/h"}).database.startswith("/h/")


def test_our_names_win_over_those_we_honour(tmp_path: Path) -> None:
    """`QUORATE_OPENAI__API_KEY` beside `OPENAI_API_KEY`."""
    both = {"OPENAI_API_KEY": "a" * 20, "QUORATE_OPENAI__API_KEY": "b" * 20}
    assert load_settings(tmp_path, both).find_credential("OPENAI_API_KEY") == "b" * 20


def test_the_password_of_a_database_is_taken_out_of_its_url(tmp_path: Path) -> None:
    """The URL can be shown; what connects gets the password back, whatever characters it has. row: C6"""
    settings = read_settings(tmp_path, {"QUORATE_DATABASE": "postgresql://ada:p%40ss%2Fword@db:5432/quorate"}).settings
    assert settings.database == "postgresql://ada@db:5432/quorate"
    assert settings.build_database_url().reveal() == "postgresql://ada:p%40ss%2Fword@db:5432/quorate"
    assert "ss" not in repr(settings.build_database_url())
    assert any(secret.reveal() == "p@ss/word" for secret in settings.list_secrets())
    plain = read_settings(tmp_path, {"QUORATE_DATABASE": "postgresql://db/quorate"}).settings
    assert plain.build_database_url().reveal() == "postgresql://db/quorate"


def test_a_gateway_file_names_variables_and_models(tmp_path: Path) -> None:
    """Variables that the file names are kept, however they are called; a model may be one of its words."""
    write(tmp_path, "gateway.toml", '[[pool]]\nprovider = "openai"\nkeys = ["TEAM_A", "TEAM_B"]\n')
    write(tmp_path, "quorate.toml", 'gateway = "gateway.toml"\nmodel = "smart"\n')
    settings = load_settings(tmp_path, {"TEAM_A": "sk-a", "TEAM_C": "sk-c", "AWS_REGION": "eu-west-1"})
    assert settings.model == "smart"
    assert settings.find_credential("TEAM_A") == "sk-a"
    assert settings.find_credential("TEAM_C") is None
    assert settings.find_credential("AWS_REGION") == "eu-west-1"
    shown = [secret.reveal() for secret in settings.list_secrets()]
    assert shown == ["sk-a"]  # a region is no secret


def test_a_gateway_file_must_be_there(tmp_path: Path) -> None:
    """And without one, a word is no model."""
    write(tmp_path, "quorate.toml", 'gateway = "gone.toml"\nmodel = "smart"\n')
    faults = find_faults(tmp_path, {})
    assert faults == [
        f"quorate.toml:1: `gateway`: there is no file {str(tmp_path / 'gone.toml')!r}; create it, or write another",
        "quorate.toml:2: `model`: 'smart' is no model; write `provider:model`, `playbook`, or `auto`",
    ]


def test_what_every_provider_reads_is_kept(tmp_path: Path) -> None:
    """The names of all keys, tokens, addresses and parts of addresses that the facts know."""
    for row in load_table().providers.values():
        places = [name for place in PLACE.findall(row.base_url) for name in place.split("|")]
        for name in filter(None, (row.key_env, row.token_env, row.base_url_env, *places)):
            value = "https://host/v1" if name.endswith(("_URL", "_BASE", "_ENDPOINT")) else "sk-a-key-0123456789"
            assert load_settings(tmp_path, {name: value}).find_credential(name) == value
