"""The rules of tools/lint, one file a subject."""
