"""Clients, server, runtimes and publication, on Flower's Message API."""
