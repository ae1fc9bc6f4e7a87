"""Networks of namespaces on one machine, with real clients and servers: for quickstart and the end-to-end tests."""
