"""What service managers, engines and kernels print is read. row: B1"""

import sys

import pytest

from quorate.tools.builtin.infra.containers import Engine, has_trouble, parse_containers, summarize_engines
from quorate.tools.builtin.infra.ports import decode_address, parse_sockets
from quorate.tools.builtin.infra.services import parse_services, summarize_services
from quorate.tools.builtin.infra.timesync import (
    TimeSource,
    ask_kernel,
    parse_chrony,
    parse_timedatectl,
    summarize_sources,
)

UNITS = """\
  nginx.service     loaded    active   running A web server
● backup.service    loaded    failed   failed  Nightly backup
  ghost.service     not-found inactive dead    ghost.service
  odd
"""
DOCKER = """\
{"ID":"0123456789abcdef","Names":"web","Image":"nginx:1","State":"running","Status":"Up 2 h (unhealthy)","Ports":"80"}
{"ID":"b","Names":"job","Image":"job","State":"exited","Status":"Exited (137) 3 minutes ago","Ports":""}
{"ID":"c","Names":"done","Image":"job","State":"exited","Status":"Exited (0) 3 minutes ago","Ports":""}
{"cut":
"""
PODMAN = (
    '{"Id":"0123456789abcdef","Names":["db"],"Image":"pg","State":"exited","ExitCode":1,"Status":"","Ports":[{"p":1}]}'
)


def test_services_are_counted_and_failures_come_first() -> None:
    report = summarize_services(parse_services(UNITS), pattern="*", most=2)
    assert (report.total, report.running, report.failed) == (3, 1, ("backup.service",))
    assert [one.name for one in report.services] == ["backup.service", "ghost.service"]
    assert report.truncated
    named = summarize_services(parse_services(UNITS), pattern="nginx*", most=5)
    assert named.services[0].description == "A web server"
    assert named.failed == ("backup.service",)


def test_containers_in_trouble_are_named() -> None:
    containers = parse_containers(DOCKER, engine="docker")
    assert [one.name for one in containers] == ["web", "job", "done"]
    assert [has_trouble(one) for one in containers] == [True, True, False]
    assert (containers[0].id, containers[1].exit_code, containers[2].exit_code) == ("0123456789ab", 137, 0)
    (other,) = parse_containers(PODMAN, engine="podman")
    assert (other.name, other.exit_code, other.ports) == ("db", 1, '{"p":1}')


def test_one_engine_that_answers_is_enough_and_none_is_unavailable() -> None:
    """A missing docker is reported as unavailable, not as success. row: B1"""
    missing = Engine(name="docker", status="unavailable", reason="not installed")
    answered = Engine(name="podman", status="ok", containers=parse_containers(PODMAN, engine="podman"))
    report = summarize_engines([missing, answered])
    assert (report.status, report.total, report.running, report.troubled) == ("ok", 1, 0, ("db",))
    report = summarize_engines([missing])
    assert (report.status, report.reason) == ("unavailable", "docker: not installed")


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is from such a machine")
def test_listening_sockets_are_read() -> None:
    assert decode_address("0100007F") == "127.0.0.1"
    assert decode_address("00000000000000000000000001000000") == "::1"
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0   0 12345 1\n"
        "   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  0   0 12346 1\n"
    )
    ((listener, inode),) = parse_sockets(table, "tcp")
    assert (listener.address, listener.port, inode) == ("127.0.0.1", 8080, "12345")


def test_clock_witnesses_are_read() -> None:
    line = "A29FC87B,10.0.0.1,3,1795251605.1,-0.000123,0.1,0.2,1.0,0.0,0.1,0.02,0.001,64.2,Normal\n"
    source = parse_chrony(line)
    assert (source.is_synchronized, source.offset_s) == (True, -0.000123)
    assert source.error_bound_s == pytest.approx(0.011123)
    assert parse_chrony(line.replace("Normal", "Not synchronised")).is_synchronized is False
    assert parse_chrony("506 Cannot talk to daemon").status == "unavailable"
    assert parse_timedatectl("NTP=yes\nNTPSynchronized=no\n").is_synchronized is False
    assert parse_timedatectl("").status == "unavailable"
    assert ask_kernel().status == "ok" or not sys.platform.startswith("linux")


def test_a_clock_nobody_knows_about_is_unavailable() -> None:
    silent = TimeSource(name="chrony", status="unavailable", reason="not installed")
    assert summarize_sources((silent,)).status == "unavailable"
    knowing = TimeSource(name="kernel", status="ok", is_synchronized=True, offset_s=0.5, error_bound_s=1.0)
    report = summarize_sources((silent, knowing))
    assert (report.status, report.is_synchronized, report.offset_s) == ("ok", True, 0.5)
