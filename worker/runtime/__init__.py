"""The event loop and the operating system process. Knows nothing of jobs."""
