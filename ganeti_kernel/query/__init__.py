"""Queries: fields of every resource, filters, and the live data they need."""
