"""Measure what Job Runners costs, always compared with a peer that is measured in the same run."""
