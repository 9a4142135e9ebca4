"""`rung campaign`: every error by its place, all files or none, and what counts from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.command import EXAMPLES, SPEC, Rung, purchase, write_lines
from rung.cli.errors import ExitCode

BAD = SPEC.replace("timezone: UTC", "timezone: Mars/Base").replace("{sum: amount}", "{sum: amont}")


def test_check_finds_nothing_wrong(rung: Rung, spec: Path) -> None:
    """A good file is named with its campaign and versions; no home is needed."""
    ran = rung.bare("campaign", "check", spec)
    assert (ran.code, ran.err) == (0, f"{spec}: campaign small, 1 version: fine\n")


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_fine(rung: Rung, file: Path) -> None:
    """Every example campaign passes the check."""
    assert rung.bare("campaign", "check", file).code == 0


def test_check_prints_every_error(rung: Rung, spec: Path, tmp_path: Path) -> None:
    """Every error of every file is a line with file, line and column; exit code 2."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD, encoding="utf-8")
    ran = rung.bare("campaign", "check", bad, spec, bad)
    lines = ran.err.splitlines()
    assert ran.code == ExitCode.BAD_INPUT
    assert [line.split(": ")[0] for line in lines[:-1]] == [f"{bad}:2:11", f"{bad}:9:20"] * 2
    assert "amount" in lines[1]
    assert lines[-1] == "error: 4 errors in the campaign files; nothing was applied"


def test_check_as_json(rung: Rung, tmp_path: Path) -> None:
    """With --json the errors are values."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD, encoding="utf-8")
    ran = rung.bare("campaign", "check", "--json", bad)
    assert ran.code == ExitCode.BAD_INPUT
    told = ran.json["error"]
    assert (told["code"], told["name"]) == (ExitCode.BAD_INPUT, "bad_input")
    assert told["message"] == "2 errors in the campaign files; nothing was applied"
    assert [(one["file"], one["line"], one["column"]) for one in told["places"]] == [
        (str(bad), 2, 11),
        (str(bad), 9, 20),
    ]
    assert set(told["places"][0]) == {"file", "line", "column", "message", "suggestion"}


def test_check_finds_campaigns_that_clash(rung: Rung, spec: Path, tmp_path: Path) -> None:
    """Files that are fine by themselves are checked against each other, too."""
    other = tmp_path / "other.yaml"
    body = SPEC.replace("campaign: small", "campaign: other").replace(
        "versions:", "attributes: {shop: X}\nversions:"
    )
    spec.write_text(SPEC.replace("versions:", "attributes: {shop: string}\nversions:"), encoding="utf-8")
    other.write_text(body.replace("X", "integer"), encoding="utf-8")
    ran = rung.bare("campaign", "check", spec, other)
    assert ran.code == ExitCode.BAD_INPUT
    assert "shop" in ran.err


@pytest.mark.parametrize("command", ["check", "apply"])
def test_files_that_cannot_be_read(rung: Rung, tmp_path: Path, command: str) -> None:
    """A file that is missing, a folder or no text is named."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"campaign: \xff")
    table = (
        (tmp_path / "none.yaml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "not a text file in UTF-8 (byte 10)"),
    )
    for file, message in table:
        ran = rung("campaign", command, file)
        assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {file}: {message}\n")


def test_apply_list_show(rung: Rung, spec: Path) -> None:
    """An applied campaign is listed and shown, with its measures and steps."""
    assert "No campaign is in force" in rung.fine("campaign", "list").err
    assert rung.fine("campaign", "apply", spec).err == "Applied small: version 0 added\n"
    listed = rung.fine("campaign", "list", "--json").json["campaigns"]
    assert [(one["campaign"], one["timezone"], one["versions"]) for one in listed] == [("small", "UTC", [0])]
    assert "small" in rung.fine("campaign", "list").out
    shown = rung.fine("campaign", "show", "small").out
    assert "payments = count of amount >= 500" in shown
    assert "+0.5% three: payments >= 3" in shown
    assert rung.fine("campaign", "show", "small", "--json").json["campaign"] == "small"


def test_apply_is_repeatable(small: Rung, spec: Path) -> None:
    """Applying the same file again changes nothing."""
    assert small.fine("campaign", "apply", spec).err == "Unchanged: small\n"
    ran = small.fine("campaign", "apply", "--json", spec).json
    assert ran == {"ok": True, "applied": ["small"], "versions_added": [], "counts_past_events": True}


def test_apply_takes_all_files_or_none(rung: Rung, spec: Path, tmp_path: Path) -> None:
    """One bad file keeps the good ones out."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD, encoding="utf-8")
    assert rung("campaign", "apply", spec, bad).code == ExitCode.BAD_INPUT
    assert rung("campaign", "apply", "--json", spec, bad).json["error"]["name"] == "bad_input"
    assert rung.fine("campaign", "list", "--json").json == {"campaigns": []}


def test_apply_refuses_changed_rules(small: Rung, spec: Path) -> None:
    """Other rules under a used number are refused; exit code 2, and nothing changes."""
    spec.write_text(SPEC.replace(">= 500", ">= 501"), encoding="utf-8")
    ran = small("campaign", "apply", spec)
    assert ran.code == ExitCode.BAD_INPUT
    assert "version 0 has other rules" in ran.err
    assert ">= 500" in small.fine("campaign", "show", "small").out


def test_apply_after_events(small: Rung, spec: Path, tmp_path: Path) -> None:
    """A version that is applied after events says that it counts from here on, and its status is partial."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    spec.write_text(SPEC.replace("campaign: small", "campaign: late"), encoding="utf-8")
    ran = small.fine("campaign", "apply", spec)
    assert "what was added counts from here on (state: partial)" in ran.err
    assert f"rung --home {small.home} replay" in ran.err
    assert "events before it was applied are not counted" in small.fine("campaign", "show", "late").out
    status = small.fine("status", "ann", "--at", "2021-08-04", "--json").json
    states = {one["campaign"]: one["counting"]["state"] for one in status["campaigns"]}
    assert states == {"small": "provisional", "late": "partial"}


def test_show_an_unknown_campaign(small: Rung) -> None:
    """An unknown name is refused with the one that was probably meant."""
    ran = small("campaign", "show", "smal")
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        "error: no campaign is named 'smal'; did you mean small?\n",
    )
