"""Alerts, dashboard and runbook: what they name exists, and each leads to the others."""

import json
import re

import promql_parser
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from billing import metrics
from billing.ports import Reaction
from billing.wire import Reason
from tests.command import ROOT

OPS = ROOT / "ops"
RULES = yaml.safe_load((OPS / "alerts.yaml").read_text())["groups"][0]["rules"]
ALERTS = {rule["alert"]: rule for rule in RULES}
PANELS = {panel["title"]: panel for panel in json.loads((OPS / "dashboards/billing.json").read_text())["panels"]}
SECTIONS = re.findall(r"^## (.+)$", (OPS / "runbook.md").read_text(), re.MULTILINE)
OF_PROMETHEUS = {"job", "instance"}  # labels that each series gets when it is scraped
VALUES = {
    "job": {"billing"},
    "reaction": {reaction.name.lower() for reaction in Reaction},
    "reason": {reason.value for reason in Reason},
}
# Pages that no metric of a worker leads to: it is not running, or somebody else is at work.
WITHOUT_ALERT = {
    "What a worker tells",
    "The worker will not start",
    "The API refuses",
    "The month is over",
    "Log changed",
}
SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}


def series():
    """Return every series that a worker has, with its labels."""
    found = {"up": OF_PROMETHEUS}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in SUFFIXES[type(metric)]:
                of_bucket = {"le"} if suffix == "_bucket" else set()
                labels = {*metric._labelnames} | of_bucket | OF_PROMETHEUS  # noqa: SLF001 - it has no other list of them
                found[metric._name + suffix] = labels  # noqa: SLF001
    return found


SERIES = series()


def selectors(expression):
    """Yield the selectors of an expression: name and matchers."""
    pending = [expression]
    while pending:
        one = pending.pop()
        if isinstance(one, promql_parser.VectorSelector):
            yield one
        elif isinstance(one, promql_parser.MatrixSelector):
            pending.append(one.vector_selector)
        elif isinstance(one, promql_parser.BinaryExpr):
            pending += [one.lhs, one.rhs]
        elif isinstance(one, promql_parser.Call):
            pending += one.args
        elif isinstance(one, promql_parser.AggregateExpr):
            pending += [one.expr, *([one.param] if one.param is not None else [])]
        elif isinstance(one, promql_parser.ParenExpr | promql_parser.UnaryExpr | promql_parser.SubqueryExpr):
            pending.append(one.expr)
        else:
            assert isinstance(one, promql_parser.NumberLiteral | promql_parser.StringLiteral), type(one)


def check(text):
    """Check that an expression is one, and that what it selects and groups by exists; returns names of metrics."""
    names = set()
    labels = set()
    for selector in selectors(promql_parser.parse(text)):
        assert selector.name in SERIES, f"{text}: no worker has {selector.name}"
        names.add(selector.name)
        labels |= SERIES[selector.name]
        for matcher in selector.matchers.matchers:
            assert matcher.name in SERIES[selector.name], f"{text}: {selector.name} has no label {matcher.name}"
            for value in matcher.value.split("|"):
                assert value in VALUES[matcher.name], f"{text}: {matcher.name} is never {value}"
    for group in re.findall(r"\bby \(([^)]*)\)", text):
        assert {label.strip() for label in group.split(",")} <= labels, f"{text}: nothing to group by in {group}"
    return names


def anchor(section):
    """Write a heading's anchor as the renderers of Markdown do."""
    return re.sub(r"[^a-z0-9 _-]", "", section.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_what_workers_tell(name):
    """A renamed metric would leave an alert that never fires, and nobody would miss it until it is needed."""
    assert check(ALERTS[name]["expr"])


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_page_and_says_whom_it_wakes(name):
    """Who is called at night would have to guess what it means and what makes it worse."""
    rule = ALERTS[name]
    file, _, place = rule["annotations"]["runbook"].partition("#")
    assert file == "runbook.md"
    assert place in map(anchor, SECTIONS)
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    grouped = re.search(r"\bby \(([^)]*)\)", rule["expr"])
    kept = {label.strip() for label in grouped[1].split(",")} if grouped else OF_PROMETHEUS
    assert labels <= kept, f"{labels - kept} would be empty"


def test_every_page_is_led_to():
    """A failure that has a page would still be found by customers first."""
    led = {rule["annotations"]["runbook"].partition("#")[2] for rule in RULES}
    assert {section for section in SECTIONS if anchor(section) not in led} == WITHOUT_ALERT
    assert len(ALERTS) == len(RULES)


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_shows_what_workers_tell(title):
    """A panel would stay empty, and look like a quiet day."""
    targets = PANELS[title]["targets"]
    assert targets
    for target in targets:
        check(target["expr"].replace("$__rate_interval", "5m"))


def test_the_board_shows_every_metric():
    """Something would be counted that nobody ever sees."""
    shown = {
        name
        for panel in PANELS.values()
        for target in panel["targets"]
        for name in check(target["expr"].replace("$__rate_interval", "5m"))
    }
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in SERIES}
    assert {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown} == families


def test_the_runbook_names_metrics_that_there_are():
    """Who follows a page would look for a figure that is not there."""
    named = set(re.findall(r"`(billing_\w+)", (OPS / "runbook.md").read_text()))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in SERIES}
    assert named <= families, named - families
