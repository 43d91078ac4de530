"""Plain data of a job: what it is, its config item, its policy, its outcome, its keys. No I/O."""
