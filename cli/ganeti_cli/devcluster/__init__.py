"""A development cluster: each node is a full set of daemons under a root directory of its own."""
