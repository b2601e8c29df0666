"""The audit: attackers and task probes trained anew on published representations, and what follows from them."""
