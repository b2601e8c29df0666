"""Figures and the HTML report, made from result tables only."""
