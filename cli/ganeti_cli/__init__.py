"""The gnt-* programs: one module per program, over LUXI."""
