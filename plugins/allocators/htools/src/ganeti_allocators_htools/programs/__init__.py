"""The programs: one module each with ``run(options) -> exit code``, printing as it goes."""
