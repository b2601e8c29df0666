"""A deployment: certificates, clients' folders, Flower's processes, and all of it on one machine."""
