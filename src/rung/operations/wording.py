"""A version's rules in lines of text: for people, and to be compared line by line."""

from __future__ import annotations

from rung.campaign.model import Rounding, Version


def rule_lines(version: Version) -> list[str]:
    """Return what a version counts and what it earns, a line for each rule."""
    lines = [f"refunds post to the {version.post_to}'s period"]
    for measure in version.measures:
        where = f" where {measure.where.text}" if measure.where is not None else ""
        lines.append(f"{measure.name} = {measure.kind} of {measure.expression.text}{where}")
    reward = version.reward
    lines.append(f"base rate {reward.base_percent}%")
    for step in reward.steps:
        when = step.when.text if step.when is not None else "always"
        on = f", on {step.on.text}" if step.on is not None else ""
        lines.append(f"+{step.add_percent}% {step.name}: {when}{on}")
    for what, most in (("transaction", reward.cap.per_transaction), ("period", reward.cap.per_period)):
        if most is not None:
            lines.append(f"at most {most} per {what}, in minor units")
    if reward.rounding is not Rounding.DOWN:
        lines.append(f"cash back is rounded {reward.rounding.replace('_', ' ')}")
    return lines
