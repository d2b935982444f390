"""Mutated inputs for the parsers, by the million; `python -m fuzzing` runs them and writes docs/fuzzing.md."""
