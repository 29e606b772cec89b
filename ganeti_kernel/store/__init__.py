"""Backends of the state store that come with the kernel, and how a store's URL is read."""
