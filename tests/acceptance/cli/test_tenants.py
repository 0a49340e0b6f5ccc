"""Do `quorate tenants` and `quorate quotas` say and do what they promise?"""

from tests.acceptance.cli.conftest import Run


def test_a_tenant_is_registered_bounded_and_suspended(quorate: Run) -> None:
    """What is set is listed with what is left, and nobody is ended unasked."""
    assert "registered" in quorate("tenants", "create", "acme", "--name", "Acme Ltd").err
    assert quorate("tenants", "add-project", "acme", "web").code == 0
    key = quorate("keys", "create", "--tenant", "acme", "--project", "web", "--json").json
    assert key["project"] == "web"
    refused = quorate("keys", "create", "--tenant", "acme", "--project", "nope")
    assert (refused.code, "no project 'nope'" in refused.err) == (2, True)
    chosen = quorate("quotas", "set", "--tenant", "acme", "--project", "web", "requests=600/minute", "usd=5/day")
    assert "project 'web': requests-minute 600, usd-day 5." in chosen.err
    listed = quorate("quotas", "list", "--tenant", "acme").out.splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [
        ["project", "'web'", "requests-minute", "600"],
        ["project", "'web'", "usd-day", "$5.0000"],
    ]
    assert quorate("tenants", "suspend", "acme", "--reason", "unpaid", "--json").json["state"] == "suspended"
    said = quorate("audit", "list", "--tenant", "acme", "--action", "quota").out
    assert "quotas=requests-minute=600, usd-day=5" in said
    asked = quorate("tenants", "delete", "acme")
    assert (asked.code, "add `--yes`" in asked.err) == (2, True)
