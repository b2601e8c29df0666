"""Secure aggregation: the server can open the sum of an exchange's updates, but no single one."""
