"""The configuration: keys in the store, changes, reservations, address pools, ssconf."""
