"""Check that tests notice a wrong condition in the engine: apply one mutation at a time to a copy.

A test must notice each mutation. `python -m tools.mutants` (`make mutants`) runs them. There are
two kinds of mutations:

- `listed.toml` has mutations written manually. If one no longer applies, the run fails.
- `generated.py` leaves out each condition, and each part of a condition.

`accepted.toml` lists generated mutations that no test needs to notice, each with the reason.
"""
