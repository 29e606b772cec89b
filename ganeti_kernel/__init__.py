"""A cluster virtualization manager's kernel: plugin contracts, state, jobs, and node calls."""
