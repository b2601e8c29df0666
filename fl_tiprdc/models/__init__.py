"""Networks by modality, and the release channel."""
