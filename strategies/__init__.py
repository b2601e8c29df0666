"""Flower strategies: the server asks clients, checks their replies, aggregates and protects them."""
