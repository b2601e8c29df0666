"""Hybrid training of extractor, adversary and critic: one step, for centralized, client and cohort."""
