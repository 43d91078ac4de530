"""Plain data of a job: its shape, config item, policy, outcome, result and keys. No I/O."""
