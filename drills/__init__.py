"""Drills: real solves under faults, and under load, with what came of them as a page."""
