"""Checks that every condition of the engine is needed: changes one at a time, on a copy, and looks
whether a test or a history notices. `python -m testing.mutants` (`make mutants`) runs it.

- `listed.toml`: changes that somebody thought of. One that no longer applies fails the run.
- `generated`: each condition, and each part of one, left out.
- `accepted.toml`: generated changes that nothing needs to notice, each with the reason.
"""
