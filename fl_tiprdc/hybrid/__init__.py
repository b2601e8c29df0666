"""Hybrid training of extractor, adversary and critic: one step, for centralised, client and cohort."""
