"""What the server does with the clients' replies."""
