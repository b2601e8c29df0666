"""Measure what the tables of the documentation show, one file a study; simulations/ calls them."""
