"""Every kind of fault on real servers under load: nothing is lost, nothing is billed twice."""

import os

import attrs
import pytest

from tests.faults.campaign import KINDS, Plan, run
from tests.faults.report import table, write


def plan_of(environment):
    """Read a long campaign from FAULT_DATABASE, FAULT_SEED and so on; None where none is asked for."""
    if "FAULT_FAULTS" not in environment:
        return None
    kinds = tuple(environment["FAULT_KINDS"].split(",")) if environment.get("FAULT_KINDS") else tuple(KINDS)
    numbers = {
        field.name: int(environment[f"FAULT_{field.name.upper()}"])
        for field in attrs.fields(Plan)
        if field.type is int and environment.get(f"FAULT_{field.name.upper()}")
    }
    return Plan(environment.get("FAULT_DATABASE", "mariadb"), kinds=kinds, **numbers)


LONG = plan_of(os.environ)
SHORT = Plan("mariadb", seed=1, faults=len(KINDS), events=8_000, rate_max=600, at_once=6, workers_max=4)
ON_MYSQL = Plan(
    "mysql",
    seed=1,
    faults=5,
    events=4_000,
    rate_max=600,
    at_once=5,
    kinds=("commit-cut", "database-kill", "failover", "read-only", "packet-shrunk"),
)


@pytest.mark.timeout(0)  # as long as the faults take; every wait has its own bound
@pytest.mark.parametrize("plan", [LONG] if LONG else [SHORT, ON_MYSQL], ids=lambda plan: plan.database)
def test_faults_lose_nothing_and_bill_nothing_twice(plan, tmp_path, kafka_server, publish, request):
    """Else a crash, a cut cable or a restored database would cost customers money, or us."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    report = run(plan, tmp_path, kafka_server, terminal.write_line if LONG else lambda _: None)
    assert sum(report.faults.values()) >= plan.faults
    publish(table([report]))
    if LONG:
        write(report)
