"""Seeded synthetic traffic: the same settings give the same events, byte for byte."""

from rung.traffic.plan import generate
from rung.traffic.settings import IdKind, TrafficCounts, TrafficSettings

__all__ = ["IdKind", "TrafficCounts", "TrafficSettings", "generate"]
