"""Image, units and manifests name what exists, and fit together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from rung.cli.main import COMMANDS, application
from rung.sections import SECTIONS
from rung.settings import load
from rung.status.routes import HEALTH, READY

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
SYSTEMD = DEPLOY / "systemd"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNITS = sorted(SYSTEMD.glob("*.service"))
HARDENED = {"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "DynamicUser=yes"}


def _is_command(words: list[str]) -> bool:
    """Return whether the words are a command line's command, with its subcommand."""
    command: Any = get_command(application(list(COMMANDS)))
    for word in words:
        if word.startswith("-"):
            break
        if not hasattr(command, "commands") or word not in command.commands:
            return False
        command = command.commands[word]
    return not hasattr(command, "commands")


def test_the_image_is_made_of_what_is_there() -> None:
    """All that is copied exists, and is let through to the builder."""
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    let_through = re.findall(
        r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(copied) == sorted(let_through)
    assert [source for source in copied if not (PROJECT / source).exists()] == []


def test_the_image_is_what_the_lock_names() -> None:
    """Packages come with their hashes, the program without the network, and nobody is root at the end."""
    installs = re.findall(r"pip install (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    assert "--require-hashes --requirement requirements.lock" in installs[0]
    assert {"--no-deps", "--no-index", "--no-build-isolation"} <= set(installs[1].split())
    _, _, last = DOCKERFILE.rpartition("\nFROM ")
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE)
    (python,) = set(re.findall(r"^FROM python:3\.(\d+)-slim-\w+", DOCKERFILE, re.MULTILINE))
    assert 11 <= int(python) <= 14


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_run_commands(unit: Path) -> None:
    """Each unit runs a command of the program, and stands under the common drop-in by its name."""
    (line,) = re.findall(
        r"^ExecStart=/opt/rung/bin/rung (.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert _is_command(line.split())
    assert unit.name.startswith("rung-")


def test_units_may_do_little() -> None:
    """The drop-in of all units takes away what none of them needs."""
    lines = (SYSTEMD / "rung-.service.d" / "hardening.conf").read_text(encoding="utf-8").splitlines()
    assert set(lines) >= HARDENED
    assert "RUNG_HOME=/var/lib/rung" in " ".join(lines)


def test_timers_start_units() -> None:
    """Each timer has its unit, and each unit that runs once has its timer."""
    timers = {timer.stem for timer in SYSTEMD.glob("*.timer")}
    once = {unit.stem for unit in UNITS if "Type=oneshot" in unit.read_text(encoding="utf-8")}
    assert timers == once


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Where systemd is there to ask, it finds no fault with any unit; elsewhere each line is `Key=value`."""
    units = tmp_path / "units"
    shutil.copytree(SYSTEMD, units)
    for unit in units.glob("*.service"):
        # The program is not installed there.
        unit.write_text(
            unit.read_text(encoding="utf-8").replace("/opt/rung/bin/rung", shutil.which("true") or ""),
            encoding="utf-8",
        )
    for file in units.rglob("*.*"):
        if file.is_file() and file.suffix != ".md":
            lines = filter(None, file.read_text(encoding="utf-8").splitlines())
            assert [line for line in lines if not re.match(r"[#\[]|[A-Za-z]+=", line)] == []
    program = shutil.which("systemd-analyze")
    if program is not None:
        names = [
            str(file).replace("@.", "@1.")
            for file in units.iterdir()
            if file.suffix in {".service", ".timer"}
        ]
        (units / "rung-worker@1.service").symlink_to(units / "rung-worker@.service")
        ended = subprocess.run(
            [program, "verify", "--man=no", *names],
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert str(units) not in ended.stderr, ended.stderr
        assert ended.returncode == 0, ended.stderr


def _manifests() -> Iterator[dict[str, Any]]:
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))


MANIFESTS = list(_manifests())


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in MANIFESTS:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "Deployment":
            yield name, manifest["spec"]["template"]
        elif manifest["kind"] == "CronJob":
            yield name, manifest["spec"]["jobTemplate"]["spec"]["template"]


PODS = dict(_pods())


def test_all_manifests_are_applied() -> None:
    """The kustomization has each file of the folder, and everything has a kind and a name."""
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == sorted(
        file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml"
    )
    named = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in MANIFESTS]
    assert len(set(named)) == len(named)


def test_selectors_find_their_pods() -> None:
    """Deployments, services and budgets select pods that exist, and no two deployments the same ones."""
    labels = [pod["metadata"]["labels"] for pod in PODS.values()]
    for manifest in MANIFESTS:
        selector = manifest.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if wanted:
            found = [one for one in labels if wanted.items() <= one.items()]
            assert len(found) == 1, manifest["metadata"]["name"]


@pytest.mark.parametrize("name", PODS)
def test_pods_are_confined(name: str) -> None:
    """No container runs as root, writes to its image, gains rights, or is without limits."""
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        if "command" not in container:
            assert _is_command(container["args"])


def test_probes_ask_what_is_open() -> None:
    """Probes ask routes that are open, at a port that the container has, by a name that the API goes by."""
    (container,) = PODS["rung-api"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    hosts = _settings()["RUNG_API_ALLOWED_HOSTS"].split(",")
    asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
    assert {probe: get["path"] for probe, get in asked.items()} == {
        "startup": HEALTH.path,
        "liveness": HEALTH.path,
        "readiness": READY.path,
    }
    for get in asked.values():
        assert get["port"] in ports
        (header,) = get["httpHeaders"]
        assert header["name"] == "Host"
        assert header["value"] in hosts


def _settings() -> dict[str, str]:
    (found,) = [manifest["data"] for manifest in MANIFESTS if manifest["kind"] == "ConfigMap"]
    return found


def test_settings_are_taken(tmp_path: Path) -> None:
    """The variables of the manifests are settings, with values that are taken."""
    settings = load(tmp_path, _settings())
    assert settings.log.kind == "kafka"
    assert settings.store.kind == "dynamodb"
    assert settings.api.allowed_hosts == ("rung.example.com", "rung")
    assert SECTIONS.keys() >= {"log", "store", "api"}
