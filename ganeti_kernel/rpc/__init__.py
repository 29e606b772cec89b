"""Calls from the master to its nodes: transport, trust, deadlines, epoch."""
