"""What the product costs in time, always beside a peer that is measured in the same run."""
