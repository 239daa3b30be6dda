"""Check that the tests need every condition of the engine: apply one mutation at a time to a copy.

A test or a history must notice each mutation. `python -m testing.mutants` (`make mutants`) runs
them.

- `listed.toml`: mutations written by hand. One that no longer applies fails the run. - `generated`:
each condition, and each part of one, left out. - `accepted.toml`: generated mutations that no test
needs to notice, each with the reason.
"""
