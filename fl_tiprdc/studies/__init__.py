"""Measure what the tables of the documentation show: a file for each study, and what they share."""
