"""The suites of tools/check."""
