"""A trained extractor as a product: its files, `Extractor`, a scikit-learn transformer, exports."""
