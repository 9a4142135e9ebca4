"""Dashboard and alerts watch metrics that exist, by labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from docs.generator.metrics import exposed, of_a_verification
from rung.status.routes import ROUTES

DEPLOY = Path(__file__).parents[2] / "deploy"
_FUNCTIONS = frozenset({"absent", "by", "histogram_quantile", "increase", "max", "rate", "sum", "time"})


def _exposed_labels() -> dict[str, set[str]]:
    """Return each sample's name -> the labels that it has; `instance` is of whoever was asked."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposed() + of_a_verification()):
        for sample in family.samples:
            found.setdefault(sample.name, {"instance"}).update(sample.labels)
    return found


def _alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def _panels() -> list[dict[str, Any]]:
    return json.loads((DEPLOY / "grafana" / "rung.json").read_text(encoding="utf-8"))["panels"]


def _expressions() -> Iterator[tuple[str, str]]:
    for alert in _alerts():
        yield alert["alert"], alert["expr"]
    for panel in _panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("name", "expression"), list(_expressions()))
def test_every_metric_exists(name: str, expression: str) -> None:
    """Each expression names metrics that there are, and labels that these have."""
    labels = _exposed_labels()
    named = set(re.findall(r"\brung_\w+", expression))
    assert named
    assert named <= labels.keys()
    known = {label for metric in named for label in labels[metric]}
    used = set(re.findall(r"(\w+)=~?\"", expression))
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
        used |= {label.strip() for label in grouped.split(",")}
    assert used <= known


@pytest.mark.parametrize(("name", "expression"), list(_expressions()))
def test_expressions_are_whole(name: str, expression: str) -> None:
    """Parentheses, brackets and braces close in order, and nothing is called that PromQL does not have here."""
    open_ones: list[str] = []
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in "([{":
            open_ones.append({"(": ")", "[": "]", "{": "}"}[character])
        elif character in ")]}":
            assert open_ones.pop() == character
    assert open_ones == []
    assert set(re.findall(r"\b([a-z_]+) ?\(", expression)) <= _FUNCTIONS


def test_every_metric_is_watched() -> None:
    """The dashboard leaves out no metric that a server or a verification tells."""
    shown = " ".join(target["expr"] for panel in _panels() for target in panel["targets"])
    told = text_string_to_metric_families(exposed() + of_a_verification())
    families = {family.name for family in told}
    assert {name for name in families if name not in shown} == set()


def test_alerts_say_what_to_do() -> None:
    """Each alert has its own name, a severity, a summary and a description, and a line in the documentation."""
    page = (DEPLOY.parent / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    names = [alert["alert"] for alert in _alerts()]
    assert len(set(names)) == len(names)
    assert set(re.findall(r"^\| (Rung\w+) \|", page, re.MULTILINE)) == set(names)
    for alert in _alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"].keys() == {"summary", "description"}


def test_alerts_name_routes_that_exist() -> None:
    """A route in an alert is one of the API's."""
    named = {route for alert in _alerts() for route in re.findall(r'route="([^"]+)"', alert["expr"])}
    assert named
    assert named <= {route.path for route in ROUTES}


def test_panels_do_not_overlap() -> None:
    """The dashboard is a grid of 24 columns, and each place has one panel."""
    places = [
        (x, y)
        for panel in _panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
