"""Secure aggregation: the server can open the sum of an exchange's updates, and no single one."""
