"""Training: requests become jobs, a job is a row and a process, what it makes is a version."""
